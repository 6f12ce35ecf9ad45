"""What validate writes: text for people, SARIF that code scanning takes, JUnit; and that no check is missed in silence."""

from __future__ import annotations

import json
import types
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from scripts import validate
from scripts.checks import catalogue, cfn_lint, reports, tools
from scripts.checks.finding import Finding
from scripts.core.errors import CommandError

FINDINGS = [
    Finding("key-duplicates", "parameters/prod.yaml", 12, 3, "FleetSize is there twice", next_step="keep one", source="https://example.com/a"),
    Finding("buildspec-schema", "buildspecs/a b.yaml", message="it has no phases", level="warning"),
    Finding("key-duplicates", "parameters/prod.yaml", 14, 3, "FleetSize is there twice", next_step="keep one"),
]
RULES = {"key-duplicates": "no key is there twice", "truthy": "a boolean is true or false"}

# What SARIF 2.1.0 requires (https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json) and what code scanning
# needs beyond (https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support), for the parts that are written.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}, "additionalProperties": False}
REGION = {
    "type": "object",
    "required": ["startLine"],
    "properties": {"startLine": {"type": "integer", "minimum": 1}, "startColumn": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}
LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    # relative, no blanks, nothing that leaves the repository
                    "properties": {"uri": {"type": "string", "pattern": r"^(?!/|[a-z]+:|.*\.\./)[^\s\\]+$"}, "uriBaseId": {"const": "%SRCROOT%"}},
                },
                "region": REGION,
            },
        }
    },
}
SARIF = {
    "type": "object",
    "required": ["version", "runs", "$schema"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {"type": "object", "required": ["id", "shortDescription"], "properties": {"shortDescription": TEXT}},
                                    }
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {
                        "type": "array",
                        "maxItems": 25000,
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "message", "locations", "level"],
                            "properties": {
                                "message": TEXT,
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "locations": {"type": "array", "minItems": 1, "maxItems": 10, "items": LOCATION},
                                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_text_names_the_place_the_rule_and_the_next_step() -> None:
    assert reports.text(reports.ordered(FINDINGS)).splitlines() == [
        "buildspecs/a b.yaml: warning buildspec-schema: it has no phases",
        "parameters/prod.yaml:12:3: error key-duplicates: FleetSize is there twice",
        "    next:   keep one",
        "    source: https://example.com/a",
        "parameters/prod.yaml:14:3: error key-duplicates: FleetSize is there twice",
        "    next:   keep one",
        "",
        "validate: 3 findings in 2 files (buildspec-schema 1, key-duplicates 2)",
    ]


def test_sarif_is_what_code_scanning_takes() -> None:
    document = json.loads(reports.sarif(FINDINGS, RULES))
    jsonschema.Draft7Validator.check_schema(SARIF)
    jsonschema.validate(document, SARIF)
    run = document["runs"][0]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert ids == ["key-duplicates", "truthy", "buildspec-schema"]
    assert [ids[result["ruleIndex"]] for result in run["results"]] == [result["ruleId"] for result in run["results"]] == [f.rule for f in FINDINGS]
    # The same words in one file twice are two alerts.
    assert len({json.dumps(result["partialFingerprints"]) for result in run["results"]}) == 3
    assert run["results"][1]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "buildspecs/a%20b.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 1},
    }
    jsonschema.validate(json.loads(reports.sarif([], RULES)), SARIF)


def test_an_alert_stays_the_same_when_lines_move() -> None:
    def fingerprints(line: int) -> list[dict[str, str]]:
        moved = Finding("truthy", "parameters/prod.yaml", line, message="yes is a boolean")
        return [result["partialFingerprints"] for result in json.loads(reports.sarif([moved], RULES))["runs"][0]["results"]]

    assert fingerprints(3) == fingerprints(30)


def test_junit_has_a_case_for_each_rule_and_a_failure_for_each_place() -> None:
    suites = ElementTree.fromstring(reports.junit(FINDINGS, RULES).encode())
    suite = suites[0]
    assert (suites.tag, suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuites", "testsuite", "3", "2")
    assert [(case.get("name"), len(case)) for case in suite] == [
        ("key-duplicates no key is there twice", 2),
        ("truthy a boolean is true or false", 0),
        ("buildspec-schema", 1),
    ]
    assert "Next: keep one" in (suite[0][0].text or "")


def test_a_note_is_no_failure() -> None:
    note = Finding("W9060", "templates/a.yaml", 3, message="x is not in the table", level="note")
    suite = ElementTree.fromstring(reports.junit([note], RULES).encode())[0]
    assert suite.get("failures") == "0"
    assert [(said.tag, said.text) for case in suite for said in case] == [("system-out", "templates/a.yaml:3: x is not in the table")]
    assert json.loads(reports.sarif([note], RULES))["runs"][0]["results"][0]["level"] == "note"


def test_a_check_that_could_not_be_made_is_a_finding(tmp_path: Path) -> None:
    def missing(root: Path) -> list[Finding]:
        raise CommandError("shellcheck is not installed beside this Python", "bin/shellcheck", "make setup")

    broken = types.ModuleType("scripts.checks.broken")
    broken.RULES, broken.check = {"broken": "x"}, missing  # type: ignore[attr-defined]
    (found,) = validate.ask(tmp_path, [broken])
    assert (found.rule, found.path, found.next_step) == ("not-checked", "scripts/checks/broken.py", "make setup")
    assert "shellcheck is not installed" in found.message


def test_a_check_that_breaks_off_costs_the_others_nothing(tmp_path: Path) -> None:
    def breaks(root: Path) -> list[Finding]:
        raise IsADirectoryError("templates/x.yaml")

    broken, other = types.ModuleType("scripts.checks.broken"), types.ModuleType("scripts.checks.other")
    broken.check, other.check = breaks, lambda root: [Finding("other", "a")]  # type: ignore[attr-defined]
    found = list(validate.ask(tmp_path, [broken, other]))
    assert [one.rule for one in found] == ["not-checked", "other"]
    assert "IsADirectoryError: templates/x.yaml" in found[0].message


def test_every_check_is_discovered_and_no_rule_has_two_owners() -> None:
    modules = validate.discover()
    names = {module.__name__.rpartition(".")[2] for module in modules}
    assert {"cfn_lint", "guard", "parameters", "yaml_style", "shell", "dockerfiles"} <= names
    rules = [rule for module in modules for rule in module.RULES]
    assert len(rules) == len(set(rules))
    assert all(len(what) > 10 for module in modules for what in module.RULES.values())


def test_a_program_that_ends_otherwise_is_not_taken_for_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match=r"sh did not run \(exit 3\)") as refused:
        tools.run(["sh", "-c", "echo why >&2; exit 3"], tmp_path, (0, 1))
    assert refused.value.reason == "why"
    monkeypatch.setattr(tools, "_LONGEST_SECONDS", 0.01)
    with pytest.raises(CommandError, match="sleep did not end within"):
        tools.run(["sleep", "60"], tmp_path, (0,))
    with pytest.raises(CommandError, match="no-such-program is not installed"):
        tools.program("no-such-program")


def test_cfn_lints_matches_become_findings() -> None:
    match = {
        "Filename": "templates/a.yaml",
        "Level": "Informational",
        "Location": {"Start": {"LineNumber": 4, "ColumnNumber": 5}},
        "Message": "m",
        "Rule": {"Id": "I1022", "Source": "https://example.com"},
    }
    step = cfn_lint.next_step("I1022", "https://example.com")
    assert cfn_lint.finding(match) == Finding("I1022", "templates/a.yaml", 4, 5, "m", "warning", step, "https://example.com")


def test_the_page_lists_what_is_asked() -> None:
    page = (Path(__file__).resolve().parents[2] / catalogue.PAGE).read_text(encoding="utf-8")
    assert page == catalogue.put_in(page, catalogue.table(validate.discover())), "python -m scripts.validate --document writes it anew"
    with pytest.raises(ValueError, match="no place for the list"):
        catalogue.put_in("nothing", "list")
