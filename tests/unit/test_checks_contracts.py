"""scripts/checks/contracts_*.py: the project keeps its contracts, each broken one names both sides, and what others rightly do is left alone."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from scripts.checks import (
    code,
    contracts_build,
    contracts_functions,
    contracts_hosts,
    contracts_parameters,
    contracts_pipeline,
    contracts_scripts,
)
from scripts.checks.tree import Tree, line_of
from scripts.checks.wiring import Parameter, Source, Wiring, divided, fits, pattern
from tests.unit.checks_tree import ROOT, changed, copy, found, tree

MODULES = (contracts_build, contracts_pipeline, contracts_functions, contracts_hosts, contracts_scripts, contracts_parameters)
OWNER: dict[str, ModuleType] = {rule: module for module in MODULES for rule in module.RULES}
SEEDED: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/rules/seeded/contracts.yaml").read_text(encoding="utf-8"))
# Wrong in itself, by what stands in one place, or by values of one file.
ALONE = {"contract-slot", "contract-slot-condition", "contract-app-setting", *contracts_parameters.RULES}
FIRST = {rule: next((defect for defect in SEEDED if defect["caught_by"] == rule), None) for rule in OWNER}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, to break."""
    return copy(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_this_project_keeps_its_contracts(module: ModuleType) -> None:
    assert list(module.check(ROOT)) == []


@pytest.mark.parametrize("rule", OWNER)
def test_a_broken_contract_is_named_with_both_sides(rule: str, project: Path) -> None:
    defect = FIRST[rule]
    assert defect is not None, f"tests/rules/seeded/contracts.yaml has no defect for {rule}"
    with changed(project, defect["file"], defect["find"], defect["replace"]):
        findings = found(OWNER[rule].check, project)
    (finding, *_) = findings[rule]
    assert (project / finding.path).is_file()
    assert finding.message and finding.next_step and finding.source.startswith("https://")
    others = {side for side in re.findall(r"[\w./-]+\.(?:ya?ml|py|sh)(?::\d+)?", finding.message) if side not in (finding.path, finding.place)}
    assert others or rule in ALONE, finding.message


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_rule_says_what_and_by_whom(module: ModuleType) -> None:
    assert set(module.SOURCES) == set(module.RULES)
    assert all(text.endswith(".") for text in module.RULES.values())


def test_every_check_of_this_kind_is_tested() -> None:
    there = {path.stem for path in (ROOT / "scripts/checks").glob("contracts_*.py")}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == there
    assert all(importlib.import_module(f"scripts.checks.{name}").check for name in there)


# What others do, and AWS takes

BUILD = """
Parameters:
  Stage: { Type: String }
Resources:
  Inline:
    Type: AWS::CodeBuild::Project
    Properties:
      Source: { Type: CODEPIPELINE, BuildSpec: "version: 0.2" }
  InS3:
    Type: AWS::CodeBuild::Project
    Properties:
      Source: { Type: CODEPIPELINE, BuildSpec: "arn:aws:s3:::bucket/buildspec.yml" }
  Default:
    Type: AWS::CodeBuild::Project
    Properties:
      Source: { Type: GITHUB }
  Build:
    Type: AWS::CodeBuild::Project
    Properties:
      Source: { Type: CODEPIPELINE, BuildSpec: buildspecs/build.yml }
      Environment:
        EnvironmentVariables: [{ Name: GIVEN, Value: x }, { Name: CODEBUILD_CONFIG_AUTO_DISCOVER, Value: "true" }]
  Role:
    Type: AWS::IAM::Role
    Properties:
      Policies: [{ PolicyDocument: { Statement: [{ Resource: !Sub "arn:aws:s3:::${Stage}/*" }] } }]
"""
BUILDSPEC = """
version: 0.2
env:
  variables: { OWN: x }
  parameter-store: { SECRET: /a/secret }
  exported-variables: [LATER, CODEBUILD_BUILD_NUMBER, OWN]
phases:
  install:
    commands:
      - cd "$CODEBUILD_SRC_DIR" && echo "$GIVEN $OWN $SECRET ${OPTIONAL:-none} $HOME" '$NOT_A_VARIABLE' # $NOR_THIS
      - for FILE in *; do echo "$FILE"; done
      - |
        LATER=1
        export LATER
        READ_BY=tool sh scripts/build.sh anything
      - python3 build/made-by-the-build.py
      - ./gradlew build
"""


def test_a_build_of_another_style_is_left_alone(tmp_path: Path) -> None:
    root = tree(tmp_path, {"templates/build.yaml": BUILD, "buildspecs/build.yml": BUILDSPEC, "scripts/build.sh": 'echo "$1 $LATER"\n'})
    for module in MODULES:
        assert list(module.check(root)) == []


def test_a_tree_without_anything_is_left_alone(tmp_path: Path) -> None:
    for module in MODULES:
        assert list(module.check(tmp_path)) == []


PIPELINE = """
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties: { Handler: index.handler, Code: { ZipFile: "def handler(e, c): pass" }, Environment: { Variables: { ANY: x } } }
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: { Namespace: MyApp, MetricName: Errors, AlarmName: mine }
  Rule:
    Type: AWS::Events::Rule
    Properties: { EventPattern: { detail: { alarmName: [mine, { prefix: mi }, { anything-but: yours }] } } }
  Canary:
    Type: AWS::Synthetics::Canary
    Properties: { Name: mine, Code: { Handler: index.handler, S3Bucket: code, S3Key: canary.zip } }
  CanaryAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties: { Namespace: CloudWatchSynthetics, MetricName: SuccessPercent, Dimensions: [{ Name: CanaryName, Value: !Ref Canary }] }
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Stages:
        - Name: Source
          Actions: [{ Name: S, Namespace: Src, ActionTypeId: { Provider: S3 }, OutputArtifacts: [{ Name: A }] }]
        - Name: Deploy
          Actions:
            - Name: D
              ActionTypeId: { Provider: CodeDeploy }
              Configuration: { ApplicationName: app, DeploymentGroupName: group }
              InputArtifacts: [{ Name: A }]
            - Name: F
              ActionTypeId: { Provider: Lambda }
              Configuration: { FunctionName: !Ref Function, UserParameters: "#{Src.ETag} any text" }
"""


def test_a_pipeline_of_another_style_is_left_alone(tmp_path: Path) -> None:
    root = tree(tmp_path, {"templates/all.yaml": PIPELINE, "appspecs/x/appspec.yml": "version: 0.0\nos: linux\nfiles: [{source: /, destination: /srv}]\n"})
    for module in MODULES:
        assert list(module.check(root)) == []


# The pieces


def test_values_are_followed_through_stacks(tmp_path: Path) -> None:
    root = """
Parameters: { Name: { Type: String }, Other: { Type: String } }
Resources:
  Made: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: below/made.yaml, Parameters: { Name: !Ref Name } } }
  Used:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: below/used.yaml
      Parameters: { Pair: !Join ['|', [!GetAtt Made.Outputs.Topic, !If [Known, !Ref Other, none]]], Text: !Sub 'a-${Name}' }
"""
    made = "Parameters: { Name: { Type: String } }\nResources: { Topic: { Type: AWS::SNS::Topic } }\nOutputs: { Topic: { Value: !Ref Topic } }\n"
    used = """
Parameters: { Pair: { Type: String }, Text: { Type: String } }
Resources:
  One: { Type: X, Properties: { A: !Select [0, !Split ['|', !Ref Pair]], B: !Select [1, !Split ['|', !Ref Pair]], C: !Sub '${Text}-b' } }
"""
    wiring = Wiring(Tree(tree(tmp_path, {"templates/root.yaml": root, "templates/below/made.yaml": made, "templates/below/used.yaml": used})))
    below = "templates/below/used.yaml"
    properties = wiring.resource(Source(below, "One"))
    assert wiring.values(below, properties["A"]) == [(Source("templates/below/made.yaml", "Topic"),)]
    assert wiring.values(below, properties["B"]) == [(Parameter("templates/root.yaml", "Other"),), ("none",)]
    assert [pattern(value) for value in wiring.values(below, properties["C"])] == ["a-*-b"]
    assert wiring.roots() == ["templates/root.yaml"]


def test_texts_are_split_as_far_as_they_are_known() -> None:
    name = Parameter("t", "Name")
    assert divided(("a|", name, "|c"), "|") == [("a",), (name,), ("c",)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("*-gamma-high", "*-*-high", True),
        ("*-*-high", "*-gamma-high", True),
        ("*-high", "*-low", False),
        ("/*/x", "/a/b/x", False),
    ],
)
def test_patterns_fit(one: str, other: str, same: bool) -> None:
    assert fits(one, other) is same


