"""The tools as checks: what they find, on which line, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.checks import dockerfiles, parameters, resolved, shell, yaml_style

ROOT = Path(__file__).resolve().parents[2]


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("a: 1\na: 2\n", "key-duplicates", 2),
        ("a: yes\n", "truthy", 1),
        ("a: {b: Off}\n", "truthy", 1),
        ("a: 0755\n", "octal-values", 1),
        ("a: *b\n", "anchors", 1),
        ("a: &b 1\n", "anchors", 1),
        ("a:\nb: 1\n", "empty-values", 1),
        ("a: .5\n", "float-values", 1),
        ("a: 1\n b: 2\n", "syntax", 2),
        ("a: 1\r\nb: 2\r\n", "new-lines", 1),
        ("runtime-versions:\n  python: 3.10\n", "yaml-version-number", 2),
        ("WindowHours: 22:30\n", "yaml-sexagesimal", 1),
    ],
)
def test_yaml_that_says_something_else_is_found(tmp_path: Path, text: str, rule: str, line: int) -> None:
    (tmp_path / "buildspecs").mkdir()
    (tmp_path / "buildspecs/a.yaml").write_bytes(text.encode())
    assert (rule, line) in {(found.rule, found.line) for found in yaml_style.check(tmp_path)}


@pytest.mark.parametrize(
    "text",
    [
        "on:\n  push: {branches: [main]}\n",  # a key is no value
        "version: 0.2\nos: linux\n",
        "python: '3.10'\nnode: 20\ngolang: 1.21\n",
        "threshold: 0.50\n",  # a number, and meant as one
        "mode: '0755'\naccount: '000000000000'\n",
        "a: ''\nb: \"yes\"\ntime: '22:30'\narn: arn:aws:iam::111122223333:root\n",
        "very: long  # " + "x" * 200 + "\n",
        "list:\n- a\n- b\nother:\n    - c\n",  # how it looks is nobody's business
    ],
)
def test_yaml_that_says_what_it_means_is_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, "buildspecs/a.yaml", text)
    assert [found.rule for found in yaml_style.check(tmp_path)] == []


def test_an_event_of_a_workflow_needs_no_value(tmp_path: Path) -> None:
    write(tmp_path, ".github/workflows/a.yml", "on:\n  workflow_dispatch:\n  pull_request:\n")
    assert [found.rule for found in yaml_style.check(tmp_path)] == []


TEMPLATE = """Resources:
  Hosts:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData:
        UserData:
          Fn::Base64: !Sub |
            #!/bin/sh
            stack=${AWS::StackName}
            id=$(hostname)
            %s
