"""Buildspecs, AppSpec files, parameters files and .taskcat.yml against their schemas (`schemas/`), and against what a schema cannot say.

Files that are no YAML are left to `validate`, which reads every one.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import yaml

from scripts.checks.finding import Finding
from scripts.checks.tree import Step, Tree, listing, mapping, node_of
from scripts.core.settings import did_you_mean

BUILDSPEC = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"
APPSPEC = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html"
HOOKS = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html"
FILES = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-files.html"
PERMISSIONS = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-permissions.html"
TASKCAT = "https://aws-ia.github.io/taskcat/docs/schema/taskcat_schema/"

RULES = {
    "buildspec-schema": "A buildspec has the keys and values that CodeBuild's reference names.",
    "buildspec-version": "A buildspec that uses env or finally says version 0.2: version 0.1 runs each command in a shell of its own and knows neither.",
    "buildspec-variable-name": "A buildspec sets and exports no variable whose name CodeBuild keeps for itself.",
    "buildspec-without-commands": "Some phase of a buildspec has a command.",
    "appspec-schema": "An AppSpec file has the keys and values that CodeDeploy's reference and agent know.",
    "appspec-hook-name": "Each hook of an AppSpec file is a lifecycle event that scripts may run in.",
    "appspec-hook-timeout": "The scripts of one lifecycle event have at most 3,600 seconds together.",
    "appspec-hook-script": "Each hook's script is in the folder that becomes the bundle.",
    "appspec-hook-line-ends": "The lines of a hook's script end as Linux ends them: with CR no interpreter is found.",
    "appspec-destination": "Where `files` go is an absolute path.",
    "appspec-mode": "A mode of an AppSpec file is one to four octal digits, in quotes: YAML reads 0640 as 416.",
    "appspec-permissions": "Only Linux takes permissions.",
    "parameters-schema": "A parameters file has the keys that `scripts/core/settings.py` reads.",
    "taskcat-schema": ".taskcat.yml has the keys that taskcat reads.",
}

SERVER_EVENTS = (
    "ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService",
    "BeforeBlockTraffic", "AfterBlockTraffic", "BeforeAllowTraffic", "AfterAllowTraffic",
)
RESERVED_EVENTS = ("Start", "DownloadBundle", "Install", "BlockTraffic", "AllowTraffic", "End")
HOOK_SECONDS = 3600

_BUILDSPECS = ("buildspecs/**/*.yml", "buildspecs/**/*.yaml")
_APPSPECS = ("appspecs/**/appspec.yml", "appspecs/**/appspec.yaml")
_NOT_EXPORTED = ("AWS_",)
_NOT_SET = ("CODEBUILD_",)


def check(root: Path) -> Iterable[Finding]:
    """Everything that is wrong with the shapes of the files under `root`."""
    tree = Tree(root)
    for path in tree.glob(*_BUILDSPECS):
        yield from buildspec(tree, path)
    for path in tree.glob(*_APPSPECS):
        yield from appspec(tree, path)
    for path in tree.glob("parameters/**/*.yaml"):
        yield from against(tree, path, "parameters", tree.yaml(path), "parameters-schema", "")
    if tree.has(".taskcat.yml"):
        yield from against(tree, ".taskcat.yml", "taskcat", tree.typed(".taskcat.yml"), "taskcat-schema", TASKCAT)


# Schemas


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    text = (Path(__file__).parent / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def against(tree: Tree, path: str, schema: str, document: Any, rule: str, source: str) -> Iterator[Finding]:
    """What of a document its schema does not take, a finding for each place. None (not readable) is left alone."""
    if document is None:
        return
    for error in sorted(_validator(schema).iter_errors(document), key=lambda error: [str(step) for step in error.absolute_path]):
        for steps, what, next_step in _sentences(error):
            place = tree.place(path, steps)
            where = ".".join(str(step) for step in steps) or "the file"
            yield Finding(rule, path, place.line, 0, f"{where}: {what}", next_step=next_step, source=source)


def _sentences(error: jsonschema.ValidationError) -> Iterator[tuple[tuple[Step, ...], str, str]]:
    """(steps, what is wrong, next step) of one error of a schema; one for each key that must not be there."""
    steps: tuple[Step, ...] = tuple(error.absolute_path)
    schema, value = mapping(error.schema), error.instance
    if error.validator == "additionalProperties" and isinstance(value, dict):
        known = list(mapping(schema.get("properties")))
        for key in value:
            if key not in known:
                yield (*steps, str(key)), f"there is no such key{did_you_mean(str(key), known)}", f"the keys here are {', '.join(known)}"
    elif error.validator == "required":
        missing = [key for key in listing(error.validator_value) if key not in mapping(value)]
        yield steps, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", f"add {missing[0]}:" if missing else ""
    elif error.validator in ("enum", "const"):
        allowed = listing(error.validator_value) if error.validator == "enum" else [error.validator_value]
        told = schema.get("description") or "one of " + ", ".join(str(one) for one in allowed)
        near = did_you_mean(value, [str(one) for one in allowed]) if isinstance(value, str) else ""
        yield steps, f"{value!r} is not {told}{near}", "correct the value"
    elif error.validator == "type" and isinstance(value, dict) and "string" in str(error.validator_value):
        # `- echo done: all` is a mapping to YAML; CodeBuild says the same.
        key = next(iter(value), "")
        yield steps, f"it must be text, and a colon makes it a mapping ({key!r}: …)", "put the whole line in quotes"
    elif error.validator == "type":
        kinds = {"object": "a mapping", "array": "a list", "string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false"}
        wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        told = schema.get("description") or " or ".join(kinds.get(str(kind), str(kind)) for kind in wanted if kind != "null")
        yield steps, f"it must be {told}, and is {'empty' if value in ('', None) else repr(value)}", "correct the value"
    elif error.validator == "propertyNames" or (error.parent and error.parent.validator == "propertyNames"):
        yield (*steps, str(value)), f"{value!r} is not {schema.get('description', 'a name that is taken here')}", "correct the name"
    else:
        told = schema.get("description")
        yield steps, f"{value!r} is not {told}" if told else error.message, "correct the value"


# Buildspecs


def buildspec(tree: Tree, path: str) -> Iterator[Finding]:
    """What is wrong with one buildspec."""
    document = tree.yaml(path)
    yield from against(tree, path, "buildspec", document, "buildspec-schema", BUILDSPEC)
    document = mapping(document)
    phases, env = mapping(document.get("phases")), mapping(document.get("env"))

    def finding(rule: str, steps: Sequence[Step], message: str, next_step: str) -> Finding:
        return Finding(rule, path, tree.place(path, steps).line, 0, message, next_step=next_step, source=BUILDSPEC)

    if document.get("version") == "0.1":
        newer = ["env"] * ("env" in document) + [f"phases.{name}.finally" for name, phase in phases.items() if "finally" in mapping(phase)]
        if newer:
            told = f"version 0.1 does not know {' and '.join(newer)}, and runs each command in a shell of its own"
            yield finding("buildspec-version", ("version",), told, "write version: 0.2")
    for kind in ("variables", "parameter-store", "secrets-manager"):
        for name in mapping(env.get(kind)):
            if str(name).startswith(_NOT_SET):
                yield finding("buildspec-variable-name", ("env", kind, name), f"{name} begins as the names that CodeBuild sets itself", "rename it")
    for index, name in enumerate(listing(env.get("exported-variables"))):
        if str(name).startswith(_NOT_EXPORTED):
            told = f"{name} cannot be exported: no variable that begins with AWS_ can"
            yield finding("buildspec-variable-name", ("env", "exported-variables", index), told, "export it under another name")
    if phases and all(mapping(phase).get("commands", []) == [] for phase in phases.values()):
        yield finding("buildspec-without-commands", ("phases",), "no phase has a command: there is nothing to build", "add commands")


# AppSpec files


def appspec(tree: Tree, path: str) -> Iterator[Finding]:
    """What is wrong with one AppSpec file; those of Amazon ECS are not looked at."""
    document = tree.typed(path)
    if document is None:
        return
    kinds = {str(mapping(kind).get("Type")) for one in listing(mapping(document).get("Resources")) for kind in mapping(one).values()}
    if "AWS::ECS::Service" in kinds:
        return
    if "Resources" in mapping(document):
        yield from against(tree, path, "appspec-lambda", document, "appspec-schema", APPSPEC)
        return
    yield from against(tree, path, "appspec-server", document, "appspec-schema", APPSPEC)
    document = mapping(document)
    linux = document.get("os") == "linux"
    yield from _hooks(tree, path, mapping(document.get("hooks")), linux)
    for index, entry in enumerate(listing(document.get("files"))):
        given = mapping(entry).get("destination")
        absolute = str(given).startswith("/") if linux else bool(re.match(r"[A-Za-z]:[\\/]", str(given)))
        if isinstance(given, str) and given and not absolute:
            told = f"files.{index}: the destination {given!r} is no absolute path: it would depend on where the agent was started"
            yield Finding("appspec-destination", path, tree.place(path, ("files", index, "destination")).line, 0, told,
                          next_step=f"write {'/' if linux else 'C:/'}{given}", source=FILES)
    yield from _permissions(tree, path, listing(document.get("permissions")), linux)


def _hooks(tree: Tree, path: str, hooks: dict[str, Any], linux: bool) -> Iterator[Finding]:
    folder = PurePosixPath(path).parent

    def finding(rule: str, steps: Sequence[Step], message: str, next_step: str) -> Finding:
        return Finding(rule, path, tree.place(path, ("hooks", *steps)).line, 0, message, next_step=next_step, source=HOOKS)

    for event, scripts in hooks.items():
        if event in RESERVED_EVENTS:
            told = f"{event} is CodeDeploy's own: no script runs in it, and nobody says so"
            yield finding("appspec-hook-name", (event,), told, f"use one of {', '.join(SERVER_EVENTS)}")
        elif event not in SERVER_EVENTS:
            told = f"there is no lifecycle event {event}{did_you_mean(str(event), SERVER_EVENTS)}: its scripts would never run, and nobody says so"
            yield finding("appspec-hook-name", (event,), told, f"use one of {', '.join(SERVER_EVENTS)}")
        seconds = [_seconds(mapping(script).get("timeout")) for script in listing(scripts)]
        # A script without a timeout may take the whole time, which alone is no fault.
        if len(seconds) > 1 and sum(seconds) > HOOK_SECONDS:
            told = f"the scripts of {event} may take {sum(seconds)} s together; a lifecycle event has {HOOK_SECONDS} s"
            yield finding("appspec-hook-timeout", (event,), told, "lower the timeouts")
        for index, script in enumerate(listing(scripts)):
            location = mapping(script).get("location")
            if not isinstance(location, str) or not location:
                continue
            file = (folder / location).as_posix()
            if not tree.has(file):
                near = did_you_mean(file, tree.glob(f"{folder}/**/*"))
                told = f"{event} runs {location}, and {file} does not exist{near}"
                yield finding("appspec-hook-script", (event, index, "location"), told, "correct the path")
            elif linux and b"\r\n" in (tree.root / file).read_bytes():
                told = f"{file}, which {path} runs at {event}, ends its lines with CR LF: the kernel looks for an interpreter called 'sh\\r'"
                yield Finding("appspec-hook-line-ends", file, 1, 0, told, next_step=f"sed -i 's/\\r$//' {file}", source=HOOKS)


def _seconds(value: Any) -> int:
    return int(value) if str(value).isdigit() else 0


def _permissions(tree: Tree, path: str, permissions: list[Any], linux: bool) -> Iterator[Finding]:
    def finding(rule: str, steps: Sequence[Step], message: str, next_step: str) -> Finding:
        return Finding(rule, path, tree.place(path, ("permissions", *steps)).line, 0, message, next_step=next_step, source=PERMISSIONS)

    if permissions and not linux:
        yield finding("appspec-permissions", (), "a deployment to Windows fails over permissions", "remove the section, or write os: linux")
    for index, entry in enumerate(permissions):
        if "mode" not in mapping(entry):
            continue
        node = node_of(tree.text(path), ("permissions", index, "mode"))
        written = node.value if isinstance(node, yaml.ScalarNode) else ""
        value = mapping(entry)["mode"]
        if isinstance(value, int) and str(value) != written:
            told = f"mode {written} without quotes is the number {value} to YAML, and {value} is what the agent takes for the mode"
            yield finding("appspec-mode", (index, "mode"), told, f'write "{written}"')
        elif not re.fullmatch(r"[0-7]{1,4}", str(value)):
            yield finding("appspec-mode", (index, "mode"), f"mode {value!r} is not one to four octal digits", 'write it as "0644"')
