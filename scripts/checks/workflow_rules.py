"""Workflows on pull requests and pre-commit hooks: what they run, as whom, and what a stranger's pull request could do with them.

Workflows on pull requests run the same `make` targets as people and nothing else, so that a check is the same everywhere. What only other events
start (a tag, a release, a schedule, a person) may need secrets, rights and commands of its own; it is asked the rest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.checks.finding import Finding
from scripts.checks.tree import Step, Tree, listing, mapping, walk

SECURE = "https://docs.github.com/en/actions/reference/security/secure-use"
SYNTAX = "https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax"
EVENTS = "https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows"
SECRETS = "https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets"
CHECKOUT = "https://github.com/actions/checkout#usage"
PRE_COMMIT = "https://pre-commit.com/#repository-local-hooks"

RULES = {
    "workflow-action-pinned": "Actions of others are pinned to a whole commit: a tag can be moved to other code.",
    "workflow-action-version": "The release behind a pinned commit is in a comment, for people and for update tools.",
    "workflow-permissions": "The token of what runs on pull requests has no permission, and each job what it uses: read, and for SARIF security-events: write.",
    "workflow-timeout": "Each job has a timeout of at most 120 minutes: GitHub's own is six hours.",
    "workflow-concurrency": "A workflow on pull requests says what a newer run does to an older one.",
    "workflow-trigger": "No workflow runs a stranger's code with the repository's rights: no pull_request_target, no workflow_run.",
    "workflow-injection": "No command has a ${{ … }} in it: its text becomes part of the script, whoever wrote it.",
    "workflow-secret": "No workflow on pull requests takes a secret: what runs there needs none.",
    "workflow-credentials": "A checkout keeps no credentials: git would have them in all later steps (up to v5 in .git, and so in what is uploaded).",
    "workflow-command": "Workflows on pull requests run `make` and nothing else, as people do.",
    "workflow-target": "Every target that a workflow makes is in the Makefile.",
    "workflow-runner": "A runner has a version: `-latest` becomes another system from one day to the next.",
    "workflow-silenced": "No step or job may fail in silence (continue-on-error).",
    "pre-commit-local": "Hooks before a commit are the project's own: `make` targets that exist, and nothing fetched.",
}
SOURCES = {
    "workflow-action-pinned": SECURE,
    "workflow-action-version": SECURE,
    "workflow-permissions": SYNTAX + "#permissions",
    "workflow-timeout": SYNTAX + "#jobsjob_idtimeout-minutes",
    "workflow-concurrency": SYNTAX + "#concurrency",
    "workflow-trigger": EVENTS + "#pull_request_target",
    "workflow-injection": SECURE,
    "workflow-secret": SECRETS,
    "workflow-credentials": CHECKOUT,
    "workflow-command": SYNTAX + "#jobsjob_idstepsrun",
    "workflow-target": SYNTAX + "#jobsjob_idstepsrun",
    "workflow-runner": SYNTAX + "#jobsjob_idruns-on",
    "workflow-silenced": SYNTAX + "#jobsjob_idcontinue-on-error",
    "pre-commit-local": PRE_COMMIT,
}

_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_VERSION = re.compile(r"#\s*v?\d+(\.\d+)*\b")
_OTHERS_RIGHTS = ("pull_request_target", "workflow_run")
# What a stranger's pull request may start; merge_group and workflow_call run what another workflow on it started.
_STRANGERS = frozenset({"pull_request", "merge_group", "workflow_call", *_OTHERS_RIGHTS})
_UPLOADS_SARIF = "github/codeql-action/upload-sarif@"
# In a private repository, where code scanning is paid for, it asks for actions: read too.
_OF_SARIF = {("security-events", "write"), ("actions", "read")}
_MOST_MINUTES = 120
# make, as root with the step's own PATH where it has to be, into a file where wanted; one command a line.
_AS_ROOT = 'sudo -E env "PATH=$PATH" '
_INTO = re.compile(r'\s*>>?\s*("\$GITHUB_STEP_SUMMARY"|[\w./-]+)$')
_TARGET = re.compile(r"^([a-z][a-z0-9-]*(?: [a-z][a-z0-9-]*)*):(?!=)", re.MULTILINE)
_HOOK_KEYS = "repo: local"


def check(root: Path) -> Iterable[Finding]:
    """Everything that is wrong with .github/workflows and .pre-commit-config.yaml."""
    tree = Tree(root)
    targets = frozenset(name for names in _TARGET.findall(tree.text("Makefile")) for name in names.split())
    for path in tree.glob(".github/workflows/*.yml", ".github/workflows/*.yaml"):
        yield from _workflow(tree, path, targets)
    if tree.has(".pre-commit-config.yaml"):
        yield from _hooks(tree, ".pre-commit-config.yaml", targets)


def _found(tree: Tree, path: str, steps: Sequence[Step], rule: str, message: str, next_step: str) -> Finding:
    return Finding(rule, path, tree.place(path, steps).line, message=message, next_step=next_step, source=SOURCES[rule])


def _workflow(tree: Tree, path: str, targets: frozenset[str]) -> Iterator[Finding]:
    document = mapping(tree.yaml(path))
    if path in tree.unread:
        return
    triggers = document.get("on")
    events = [triggers] if isinstance(triggers, str) else list(triggers or ())
    strangers = not events or not _STRANGERS.isdisjoint(map(str, events))
    if document.get("permissions") not in ({}, "{}") and (strangers or not isinstance(document.get("permissions"), dict)):
        yield _found(tree, path, ("permissions",), "workflow-permissions",
                     "the workflow gives its token permissions for every job, or says none and gets the repository's default",
                     "write permissions: {} at the top, and to each job what it uses")
    if strangers and not document.get("concurrency"):
        yield _found(tree, path, ("jobs",), "workflow-concurrency", "there is no concurrency:", "write a group with the branch, and cancel-in-progress")
    for name in events:
        if name in _OTHERS_RIGHTS:
            yield _found(tree, path, ("on", name), "workflow-trigger", f"{name} runs with the repository's rights, and what it checks out may be a stranger's",
                         "use pull_request")
    for steps, value in walk(document) if strangers else ():
        # Beside secrets in a map, keys too: secrets: inherit.
        if (isinstance(value, str) and re.search(r"\$\{\{[^}]*\bsecrets\b", value)) or (steps and steps[-1] == "secrets"):
            yield _found(tree, path, steps, "workflow-secret", f"{'.'.join(map(str, steps))} takes a secret", "do without: nothing here needs one")
    for name, job in mapping(document.get("jobs")).items():
        said = isinstance(document.get("permissions"), dict) and not strangers
        yield from _job(tree, path, ("jobs", name), mapping(job), targets, strangers, said)


def _job(
    tree: Tree, path: str, at: tuple[Step, ...], job: dict[str, Any], targets: frozenset[str], strangers: bool, said: bool
) -> Iterator[Finding]:
    """A job; `strangers` may start it, or its workflow has `said` what its token may do."""
    name, actions = at[-1], [str(mapping(step).get("uses", "")) for step in listing(job.get("steps"))]
    allowed = {("contents", "read")} | (_OF_SARIF if any(use.startswith(_UPLOADS_SARIF) for use in actions) else set())
    permissions = job.get("permissions")
    if permissions is None and said:
        pass
    elif permissions is None:
        yield _found(tree, path, at, "workflow-permissions", f"the job {name} does not say what its token may do", "write permissions: with what it uses")
    elif not isinstance(permissions, dict):
        if permissions not in ("", "{}"):
            yield _found(tree, path, (*at, "permissions"), "workflow-permissions", f"{permissions} is more than the job {name} uses", "name each one")
    else:
        for scope, access in permissions.items():
            if strangers and access != "none" and (scope, str(access)) not in allowed:
                yield _found(tree, path, (*at, "permissions", scope), "workflow-permissions", f"nothing in the job {name} uses {scope}: {access}", "remove it")
    minutes = str(job.get("timeout-minutes", ""))
    if "uses" not in job and not (minutes.isdigit() and 0 < int(minutes) <= _MOST_MINUTES):
        yield _found(tree, path, (*at, "timeout-minutes"), "workflow-timeout", f"the job {name} has timeout-minutes: {minutes or 'no value'}",
                     f"write a number up to {_MOST_MINUTES}")
    if "uses" not in job and not job.get("runs-on"):
        yield _found(tree, path, at, "workflow-runner", f"the job {name} has no runs-on: GitHub refuses the whole workflow", "write runs-on: ubuntu-24.04")
    for runner in [job.get("runs-on")] if isinstance(job.get("runs-on"), str) else listing(job.get("runs-on")):
        if str(runner).endswith("-latest"):
            yield _found(tree, path, (*at, "runs-on"), "workflow-runner", f"{runner} is another system after GitHub's next move",
                         "write its version, as ubuntu-24.04")
    for steps, value in [(at, job), *(((*at, "steps", index), mapping(step)) for index, step in enumerate(listing(job.get("steps"))))]:
        if str(value.get("continue-on-error", "false")) != "false":
            yield _found(tree, path, (*steps, "continue-on-error"), "workflow-silenced", "a failure of it shows nowhere", "remove continue-on-error")
        if value.get("uses"):
            yield from _action(tree, path, steps, value)
        if "run" in value and (strangers or "${{" in str(value["run"])):
            yield from _command(tree, path, (*steps, "run"), str(value["run"]), targets)
        for key in ("script", "shell"):
            if "${{" in str(mapping(value.get("with")).get(key, "")):
                yield _found(tree, path, (*steps, "with", key), "workflow-injection", "the text of ${{ … }} becomes code",
                             "pass it by env:, and read the variable")


def _action(tree: Tree, path: str, at: tuple[Step, ...], step: dict[str, Any]) -> Iterator[Finding]:
    use, where = str(step["uses"]), (*at, "uses")
    if not use.startswith("./"):
        line = tree.place(path, where).line
        text = tree.text(path).splitlines()[line - 1] if line else ""
        if use.startswith("docker://"):
            if not re.search(r"@sha256:[0-9a-f]{64}$", use):
                yield _found(tree, path, where, "workflow-action-pinned", f"{use} is not pinned to a digest", "write @sha256:…")
        elif not _PINNED.fullmatch(use):
            yield _found(tree, path, where, "workflow-action-pinned", f"{use} is not pinned to a whole commit",
                         "write the commit's 40 hexadecimal digits after the @, and the release in a comment")
        elif not _VERSION.search(text.partition(use)[2]):
            yield _found(tree, path, where, "workflow-action-version", f"nobody can tell which release {use} is", "write it behind, as # v1.2.3")
    if use.startswith("actions/checkout@") and str(mapping(step.get("with")).get("persist-credentials", "true")) != "false":
        yield _found(tree, path, where, "workflow-credentials", "the token stays where git finds it, for every later step", "with: persist-credentials: false")


def _command(tree: Tree, path: str, at: tuple[Step, ...], text: str, targets: frozenset[str]) -> Iterator[Finding]:
    if "${{" in text:
        yield _found(tree, path, at, "workflow-injection", "the text of ${{ … }} becomes part of the command", 'pass it by env:, and write "$NAME"')
        return
    for line in filter(None, map(str.strip, text.splitlines())):
        made = targets_of(_INTO.sub("", line).removeprefix(_AS_ROOT))
        if made is None:
            yield _found(tree, path, at, "workflow-command", f"`{line}` is not one `make` command", "make it a target of the Makefile, and run that")
            continue
        for target in made:
            if target not in targets:
                yield _found(tree, path, at, "workflow-target", f"the Makefile has no target {target}", "correct the name; make help lists them")


def targets_of(command: str) -> list[str] | None:
    """The targets of `make a b NAME=value`; None for any other command, two in one, or one that the shell would read more from."""
    if re.search(r"[;&|<>`$()\\]", command):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] != ["make"] or any(word.startswith("-") for word in words):
        return None
    return [word for word in words[1:] if "=" not in word] or None


def _hooks(tree: Tree, path: str, targets: frozenset[str]) -> Iterator[Finding]:
    for index, repository in enumerate(listing(mapping(tree.yaml(path)).get("repos"))):
        at: tuple[Step, ...] = ("repos", index)
        if mapping(repository).get("repo") != "local":
            yield _found(tree, path, (*at, "repo"), "pre-commit-local", f"{mapping(repository).get('repo')} is fetched, and what it runs is not what CI runs",
                         f"{_HOOK_KEYS}, with a make target as entry")
            continue
        for number, hook in enumerate(listing(mapping(repository).get("hooks"))):
            entry, where = str(mapping(hook).get("entry", "")), (*at, "hooks", number, "entry")
            made = targets_of(entry)
            wrong = f"`{entry}` is not a `make` command" if made is None else ", ".join(sorted({*made} - targets)) + " is no target of the Makefile"
            if made is None or not {*made} <= targets:
                yield _found(tree, path, where, "pre-commit-local", wrong, "write entry: make <target>; make help lists them")
            if str(mapping(hook).get("language")) != "system":
                yield _found(tree, path, where, "pre-commit-local", f"language: {mapping(hook).get('language')} makes an environment of its own",
                             "language: system")
