"""YAML that says something else than its author meant, by yamllint and two rules of our own; nothing about how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from scripts.checks.finding import Finding
from scripts.core import documents
from scripts.core.errors import WrongUse

_YAMLLINT = "https://yamllint.readthedocs.io/en/stable/rules.html"
_TYPES = "https://yaml.org/type/"
RULES = {
    "syntax": "the file is YAML that can be loaded: one document, no list or mapping as a key",
    "key-duplicates": "no key is there twice: the last would win in silence",
    "truthy": "a boolean is written true or false: yes, no, on and off are booleans too, meant or not",
    "octal-values": "no number begins with 0: 0755 is 493 to YAML",
    "anchors": "every alias has its anchor, every anchor is used, none is defined twice",
    "empty-values": "no key stands without a value: it is null then",
    "float-values": "numbers are written out: no .5, .nan or .inf",
    "new-lines": "lines end as on Unix: a shell takes the other end for a part of the command",
    "yaml-version-number": "a version that ends in 0 is quoted: 3.10 is the number 3.1",
    "yaml-sexagesimal": "no plain value has digits and colons alone: 22:30 is the number 1350 to YAML 1.1",
}
SOURCES = {
    **{rule: f"{_YAMLLINT}#module-yamllint.rules.{rule.replace('-', '_')}" for rule in RULES if not rule.startswith("yaml-")},
    "syntax": _YAMLLINT,
    "yaml-version-number": f"{_TYPES}float.html",
    "yaml-sexagesimal": f"{_TYPES}int.html",
}
PATTERNS = (
    "templates/**/*.yaml",
    "parameters/**/*.y*ml",
    "buildspecs/**/*.y*ml",
    "appspecs/**/*.y*ml",
    ".github/**/*.y*ml",
    ".taskcat.yml",
    ".pre-commit-config.yaml",
    ".cfnlintrc",
)
_STEPS = {
    "key-duplicates": "keep one of the two",
    "truthy": "write true or false, or quote it",
    "octal-values": "quote it if it is text, or write the number without the 0",
    "empty-values": 'write a value, "" for none',
    "syntax": "correct that line; what other files expect of it is checked after that",
}
# What yamllint says by a rule's name, and no file is loaded with.
_NO_YAML = ("key-duplicates", "anchors")
_CONFIGURATION = Path(__file__).with_name("yamllint.yaml")
_VERSION_KEY = re.compile(r"version|python|nodejs|java|golang|ruby|php|dotnet", re.IGNORECASE)
_ENDS_IN_NOUGHT = re.compile(r"\d+\.\d*0")
_SEXAGESIMAL = re.compile(r"[-+]?[1-9]\d*(:[0-5]?\d)+(\.\d*)?")


def check(root: Path) -> Iterator[Finding]:
    """Every YAML file of the project but tests' own."""
    configuration = YamlLintConfig(_CONFIGURATION.read_text(encoding="utf-8"))
    for pattern in PATTERNS:
        for path in sorted(root.glob(pattern)):
            yield from _check_file(path.read_bytes(), path.relative_to(root).as_posix(), configuration)


def _check_file(content: bytes, where: str, configuration: YamlLintConfig) -> Iterator[Finding]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Finding("syntax", where, message=f"it is not UTF-8 text: {error.reason}", next_step="save it as UTF-8", source=SOURCES["syntax"])
        return
    problems = list(linter.run(text, configuration, where))
    # Of a file that is no YAML, everything else that is said is about what was made of it.
    for problem in [one for one in problems if one.rule is None][:1] or problems:
        rule = problem.rule or "syntax"
        step = _STEPS.get(rule, "correct that line")
        said = f"not YAML: {problem.desc.removeprefix('syntax error: ').removesuffix(' (syntax)')}" if rule == "syntax" else problem.desc
        yield Finding(rule, where, problem.line, problem.column, said, "error", step, SOURCES.get(rule, _YAMLLINT))
    try:
        documents.parse(text, where)
    except WrongUse as error:
        line, column = _place(error)
        if not any(one.rule is None or (one.rule in _NO_YAML and one.line == line) for one in problems):
            yield Finding("syntax", where, line, column, f"cannot be loaded: {error.reason}", "error", _STEPS["syntax"], SOURCES["syntax"])
        return
    yield from _numbers(yaml.compose(text, Loader=documents.SafeLoader), where)


def _place(error: WrongUse) -> tuple[int, int]:
    mark = getattr(error.__cause__, "problem_mark", None)
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _numbers(node: yaml.Node | None, where: str, key: str = "") -> Iterator[Finding]:
    """Plain values that YAML 1.1 takes for another number than what is written."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _numbers(value, where, name.value if isinstance(name, yaml.ScalarNode) else "")
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _numbers(item, where, key)
    elif isinstance(node, yaml.ScalarNode) and not node.style:
        rule = ""
        if _VERSION_KEY.search(key) and _ENDS_IN_NOUGHT.fullmatch(node.value) and str(float(node.value)) != node.value:
            rule, meaning = "yaml-version-number", str(float(node.value))
        elif _SEXAGESIMAL.fullmatch(node.value):
            rule, meaning = "yaml-sexagesimal", "a number of base 60"
        if rule:
            mark = node.start_mark
            message = f"{key}: {node.value} is {meaning} to YAML" if key else f"{node.value} is {meaning} to YAML"
            yield Finding(rule, where, mark.line + 1, mark.column + 1, message, next_step=f'write "{node.value}"', source=SOURCES[rule])
