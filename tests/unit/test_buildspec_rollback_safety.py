"""buildspecs/rollback_safety.py over a CodeDeploy of one group that does at once what it is told."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILDSPECS = ROOT / "buildspecs"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def safety() -> Iterator[ModuleType]:
    """The module, found as Python finds it for the script: by its folder."""
    sys.path.insert(0, str(BUILDSPECS))
    yield importlib.import_module("rollback_safety")
    sys.path.remove(str(BUILDSPECS))


def revision(key: str) -> dict[str, Any]:
    return {"revisionType": "S3", "s3Location": {"bucket": "a-bucket", "key": key, "bundleType": "zip"}}


class Aws:
    """Answers the CLI's commands. `fails`: keys whose deployments fail."""

    def __init__(self, *keys: str, fails: tuple[str, ...] = ()) -> None:
        self.succeeded = {f"d-{number}": (number, key) for number, key in enumerate(keys)}
        self.deployed: list[str] = []
        self.descriptions: list[str] = []
        self.options: list[str] = []
        self.fails = fails

    def __call__(self, *words: str) -> Any:
        command, given = " ".join(words[:2]), dict(itertools.pairwise(words[2:]))
        if command == "ssm get-parameter":
            assert given["--name"] == "/sample/gamma/environment"
            return {"Parameter": {"Value": json.dumps({"application": "an-app", "scopes": {"fleet": {"group": "a-group"}}})}}
        if command == "deploy list-deployments":
            assert (given["--application-name"], given["--deployment-group-name"], given["--include-only-statuses"]) == ("an-app", "a-group", "Succeeded")
            return {"deployments": sorted(self.succeeded)} if self.succeeded else {}
        if command == "deploy batch-get-deployments":
            ids = words[3:]
            assert len(ids) <= 25
            asked = [self.succeeded[each] for each in ids]
            return {"deploymentsInfo": [{"createTime": f"2026-11-23T06:{minute:02}:00+00:00", "revision": revision(key)} for minute, key in asked]}
        if command == "deploy create-deployment":
            self.options = list(words)
            self.deployed.append(json.loads(given["--revision"])["s3Location"]["key"])
            self.descriptions.append(given["--description"])
            return {"deploymentId": f"d-new-{len(self.deployed)}"}
        assert command == "deploy get-deployment", command
        if self.deployed[-1] in self.fails:
            return {"deploymentInfo": {"status": "Failed", "errorInformation": {"code": "HEALTH_CONSTRAINTS", "message": "too few"}}}
        return {"deploymentInfo": {"status": "Succeeded"}}