def test_variables_of_a_script() -> None:
    script = """
# $COMMENT
say "it's $ONE" '$QUOTED' "${TWO:-default}" ${THREE%%x} ${FOUR-} \\$ESCAPED "$(cat "$FIVE" # $NOT
)"
SIX=1 SEVEN=$(date) command EIGHT=8
for NINE in a; do :; done
docker run NAME="$TEN" \\
    ELEVEN="$TEN"
"""
    reads = code.shell_reads(script, "x.sh")
    assert {read.name for read in reads if read.needed} == {"ONE", "THREE", "FIVE", "TEN"}
    assert {read.name for read in reads if not read.needed} == {"TWO", "FOUR"}
    assert code.shell_sets(script) == {"SIX", "SEVEN", "NINE"}
    assert next(read for read in reads if read.name == "TEN").place.line == 7


def test_variables_of_python_through_functions(tmp_path: Path) -> None:
    modules = {
        "functions/main.py": "import os\nimport more as m\nfrom third import needs\nm.read(os.environ)\nneeds(os.environ, 'C')\nos.environ.get('D')\n",
        "functions/more.py": "import os\ndef read(given):\n    return given['A'], given.get('B')\ndef main():\n    os.environ['NOT_CALLED']\n",
        "functions/third.py": "def needs(given, name):\n    if name not in given:\n        raise KeyError(name)\n    return given[name]\n",
    }
    root = Tree(tree(tmp_path, modules))
    reads = code.environment(root, code.closure(root, "functions/main.py"))
    assert {(read.name, read.needed) for read in reads} == {("A", True), ("B", False), ("C", True), ("D", False)}


