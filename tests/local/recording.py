"""What a run of the end-to-end cases showed: the calls that were answered, the questions that IAM was asked, and what the stacks' resources are called.

Kept in build/recorded/, a file for each local AWS, added to by each case. `python -m tests.iam.recordings` and `python -m localaws.coverage` make
of it what the repository keeps. What local AWSes leave behind themselves, however they end, is in seen-<port>/ there (`localaws.answers.RECORD`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

FOLDER = Path(__file__).resolve().parents[2] / "build" / "recorded"
REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1")


class Seen:
    """What every local AWS that a run started left behind in `folder`, also those that were stopped, killed or reset inside a case."""

    def __init__(self, folder: Path, afresh: bool) -> None:
        if afresh:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._told: set[tuple[str, str]] = set()

    def problems(self, alive: Iterable[Mapping[str, Any]] = ()) -> str:
        """Say what was served that AWS could not have given, each once, '' if nothing was; `alive` is what a local AWS that is up reports of it."""
        fresh = {(str(one["operation"]), str(one["problem"])): one for one in [*self._lines("invalid"), *alive]}
        said = [f"{operation} (HTTP {one['status']}): {problem}" for (operation, problem), one in fresh.items() if (operation, problem) not in self._told]
        self._told |= fresh.keys()
        return "\n".join(said)

    def keep(self, port: int, name: str) -> None:
        """Add what was called of any that came to an orderly end to this run's files, and what IAM was asked by the one of this name."""
        for one in self._lines("served"):
            _keep(port, one["calls"], one["questions"] if one["name"] == name else [])

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(local_aws: Any, report: dict[str, Any]) -> None:
    """Add what the local AWS, which is up, saw so far to this run's files."""
    _keep(local_aws.port, report["calls"], local_aws.asked("questions"))
    with contextlib.suppress(ClientError, KeyError):  # a stack went away while it was looked at: the next case looks again
        _add(f"resources-{local_aws.port}.json", _resources(local_aws))


def _keep(port: int, calls: Mapping[str, Mapping[str, int]], questions: Iterable[Mapping[str, Any]]) -> None:
    _add(f"calls-{port}.json", {f"{name} {answer}": count for name, found in calls.items() for answer, count in found.items()})
    _add(f"questions-{port}.json", {json.dumps(one, sort_keys=True): 1 for one in questions})


def _add(name: str, found: dict[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / name
    known = json.loads(path.read_text()) if path.exists() else {}
    merged = {**known, **found}
    if merged != known:
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(merged, indent=0, sort_keys=True))
        fresh.replace(path)


def _resources(local_aws: Any) -> dict[str, str]:
    """{"<Region> <root stack> <path of logical ids>": physical id} of all resources of all stacks."""
    stacks: dict[str, dict[str, Any]] = {}
    resources: list[tuple[str, dict[str, Any]]] = []
    for region in REGIONS:
        client = local_aws.client("cloudformation", region)
        for stack in [one for page in client.get_paginator("describe_stacks").paginate() for one in page["Stacks"]]:
            stacks[stack["StackId"]] = stack
            resources += [(stack["StackId"], one) for one in client.describe_stack_resources(StackName=stack["StackId"])["StackResources"]]
    called = {one["PhysicalResourceId"]: one["LogicalResourceId"] for _, one in resources if one.get("PhysicalResourceId")}
    found = {}
    for stack_id, one in resources:
        path, region = [one["LogicalResourceId"]], stack_id.split(":")[3]
        while stacks[stack_id].get("ParentId") in stacks:
            path.insert(0, called[stack_id])
            stack_id = stacks[stack_id]["ParentId"]
        if one.get("PhysicalResourceId"):
            found[f"{region} {stacks[stack_id]['StackName']} {'/'.join(path)}"] = one["PhysicalResourceId"]
    return found