@pytest.fixture
def run(safety: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the test over an Aws; `faults` of a hundred requests are wrong meanwhile, and /version answers right or as told."""

    def run(aws: Aws, faults: int = 0, versions: tuple[str | None, ...] = (None, None)) -> Any:
        answers = iter(versions)

        def load(url: str, paths: list[str], commit: str | None, seconds: float, rate: float, tally: Any, stop: Any) -> None:
            assert commit is None
            assert stop.wait(10)
            for number in range(100):
                tally.note("status 500" if number < faults else None, float(number))

        monkeypatch.setattr(safety, "load", load)
        monkeypatch.setattr(safety, "ask", lambda url, commit: next(answers))
        return safety.prove(aws, "sample", COMMIT, "http://gamma/", ["/"], 5.0, safety.Tally(1), sleep=lambda seconds: None)

    return run


def test_the_release_before_comes_and_goes(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    aws = Aws("bad", "old", "new")
    run(aws)
    assert aws.deployed == ["old", "new"]
    assert "Safe to take back: 100 requests, 0 wrong." in capsys.readouterr().out
    assert "enabled=false" in aws.options
    assert "--deployment-config-name" not in aws.options


def test_no_description_is_one_of_the_rollback_functions(run: Any) -> None:
    """The function reads from descriptions which deployments are its own."""
    aws = Aws("old", "new")
    run(aws)
    assert not any(text.startswith("handsoff rollback") for text in aws.descriptions)


def test_a_release_that_was_deployed_twice_is_one(run: Any) -> None:
    aws = Aws("old", "new", "new")
    run(aws)
    assert aws.deployed == ["old", "new"]


def test_newest_is_by_time_among_more_than_one_batch(run: Any) -> None:
    aws = Aws(*[f"r{number}" for number in range(40)])
    run(aws)
    assert aws.deployed == ["r38", "r39"]


@pytest.mark.parametrize("keys", [(), ("new",), ("new", "new")])
def test_a_first_release_has_nothing_to_go_back_to(run: Any, keys: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    aws = Aws(*keys)
    run(aws)
    assert aws.deployed == []
    assert "nothing to go back to" in capsys.readouterr().out


def test_wrong_answers_meanwhile_fail_it(run: Any, safety: ModuleType) -> None:
    aws = Aws("old", "new")
    with pytest.raises(safety.Failed, match="while both releases served: 100 requests, 2 wrong; 2 times status 500"):
        run(aws, faults=2)
    assert aws.deployed == ["old", "new"]


def test_a_way_back_that_fails_fails_it_and_the_release_is_put_back(run: Any, safety: ModuleType) -> None:
    aws = Aws("old", "new", fails=("old",))
    with pytest.raises(safety.Failed, match=r"the release before.* is Failed: HEALTH_CONSTRAINTS: too few"):
        run(aws)
    assert aws.deployed == ["old", "new"]


def test_a_way_forth_that_fails_fails_it(run: Any, safety: ModuleType) -> None:
    with pytest.raises(safety.Failed, match="the release again"):
        run(Aws("old", "new", fails=("new",)))


@pytest.mark.parametrize(("versions", "when"), [(("commit x",), "before"), ((None, "commit x"), "after")])
def test_another_release_there_fails_it(run: Any, safety: ModuleType, versions: tuple[str | None, ...], when: str) -> None:
    with pytest.raises(safety.Failed, match=f"^{when} the test .* commit x"):
        run(Aws("old", "new"), versions=versions)


def test_the_command_line_gets_the_roles_credentials(safety: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the CLI: hands out credentials to the first call, and shows those of the others."""
    aws = tmp_path / "aws"
    keys = '{"Credentials": {"AccessKeyId": "key", "SecretAccessKey": "secret", "SessionToken": "token"}}'
    aws.write_text(
        f"#!/bin/sh\necho \"$*\" >>{tmp_path}/calls\n"
        f"case $* in sts*) echo '{keys}' ;; *fail*) echo 'no such thing' >&2; exit 254 ;; *) echo \"{{\\\"key\\\": \\\"$AWS_ACCESS_KEY_ID\\\"}}\" ;; esac\n"
    )
    aws.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cli = safety.Cli("us-east-1", "arn:aws:iam::111122223333:role/r")
    assert cli("deploy", "one") == cli("deploy", "two") == {"key": "key"}
    with pytest.raises(safety.Failed, match="aws deploy fail: no such thing"):
        cli("deploy", "fail")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["sts", "deploy", "deploy", "deploy"]
    assert all("--region us-east-1 --output json" in call for call in calls)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SERVICE": None}, "SERVICE is not set"),
        ({"ENDPOINTS": "nowhere"}, "'nowhere' in ENDPOINTS"),
        ({"ENDPOINTS": "a=http://a b=http://b"}, "ENDPOINTS has 2 Regions"),
    ],
)
def test_wrong_use_is_said(changed: dict[str, str | None], said: str) -> None:
    spec = yaml.safe_load((BUILDSPECS / "rollback-safety.yaml").read_text())
    environment: dict[str, str | None] = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **spec["env"]["variables"]}
    environment |= {"SERVICE": "sample", "ENDPOINTS": "us-east-1=http://gamma", "CONTROL_ROLE_ARN": "arn", "LOAD_RATE": "5"}
    environment["CODEBUILD_RESOLVED_SOURCE_VERSION"] = COMMIT
    kept = {name: value for name, value in (environment | changed).items() if value is not None}
    script = "\n".join(["set -e", *spec["phases"]["build"]["commands"]])
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, env=kept, capture_output=True, text=True, timeout=30)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
