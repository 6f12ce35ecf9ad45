"""What a way back will change, where, and whether its release can still be had: read before anything is ordered.

A release is had where its bundle is in the store and its image in the repository, in each Region that is to run it. Actions: s3:GetObject,
s3:GetObjectVersion (kms:Decrypt with them) and ecr:DescribeImages in the pipeline's account; what may not be looked at is noted, and goes on.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core import parallel
from scripts.core.clock import Clock
from scripts.core.console import table
from scripts.core.errors import CommandError, denied_action, error_code
from scripts.core.follow import age, moment, short
from scripts.core.session import Aws

LISTED = 8
"""Releases that are offered in place of one that cannot be had."""
_GONE = ("NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "ImageNotFoundException", "RepositoryNotFoundException")
_DENIED = ("AccessDenied", "AccessDeniedException", "403")
_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/(.+)@(sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Choice:
    """A release to go back to. `passed` is when it passed each stage's gate; `good`: it baked in the environment; `bundles` by `<Region>/<scope>`."""

    commit: str
    passed: Mapping[str, float]
    good: bool
    first_seen: float | None
    bundles: Mapping[str, Mapping[str, str] | None]

    def baked(self, final: str) -> float | None:
        """When the environment's last gate let it pass."""
        return self.passed.get(final)


@dataclass(frozen=True)
class Plan:
    """What the function would do. `to` None: nothing, and `wrong` says why; `known` is False for a release that the ledger never saw.

    `marks` are the releases that it would mark bad.
    """

    to: str | None
    wrong: str
    known: bool
    final: str
    blocks: bool
    choices: tuple[Choice, ...]
    marks: tuple[str, ...] = ()

    @property
    def choice(self) -> Choice | None:
        """The release that it goes to."""
        return next((choice for choice in self.choices if choice.commit == self.to), None)


@dataclass(frozen=True)
class Had:
    """Whether a release can be had: what of it is gone, what could not be looked at, and where no bundle is known though one is elsewhere."""

    gone: tuple[str, ...]
    unknown: tuple[str, ...]
    without: tuple[str, ...] = ()


def read(answer: Mapping[str, Any]) -> Plan:
    """The plan in an answer to `plan`."""
    given = answer["plan"]
    choices = tuple(
        Choice(str(each["commit"]), each.get("passed") or {}, bool(each.get("good")), each.get("first_seen"), each.get("bundles") or {})
        for each in given.get("choices") or ()
    )
    marks = given.get("marks")
    if marks is None:  # of a function before it said so
        groups = answer.get("groups") or ()
        marks = (commit for group in groups for commit in ((group.get("in_flight") or {}).get("commit"), group.get("running")))
    marked = tuple(dict.fromkeys(str(commit) for commit in marks if commit not in (None, given.get("to"))))
    return Plan(given.get("to"), str(given.get("wrong") or ""), bool(given.get("known", True)), str(given["final"]), bool(given["blocks"]), choices, marked)


def changes(described: Mapping[str, Any], plan: Plan, now: float) -> str:
    """What will be where: Region, scope, what runs and since when, what will run, what is in flight meanwhile."""
    rows = [("Region", "scope", "runs now", "for", "will run", "")]
    for group in described.get("groups") or ():
        if not group.get("scope"):
            rows.append((str(group["region"]), "?", "-", "", short(plan.to), str(group.get("note") or "")))
            continue
        running, since, flight = group.get("running"), group.get("since"), group.get("in_flight")
        place = f"{group['region']}/{group['scope']}"
        notes = []
        if flight:
            goes_on = flight.get("commit") == plan.to
            notes.append(f"{flight.get('deployment')} to {short(flight.get('commit'))} {'goes on' if goes_on else 'is stopped'}")
        elif group.get("note"):
            notes.append(str(group["note"]))
        stays = running == plan.to and not flight
        will = f"{short(plan.to)}{' (as now)' if stays else ''}"
        if plan.choice is not None and not stays and plan.choice.bundles.get(place) is None:
            will = "?" if place in plan.choice.bundles else "-"
        rows.append((str(group["region"]), str(group["scope"]), short(running), age(now - float(since)) if since else "", will, "; ".join(notes)))
    return table(rows, "    ")


def words(choice: Choice, plan: Plan, now: float) -> str:
    """How good a release is known to be, and how old it is."""
    baked = choice.baked(plan.final)
    if baked:
        told = f"it baked in {plan.final} on {moment(baked)}, {age(now - baked)} ago"
    elif choice.good:
        told = "it has baked here"
    else:
        told = f"IT NEVER BAKED HERE: it passed only {', '.join(choice.passed) or 'no stage'}"
    return told + (f"\n  first seen on {moment(choice.first_seen)}, {age(now - choice.first_seen)} ago" if choice.first_seen else "")


def offered(choices: Sequence[Choice], described: Mapping[str, Any], name: str) -> str:
    """The releases that can be had: commit, when and where each baked, and what keeps it."""
    if not choices:
        return f"no release can be gone back to in {name}: push a new commit"
    running = {group.get("running") for group in described.get("groups") or ()}
    rows = []
    for choice in choices[:LISTED]:
        passed = sorted(choice.passed.items(), key=lambda item: item[1])
        where = ", ".join(f"{stage} {moment(at)}" for stage, at in passed[-1:]) or "before the ledger's memory"
        note = "runs now" if choice.commit in running else "" if choice.good else "with FORCE=1 only"
        nowhere = ", ".join(_without(choice))
        note = "; ".join(part for part in (note, f"no bundle known for {nowhere}" if nowhere else "") if part)
        rows.append((short(choice.commit), f"{'baked' if choice.good else 'passed'}: {where}", note))
    return f"those that can be had; make rollback ENV={name} TO=<commit> REASON=…\n{table(rows, ' ' * 10)}"


