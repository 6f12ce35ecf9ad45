"""Files that are not what their name says, and values of any shape: one finding where the fault is, no guesses of others, nothing that breaks off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import validate
from scripts.checks import cfn_lint, contracts_parameters, reports
from scripts.checks.finding import Finding
from scripts.rules import _rule
from tests.unit.checks_tree import ROOT, changed, copy

# Those that start a program for each template take long, and read no file that another does not.
SLOW = ("cfn_lint", "guard", "dockerfiles")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy(tmp_path_factory.mktemp("unreadable"))
    for path in (ROOT / ".taskcat.yml", ROOT / "Makefile", *ROOT.glob(".github/workflows/*"), *ROOT.glob("tests/taskcat/*.yaml")):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return folder


def asked(root: Path, *names: str) -> list[Finding]:
    """What the checks of these names say, in order; without a name, all."""
    modules = [module for module in validate.discover() if (name := module.__name__.rpartition(".")[2]) in names or (not names and name not in SLOW)]
    return reports.ordered(validate.ask(root, modules))


@pytest.mark.parametrize(
    ("file", "find", "replace", "rule", "said"),
    [
        ("functions/gate.py", "\nimport os\n", "\nimport os,\n", "python-syntax", "not Python: "),
        ("scripts/deploy.py", "\nimport argparse\n", "\nimport argparse as\n", "python-syntax", "not Python: invalid syntax"),
        ("appspecs/image/hooks/lib.sh", "\nBUNDLE=$(", "\nif true; then\nBUNDLE=$(", "SC1073", "not shell: Couldn't find 'fi' for this 'if'."),
        ("buildspecs/image.yaml", "phases:\n", "phases: [\n", "syntax", "not YAML: "),
        ("parameters/prod.yaml", "\nparameters:\n", "\nparameters: [\n", "syntax", "not YAML: "),
        ("templates/pipeline/control.yaml", "\nResources:\n", "\nResources: [\n", "syntax", "not YAML: "),
        (".github/workflows/checks.yaml", "\njobs:\n", "\njobs: [\n", "syntax", "not YAML: "),
    ],
)
def test_what_cannot_be_read_is_one_finding_at_its_place(tree: Path, file: str, find: str, replace: str, rule: str, said: str) -> None:
    with changed(tree, file, find, replace):
        found = asked(tree)
    assert [(one.rule, one.path) for one in found] == [(rule, file)], reports.text(found)
    assert found[0].line and found[0].message.startswith(said), found[0].message
    assert found[0].next_step.startswith("correct that line; ")


# What scans as YAML, and no reader takes.
UNLOADABLE = {
    "two documents": ("\n---\nleft: over\n", "expected a single document in the stream, but found another document"),
    "a list as a key": ("\n? [a, b]\n: c\n", "a key is a list or a mapping"),
    "a mapping as a key": ("\n{ a: b }: c\n", "a key is a list or a mapping"),
    "a placeholder of another tool": ("\nOther: { { name } }\n", "a key is a list or a mapping"),
}
CONTAINS_ITSELF = ("\nOther: &other\n  inner: *other\n", "recursive")


@pytest.mark.parametrize(
    ("file", "added", "said"),
    [
        *((file, *case) for file in ("templates/pipeline/control.yaml", "parameters/prod.yaml") for case in UNLOADABLE.values()),
        ("buildspecs/image.yaml", *UNLOADABLE["two documents"]),
        # YAML's own types take it, so that of a template or a workflow there is more to say.
        ("parameters/prod.yaml", *CONTAINS_ITSELF),
    ],
)
def test_yaml_that_cannot_be_loaded_is_one_finding_at_its_place(tree: Path, file: str, added: str, said: str) -> None:
    path = tree / file
    before = path.read_text(encoding="utf-8")
    path.write_text(before.rstrip("\n") + added, encoding="utf-8")
    try:
        found = asked(tree)
    finally:
        path.write_text(before, encoding="utf-8")
    assert [(one.rule, one.path) for one in found] == [("syntax", file)], reports.text(found)
    assert found[0].line > before.count("\n") and said in found[0].message, found[0].message
    assert found[0].next_step.startswith("correct that line; ")


@pytest.mark.parametrize(("added", "rule"), [("Other: 1\nOther: 2\n", "key-duplicates"), ("Other: *nothing\n", "anchors")])
def test_what_yamllint_says_of_a_file_that_cannot_be_loaded_is_not_said_again(tree: Path, added: str, rule: str) -> None:
    with changed(tree, "parameters/prod.yaml", "\nparameters:\n", f"\n{added}parameters:\n"):
        found = asked(tree)
    assert [(one.rule, one.path) for one in found] == [(rule, "parameters/prod.yaml")], reports.text(found)


def test_a_function_that_is_not_text_is_one_finding(tree: Path) -> None:
    path = tree / "functions/gate.py"
    before = path.read_bytes()
    path.write_bytes(before + b"# \xff\n")
    try:
        found = asked(tree)
    finally:
        path.write_bytes(before)
    assert [(one.rule, one.path) for one in found] == [("python-syntax", "functions/gate.py")]
    assert "utf-8" in found[0].message


@pytest.mark.parametrize(
    ("file", "find", "replace", "rule", "of"),
    [
        ("parameters/gamma.yaml", "regions: [", "regions: [{ a: b }, ", "parameters-fit", "parameters contracts_parameters contracts_functions taskcat_rules"),
        ("parameters/gamma.yaml", "\naccount: ", "\naccount: [1]\nrole: ", "parameters-fit", "parameters"),
        ("templates/environment.yaml", "\nParameters:\n", "\nParameters: []\nOther:\n", "parameters-fit", "parameters taskcat_rules"),
        ("templates/environment.yaml", "\nConditions:\n", "\nConditions: 7\nOther:\n", "", "contracts_pipeline"),
        ("templates/environment.yaml", "\nOutputs:\n", "\nOutputs: 7\nOther:\n", "", "parameters contracts_pipeline"),
        ("templates/pipeline.yaml", "\nParameters:\n", "\nParameters:\n  7: { Type: String }\n", "", "contracts_pipeline"),
        ("templates/pipeline/build.yaml", "      Source:", "      Source: [x]\n      Other:", "", "commands contracts_build"),
        ("templates/environment/alarms.yaml", "!Sub ", "!Sub &x { a: b } # ", "", "contracts_functions"),
        ("templates/pipeline.yaml", "Assertions:\n", "Assertions: [{ Assert: { Fn::Equals: 7 } }]\n      Other:\n", "", "contracts_parameters"),
        (".taskcat.yml", "regions: [", "regions: [{ a: b }, ", "", "taskcat_rules shapes"),
        (".github/workflows/checks.yaml", "contents: read", "contents: { a: b }", "workflow-permissions", "workflow_rules"),
    ],
)
def test_no_check_breaks_off_over_a_value_of_another_shape(tree: Path, file: str, find: str, replace: str, rule: str, of: str) -> None:
    with changed(tree, file, find, replace):
        found = asked(tree, *of.split())
    assert [one for one in found if one.rule == validate.NOT_CHECKED] == []
    assert not rule or any(one.rule == rule for one in found), reports.text(found)


@pytest.mark.parametrize(
    ("given", "broad"),
    [
        ("arn:aws:iam::aws:policy/AdministratorAccess", True),
        ("arn:aws:iam::aws:policy/AdministratorAccess-Amplify", True),
        ("arn:aws-cn:iam::aws:policy/PowerUserAccess", True),
        ("arn:aws:iam::aws:policy/IAMFullAccess", True),
        ("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess", True),
        ("arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess_v2", True),
        ("arn:aws:iam::aws:policy/ReadOnlyAccess", True),
        ("arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy", False),
        ("arn:aws:iam::123456789012:policy/our/OrdersFullAccess", False),
    ],
)
def test_hosts_are_not_given_policies_as_wide_as_a_service(tree: Path, given: str, broad: bool) -> None:
    with changed(tree, "parameters/prod.yaml", 'HostPolicyArns: ""', f"HostPolicyArns: arn:aws:iam::123456789012:policy/one,{given}"):
        lines = (tree / "parameters/prod.yaml").read_text(encoding="utf-8").splitlines()
        found = [one for one in contracts_parameters.check(tree) if one.rule == "parameters-broad-policy"]
    line = next(number for number, text in enumerate(lines, 1) if "HostPolicyArns" in text)
    assert {(one.path, one.line) for one in found} == ({("parameters/prod.yaml", line)} if broad else set())
    assert all(given in one.message and one.next_step for one in found)


@pytest.mark.parametrize("rule", ["E9057", "E3012", "E0002"])
def test_every_report_says_what_to_do_about_a_finding_of_cfn_lint(rule: str) -> None:
    place = {"Start": {"LineNumber": 3, "ColumnNumber": 5}}
    page = "https://github.com/aws-cloudformation/cfn-lint/blob/main/docs/rules.md#" + rule
    match = {"Rule": {"Id": rule, "Source": page}, "Location": place, "Filename": "templates/a.yaml", "Message": "it is wrong", "Level": "Error"}
    found = cfn_lint.finding(match)
    step = found.next_step
    assert step == {"E9057": "write DeletionPolicy and UpdateReplacePolicy on the resource"}.get(rule, step) and len(step) > 20
    assert page in step or rule != "E3012"
    assert step in reports.text([found])
    assert step in json.loads(reports.sarif([found], {}))["runs"][0]["results"][0]["message"]["text"]
    assert step in reports.junit([found], {})


def test_a_rule_of_ours_without_a_next_step_would_be_seen() -> None:
    assert _rule.Rule.next_step == ""
    assert cfn_lint.next_step("E9057", "https://example.com") != cfn_lint.next_step("E3012", "https://example.com")
