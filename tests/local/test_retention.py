"""Months after a release: the artifact bucket's lifecycle has run, and hosts still come up with it and releases still go back to the one before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import disturb
import lifecycle
import projects
import pytest
import shipping
from services import Service, gone_afterwards, project

from scripts.demonstration import environments

DAYS = 200


@pytest.fixture
def service(local_aws: Any, tmp_path: Path) -> Iterator[Service]:
    """A service in one Region whose rollback function looks each minute for what may expire, not each hour."""
    account = projects.new_account()
    root = project(tmp_path / "project", account, local_aws.environ, "local/retention")
    projects.Project(root, local_aws.environ, account).edit("functions/rollback.py", "SUPERSEDED_MINUTES = 60", "SUPERSEDED_MINUTES = 1")
    yield from gone_afterwards(Service(root, local_aws, account))


def _bundles(service: Service, commit: str) -> list[dict[str, str]]:
    """Where the ledger says that a release's bundle is: {bucket, key, version}."""
    release = _release(service, commit)
    return list({one["key"]: one for one in release.get("revisions", {}).values()}.values())


def _release(service: Service, commit: str) -> dict[str, Any]:
    known = service.control.ask("describe", "prod")["releases"]
    return next((dict(one) for one in known if one["commit"] == commit), {})


def _is_there(s3: Any, bundle: dict[str, str]) -> bool:
    """Whether S3 still has this version of a bundle, and shows it to those who ask for no version."""
    found = s3.list_object_versions(Bucket=bundle["bucket"], Prefix=bundle["key"])
    return any(one["VersionId"] == bundle["version"] and one["IsLatest"] for one in found.get("Versions", []))


@pytest.mark.every
@pytest.mark.timeout(1800)
def test_months_later_hosts_still_come_up_with_the_release_and_it_still_goes_back(service: Service) -> None:
    service.deploy()
    service.begin_traffic()
    older = service.change()
    service.came_through(older, service.release(older))
    # One that gamma lets pass, so that the ledger knows its bundle, and prod does not.
    (place,) = service.places_of("prod")
    service.repository.behave(crash_on_start=True, fault_only_if_env="SHOW_FAULTS")
    with disturb.setting([place], service.name, "onebox", "SHOW_FAULTS"):
        bad = service.change()
        service.repository.behave()
        outcome = service.release(bad)
    assert (outcome.status, outcome.caught_in, outcome.unsettled) == ("Failed", "OneBox", ())
    service.control.ask("unblock", "prod", reason="it is mended", by="a test")
    newer = service.change()
    service.came_through(newer, service.release(newer))

    shipping.until("the bundle that nothing needs is tagged", lambda: _release(service, bad).get("superseded"), 200, 2)
    assert not _release(service, older).get("superseded") and not _release(service, newer).get("superseded")
    s3 = service.aws.client("s3", service.region)
    (gone,), kept = _bundles(service, bad), [*_bundles(service, older), *_bundles(service, newer)]
    assert _is_there(s3, gone) and len(kept) == 2
    done = lifecycle.live(s3, gone["bucket"], dt.datetime.now(dt.UTC) + dt.timedelta(days=DAYS))
    assert {(one.version.key, one.version.version) for one in done if not one.version.marker} == {(gone["key"], gone["version"])}
    assert not _is_there(s3, gone)
    assert all(_is_there(s3, bundle) for bundle in kept)

    # A fleet grows by a host, and loses one.
    scaling, ids = place.client("autoscaling", place.region), _hosts(service)
    (lost, *_) = ids
    (group,) = {one["AutoScalingGroupName"] for one in scaling.describe_auto_scaling_instances(InstanceIds=ids)["AutoScalingInstances"]}
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=len(ids) + 1)
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=lost, ShouldDecrementDesiredCapacity=False)
    shipping.until("two new hosts with the release", lambda: len(set(_hosts(service, newer)) - set(ids)) == 2 and lost not in _hosts(service), 300, 2)
    assert len(_hosts(service, newer)) == len(ids) + 1
    shipping.until("nothing in flight", lambda: not [one for one in service.pipeline.deployments(0) if one.completed is None], 120, 1)

    # And `make rollback ENV=prod` takes all of it back, the new hosts too, which have never had that image.
    service.control.ask("rollback", "prod", to=None, reason="the newer one is worse", by="a test", force=False)
    shipping.until("prod on the release before", lambda: _prod(service) == {older} and not service.control.record("prod").get("rollback"), 300, 2)
    assert len(_hosts(service, older)) == len(ids) + 1


def _prod(service: Service) -> set[str]:
    return {commit for where, commit in service.running().items() if where.startswith("prod/")}


def _hosts(service: Service, commit: str | None = None) -> list[str]:
    """The hosts of prod's fleet that are in service, or of these those that answer with a commit."""
    (place,) = service.places_of("prod")
    found = environments.running(place, "fleet", int(service.settings["prod"].parameters["AppPort"]))
    states = place.client("autoscaling", place.region).describe_auto_scaling_instances(InstanceIds=list(found))["AutoScalingInstances"] if found else []
    serving = {one["InstanceId"] for one in states if one["LifecycleState"] == "InService"}
    return [host for host, answer in found.items() if host in serving and (commit is None or answer == commit)]
