"""Lifecycle rules in time to come, by S3's documented examples; and the release store's own."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.local.lifecycle import Deed, Version, deeds, live, midnight_after

BORN = dt.datetime(2014, 1, 1, 10, 30, tzinfo=dt.UTC)
TAGGED = {"Filter": {"Tag": {"Key": "handsoff", "Value": "superseded"}}}
STORE = {"ID": "ExpireSuperseded", "Status": "Enabled", **TAGGED, "Expiration": {"Days": 30}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
MARKERS = {"ID": "RemoveDeleteMarkers", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"ExpiredObjectDeleteMarker": True}}


def day(number: int) -> dt.datetime:
    """Midnight of so many days after the day of birth."""
    return dt.datetime(2014, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=number)


def version(key: str = "bundle", name: str = "1", born: dt.datetime = BORN, **more: Any) -> Version:
    return Version(key, name, born, **more)


def superseded(key: str = "bundle", **more: Any) -> Version:
    return version(key, tags={"handsoff": "superseded"}, **more)


def told(found: list[Deed]) -> list[tuple[str, str, int]]:
    """(what, version, day) of each deed."""
    return [(one.what, "marker" if one.version.marker else one.version.version, (one.at - day(0)).days) for one in found]


def test_days_are_rounded_up_to_the_next_midnight() -> None:
    # The user guide's example: noncurrent on the 15th at 10:30, three days: the 19th.
    assert midnight_after(dt.datetime(2014, 1, 15, 10, 30, tzinfo=dt.UTC), 3) == dt.datetime(2014, 1, 19, tzinfo=dt.UTC)
    east = dt.timezone(dt.timedelta(hours=-5))
    assert midnight_after(dt.datetime(2014, 1, 15, 22, 0, tzinfo=east), 3) == dt.datetime(2014, 1, 20, tzinfo=dt.UTC)


def test_what_is_tagged_is_hidden_and_later_removed_and_its_marker_stays_without_a_rule_for_it() -> None:
    assert told(deeds([STORE], [superseded()], day(200))) == [("hide", "1", 31), ("remove", "1", 62)]
    assert told(deeds([STORE, MARKERS], [superseded()], day(200))) == [("hide", "1", 31), ("remove", "1", 62), ("remove", "marker", 62)]


@pytest.mark.parametrize(("until", "count"), [(day(30), 0), (day(31) - dt.timedelta(seconds=1), 0), (day(31), 1), (day(61), 1), (day(62), 2)])
def test_nothing_happens_before_its_time(until: dt.datetime, count: int) -> None:
    assert len(deeds([STORE], [superseded()], until)) == count


@pytest.mark.parametrize("other", [
    pytest.param(version(), id="no tag"),
    pytest.param(version(tags={"handsoff": "needed"}), id="another value"),
    pytest.param(version(tags={"superseded": "handsoff"}), id="another tag"),
    pytest.param(version(marker=True), id="a delete marker"),
])
def test_what_is_not_tagged_so_stays_for_ever(other: Version) -> None:
    assert deeds([STORE], [other], day(100_000)) == []


def test_a_version_that_was_overwritten_counts_from_its_successor_and_goes_for_good() -> None:
    stack = [version(name="2", born=BORN + dt.timedelta(days=100)), superseded()]
    assert told(deeds([STORE], stack, day(1000))) == [("remove", "1", 131)]


def test_the_current_version_is_not_touched_by_the_rule_for_the_others_and_the_other_way_round() -> None:
    only = {name: rule for name, rule in STORE.items() if name != "Expiration"}
    assert deeds([only], [superseded()], day(1000)) == []
    only = {name: rule for name, rule in STORE.items() if name != "NoncurrentVersionExpiration"}
    assert told(deeds([only], [superseded()], day(1000))) == [("hide", "1", 31)]


def test_newer_noncurrent_versions_are_kept() -> None:
    rule = {"Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}}
    stack = [version(name=str(number), born=BORN + dt.timedelta(days=number)) for number in (3, 2, 1)]
    assert [one.version.version for one in deeds([rule], stack, day(1000))] == ["1"]


def test_a_marker_goes_only_when_nothing_is_under_it() -> None:
    marker = version(name="m", born=BORN, marker=True)
    assert told(deeds([MARKERS], [marker], day(1))) == [("remove", "marker", 1)]
    assert deeds([MARKERS], [marker, version(born=BORN - dt.timedelta(days=1))], day(1000)) == []
    by_age = {"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 10}}
    assert told(deeds([by_age], [marker], day(1000))) == [("remove", "marker", 11)]


@pytest.mark.parametrize(("rule", "taken"), [
    ({"Filter": {}}, True),
    ({}, True),
    ({"Filter": {"Prefix": "bun"}}, True),
    ({"Prefix": "bun"}, True),
    ({"Filter": {"Prefix": "other"}}, False),
    ({"Prefix": "other"}, False),
    ({"Filter": {"ObjectSizeGreaterThan": 9}}, True),
    ({"Filter": {"ObjectSizeGreaterThan": 10}}, False),
    ({"Filter": {"ObjectSizeLessThan": 10}}, False),
    ({"Filter": {"And": {"Prefix": "bun", "Tags": [{"Key": "handsoff", "Value": "superseded"}]}}}, True),
    ({"Filter": {"And": {"Prefix": "other", "Tags": [{"Key": "handsoff", "Value": "superseded"}]}}}, False),
    ({"Filter": {"And": {"Prefix": "bun", "Tags": [{"Key": "handsoff", "Value": "superseded"}, {"Key": "a", "Value": "b"}]}}}, False),
    ({"Filter": {}, "Status": "Disabled"}, False),
])
def test_filters(rule: dict[str, Any], taken: bool) -> None:
    assert bool(deeds([{"Status": "Enabled", "Expiration": {"Days": 1}, **rule}], [superseded(size=10)], day(10))) is taken


@pytest.mark.parametrize("more", [{"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}, {"Filter": {"Suffix": ".zip"}}])
def test_a_rule_of_another_kind_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Transitions|Suffix"):
        deeds([{**STORE, **more}], [], day(1))


def test_a_date_is_the_same_for_all() -> None:
    assert told(deeds([{"Status": "Enabled", "Filter": {}, "Expiration": {"Date": day(5)}}], [version()], day(5))) == [("hide", "1", 5)]


class Bucket:
    """S3 as far as `live` calls it, on a list."""

    def __init__(self, *versions: Version, status: str = "Enabled") -> None:
        self.versions, self.status, self.calls = list(versions), status, []

    def get_bucket_versioning(self, Bucket: str) -> dict[str, str]:
        return {"Status": self.status}

    def get_bucket_lifecycle_configuration(self, Bucket: str) -> dict[str, Any]:
        return {"Rules": [STORE]}

    def get_paginator(self, name: str) -> Bucket:
        assert name == "list_object_versions"
        return self

    def paginate(self, Bucket: str) -> list[dict[str, Any]]:
        return [{"Versions": [{"Key": one.key, "VersionId": one.version, "LastModified": one.created, "Size": 1, "IsLatest": True} for one in self.versions]}]

    def get_object_tagging(self, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        (one,) = [one for one in self.versions if (one.key, one.version) == (Key, VersionId)]
        return {"TagSet": [{"Key": key, "Value": value} for key, value in one.tags.items()]}

    def delete_object(self, Bucket: str, Key: str, VersionId: str | None = None) -> None:
        self.calls.append((Key, VersionId))


def test_a_bucket_is_left_as_s3_will_have_left_it() -> None:
    bucket = Bucket(superseded("old"), version("needed"))
    assert len(live(bucket, "b", day(40))) == 1
    assert bucket.calls == [("old", None)]
    bucket.calls.clear()
    live(bucket, "b", day(200))
    assert bucket.calls == [("old", None), ("old", "1")]
    with pytest.raises(ValueError, match="versioning"):
        live(Bucket(status="Suspended"), "b", day(1))
