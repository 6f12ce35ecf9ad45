"""Decisions about associations over plain data: which are valid, which instances they mean, what is still to be done.

An association is {AssociationId, Name, AssociationName, Parameters {name: [values]}, Targets [{Key, Values}], Version (int), Created,
Updated (epoch seconds), Other {…}, Executions {instance id: {Version, Status, Detail, Time, Attempts}}}.
"""

from __future__ import annotations

import re
from typing import Any

DOCUMENT = "AWS-ConfigureAWSPackage"
PACKAGE = "AWSCodeDeployAgent"
VERSIONS = ("1.7.0", "1.7.1", "1.8.0", "1.8.1")
"""Of the package, as Distributor lists some of them; the last is the default."""
RETRY_SECONDS = 15.0
ATTEMPTS = 3


class InvalidAssociation(Exception):
    """A request that is refused: `code` and message on the wire."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(name: str, parameters: dict[str, list[str]], targets: list[dict[str, Any]]) -> None:
    """Raise InvalidAssociation for what AWS refuses, and for documents and packages that are not played here."""
    if name != DOCUMENT:
        raise InvalidAssociation("InvalidDocument", f"The local AWS plays the document {DOCUMENT} only, not {name} (docs/local-aws.md, Hosts).")
    known = {"action", "name", "version", "installationType", "additionalArguments"}
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise InvalidAssociation("InvalidParameters", f"Document {name} has no parameter {', '.join(unknown)}")
    if parameters.get("action") != ["Install"]:
        raise InvalidAssociation("InvalidParameters", "action must be Install: the local AWS removes no packages")
    if parameters.get("name") != [PACKAGE]:
        raise InvalidAssociation("InvalidParameters", f"name must be {PACKAGE}: the local AWS has no other package")
    version = (parameters.get("version") or [""])[0]
    if version and not re.fullmatch(r"\d+\.\d+\.\d+([.-]\d+)*", version):
        raise InvalidAssociation("InvalidParameters", f"version {version} is not a version of {PACKAGE}")
    if not targets:
        raise InvalidAssociation("InvalidTarget", "The target is not valid or doesn't exist: an association needs Targets")
    for target in targets:
        key = target.get("Key", "")
        if key != "InstanceIds" and not key.startswith("tag:"):
            raise InvalidAssociation("InvalidTarget", f"The target is not valid: the local AWS knows tag:<name> and InstanceIds, not {key}")


def targeted(targets: list[dict[str, Any]], instance: dict[str, Any]) -> bool:
    """Return whether an instance ({InstanceId, Tags}) is meant: every target must hold, values are alternatives."""
    for target in targets:
        key, values = target["Key"], target.get("Values", [])
        if key == "InstanceIds":
            if instance["InstanceId"] not in values and "*" not in values:
                return False
        elif instance["Tags"].get(key.removeprefix("tag:")) not in values:
            return False
    return True


def due(association: dict[str, Any], instances: list[dict[str, Any]], now: float) -> list[str]:
    """Return the ids of running instances on which the association's current version is still to run, failed ones again after a while."""
    result = []
    for instance in instances:
        if instance["State"] != "running" or not targeted(association["Targets"], instance):
            continue
        last = association["Executions"].get(instance["InstanceId"])
        if last is None or last["Version"] != association["Version"] or (
                last["Status"] == "Failed" and last["Attempts"] < ATTEMPTS and now - last["Time"] >= RETRY_SECONDS) or (
                last["Status"] == "Pending" and now - last["Time"] >= RETRY_SECONDS):
            result.append(instance["InstanceId"])
    return result


def overview(association: dict[str, Any]) -> dict[str, Any]:
    """Return an AssociationOverview: Pending until something ran, Failed if anything did, else Success."""
    counts: dict[str, int] = {}
    for execution in association["Executions"].values():
        if execution["Version"] == association["Version"]:
            counts[execution["Status"]] = counts.get(execution["Status"], 0) + 1
    status = "Failed" if counts.get("Failed") else "Pending" if counts.get("Pending") or not counts else "Success"
    return {"Status": status, "DetailedStatus": status, "AssociationStatusAggregatedCount": counts}
