"""What a revision's archive holds: its files and their modes, appspec.yml, the hooks that it names, and which release it is."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from scripts.core.errors import error_code
from scripts.core.running import BROKEN
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Bundle

LARGEST = 20_000_000
"""Bytes of a bundle that is looked into: an appspec and hooks are small; an application that travels in its bundle may not be."""
_LONGEST_TEXT = 64_000
_MOST_FILES = 2_000
_HOOK_SECONDS = 3600
_GONE = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404"})

Hooks = dict[str, tuple[tuple[str, int | None, str], ...]]


def name_of(revision: Mapping[str, Any]) -> str:
    """s3://bucket/key of a CodeDeploy revision, or its type where it is not in S3."""
    location = revision.get("s3Location") or {}
    return f"s3://{location['bucket']}/{location['key']}" if location else str(revision.get("revisionType", ""))


def read(calls: Calls, region: str, revision: Mapping[str, Any]) -> Bundle | None:
    """The bundle of a revision, by one GetObject; None where there is no revision. A bundle that cannot be read says so in `note`."""
    name, location = name_of(revision), revision.get("s3Location")
    if not location:
        return Bundle(name, note="not a bundle in S3") if name else None
    version = {"VersionId": location["version"]} if location.get("version") else {}
    try:
        answer = calls.client("s3", region).get_object(Bucket=location["bucket"], Key=location["key"], **version)
        size = int(answer["ContentLength"])
        data = answer["Body"].read() if size <= LARGEST else b""
    except ClientError as error:
        gone = error_code(error) in _GONE
        if not gone:
            calls.refused(f"the bundle {name}", error)
        return Bundle(name, missing=gone, note=f"the bundle could not be read ({error_code(error)})")
    except (BotoCoreError, OSError) as error:
        calls.refused(f"the bundle {name}", error)
        return Bundle(name, note=f"the bundle could not be read ({error})")
    if not data:
        return Bundle(name, size=size, note=f"the bundle has {size} bytes: too big to look into")
    return look_into(name, data, str(location.get("bundleType", "zip")))


def look_into(name: str, data: bytes, kind: str = "zip") -> Bundle:
    """The bundle in the bytes of an archive (zip, tar or tgz)."""
    try:
        return _look_into(name, data, kind)
    except BROKEN as error:  # at its opening, or at a member
        return Bundle(name, size=len(data), note=f"the archive is no {kind}, or a broken one ({error})")


def _look_into(name: str, data: bytes, kind: str) -> Bundle:
    modes, text_of = _zip(data) if kind == "zip" else _tar(data)
    files = tuple(sorted(modes)[:_MOST_FILES])
    spec = next((file for file in ("appspec.yml", "appspec.yaml") if file in modes), "")
    texts = {spec: text_of(spec)} if spec else {}
    hooks, problem = _hooks(texts[spec]) if spec else ({}, "the archive has no appspec.yml at its top")
    for location in {script[0] for scripts in hooks.values() for script in scripts} & set(modes):
        texts[location] = text_of(location)
    release = _release(text_of("release.json")) if "release.json" in modes else {}
    return Bundle(name, str(release.get("commit", "")), str(release.get("digest", "")), files, {file: modes[file] for file in files}, texts, hooks,
                  len(data), appspec_problem=problem)


def _zip(data: bytes) -> tuple[dict[str, int], Callable[[str], str]]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    modes = {info.filename: (info.external_attr >> 16) & 0o7777 for info in archive.infolist() if not info.is_dir()}

    def text(name: str) -> str:
        with archive.open(name) as file:
            return file.read(_LONGEST_TEXT).decode(errors="replace")

    return modes, text


def _tar(data: bytes) -> tuple[dict[str, int], Callable[[str], str]]:
    archive = tarfile.open(fileobj=io.BytesIO(data))  # noqa: SIM115 - it reads from memory, and lives as long as `text`
    members = {member.name.removeprefix("./"): member for member in archive.getmembers() if member.isfile()}

    def text(name: str) -> str:
        file = archive.extractfile(members[name])
        return file.read(_LONGEST_TEXT).decode(errors="replace") if file else ""

    return {name: member.mode & 0o7777 for name, member in members.items()}, text


def _hooks(text: str) -> tuple[Hooks, str]:
    """The hooks of an appspec, and what is wrong with it ("" where nothing is). What it says is the agent's to judge; here it is only read."""
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return {}, f"invalid YAML at line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else "invalid YAML"
    if not isinstance(told, dict):
        return {}, "it is empty" if told is None else "it is no mapping"
    found: Hooks = {}
    given = told.get("hooks")
    for event, scripts in (given if isinstance(given, dict) else {}).items():
        entries = [entry for entry in scripts if isinstance(entry, dict)] if isinstance(scripts, list) else []
        found[str(event)] = tuple((str(entry.get("location", "")), _seconds(entry.get("timeout", _HOOK_SECONDS)), str(entry.get("runas", "") or ""))
                                  for entry in entries)
    version = told.get("version")
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version != 0:
        return found, f"its version is {version!r}, not 0.0"
    return found, ""


def _seconds(value: object) -> int | None:
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else None


def _release(text: str) -> Mapping[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
