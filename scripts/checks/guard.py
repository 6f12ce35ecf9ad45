"""The security policy (scripts/guard) and AWS's Control Tower rules, by cfn-guard, over the templates with their values put in."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.checks import guard_tool, resolved, tools
from scripts.checks.finding import Finding
from scripts.checks.tree import listing, mapping
from scripts.core import documents
from scripts.core.errors import CommandError

POLICY = Path(__file__).resolve().parents[1] / "guard"
CONTROL_TOWER = POLICY / "control-tower.json"
# 0 all is well, 19 a rule failed (https://github.com/aws-cloudformation/cloudformation-guard); 5 is a rule file that cannot be read.
_EXITS = (0, 19)
_RULE = re.compile(r"^rule (\w+)[^\n(]*", re.MULTILINE)
_MESSAGE = re.compile(r"<<(.*?)>>", re.DOTALL)
_FIELD = re.compile(r"^\W*(what|why|do|source):\s*(.*?)\W?$")
_CONTROL = re.compile(r"\[(CT\.[\w.]+)\]:\s*(.*?)\s*(?:\[FIX\]:\s*(.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Message:
    """What a rule of ours says when it fails."""

    what: str = ""
    why: str = ""
    step: str = ""
    source: str = ""


def messages_of(folder: Path = POLICY) -> dict[str, list[Message]]:
    """Rule → its messages, in the order of the files."""
    found: dict[str, list[Message]] = {}
    for path in sorted(folder.glob("*.guard")):
        text = path.read_text(encoding="utf-8")
        starts = [*_RULE.finditer(text)]
        for start, end in zip(starts, [*(match.start() for match in starts[1:]), len(text)], strict=True):
            found[start.group(1)] = [message_in(part) for part in _MESSAGE.findall(text[start.start() : end])]
    return found


def message_in(text: str) -> Message:
    """The message in cfn-guard's words: fields by lines, or by semicolons where it joins the lines."""
    fields = {match[1]: match[2] for line in re.split(r"\n|;\s{4,}", text) if (match := _FIELD.match(line.strip()))}
    return Message(fields.get("what", ""), fields.get("why", ""), fields.get("do", ""), fields.get("source", ""))


def control_tower() -> dict[str, Any]:
    """Which of Control Tower's rules are asked (rule → its file), and which not and why."""
    loaded: dict[str, Any] = json.loads(CONTROL_TOWER.read_text(encoding="utf-8"))
    return loaded


def _rules() -> tuple[dict[str, str], dict[str, str]]:
    rules, sources = {}, {}
    for rule, messages in messages_of().items():
        rules[rule], sources[rule] = rule.replace("_", " "), messages[0].source if messages else ""
    told = control_tower()
    for rule, file in told["asked"].items():
        number = file.rpartition("/")[2].upper().replace("-", ".")
        rules[rule], sources[rule] = f"AWS Control Tower's {number}", told["source"]
    return rules, sources


RULES, SOURCES = _rules()
_Failure = tuple[str, str, str]
_KNOWN: dict[tuple[tuple[Path, ...], str], list[_Failure]] = {}


def check(root: Path) -> Iterator[Finding]:
    """What fails, once for each place in a template, however many environments it fails for."""
    texts: dict[str, str] = {}
    seen: dict[tuple[str, str, str], Finding] = {}
    for template, rule, path, said in failures(documents_for_guard(root)):
        if rule in _suppressed(template.document, path):
            continue
        texts.setdefault(template.path, (root / template.path).read_text(encoding="utf-8"))
        if (rule, template.path, path) not in seen:
            where = f" (in {template.environment})" if template.environment else ""
            seen[rule, template.path, path] = _finding(rule, template.path, line_of(texts[template.path], path), said, where)
    yield from seen.values()


def _suppressed(document: Mapping[str, Any], path: str) -> Sequence[str]:
    """The rules that the resource at `path` says are not meant for it, where cfn-guard's own rule sets look for that; its reason stands beside it."""
    parts = path.strip("/").split("/")
    resource = mapping(document["Resources"].get(parts[1])) if len(parts) > 1 and parts[0] == "Resources" else {}
    return [str(rule) for rule in listing(mapping(mapping(resource.get("Metadata")).get("guard")).get("SuppressedRules"))]


def documents_for_guard(root: Path) -> list[resolved.Resolved]:
    """The templates with their values; Regions of an environment that differ in nothing but their name are one."""
    found: dict[str, resolved.Resolved] = {}
    for template in resolved.documents_of(root):
        text = json.dumps(template.document["Resources"], default=str)
        found.setdefault("\0".join([template.path, template.environment, text.replace(template.region or "\0", "")]), template)
    return list(found.values())


