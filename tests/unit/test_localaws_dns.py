"""The local AWS's DNS: AWS's names are this machine, nothing else exists."""

from __future__ import annotations

import struct

import pytest

from localaws import dns


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)


@pytest.mark.parametrize("name", ["s3.us-east-1.amazonaws.com", "Bucket.s3.us-east-1.AMAZONAWS.com", "api.ecr.eu-west-1.amazonaws.com"])
def test_names_of_aws_are_the_gateway(name: str) -> None:
    reply = dns.answer(query(name), "172.18.0.1")
    assert reply[:2] == query(name)[:2]
    assert reply[3] & 0x0F == 0
    assert reply[-4:] == bytes([172, 18, 0, 1])


def test_a_load_balancer_has_its_own_address() -> None:
    own = {"shop-1.us-east-1.elb.amazonaws.com": "172.18.0.9"}
    assert dns.answer(query("Shop-1.us-east-1.elb.amazonaws.com"), "172.18.0.1", lambda name: own.get(name, ""))[-4:] == bytes([172, 18, 0, 9])
    assert dns.answer(query("s3.us-east-1.amazonaws.com"), "172.18.0.1", lambda name: own.get(name, ""))[-4:] == bytes([172, 18, 0, 1])


@pytest.mark.parametrize("name", ["pypi.org", "amazonaws.com.evil.example", "notamazonaws.com"])
def test_other_names_do_not_exist(name: str) -> None:
    reply = dns.answer(query(name), "172.18.0.1")
    assert reply[3] & 0x0F == 3
    assert struct.unpack(">H", reply[6:8])[0] == 0


def test_there_is_no_ipv6_address_but_the_name_exists() -> None:
    reply = dns.answer(query("s3.us-east-1.amazonaws.com", kind=28), "172.18.0.1")
    assert (reply[3] & 0x0F, struct.unpack(">H", reply[6:8])[0]) == (0, 0)


def test_what_is_no_query_is_refused() -> None:
    with pytest.raises(ValueError, match="not a DNS query"):
        dns.answer(b"\0" * 8, "172.18.0.1")
