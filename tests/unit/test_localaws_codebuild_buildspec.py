"""Reading buildspecs, and which files they take as artifacts."""

from __future__ import annotations

import pytest

from localaws.codebuild import buildspec
from localaws.codebuild.buildspec import Artifacts, BuildspecError, parse

GOOD = """
version: 0.2
env:
  shell: bash
  variables: {A: 1, B: yes}
  parameter-store: {P: /sample/p}
  secrets-manager: {S: "id:key"}
  exported-variables: [COMMIT]
phases:
  install:
    runtime-versions: {python: 3.13}
    commands: [one]
  build:
    on-failure: ABORT
    commands:
      - make
      - |
        several
        lines
    finally: [tidy]
cache: {paths: [x]}
artifacts:
  files: ['**/*']
  exclude-paths: [a/b]
  base-directory: out
  discard-paths: no
"""


def test_a_buildspec_is_read_whole_and_scalars_stay_text() -> None:
    spec = parse(GOOD)
    assert spec.shell == "bash"
    assert spec.variables == {"A": "1", "B": "yes"}
    assert spec.parameter_store == {"P": "/sample/p"}
    assert spec.secrets_manager == {"S": "id:key"}
    assert spec.exported == ("COMMIT",)
    assert spec.phases["build"].commands == ("make", "several\nlines\n")
    assert spec.phases["build"].finally_ == ("tidy",)
    assert spec.phases["build"].on_failure == "ABORT"
    assert spec.phases["install"].on_failure is None
    assert spec.artifacts == Artifacts(("**/*",), ("a/b",), "out", False)
    assert [note.split(":")[0] for note in spec.notes] == ["cache", "runtime-versions"]


@pytest.mark.parametrize(("text", "message"), [
    ("", "empty"),
    ("version: 0.2\nphases:\n  build:\n    commands: [a", "expected ',' or ']'"),
    ("version: 0.2\nphases: a: b", "mapping values are not allowed"),
    ("version: 0.1\nphases: {build: {commands: [a]}}", "version 0.1"),
    ("phases: {build: {commands: [a]}}", "(none)"),
    ("version: 0.2", "no phases"),
    ("version: 0.2\nphases: {build: {finally: [a]}}", "no commands"),
    ("version: 0.2\nphases: {artifacts: {files: [a]}}",
     "Invalid buildspec phase name: artifacts. Expecting: build,install,post_build,pre_build"),
    ("version: 0.2\nphases: {build: {steps: [a]}}", 'unsupported field "steps" in buildspec'),
    ("version: 0.2\nphases: {build: {commands: [a], on-failure: RETRY}}", "on-failure of phase build: RETRY"),
    ("version: 0.2\nphases: {build: {commands: make}}", "Expected Commands to be of list type"),
    ("version: 0.2\n\nphases:\n  build:\n    commands:\n      - echo \"Hello: world\"\n",
     "Expected Commands[0] to be of string type: found subkeys instead at line 6, value of the key tag on line 5 might be empty"),
    ("version: 0.2\nenv: {shell: zsh}\nphases: {build: {commands: [a]}}", "Invalid shell: zsh"),
    ("version: 0.2\nenv: {git-credential-helper: yes}\nphases: {build: {commands: [a]}}", "git-credential-helper"),
    ("version: 0.2\nenv: {variables: {A: [1]}}\nphases: {build: {commands: [a]}}", "variables.A to be of string type"),
    ("version: 0.2\nreports: {r: {files: [a]}}\nphases: {build: {commands: [a]}}", "reports"),
    ("version: 0.2\nphases: {build: {commands: [a]}}\nartifacts: {base-directory: x}", "no files"),
    ("version: 0.2\nphases: {build: {commands: [a]}}\nartifacts: {files: [a], secondary-artifacts: {x: {files: [b]}}}", "secondary"),
])
def test_a_wrong_one_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(BuildspecError) as refused:
        parse(text)
    assert message in str(refused.value)


NAMES = ["appspec.yml", "hooks/a.sh", "hooks/deep/b.sh", "release.json"]


@pytest.mark.parametrize(("files", "exclude", "taken"), [
    (["**/*"], [], NAMES),
    (["*"], [], ["appspec.yml", "release.json"]),
    (["hooks/*"], [], ["hooks/a.sh"]),
    (["hooks/**/*"], [], ["hooks/a.sh", "hooks/deep/b.sh"]),
    (["./appspec.yml", "nothing"], [], ["appspec.yml"]),
    (["**/*"], ["hooks/**/*"], ["appspec.yml", "release.json"]),
    (["hooks"], [], []),
])
def test_file_patterns(files: list[str], exclude: list[str], taken: list[str]) -> None:
    assert list(buildspec.select(Artifacts(tuple(files), tuple(exclude)), NAMES)) == taken


def test_discarded_paths() -> None:
    assert buildspec.select(Artifacts(("hooks/**/*",), discard_paths=True), NAMES) == {"hooks/a.sh": "a.sh", "hooks/deep/b.sh": "b.sh"}


def test_what_is_a_path_and_what_a_buildspec() -> None:
    assert buildspec.is_inline("version: 0.2\nphases: {}")
    assert not buildspec.is_inline("buildspecs/image.yaml")


def test_secret_references() -> None:
    assert buildspec.secret_reference("db:password") == {"id": "db", "key": "password", "stage": "", "version": ""}
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"
    assert buildspec.secret_reference(f"{arn}:user:AWSCURRENT")["id"] == arn
    assert buildspec.secret_reference(f"{arn}:user:AWSCURRENT")["stage"] == "AWSCURRENT"
