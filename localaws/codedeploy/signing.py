"""Signs deployment specifications as the agent expects them: PKCS7 in PEM, by `openssl smime`.

The agent takes the payload out of the envelope whoever signed it; the key is made once per local AWS and kept in its state.
"""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any


class Signer:
    """A key and certificate in `folder`, made on first use."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._key, self._certificate = folder / "specification-key.pem", folder / "specification-certificate.pem"

    def sign(self, specification: dict[str, Any]) -> str:
        """Return the PEM of the signed JSON. Raises RuntimeError with openssl's own words."""
        with self._lock:  # hosts of several Regions ask for the first one at the same time
            self._ensure()
        return _openssl(["smime", "-sign", "-binary", "-nodetach", "-outform", "PEM", "-signer", str(self._certificate),
                         "-inkey", str(self._key)], json.dumps(specification).encode()).decode()

    def _ensure(self) -> None:
        if self._certificate.exists():
            return
        self._certificate.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and renamed, so that a kill in between leaves no half pair.
        fresh = self._certificate.with_suffix(".new")
        _openssl(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=codedeploy.local",
                  "-keyout", str(self._key), "-out", str(fresh)], b"")
        self._key.chmod(0o600)
        fresh.rename(self._certificate)


def _openssl(arguments: list[str], data: bytes) -> bytes:
    try:
        done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, timeout=60, check=False)
    except FileNotFoundError as error:
        raise RuntimeError("openssl is needed to sign CodeDeploy specifications: install the package openssl") from error
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
