"""What a bucket's lifecycle configuration will have done by a moment in the future: worked out by S3's rules, and done through S3's API.

S3 counts whole days from an object's creation (for a noncurrent version: from its successor's) and rounds up to the next midnight UTC. In a bucket with
versions an expired current version gets a delete marker over it and is noncurrent from then on; only NoncurrentVersionExpiration removes for good. A delete
marker under which nothing is left goes with ExpiredObjectDeleteMarker, or by its age with Days; it has no tags, so that no filter by tags finds it.
Source: S3 User Guide, "Expiring objects", "Lifecycle configuration elements", "Examples of S3 Lifecycle configurations".
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

_KNOWN = {"ID", "Status", "Filter", "Prefix", "Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
_FILTERS = {"Prefix", "Tag", "And", "ObjectSizeGreaterThan", "ObjectSizeLessThan"}


@dataclass(frozen=True)
class Version:
    """A version of an object, or a delete marker. `created` is aware; `size` in bytes; markers have no tags."""

    key: str
    version: str
    created: dt.datetime
    size: int = 0
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    marker: bool = False


@dataclass(frozen=True)
class Deed:
    """`hide`: a delete marker comes over a current version. `remove`: a version or a marker is gone for good."""

    at: dt.datetime
    what: Literal["hide", "remove"]
    version: Version


def midnight_after(moment: dt.datetime, days: int) -> dt.datetime:
    """So many days later, rounded up to the next day's midnight UTC."""
    later = moment.astimezone(dt.UTC) + dt.timedelta(days=days)
    return later.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)


def deeds(rules: Sequence[Mapping[str, Any]], versions: Iterable[Version], until: dt.datetime) -> list[Deed]:
    """All that these rules (GetBucketLifecycleConfiguration's) do to these versions of a bucket with versioning up to then, in their order.

    `versions` of one key are in the order of ListObjectVersions, the newest first. Raises ValueError for a rule that does more than expire.
    """
    active = [_checked(rule) for rule in rules]
    active = [rule for rule in active if rule["Status"] == "Enabled"]
    done: list[Deed] = []
    for _, stack in itertools.groupby(sorted(versions, key=lambda one: one.key), key=lambda one: one.key):
        done += _of_one_key(active, list(stack), until)
    return sorted(done, key=lambda one: one.at)


def _of_one_key(rules: Sequence[Mapping[str, Any]], stack: list[Version], until: dt.datetime) -> Iterator[Deed]:
    """One deed after the other: each changes what is due next."""
    alone_since = None
    while stack:
        due = [one for one in _due(rules, stack, alone_since) if one.at <= until]
        if not due:
            return
        # At one moment the oldest version first: S3 removes for good rather than hide.
        deed = min(due, key=lambda one: (one.at, -stack.index(one.version)))
        yield deed
        if deed.what == "hide":
            stack.insert(0, Version(deed.version.key, f"marker of {deed.at:%F}", deed.at, marker=True))
        else:
            stack.remove(deed.version)
            alone_since = deed.at


def _due(rules: Sequence[Mapping[str, Any]], stack: Sequence[Version], alone_since: dt.datetime | None) -> Iterator[Deed]:
    current = stack[0]
    for rule in rules:
        expiration, noncurrent = rule.get("Expiration", {}), rule.get("NoncurrentVersionExpiration")
        if expiration and _matches(rule, current):
            at = expiration.get("Date") or (midnight_after(current.created, expiration["Days"]) if "Days" in expiration else None)
            if not current.marker and at:
                yield Deed(at, "hide", current)
            elif current.marker and len(stack) == 1 and (at or expiration.get("ExpiredObjectDeleteMarker")):
                yield Deed(max(filter(None, (at or midnight_after(current.created, 0), alone_since))), "remove", current)
        if noncurrent:
            newer = noncurrent.get("NewerNoncurrentVersions", 0)
            for successor, version in itertools.islice(itertools.pairwise(stack), newer, None):
                if _matches(rule, version):
                    yield Deed(midnight_after(successor.created, noncurrent["NoncurrentDays"]), "remove", version)


def _checked(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = {*(rule.keys() - _KNOWN), *(rule.get("Filter", {}).keys() - _FILTERS)}
    if unknown:
        raise ValueError(f"the rule {rule.get('ID', '')} has {', '.join(sorted(unknown))}, of which nothing is known here")
    return rule


def _matches(rule: Mapping[str, Any], version: Version) -> bool:
    """Whether a rule's filter takes a version: all of its conditions."""
    given = {"Prefix": rule.get("Prefix", ""), **rule.get("Filter", {})}
    given |= given.get("And", {})
    tags = [*given.get("Tags", []), *([given["Tag"]] if "Tag" in given else [])]
    sizes = given.keys() & {"ObjectSizeGreaterThan", "ObjectSizeLessThan"}
    if version.marker and (tags or sizes):
        return False
    return (version.key.startswith(given["Prefix"]) and all(version.tags.get(tag["Key"]) == tag["Value"] for tag in tags)
            and given.get("ObjectSizeGreaterThan", -1) < version.size < given.get("ObjectSizeLessThan", float("inf")))


def live(s3: Any, bucket: str, until: dt.datetime) -> list[Deed]:
    """Do to a bucket what its own configuration will have done by `until`, and return it. Raises ValueError for a bucket without versioning."""
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        raise ValueError(f"{bucket} has no versioning")
    done = deeds(s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"], list(_versions(s3, bucket)), until)
    removed = {(one.version.key, one.version.version) for one in done if one.what == "remove"}
    for one in done:
        if one.what == "hide" and (one.version.key, f"marker of {one.at:%F}") not in removed:
            s3.delete_object(Bucket=bucket, Key=one.version.key)
    for one in done:
        if one.what == "remove" and not one.version.version.startswith("marker of "):
            s3.delete_object(Bucket=bucket, Key=one.version.key, VersionId=one.version.version)
    return done


def _versions(s3: Any, bucket: str) -> Iterator[Version]:
    """Everything in a bucket, the newest version of each key first."""
    found: list[tuple[bool, Version]] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in page.get("Versions", []):
            tags = s3.get_object_tagging(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])["TagSet"]
            found.append((one["IsLatest"], Version(one["Key"], one["VersionId"], one["LastModified"], one["Size"], {tag["Key"]: tag["Value"] for tag in tags})))
        found += [(one["IsLatest"], Version(one["Key"], one["VersionId"], one["LastModified"], marker=True)) for one in page.get("DeleteMarkers", [])]
    # Stable: of two versions of one second the API's order stays.
    yield from (one for _, one in sorted(found, key=lambda pair: (pair[1].key, not pair[0], -pair[1].created.timestamp())))