def check(stores: Aws, choice: Choice, clock: Clock) -> Had:
    """Look for a release's bundle and image in each Region that is to run it. `stores` acts in the account of the release stores."""
    by_region: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
    for place, bundle in choice.bundles.items():
        if bundle is None:
            continue
        by_region.setdefault(place.split("/")[0], []).append((place, bundle))

    def look(region: str) -> Callable[[], Had]:
        return lambda: _look(stores, region, by_region[region])

    parts = parallel.all_or_raise({region: look(region) for region in by_region}, clock).values()
    without = tuple(f"{place}: no bundle of it is known there" for place in _without(choice))
    if not any(choice.bundles.values()):
        return Had(without, ())
    stuck = tuple(f"{each}, so that group is not taken back, and is paged as stuck" for each in without)
    return Had(tuple(each for part in parts for each in part.gone), tuple(each for part in parts for each in part.unknown), stuck)


def _without(choice: Choice) -> tuple[str, ...]:
    """The groups for which no bundle of a release is known."""
    return tuple(place for place, bundle in choice.bundles.items() if bundle is None)


def had(stores: Aws, plan: Plan, clock: Clock, without: str | None) -> tuple[Choice, ...]:
    """The choices of which nothing is gone, those first that baked here, and of these those with a bundle for every group; at most LISTED."""
    wanted = [choice for choice in sorted(plan.choices, key=lambda each: (not each.good, bool(_without(each)))) if choice.commit != without]
    found: list[Choice] = []
    for choice in wanted[: 2 * LISTED]:
        if len(found) < LISTED and not check(stores, choice, clock).gone:
            found.append(choice)
    return tuple(found)


def _look(stores: Aws, region: str, places: Sequence[tuple[str, Mapping[str, str]]]) -> Had:
    gone: list[str] = []
    unknown: list[str] = []
    seen: dict[tuple[str, str, str], tuple[str, bool]] = {}
    for place, bundle in places:
        key = (bundle["bucket"], bundle["key"], bundle.get("version", ""))
        if key not in seen:
            seen[key] = _bundle(stores, region, bundle)
        said, missing = seen[key]
        if said:
            (gone if missing else unknown).append(f"{place}: {said}")
    return Had(tuple(gone), tuple(unknown))


def _bundle(stores: Aws, region: str, bundle: Mapping[str, str]) -> tuple[str, bool]:
    """("", _) where bundle and image are there; else what was found, and whether it is gone for sure."""
    name = f"s3://{bundle['bucket']}/{bundle['key']}"
    version = {"VersionId": bundle["version"]} if bundle.get("version") else {}
    try:
        content = stores.client("s3", region).get_object(Bucket=bundle["bucket"], Key=bundle["key"], **version)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        return _refused(f"its bundle {name}", error, "s3:GetObjectVersion" if version else "s3:GetObject")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            image = str(json.loads(archive.read("release.json")).get("images", {}).get(region, ""))
    except (KeyError, ValueError, AttributeError):
        return f"its bundle {name} has no readable release.json", False
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, OSError) as error:  # damaged, encrypted, or of an unknown method
        return f"its bundle {name} cannot be read ({error or type(error).__name__})", False
    match = _IMAGE.fullmatch(image)
    if not match:
        return "", False  # no image of ECR: nothing to look for
    account, where, repository, digest = match.groups()
    try:
        stores.client("ecr", where).describe_images(registryId=account, repositoryName=repository, imageIds=[{"imageDigest": digest}])
    except (ClientError, BotoCoreError) as error:
        return _refused(f"its image {repository}@{digest[:19]}… in {where}", error, "ecr:DescribeImages")
    return "", False


def _refused(what: str, error: Exception, action: str) -> tuple[str, bool]:
    code = error_code(error)
    if code in _GONE:
        return f"{what} is gone ({code})", True
    if code in _DENIED or (isinstance(error, ClientError) and denied_action(error)):
        # S3 also says so of an object that is gone, to one who may not list the bucket.
        return f"{what} may not be looked at (needs {action})", False
    return f"{what} could not be looked at ({code or error})", False


def require(answer: Mapping[str, Any], plan: Plan, name: str, stores: Aws, clock: Clock, force: bool) -> tuple[str, ...]:
    """Refuse a release that can no longer be had, with those that can; what could not be looked at, as notes. `force` goes on where some of it is gone.

    A Region without a bundle does not keep the others: the function takes those back, and pages that one.
    """
    choice = plan.choice
    if choice is None:
        return ()
    found = check(stores, choice, clock)
    if found.gone and not force:
        others = had(stores, plan, clock, choice.commit)
        anyway = f"or where it can be had, all the same; make rollback ENV={name} TO={short(plan.to)} FORCE=1 REASON=…"
        raise CommandError(f"{short(plan.to)} can no longer be had, so {name} is left as it is", "; ".join(found.gone),
                           f"{offered(others, answer, name)}\n          {anyway}")
    return (*(f"not sure: {each}" for each in (*found.gone, *found.unknown)), *found.without)
