"""A DNS server for the local AWS's network: load balancers' names are the balancers, AWS's others this machine; nothing else exists.

Nothing is forwarded, so that no name of the outside is ever looked up by a host.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".aws")
_A, _AAAA, _IN = 1, 28, 1


def _nobody(_: str) -> str:
    return ""


def answer(query: bytes, address: str, lookup: Callable[[str], str] = _nobody) -> bytes:
    """Return the response to one DNS query: an A record of `address` for AWS's names, NXDOMAIN for the others.

    `lookup` gives the IPv4 address of a name (in lower case) that has its own, '' for all others.

    Raises ValueError for a packet that is not a query with one question (RFC 1035, 4.1).
    """
    if len(query) < 17 or query[2] & 0x80:
        raise ValueError("not a DNS query")
    end, labels = 12, []
    while query[end]:
        length = query[end]
        labels.append(query[end + 1:end + 1 + length].decode("ascii", "replace").lower())
        end += 1 + length
    kind, klass = struct.unpack(">HH", query[end + 1:end + 5])
    question = query[12:end + 5]
    name = ".".join(labels)
    own = lookup(name)
    known = bool(own) or f".{name}".endswith(_SUFFIXES)
    records = b""
    if known and kind == _A and klass == _IN:
        # 0xc00c points back at the question's name.
        records = struct.pack(">HHHIH", 0xC00C, _A, _IN, 5, 4) + socket.inet_aton(own or address)
    flags = 0x8580 if known else 0x8583  # authoritative answer, recursion "available"; 3 = no such name
    return query[:2] + struct.pack(">HHHHH", flags, 1, 1 if records else 0, 0, 0) + question + records


class DnsServer:
    """Answers on UDP port 53 of one address until it is closed."""

    def __init__(self, address: str, port: int = 53, lookup: Callable[[str], str] = _nobody) -> None:
        self._address, self._lookup = address, lookup
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        threading.Thread(target=self._serve, name="dns", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(1232)
            except OSError:
                return  # closed
            try:
                self._socket.sendto(answer(query, self._address, self._lookup), client)
            except (ValueError, IndexError, struct.error, OSError):
                continue  # a malformed packet gets no answer

    def close(self) -> None:
        """Stop answering."""
        self._socket.close()
