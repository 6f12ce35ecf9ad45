"""Which releases' bundles may expire: tagged `handsoff=superseded`, they are what the release stores' lifecycle rules take away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ledger import Ledger
from model import Environment, Group, Location, Release
from places import UNANSWERED

TAGS = {"TagSet": [{"Key": "handsoff", "Value": "superseded"}]}
RELEASES = 100


def superseded(releases: Sequence[Release], records: Sequence[Environment], groups: Sequence[Group], under_way: Collection[str]) -> list[Release]:
    """Releases that nothing can need again; none while an environment has no last good release, or goes back.

    Needed are: what an environment should run, was told to let in, or may fall back to; what a group runs, gets, or installs on a new host; what the
    pipeline has under way (`under_way`); and whatever came or passed a gate after any environment's last good release: a candidate.
    """
    if not records or any(record.last_good_at is None or record.last_good is None or record.rollback is not None for record in records):
        return []
    needed = set(under_way)
    for record in records:
        needed |= {commit for commit in (record.desired, record.last_good, *record.goods) if commit is not None}
        if record.override is not None and record.override.commit is not None:
            needed.add(record.override.commit)
    for group in groups:
        needed |= {d.commit for d in (*group.in_flight, group.last_attempted, group.last_successful) if d is not None and d.commit is not None}
    oldest = min(record.last_good_at or 0 for record in records)
    return [r for r in releases if not r.superseded and r.revisions and r.commit not in needed and max((r.first_seen or 0, *r.passed.values())) < oldest]


def tag(release: Release, ledger: Ledger, s3_in: Callable[[str], Any], say: Callable[[str], None]) -> bool:
    """Tag a release's bundles in all Regions; `s3_in` makes a client of a Region. What failed is tried again by a later run."""
    bundles: dict[tuple[str, str, str], tuple[str, Location]] = {}
    for place, location in release.revisions.items():
        bundles[location["bucket"], location["key"], location.get("version", "")] = (place.split("/")[1], location)
    for region, location in bundles.values():
        version = {"VersionId": location["version"]} if location.get("version") else {}
        try:
            s3_in(region).put_object_tagging(Bucket=location["bucket"], Key=location["key"], Tagging=TAGS, **version)
        except UNANSWERED as error:
            say(f"{location['bucket']}/{location['key']} in {region} was not tagged: {error}")
            return False
    ledger.set_superseded(release.commit)
    return True
