"""scripts/checks/commands.py: shellcheck over what is written into buildspecs."""

from __future__ import annotations

from pathlib import Path

from scripts.checks import commands
from tests.unit.checks_tree import ROOT, found, tree


def test_this_project_is_as_it_should_be() -> None:
    assert list(commands.check(ROOT)) == []


def test_a_command_is_found_where_it_stands(tmp_path: Path) -> None:
    text = 'version: 0.2\nphases:\n  build:\n    commands:\n      - name="a b"\n      - echo $name\n      - |\n        echo fine\n        [[ -n "$name" ]]\n'
    findings = found(commands.check, tree(tmp_path, {"buildspecs/one.yaml": text}))
    (quoting,) = findings["SC2086"]
    assert (quoting.path, quoting.line, quoting.column) == ("buildspecs/one.yaml", 6, 14)
    # sh has no [[.
    (test,) = findings["SC3010"]
    assert (test.line, test.column) == (9, 9)


def test_bash_where_the_buildspec_asks_for_it(tmp_path: Path) -> None:
    text = "version: 0.2\nenv: { shell: bash }\nphases:\n  build:\n    commands:\n      - |\n        if [[ -n $HOME ]]; then make; fi\n"
    assert found(commands.check, tree(tmp_path, {"buildspecs/one.yaml": text})) == {}


def test_windows_shells_are_left_alone(tmp_path: Path) -> None:
    text = "version: 0.2\nenv: { shell: powershell.exe }\nphases: { build: { commands: ['$x = 1'] } }\n"
    assert found(commands.check, tree(tmp_path, {"buildspecs/one.yaml": text})) == {}


def test_phases_share_one_shell(tmp_path: Path) -> None:
    text = "version: 0.2\nphases:\n  pre_build: { commands: ['version=1'] }\n  build: { commands: ['make \"$version\"'], finally: ['echo \"$version\"'] }\n"
    assert found(commands.check, tree(tmp_path, {"buildspecs/one.yaml": text})) == {}


def test_a_buildspec_inside_a_template(tmp_path: Path) -> None:
    text = """Resources:
  Project:
    Type: AWS::CodeBuild::Project
    Properties:
      Source:
        Type: CODEPIPELINE
        BuildSpec: |
          version: 0.2
          phases:
            build:
              commands:
                - cat $FILE
"""
    (finding,) = commands.check(tree(tmp_path, {"templates/build.yaml": text}))
    assert (finding.rule, finding.path, finding.line, finding.column) == ("SC2086", "templates/build.yaml", 12, 23)


def test_what_is_no_yaml_is_anothers_to_say(tmp_path: Path) -> None:
    assert found(commands.check, tree(tmp_path, {"buildspecs/one.yaml": "version: [\n"})) == {}