def failures(templates: Sequence[resolved.Resolved]) -> Iterator[tuple[resolved.Resolved, str, str, str]]:
    """(template, rule, place as /Resources/Bucket/…, cfn-guard's message) of every clause that fails."""
    tool = guard_tool.tool()
    files = (POLICY, *(tool.control_tower / f"{file}.guard" for file in control_tower()["asked"].values()))
    texts = {template: _text(template) for template in templates}
    # Whoever asks again after an edit (the seeded defects do, a hundred times) waits for what was edited alone.
    new = [text for text in dict.fromkeys(texts.values()) if (files, text) not in _KNOWN]
    for text, failed in zip(new, _ask(tool.program, files, new), strict=True):
        _KNOWN[files, text] = failed
    for template, text in texts.items():
        for rule, path, said in _KNOWN[files, text]:
            yield template, rule, path, said


def _text(template: resolved.Resolved) -> str:
    added = {"Environment": template.environment, "Template": template.path}
    return json.dumps({**_listed(template.document), "Validated": added}, default=str)


def _ask(program: Path, files: Sequence[Path], texts: Sequence[str]) -> list[list[_Failure]]:
    """For each document its failures, by one run of cfn-guard over all."""
    if not texts:
        return []
    with tempfile.TemporaryDirectory(prefix="validate-guard-") as name:
        folder = Path(name)
        for number, text in enumerate(texts):
            (folder / f"{number:04}.json").write_text(text, encoding="utf-8")
        command: list[str | Path] = [program, "validate", "--structured", "--output-format", "json", "--show-summary", "none", "--data", folder]
        reports = json.loads(tools.run([*command, *(part for file in files for part in ("--rules", file))], folder, _EXITS))
    _require_all_asked(reports)
    found: list[list[_Failure]] = [[] for _ in texts]
    for report in reports:
        for failed in report["not_compliant"]:
            rule = failed["Rule"]
            found[int(Path(report["name"]).stem)] += [(rule["name"], path, said) for path, said in dict.fromkeys(_clauses(rule))]
    return found


def _require_all_asked(reports: Sequence[Mapping[str, Any]]) -> None:
    """cfn-guard leaves out a rule file that it cannot read, and goes on: what it was not asked must not look like what it found good."""
    asked = {
        rule
        for report in reports
        for rule in (*report["compliant"], *report["not_applicable"], *(failed["Rule"]["name"] for failed in report["not_compliant"]))
    }
    missing = sorted(set(RULES) - asked) if reports else []
    if missing:
        raise CommandError(
            f"cfn-guard did not ask {', '.join(missing)}", "it cannot read the file that they are in", "cfn-guard parse-tree --rules <file> shows where"
        )


def _listed(node: Any) -> Any:
    """IAM takes one statement, action or resource for a list of one; a rule would have to ask both ways, each time."""
    if isinstance(node, Mapping):
        return {
            key: [value] if key == "Statement" and isinstance(value, Mapping) else value
            for key, value in ((key, _listed(value)) for key, value in node.items())
        }
    return [_listed(item) for item in node] if isinstance(node, list) else node


def _clauses(node: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """(place, message) of each clause below a rule of cfn-guard's report; a clause without words has those above it."""
    if isinstance(node, list):
        for item in node:
            yield from _clauses(item, above)
    elif isinstance(node, dict):
        if isinstance(node.get("checks"), list):
            yield from _clauses(node["checks"], (node.get("messages") or {}).get("custom_message") or above)
            return
        if "messages" in node:
            yield _path(node), node["messages"].get("custom_message") or above
            return
        for value in node.values():
            yield from _clauses(value, above)


def _path(node: Any) -> str:
    """The first place that a clause's report names."""
    if isinstance(node, dict):
        if isinstance(node.get("path"), str) and node["path"]:
            return str(node["path"])
        return next((path for value in node.values() if (path := _path(value))), "")
    return ""


def _finding(rule: str, path: str, line: int, said: str, where: str) -> Finding:
    control = _CONTROL.search(said.strip())
    if control:
        message = f"{control[1]}: {control[2].strip()}{where}"
        return Finding(rule, path, line, message=message, next_step=(control[3] or "").strip(" ;\n"), source=SOURCES.get(rule, ""))
    told = message_in(said)
    if not told.what:
        told = next(iter(messages_of().get(rule, [])), Message(what=rule.replace("_", " ")))
    message = f"{told.what}{where}" + (f"; {told.why}" if told.why else "")
    return Finding(rule, path, line, message=message, next_step=told.step, source=told.source)


def line_of(text: str, path: str) -> int:
    """The line of a place like /Resources/Bucket/Properties/X in a template's text: as deep as the text goes (a Fn::If is not in the path)."""
    try:
        node = yaml.compose(text, Loader=documents.SafeLoader)
    except yaml.YAMLError:
        return 0
    line = 0
    for step in path.strip("/").split("/") if path.strip("/") else ():
        below = _step(node, step)
        if below is None:
            break
        line, node = below
    return line


def _step(node: yaml.Node | None, step: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value) and not node.tag.startswith("!"):
        item = node.value[int(step)]
        return item.start_mark.line + 1, item
    return None