def test_lines_of_short_forms() -> None:
    text = "a:\n  b: !Sub\n    - x\n    - y: 1\n  c: !If\n    - k\n    - d: 2\n"
    assert line_of(text, ("a", "b", "Fn::Sub", 1, "y")) == 4
    assert line_of(text, ("a", "c", "Fn::If", 1, "d")) == 7
    assert line_of(text, ("a", "nothing", "here")) == 1
    assert line_of(text, ()) == 0


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ({"Fn::Equals": [{"Ref": "A"}, "1"]}, True),
        ({"Fn::Equals": [{"Ref": "A"}, 2]}, False),
        ({"Fn::Equals": [{"Ref": "Unknown"}, "1"]}, None),
        ({"Fn::And": [{"Fn::Equals": [{"Ref": "Unknown"}, "1"]}, {"Fn::Equals": [{"Ref": "A"}, "2"]}]}, False),
        ({"Fn::Or": [{"Fn::Equals": [{"Ref": "Unknown"}, "1"]}, {"Fn::Equals": [{"Ref": "A"}, "1"]}]}, True),
        ({"Fn::Not": [{"Fn::Equals": [{"Ref": "Unknown"}, "1"]}]}, None),
        ({"Fn::Contains": [["1", "2"], {"Ref": "A"}]}, True),
        ({"Fn::EachMemberIn": [["1"], {"Ref": "A"}]}, None),
    ],
)
def test_rules_are_judged_as_far_as_values_are_known(condition: dict[str, Any], answer: bool | None) -> None:
    assert contracts_parameters.holds(condition, {"A": "1", "Unknown": None}) is answer


def test_a_number_that_is_none_is_left_to_the_parameters_own_check(project: Path) -> None:
    with changed(project, "parameters/pipeline.yaml", "  GammaBakeSeconds: 900", "  GammaBakeSeconds: NaN"):
        assert not [finding for finding in contracts_parameters.check(project) if "local" not in finding.path]


def test_an_app_without_a_canary_is_asked_for_none_where_no_environment_runs_one(tmp_path: Path) -> None:
    root = copy(tmp_path)
    for path in (root / "app/canary").rglob("*.py"):
        path.unlink()
    assert "contract-canary-handler" in found(contracts_functions.check, root)
    for path in (root / "parameters").glob("*.yaml"):
        path.write_text(re.sub(r"CanaryRateMinutes: \d+", "CanaryRateMinutes: 0", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert found(contracts_functions.check, root) == {}
