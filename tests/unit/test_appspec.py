"""The appspec of the image bundle, and each check of it tried on one that it must reject.

Rules: https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html, and what the agent does with it.
"""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

BUNDLE = Path(__file__).resolve().parents[2] / "appspecs" / "image"
MADE_BY_THE_BUILD = {"release.json"}
EVENTS = {"ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService"}
TRAFFIC_EVENTS = {"BeforeBlockTraffic", "AfterBlockTraffic", "BeforeAllowTraffic", "AfterAllowTraffic"}
LONGEST_EVENT = 3600  # seconds, CodeDeploy's limit for one lifecycle event
SECTIONS = {"version", "os", "files", "file_exists_behavior", "permissions", "hooks"}


def faults(appspec: dict[str, Any], bundle: Path) -> list[str]:
    """What is wrong with an appspec over a bundle's files; empty if nothing."""
    found = [f"unknown section {name}" for name in sorted(set(appspec) - SECTIONS)]
    if appspec.get("version") != 0.0 or isinstance(appspec.get("version"), str):
        found.append("version must be the number 0.0")
    if appspec.get("os") != "linux":
        found.append("os must be linux")
    if appspec.get("file_exists_behavior") != "OVERWRITE":
        found.append("a file left by an interrupted deployment would stop this one")
    for file in appspec.get("files", []):
        if file["source"] not in MADE_BY_THE_BUILD and not (bundle / file["source"]).exists():
            found.append(f"the source {file['source']} is not in the bundle")
        if not str(file["destination"]).startswith("/"):
            found.append(f"the destination {file['destination']} is not absolute")
    for permission in appspec.get("permissions", []):
        if not isinstance(permission.get("mode"), str):
            found.append("an unquoted mode is read as octal and set as decimal")
    for event, scripts in appspec.get("hooks", {}).items():
        if event not in EVENTS | TRAFFIC_EVENTS:
            found.append(f"unknown lifecycle event {event}")
        if event in TRAFFIC_EVENTS:
            found.append(f"{event}: what runs there could fail a deployment, and nothing of ours is needed there")
        for script in scripts:
            path = bundle / script["location"]
            if not path.is_file() or not os.access(path, os.X_OK):
                found.append(f"{event}: {script['location']} is not an executable file of the bundle")
            if not isinstance(script.get("timeout"), int):
                found.append(f"{event}: without a timeout a script may take an hour")
        if sum(script.get("timeout") or 0 for script in scripts) > LONGEST_EVENT:
            found.append(f"{event}: longer than CodeDeploy waits")
    return found


@pytest.fixture
def appspec() -> dict[str, Any]:
    """The real one."""
    return dict(yaml.safe_load((BUNDLE / "appspec.yml").read_text()))


def test_the_appspec_is_right(appspec: dict[str, Any]) -> None:
    assert faults(appspec, BUNDLE) == []


def test_every_event_of_a_release_has_its_hook(appspec: dict[str, Any]) -> None:
    assert set(appspec["hooks"]) == EVENTS
    hooks = {script["location"] for scripts in appspec["hooks"].values() for script in scripts}
    assert hooks == {f"hooks/{path.name}" for path in BUNDLE.glob("hooks/*.sh") if path.name != "lib.sh"}, "a hook that nothing runs"


def test_a_host_is_out_of_service_for_minutes_at_worst(appspec: dict[str, Any]) -> None:
    assert sum(script["timeout"] for scripts in appspec["hooks"].values() for script in scripts) <= 1200


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        (lambda spec: spec.update(version="0.0"), "must be the number"),
        (lambda spec: spec.update(os="windows"), "os must be linux"),
        (lambda spec: spec.update(file_exist_behavior="OVERWRITE"), "unknown section file_exist_behavior"),
        (lambda spec: spec.pop("file_exists_behavior"), "interrupted deployment"),
        (lambda spec: spec["files"].append({"source": "nothing", "destination": "/x"}), "the source nothing is not in"),
        (lambda spec: spec["files"].append({"source": "hooks", "destination": "x"}), "is not absolute"),
        (lambda spec: spec["permissions"][0].update(mode=yaml.safe_load("0755")), "unquoted mode"),
        (lambda spec: spec["hooks"].update(BeforeStart=[]), "unknown lifecycle event BeforeStart"),
        (lambda spec: spec["hooks"].update(AfterBlockTraffic=[]), "could fail a deployment"),
        (lambda spec: spec["hooks"]["BeforeInstall"].append({"location": "hooks/typo.sh", "timeout": 1}), "hooks/typo.sh is not"),
        (lambda spec: spec["hooks"]["BeforeInstall"].append({"location": "hooks/lib.sh", "timeout": 1}), "hooks/lib.sh is not an executable"),
        (lambda spec: spec["hooks"]["BeforeInstall"][0].pop("timeout"), "without a timeout"),
        (lambda spec: spec["hooks"]["BeforeInstall"][0].update(timeout=3601), "longer than CodeDeploy waits"),
    ],
)
def test_a_broken_one_is_told(appspec: dict[str, Any], breakage: Callable[[dict[str, Any]], Any], words: str) -> None:
    broken = copy.deepcopy(appspec)
    breakage(broken)
    assert len(faults(broken, BUNDLE)) == 1
    assert words in faults(broken, BUNDLE)[0]
