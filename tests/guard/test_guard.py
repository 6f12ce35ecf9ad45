"""The security policy: each rule passes what is as it should be and refuses what is not; and which of Control Tower's rules are asked is decided."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts.checks import guard, guard_tool, resolved
from scripts.checks.finding import Finding
from scripts.core.errors import CommandError

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted(Path(__file__).parent.glob("*.yaml"))
STORE = ROOT / "templates/release-store.yaml"


def test_every_rule_has_a_case_that_it_passes_and_one_that_it_refuses() -> None:
    files = {path.stem for path in guard.POLICY.glob("*.guard")}
    assert {path.stem for path in CASES} == files
    expected = [(rule, outcome) for path in CASES for case in yaml.safe_load(path.read_text()) for rule, outcome in case["expectations"]["rules"].items()]
    for rule in guard.messages_of():
        outcomes = {outcome for name, outcome in expected if name == rule}
        assert "FAIL" in outcomes, rule
        assert outcomes & {"PASS", "SKIP"}, rule


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_the_rules_decide_their_cases(cases: Path) -> None:
    command = [guard_tool.tool().program, "test", "--rules-file", guard.POLICY / f"{cases.stem}.guard", "--test-data", cases]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    wrong = [line.strip() for line in done.stdout.splitlines() if "Evaluated = " in line]
    assert (done.returncode, wrong, done.stderr) == (0, [], "")


def test_every_message_says_what_why_what_to_do_and_who_says_so() -> None:
    for rule, messages in guard.messages_of().items():
        assert messages, rule
        for message in messages:
            assert all((message.what, message.why, message.step)), rule
            assert message.source.startswith("https://docs.aws.amazon.com/"), rule


def _edited(folder: Path, *edits: tuple[str, str]) -> list[Finding]:
    """What is found in the release store with some edits, each of which must be to something that is there."""
    text = STORE.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (folder / "templates").mkdir()
    (folder / "templates/release-store.yaml").write_text(text)
    return list(guard.check(folder))


def test_a_finding_stands_on_the_line_that_is_wrong(tmp_path: Path) -> None:
    found = _edited(tmp_path, ("ImageTagMutability: IMMUTABLE", "ImageTagMutability: MUTABLE"))
    line = next(number for number, text in enumerate((tmp_path / "templates/release-store.yaml").read_text().splitlines(), 1) if "MUTABLE" in text)
    assert {(finding.rule, finding.path, finding.line) for finding in found} == {
        ("image_tags_are_immutable", "templates/release-store.yaml", line),
        ("ecr_private_tag_immutability_enabled_check", "templates/release-store.yaml", line),
    }
    ours = next(finding for finding in found if finding.rule == "image_tags_are_immutable")
    assert (ours.message, ours.next_step) == (
        "image tags can be moved; the same tag then is one image in gamma and another in prod",
        "set ImageTagMutability: IMMUTABLE",
    )


def test_a_statement_that_is_no_list_is_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/role.yaml").write_text(
        "Resources:\n  Role:\n    Type: AWS::IAM::Role\n    Properties:\n      AssumeRolePolicyDocument:\n        Statement:\n"
        "          Effect: Allow\n          Action: sts:AssumeRole\n          Principal: '*'\n"
    )
    assert [(finding.rule, finding.line) for finding in guard.check(tmp_path)] == [("roles_are_not_everybodys", 6)]


def test_a_resource_can_say_that_a_rule_is_not_meant_for_it(tmp_path: Path) -> None:
    rules = "[image_tags_are_immutable, ecr_private_tag_immutability_enabled_check]"
    suppressed = f"    Type: AWS::ECR::Repository\n    Metadata:\n      guard: {{ SuppressedRules: {rules} }}\n"
    edits = (("    Type: AWS::ECR::Repository\n", suppressed), ("ImageTagMutability: IMMUTABLE", "ImageTagMutability: MUTABLE"))
    assert _edited(tmp_path, *edits) == []


def test_every_suppression_in_the_templates_has_its_reason_above_it() -> None:
    for path in (ROOT / "templates").rglob("*.yaml"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            assert "SuppressedRules" not in line or lines[number - 1].lstrip().startswith("#"), f"{path.name}:{number + 1}"


def test_each_of_control_towers_rules_is_asked_or_left_out_with_a_reason_or_about_nothing_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    told = guard.control_tower()
    folder = guard_tool.tool().control_tower
    every = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.guard")}
    asked = set(told["asked"].values())
    assert asked < every
    assert not set(told["asked"]) & set(told["not_asked"])
    assert all(len(reason) > 20 for reason in told["not_asked"].values())
    templates = [template for template in guard.documents_for_guard(ROOT) if template.environment in {"prod", "pipeline", ""}]
    types = {resource["Type"] for template in templates for resource in template.document["Resources"].values()}
    # The rest is asked here, as far as it is about types that are there; what then fails must be left out with a reason.
    about = {path for path in every - asked if types & set(re.findall(r"AWS::\w+::\w+", (folder / f"{path}.guard").read_text()))}
    monkeypatch.setattr(guard, "control_tower", lambda: {"asked": {path: path for path in sorted(about)}})
    monkeypatch.setattr(guard, "RULES", {})
    first = [template for template in templates if template.region in {"us-east-1", ""}]
    failing = {rule for _, rule, _, _ in guard.failures(first)} - set(guard.messages_of())
    # It does find what is left out.
    assert "ecr_private_lifecycle_policy_configured_check" in failing
    assert failing <= set(told["not_asked"]), failing - set(told["not_asked"])


def test_values_are_put_in_and_conditions_decided() -> None:
    templates = {(template.path, template.environment, template.region): template.document for template in resolved.documents_of(ROOT)}
    fleet = templates["templates/environment/fleet.yaml", "prod", "us-east-1"]["Resources"]
    assert fleet["HostLogGroup"]["Properties"]["RetentionInDays"] == "90"
    balancer = templates["templates/environment/load-balancer.yaml", "prod", "us-east-1"]["Resources"]
    # prod has no certificate here, so its HTTPS listener is not made
    assert "HttpsListener" not in balancer
    assert balancer["HttpListener"]["Properties"]["DefaultActions"][0]["Type"] == "forward"
    every = {path.relative_to(ROOT).as_posix() for path in (ROOT / "templates").rglob("*.yaml")}
    assert {path for path, _, _ in templates} == every


def test_a_rule_file_that_cannot_be_read_is_an_error_and_not_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "broken.guard").write_text("rule image_tags_are_immutable { this is no rule }\n")
    monkeypatch.setattr(guard, "POLICY", policy)
    monkeypatch.setattr(guard, "control_tower", lambda: {"asked": {}})
    with pytest.raises(CommandError, match=r"image_tags_are_immutable|did not run"):
        _edited(tmp_path)


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_tool.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    with pytest.raises(CommandError) as refused:
        guard_tool.tool()
    assert (refused.value.what, refused.value.next_step) == ("cfn-guard is not installed", "make setup")
