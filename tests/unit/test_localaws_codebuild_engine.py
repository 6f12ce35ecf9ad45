"""A build's way through its phases, and what one command runs as."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from localaws.codebuild import engine
from localaws.codebuild.buildspec import Buildspec, Phase

PROJECT = {"name": "build", "source": {"type": "NO_SOURCE", "buildspec": "x"}, "artifacts": {"type": "NO_ARTIFACTS"},
           "environment": {"type": "LINUX_CONTAINER", "image": "i", "computeType": "c",
                           "environmentVariables": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
           "serviceRole": "arn:aws:iam::000000000000:role/r", "timeoutInMinutes": 5, "queuedTimeoutInMinutes": 5, "encryptionKey": "k"}
ARN = "arn:aws:codebuild:us-east-1:000000000000:build/build:11111111-1111-1111-1111-111111111111"


def way(failing: dict[str, str], **policies: str) -> list[str]:
    """The phases of a build in which those named fail with a status."""
    spec = Buildspec({name: Phase(("x",), on_failure=policies.get(name)) for name in ("install", "pre_build", "build", "post_build")})
    phases, phase = [], "QUEUED"
    while phase != "COMPLETED":
        phases.append(phase)
        phase = engine.following(spec if "DOWNLOAD_SOURCE" in phases else None, phase, failing.get(phase, "SUCCEEDED"))
    return phases


ALL = ["QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING"]


@pytest.mark.parametrize(("failing", "policies", "expected"), [
    ({}, {}, ALL),
    ({"QUEUED": "FAILED"}, {}, ["QUEUED", "FINALIZING"]),
    ({"DOWNLOAD_SOURCE": "FAILED"}, {}, [*ALL[:3], "FINALIZING"]),
    ({"INSTALL": "FAILED"}, {}, [*ALL[:4], "FINALIZING"]),
    ({"PRE_BUILD": "FAILED"}, {}, [*ALL[:5], "FINALIZING"]),
    ({"PRE_BUILD": "FAILED"}, {"pre_build": "CONTINUE"}, ALL),
    ({"BUILD": "FAILED"}, {}, ALL),
    ({"BUILD": "FAILED"}, {"build": "ABORT"}, [*ALL[:6], "FINALIZING"]),
    ({"POST_BUILD": "FAILED"}, {}, ALL),
    ({"BUILD": "TIMED_OUT"}, {}, [*ALL[:6], "FINALIZING"]),
    ({"BUILD": "STOPPED"}, {"build": "CONTINUE"}, [*ALL[:6], "FINALIZING"]),
    ({"UPLOAD_ARTIFACTS": "FAILED"}, {}, ALL),
])
def test_the_phase_after_a_failure(failing: dict[str, str], policies: dict[str, str], expected: list[str]) -> None:
    assert way(failing, **policies) == expected


def test_the_first_failure_decides_and_the_record_is_the_apis() -> None:
    build = engine.new_build(PROJECT, {"environmentVariablesOverride": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}, ARN, 7,
                             "me", 100.0)
    assert {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]} == {"A": "1", "B": "3", "C": "4"}
    engine.begin(build, "BUILD", 101.0)
    engine.end(build, "BUILD", "FAILED", 103.5, "COMMAND_EXECUTION_ERROR", "no")
    assert not engine.succeeding(build)
    engine.begin(build, "POST_BUILD", 104.0)
    engine.end(build, "POST_BUILD", "SUCCEEDED", 105.0)
    engine.complete(build, 106.0)
    assert (build["buildStatus"], build["currentPhase"], build["endTime"]) == ("FAILED", "COMPLETED", 106.0)
    assert build["phases"][1] == {"phaseType": "BUILD", "phaseStatus": "FAILED", "startTime": 101.0, "endTime": 103.5,
                                  "durationInSeconds": 2, "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": "no"}]}
    assert "phaseStatus" not in build["phases"][-1]
    assert json.loads(json.dumps(engine.event_detail(build)))["build-status"] == "FAILED"
    assert [p["phaseType"] for p in PROJECT.get("phases", [])] == []
    assert PROJECT["environment"]["environmentVariables"][1]["value"] == "2"


def test_a_build_that_was_cut_off_begins_anew() -> None:
    build = engine.new_build(PROJECT, {}, ARN, 1, "me", 100.0)
    engine.begin(build, "BUILD", 101.0)
    engine.again(build, 200.0)
    assert [p["phaseType"] for p in build["phases"]] == ["SUBMITTED"]
    assert build["buildStatus"] == "IN_PROGRESS"


@pytest.mark.parametrize(("config", "place"), [
    ({}, ("/aws/codebuild/p", "uuid")),
    ({"cloudWatchLogs": {"status": "ENABLED", "groupName": "/g"}}, ("/g", "uuid")),
    ({"cloudWatchLogs": {"status": "ENABLED", "groupName": "/g", "streamName": "s"}}, ("/g", "s/uuid")),
    ({"cloudWatchLogs": {"status": "DISABLED"}}, None),
])
def test_where_logs_go(config: dict[str, dict[str, str]], place: tuple[str, str] | None) -> None:
    assert engine.log_place("p", config, "uuid") == place


def shell(tmp_path: Path, *commands: str, succeeding: bool = True) -> list[tuple[int, str]]:
    """Run commands one after the other as a build does, with a real sh."""
    (tmp_path / "env.sh").touch()
    (tmp_path / "dir.txt").write_text(str(tmp_path))
    results = []
    for command in commands:
        text = engine.script(command, succeeding).replace("/codebuild/output/tmp", str(tmp_path))
        done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
        results.append((done.returncode, done.stdout))
    return results


def test_variables_and_folder_last_from_command_to_command_but_functions_and_options_do_not(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    results = shell(tmp_path, "export A='it''s \"quoted\"\nand long'", "B=plain; cd sub; f() { echo called; }; set -e", "printf '%s|' \"$A\" \"$B\"",
                    "basename \"$(pwd)\"", "false; echo went on", "f")
    assert results[2] == (0, 'its "quoted"\nand long|plain|')
    assert results[3] == (0, "sub\n")
    assert results[4] == (0, "went on\n")
    assert results[5][0] == 127


def test_each_command_has_its_own_exit_and_one_that_exits_leaves_nothing_behind(tmp_path: Path) -> None:
    results = shell(tmp_path, "exit 3", "C=lost; exit 0", "echo \"<$C>\"", "sh -c 'exit 7'")
    assert [code for code, _ in results] == [3, 0, 0, 7]
    assert results[2][1] == "<>\n"


def test_build_succeeding_is_told_to_each_command(tmp_path: Path) -> None:
    assert shell(tmp_path, "echo $CODEBUILD_BUILD_SUCCEEDING", succeeding=False) == [(0, "0\n")]
    assert shell(tmp_path, "echo $CODEBUILD_BUILD_SUCCEEDING") == [(0, "1\n")]


def test_codebuilds_own_variables() -> None:
    build = engine.new_build({**PROJECT, "sourceVersion": "arn:aws:s3:::b/k"}, {}, ARN, 7, "codepipeline/pipe", 100.0)
    build["resolvedSourceVersion"] = "abc"
    values = engine.variables(build, "us-east-1", "/src")
    assert values["CODEBUILD_BUILD_ARN"] == ARN
    assert values["CODEBUILD_BUILD_ID"] == ARN.split("/")[1]
    assert values["CODEBUILD_RESOLVED_SOURCE_VERSION"] == "abc"
    assert values["CODEBUILD_START_TIME"] == "100000"
    assert values["CODEBUILD_INITIATOR"] == "codepipeline/pipe"
    assert values["AWS_REGION"] == "us-east-1"
