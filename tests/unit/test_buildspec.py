"""buildspecs/image.yaml, run phase by phase as CodeBuild does, with a docker and an aws of one file and the app's real unit tests."""

import json
import re
import shutil
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake_commands"))
from sandbox import Result, Sandbox

ROOT = Path(__file__).resolve().parents[2]
BUILDSPEC: dict[str, Any] = yaml.safe_load((ROOT / "buildspecs" / "image.yaml").read_text())
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PHASES = ("install", "pre_build", "build", "post_build")
# Each Region's repository has a name of its own: CloudFormation makes it.
EAST = "111122223333.dkr.ecr.us-east-1.amazonaws.com/sample-east"
WEST = "111122223333.dkr.ecr.us-west-2.amazonaws.com/team/sample-west"
OLD_DIGEST = "sha256:" + "9" * 64


@dataclass(frozen=True)
class Build:
    """What a build came to: the phase that failed, all output, and the exported variables."""

    failed_in: str | None
    said: str
    exported: dict[str, str]


class Project:
    """A CodeBuild project over a copy of the source."""

    def __init__(self, folder: Path) -> None:
        self.sandbox = Sandbox(folder / "world")
        self.source = folder / "source"
        for part in ("app", "appspecs", "buildspecs"):
            shutil.copytree(ROOT / part, self.source / part, ignore=shutil.ignore_patterns("__pycache__"))
        # The app's own tests are run once, in full, by test_the_apps_own_tests_run; here one stands for them.
        shutil.rmtree(self.source / "app" / "tests")
        (self.source / "app" / "tests").mkdir()
        (self.source / "app" / "tests" / "__init__.py").touch()
        self.app_test("pass")
        self.environment = {
            "SERVICE": "sample",
            "IMAGE_REPOSITORIES": f"us-east-1={EAST} us-west-2={WEST}",
            "BASE_IMAGE": "base:1",
            "CODEBUILD_RESOLVED_SOURCE_VERSION": COMMIT,
        }

    def app_test(self, body: str) -> None:
        """Make the app's only test."""
        (self.source / "app" / "tests" / "test_it.py").write_text(
            f"import unittest\n\n\nclass It(unittest.TestCase):\n    def test_it(self):\n        {body}\n"
        )

    def phase(self, name: str, succeeding: bool) -> Result:
        """Run a phase's commands in one shell until one fails, then its `finally` commands; variables are kept for the next phase."""
        phase = BUILDSPEC["phases"].get(name, {})
        kept = self.sandbox.folder / "environment"
        script = [f". {kept}" if kept.exists() else ":", f"export CODEBUILD_BUILD_SUCCEEDING={int(succeeding)}"]
        script += ["run() {", *[f"{command} || return 1" for command in phase.get("commands", [])], ":", "}", "status=0; run || status=$?"]
        script += [*phase.get("finally", []), f"export -p > {kept}", "exit $status"]
        return self.sandbox.run(["sh", "-c", "\n".join(script)], self.source, **self.environment)

    def build(self) -> Build:
        """The phases in order: a failed install or pre_build ends it, after a failed build post_build still runs."""
        said, failed_in = "", None
        for name in PHASES:
            result = self.phase(name, succeeding=failed_in is None)
            said += result.said
            failed_in = failed_in or (name if result.code else None)
            if failed_in in ("install", "pre_build"):
                break
        variables = (self.sandbox.folder / "environment").read_text()
        found = dict(re.findall(r"^export (\w+)='?([^'\n]*)", variables, re.MULTILINE))
        return Build(failed_in, said, {name: found[name] for name in BUILDSPEC["env"]["exported-variables"] if name in found})

    @property
    def bundle(self) -> Path:
        """Where the artifact comes from."""
        return self.source / BUILDSPEC["artifacts"]["base-directory"]

    @property
    def registry(self) -> dict[str, dict[str, str]]:
        """{repository with host: {tag or digest: digest}}."""
        return dict(self.sandbox.state["registry"])

    def calls(self, prefix: str) -> list[str]:
        """The calls that begin so."""
        return [call for call in self.sandbox.calls if call.startswith(prefix)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that has built nothing yet."""
    return Project(tmp_path)


def test_a_release_is_made(project: Project) -> None:
    build = project.build()
    assert build.failed_in is None, build.said
    digest = project.registry[EAST][COMMIT]
    assert project.registry[WEST][COMMIT] == digest
    assert build.exported == {"COMMIT": COMMIT, "IMAGE_DIGEST": digest}
    release = json.loads((project.bundle / "release.json").read_text())
    assert datetime.fromisoformat(release.pop("built")).utcoffset() is not None
    images = {"us-east-1": f"{EAST}@{digest}", "us-west-2": f"{WEST}@{digest}"}
    assert release == {"service": "sample", "commit": COMMIT, "digest": digest, "images": images}
    arguments = f"--force-rm --build-arg BASE_IMAGE=base:1 --build-arg SERVICE=sample --build-arg COMMIT={COMMIT} --tag sample:{COMMIT} app"
    assert project.calls("docker build") == [f"docker build {arguments}"]


def test_the_bundle_is_appspec_hooks_and_release(project: Project) -> None:
    (project.source / "appspecs" / "image" / "hooks" / "__pycache__").mkdir()
    assert project.build().failed_in is None
    files = {str(path.relative_to(project.bundle)) for path in project.bundle.rglob("*")}
    kept = ROOT / "appspecs" / "image"
    sources = {str(path.relative_to(kept)) for path in kept.rglob("*") if "__pycache__" not in path.parts}
    assert files == sources | {"release.json"}
    assert (project.bundle / "hooks" / "before-install.sh").stat().st_mode & 0o111


def test_no_credential_stays_or_shows(project: Project) -> None:
    build = project.build()
    assert json.loads((project.sandbox.home / ".docker" / "config.json").read_text()) == {}
    assert not any("token-" in text for text in [build.said, *project.sandbox.calls])


def test_a_failing_unit_test_ends_it_before_anything_is_built(project: Project) -> None:
    project.app_test("self.fail('two is not three')")
    build = project.build()
    assert build.failed_in == "pre_build"
    assert "two is not three" in build.said
    assert project.sandbox.calls == []


def test_an_app_without_unit_tests_of_this_kind_is_built_all_the_same(project: Project) -> None:
    shutil.rmtree(project.source / "app" / "tests")
    build = project.build()
    assert build.failed_in is None, build.said
    assert "There is no app/tests: nothing is tested before the image is built." in build.said


def test_a_failing_docker_build_pushes_nothing_and_says_why(project: Project) -> None:
    project.sandbox.put(fail={"docker build": -1})
    build = project.build()
    assert build.failed_in == "build"
    assert "docker build: refused by the test" in build.said
    assert "FAILED: docker build of app/ failed" in build.said
    assert "the build phase failed, so there is nothing to push" in build.said
    assert (project.registry, project.calls("docker push"), list(project.bundle.iterdir())) == ({}, [], [])
    assert json.loads((project.sandbox.home / ".docker" / "config.json").read_text()) == {}


def test_the_same_commit_again_is_the_same_release(project: Project) -> None:
    first = project.build()
    calls = len(project.sandbox.calls)
    second = project.build()
    assert (second.failed_in, second.exported) == (None, first.exported)
    assert "is used, and not built again" in second.said
    assert not any(call.startswith(("docker build", "docker push")) for call in project.sandbox.calls[calls:])


def test_a_push_that_reached_one_region_is_gone_on_with(project: Project) -> None:
    project.sandbox.put(registry={WEST: {COMMIT: OLD_DIGEST, OLD_DIGEST: OLD_DIGEST}})
    build = project.build()
    assert build.failed_in is None, build.said
    assert build.exported["IMAGE_DIGEST"] == OLD_DIGEST == project.registry[EAST][COMMIT]
    assert project.calls("docker build") == []
    assert project.calls("docker push") == [f"docker push {EAST}:{COMMIT}"]


def test_a_failed_push_ends_it_without_a_bundle(project: Project) -> None:
    project.sandbox.put(fail={"docker push": -1})
    build = project.build()
    assert build.failed_in == "post_build"
    assert "docker push: refused by the test" in build.said
    assert "us-east-1 does not have the image" in build.said
    assert list(project.bundle.iterdir()) == []
    assert "IMAGE_DIGEST" not in build.exported


def test_regions_that_differ_are_refused(project: Project) -> None:
    other = "sha256:" + "8" * 64
    project.sandbox.put(registry={EAST: {COMMIT: OLD_DIGEST, OLD_DIGEST: OLD_DIGEST}, WEST: {COMMIT: other, other: other}})
    build = project.build()
    assert build.failed_in == "post_build"
    assert f"us-west-2 has {other} under {COMMIT}, another Region {OLD_DIGEST}" in build.said
    assert list(project.bundle.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("aws ecr describe-images", "cannot ask ECR in us-east-1"),
        ("aws ecr get-login-password", "no ECR password in us-east-1"),
        ("docker login", "cannot log in to ECR in us-east-1"),
    ],
)
def test_what_aws_refuses_is_said(project: Project, call: str, words: str) -> None:
    project.sandbox.put(fail={call: -1})
    build = project.build()
    assert build.failed_in in ("pre_build", "build")
    assert f"{call}: refused by the test" in build.said
    assert words in build.said
    assert project.registry == {}


@pytest.mark.parametrize("name", ["SERVICE", "IMAGE_REPOSITORIES", "BASE_IMAGE"])
def test_a_missing_variable_is_named(project: Project, name: str) -> None:
    project.environment[name] = ""
    build = project.build()
    assert (build.failed_in, f"FAILED: {name} is not set" in build.said, project.sandbox.calls) == ("pre_build", True, [])


@pytest.mark.parametrize("value", ["us-east-1", "us-east-1=", "=host/name", "us-east-1=host"])
def test_a_repository_that_is_none_is_named(project: Project, value: str) -> None:
    project.environment["IMAGE_REPOSITORIES"] = f"us-west-2={WEST} {value}"
    build = project.build()
    assert (build.failed_in, f"'{value}' in IMAGE_REPOSITORIES" in build.said, project.sandbox.calls) == ("pre_build", True, [])


@pytest.mark.parametrize("version", ["", "main", "arn:aws:s3:::bucket/key"])
def test_a_source_that_is_no_commit_is_refused(project: Project, version: str) -> None:
    project.environment["CODEBUILD_RESOLVED_SOURCE_VERSION"] = version
    build = project.build()
    assert (build.failed_in, f"'{version}' is not a commit" in build.said) == ("pre_build", True)


def test_china_has_its_own_host_names(project: Project) -> None:
    project.environment["IMAGE_REPOSITORIES"] = "cn-north-1=111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/sample"
    assert project.phase("pre_build", succeeding=True).code == 0
    assert project.calls("docker login")[-1].endswith(" 111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn")


def test_the_apps_own_tests_run(project: Project) -> None:
    shutil.rmtree(project.source / "app")
    shutil.copytree(ROOT / "app", project.source / "app")
    result = project.phase("pre_build", succeeding=True)
    assert result.code == 0, result.said
    ran = re.search(r"Ran (\d+) tests", result.said)
    assert ran
    assert int(ran[1]) > 10