"""


def test_user_data_is_checked_where_it_stands(tmp_path: Path) -> None:
    write(tmp_path, "templates/hosts.yaml", TEMPLATE % "echo $id $stack")
    found = list(shell.check(tmp_path))
    assert {(each.rule, each.path, each.line) for each in found} == {("SC2086", "templates/hosts.yaml", 11)}
    line = (tmp_path / "templates/hosts.yaml").read_text().splitlines()[10]
    assert line[found[0].column - 1 :].startswith("$id")


def test_what_sub_leaves_to_the_shell_is_the_shells(tmp_path: Path) -> None:
    write(tmp_path, "templates/hosts.yaml", TEMPLATE % 'echo "${!id}" "$stack" >"/etc/${ServiceName}/id"')
    assert list(shell.check(tmp_path)) == []


def test_hooks_and_what_they_source_are_checked(tmp_path: Path) -> None:
    write(tmp_path, "appspecs/image/hooks/lib.sh", "# shellcheck shell=sh\nsay() { echo $1; }\n")
    write(tmp_path, "appspecs/image/hooks/start.sh", '#!/bin/sh\nHOOKS=$(dirname "$0")\n. "$HOOKS/lib.sh"\nsay "on"\n')
    assert [(found.rule, found.path, found.line) for found in shell.check(tmp_path)] == [("SC2086", "appspecs/image/hooks/lib.sh", 2)]


def test_dockerfiles_are_checked_and_may_say_what_is_on_purpose(tmp_path: Path) -> None:
    write(tmp_path, "app/Dockerfile", "FROM python:latest\n")
    assert [(found.rule, found.line, found.source) for found in dockerfiles.check(tmp_path)] == [
        ("DL3007", 1, "https://github.com/hadolint/hadolint/wiki/DL3007")
    ]
    write(tmp_path, "app/Dockerfile", "# hadolint ignore=DL3007\nFROM python:latest\n")
    assert list(dockerfiles.check(tmp_path)) == []


def test_a_wrong_value_is_found_on_its_line_in_the_file_that_has_it(tmp_path: Path) -> None:
    template = "Parameters:\n  ServiceName: {Type: String}\n  Size: {Type: Number, MaxValue: 4}\nResources: {A: {Type: AWS::SNS::Topic}}\n"
    write(tmp_path, "templates/one.yaml", template)
    base = 'template: one\naccount: "111122223333"\nregions: [us-east-1]\nparameters:\n  ServiceName: sample\n  Size: %s\n'
    write(tmp_path, "parameters/one.yaml", base % "9")
    write(tmp_path, "parameters/local/one.yaml", "parameters:\n  Sise: 2\n")
    write(tmp_path, "parameters/local/two.yaml", "parameters: {}\n")
    found = {(each.rule, each.path, each.line) for each in parameters.check(tmp_path)}
    assert found == {
        ("parameters-fit", "parameters/one.yaml", 6),
        ("parameters-fit", "parameters/local/one.yaml", 2),
        ("parameters-overlay", "parameters/local/two.yaml", 0),
    }


def test_functions_are_put_in_as_far_as_they_are_known(tmp_path: Path) -> None:
    write(
        tmp_path,
        "templates/one.yaml",
        "Parameters:\n  Name: {Type: String, Default: a}\n  Ids: {Type: CommaDelimitedList, Default: 'x,y'}\n  Open: {Type: String}\n"
        "Conditions:\n  IsA: !Equals [!Ref Name, a]\n  IsOpen: !Equals [!Ref Open, z]\n  Both: !And [Condition: IsA, Condition: IsOpen]\n"
        "  Neither: !And [!Not [Condition: IsA], Condition: IsOpen]\n"
        "Mappings: {Sizes: {a: {Hosts: 3}}}\n"
        "Resources:\n"
        "  Gone: {Type: AWS::SNS::Topic, Condition: Neither}\n"
        "  Perhaps: {Type: AWS::SNS::Topic, Condition: Both}\n"
        "  There:\n    Type: AWS::SNS::Topic\n    Properties:\n"
        "      If: !If [IsA, yes-it-is, no]\n      Unknown: !If [IsOpen, 1, 2]\n      Sub: !Sub '${Name}-${!kept}'\n      Half: !Sub '${Name}-${There.Arn}'\n"
        "      Dropped: !If [IsA, !Ref AWS::NoValue, 1]\n      Join: !Join ['-', [!Ref Name, b]]\n      Pick: !Select [1, !Ref Ids]\n"
        "      Find: !FindInMap [Sizes, !Ref Name, Hosts]\n      Split: !Split [',', 'p,q']\n",
    )
    (only,) = resolved.documents_of(tmp_path)
    resources = only.document["Resources"]
    # Open has no default, and nobody deploys the template: its value is not known.
    assert set(resources) == {"Perhaps", "There"}
    assert resources["There"]["Properties"] == {
        "If": "yes-it-is",
        "Unknown": {"Fn::If": ["IsOpen", 1, 2]},
        "Sub": "a-${kept}",
        "Half": {"Fn::Sub": "a-${There.Arn}"},
        "Join": "a-b",
        "Pick": "y",
        "Find": 3,
        "Split": ["p", "q"],
    }
