"""Which bundles may expire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from memory_table import MemoryTable

from ledger import Ledger
from model import Bad, Deployment, Environment, Group, Override, Release, Rollback
from superseded import TAGS, superseded, tag

PLACE = {"prod/us-east-1/fleet": {"bucket": "b", "key": "old"}}
OLD = Release("old", passed={"Gamma": 10, "Wave2": 20}, revisions=PLACE, first_seen=5, version=1)
PROD = Environment("prod", desired="good", last_good="good", last_good_at=100, goods=("good",))
GAMMA = replace(PROD, name="gamma", last_good_at=90)
BROUGHT = Deployment("d", "Succeeded", "good")
RUNS = Group("prod", "us-east-1", "fleet", "app", "g", last_attempted=BROUGHT, last_successful=BROUGHT)


@pytest.mark.parametrize(("release", "records", "group", "under_way", "expected"), [
    (OLD, (GAMMA, PROD), RUNS, (), True),
    (replace(OLD, bad=Bad("faults", "prod", 30)), (GAMMA, PROD), RUNS, (), True),
    (replace(OLD, superseded=True), (GAMMA, PROD), RUNS, (), False),
    (replace(OLD, revisions={}), (GAMMA, PROD), RUNS, (), False),
    (replace(OLD, commit="good"), (GAMMA, PROD), RUNS, (), False),
    (replace(OLD, passed={"Gamma": 95}), (GAMMA, PROD), RUNS, (), False),  # a candidate: it passed after gamma's last good
    (replace(OLD, first_seen=120, passed={}), (GAMMA, PROD), RUNS, (), False),
    (OLD, (GAMMA, replace(PROD, goods=("good", "old"))), RUNS, (), False),  # what to fall back to
    (OLD, (GAMMA, replace(PROD, override=Override("fire", "me", 1, "old"))), RUNS, (), False),
    (OLD, (GAMMA, replace(PROD, rollback=Rollback("1-x", "b", "a", "why", "me", 1))), RUNS, (), False),
    (OLD, (GAMMA, Environment("prod")), RUNS, (), False),
    (OLD, (GAMMA, PROD), replace(RUNS, last_successful=Deployment("d", "Succeeded", "old")), (), False),  # new hosts get it
    (OLD, (GAMMA, PROD), replace(RUNS, last_attempted=Deployment("d", "Failed", "old")), (), False),
    (OLD, (GAMMA, PROD), replace(RUNS, in_flight=(Deployment("d", "InProgress", "old"),)), (), False),
    (OLD, (GAMMA, PROD), RUNS, ("old",), False),
])
def test_only_what_nothing_needs_may_expire(release: Release, records: tuple[Environment, ...], group: Group, under_way: tuple[str, ...],
                                            expected: bool) -> None:
    assert bool(superseded([release], records, [group], under_way)) is expected


def test_each_bundle_is_tagged_once_and_what_failed_again() -> None:
    ledger = Ledger(MemoryTable(), lambda: 5.0)
    where = {"bucket": "b", "key": "old", "version": "v1"}
    release = ledger.learn("old", {"prod/us-east-1/fleet": where, "prod/us-east-1/onebox": where})
    client: Any = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("put_object_tagging", "AccessDenied")
        stub.add_response("put_object_tagging", {}, {"Bucket": "b", "Key": "old", "VersionId": "v1", "Tagging": TAGS})
        said: list[str] = []
        assert not tag(release, ledger, lambda region: client, said.append) and not ledger.release("old").superseded and "AccessDenied" in said[0]
        assert tag(release, ledger, lambda region: client, said.append) and ledger.release("old").superseded
        stub.assert_no_pending_responses()
