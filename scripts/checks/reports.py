"""Findings as text for a person, SARIF 2.1.0 for code scanning, and JUnit XML for a CI system."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote
from xml.etree import ElementTree

from scripts.checks.finding import Finding

FORMATS = ("sarif", "junit")
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, by place."""
    return sorted(set(findings), key=lambda found: (found.path, found.line, found.column, found.rule, found.message))


def text(findings: Sequence[Finding]) -> str:
    """A line for each finding, with the next step below it, and which rules found how much."""
    lines: list[str] = []
    for found in findings:
        first, *more = found.message.splitlines() or [""]
        lines += [f"{found.place}: {found.level} {found.rule}: {first}", *(f"    {line.strip()}" for line in more)]
        lines += [f"    {name} {value}" for name, value in (("next:  ", found.next_step), ("source:", found.source)) if value]
    rules = Counter(found.rule for found in findings)
    files = len({found.path for found in findings})
    counted = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))
    return "\n".join([*lines, "", f"validate: {_plural(len(findings), 'finding')} in {_plural(files, 'file')} ({counted})"])


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def sarif(findings: Sequence[Finding], rules: Mapping[str, str]) -> str:
    """One run with every rule that is known and every finding.

    What code scanning needs of it: ruleId, message.text, and for each result one location with a relative artifactLocation.uri and region.startLine
    (https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support). A finding of a whole file stands on its first line.
    """
    known = dict(rules)
    sources: dict[str, str] = {}
    for found in findings:
        known.setdefault(found.rule, found.rule)
        if found.source:
            sources.setdefault(found.rule, found.source)
    index = {rule: number for number, rule in enumerate(known)}
    descriptors = [{"id": rule, "shortDescription": {"text": what}, **({"helpUri": sources[rule]} if rule in sources else {})} for rule, what in known.items()]
    seen: Counter[str] = Counter()
    results = []
    for found in findings:
        # Lines move with every edit above them: what stays is the rule, the file and the words.
        about = "\0".join([found.rule, found.path, found.message])
        seen[about] += 1
        region = {"startLine": max(found.line, 1), **({"startColumn": found.column} if found.column else {})}
        results.append(
            {
                "ruleId": found.rule,
                "ruleIndex": index[found.rule],
                "level": found.level,
                "message": {"text": _with_next_step(found)},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(found.path), "uriBaseId": "%SRCROOT%"}, "region": region}}],
                "partialFingerprints": {"finding/v1": f"{hashlib.sha256(about.encode()).hexdigest()[:32]}:{seen[about]}"},
            }
        )
    driver = {"name": "validate", "semanticVersion": "1.0.0", "rules": descriptors}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def junit(findings: Sequence[Finding], rules: Mapping[str, str]) -> str:
    """A test case for each rule that is known; a rule that found something is a failed one, with a failure for each place. Notes are output alone."""
    known = dict(rules)
    for found in findings:
        known.setdefault(found.rule, found.rule)
    by_rule = {rule: [found for found in findings if found.rule == rule] for rule in known}
    failed = sum(1 for places in by_rule.values() if any(found.level != "note" for found in places))
    suite = ElementTree.Element("testsuite", name="validate", tests=str(len(known)), failures=str(failed), errors="0", skipped="0")
    for rule, places in by_rule.items():
        case = ElementTree.SubElement(suite, "testcase", classname="validate", name=f"{rule} {known[rule]}" if known[rule] != rule else rule)
        for found in places:
            if found.level == "note":
                said = ElementTree.SubElement(case, "system-out")
            else:
                said = ElementTree.SubElement(case, "failure", type=found.level, message=f"{found.place}: {found.message}")
            said.text = "\n".join([f"{found.place}: {_with_next_step(found)}", *([found.source] if found.source else [])])
    suites = ElementTree.Element("testsuites", name="validate", tests=str(len(known)), failures=str(failed), errors="0")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode")


def _with_next_step(found: Finding) -> str:
    message = found.message or found.rule
    return f"{message}\nNext: {found.next_step}" if found.next_step else message
