"""What hosts, hooks and builds expect of each other: the host's file, the hooks' own files, the release's description, the app's settings."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts.checks import code
from scripts.checks.contracts_build import GIVEN
from scripts.checks.finding import Finding
from scripts.checks.tree import Place, Tree, listing, mapping, walk
from scripts.checks.wiring import Wiring, pattern
from scripts.core.settings import did_you_mean

RULES = {
    "contract-hook-file": "The files that hooks source or run are in the bundle.",
    "contract-hook-function": "The functions that hooks call are in the library that they source, and the library has no others.",
    "contract-host-variable": "Every variable that a hook needs is set by the host's file, by the hooks or by CodeDeploy.",
    "contract-host-variable-unused": "Every variable of the host's file is read by a hook.",
    "contract-host-file": "Hosts write the file that hooks read.",
    "contract-release-key": "What hooks and functions read of a release's description is in the one that the build writes.",
    "contract-app-setting": "A setting that a template gives the app is read by the app or a hook.",
}
_HOOKS = "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html"
SOURCES = {
    "contract-hook-file": _HOOKS,
    "contract-hook-function": _HOOKS,
    "contract-host-variable": _HOOKS + "#reference-appspec-file-structure-environment-variable-availability",
    "contract-host-variable-unused": "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html",
    "contract-host-file": "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html",
    "contract-release-key": "https://docs.aws.amazon.com/codedeploy/latest/userguide/application-revisions.html",
    "contract-app-setting": "https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-hierarchies.html",
}

CODEDEPLOY = ("APPLICATION_NAME", "BUNDLE_BUCKET", "BUNDLE_COMMIT", "BUNDLE_ETAG", "BUNDLE_KEY", "BUNDLE_VERSION", "DEPLOYMENT_GROUP_ID",
              "DEPLOYMENT_GROUP_NAME", "DEPLOYMENT_ID", "LIFECYCLE_EVENT")
# `printf '…' A=… B=… >/etc/…/host.env` in user data.
_HOST_FILE = re.compile(r"printf\s+'[^']*'\s+((?:[A-Z][A-Z0-9_]*=(?:\$\{[^}]*\}|\S)*\s+(?:\\\s*)?)+)>\s*(/\S+\.env)")
_READ_FILE = re.compile(r"^\s*[A-Z_]+=\$\{[A-Z_]+:-(/[^}]*)\}(/\S+\.env)", re.MULTILINE)
_USED = re.compile(r"\$\{?HOOKS\}?/([\w.-]+)")
# The release's description, and who reads which key of it: the file, the function, its variable.
RELEASE = "release.json"
READERS = (("appspecs/image/hooks/release.py", "describe", "release"), ("functions/releases.py", "commit_in", ""))


def finding(rule: str, at: Place, message: str, next_step: str) -> Finding:
    """A finding with its rule's source."""
    return Finding(rule, at.path, at.line, 0, message, next_step=next_step, source=SOURCES[rule])


def check(root: Path) -> Iterable[Finding]:
    """Every expectation of a host that is not met."""
    tree = Tree(root)
    found = [*_hooks(tree), *_release(tree), *_settings(tree, Wiring(tree))]
    return tree.settled(found)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


# Hooks and the host's file


def _hooks(tree: Tree) -> Iterator[Finding]:
    for appspec in tree.glob("appspecs/**/appspec.yml", "appspecs/**/appspec.yaml"):
        bundle = posixpath.dirname(appspec)
        events = mapping(mapping(tree.typed(appspec)).get("hooks")).values()
        locations = {str(mapping(script).get("location")) for scripts in events for script in listing(scripts)}
        hooks = [f"{bundle}/{location}" for location in sorted(locations) if tree.has(f"{bundle}/{location}")]
        libraries: dict[str, set[str]] = {}
        for hook in hooks:
            for match in _USED.finditer(tree.text(hook)):
                file = f"{posixpath.dirname(hook)}/{match[1]}"
                libraries.setdefault(file, set()).add(hook)
                if not tree.has(file):
                    near = did_you_mean(file, tree.glob(f"{posixpath.dirname(hook)}/*"))
                    at = Place(hook, _line(tree.text(hook), match.start()))
                    yield finding("contract-hook-file", at, f"{hook} uses {file}, and there is no such file{near}", "correct the name")
        shared = [file for file in libraries if file.endswith(".sh") and tree.has(file)]
        yield from _functions(tree, hooks, shared)
        yield from _variables(tree, [*hooks, *shared])


_DEFINED = re.compile(r"^\s*([A-Za-z_]\w*)\(\)", re.MULTILINE)
_CALLED = re.compile(r"(?:^|[;&|({!]|\$\(|\b(?:then|do|else|if|until|while)\b)[ \t]*([a-z][a-z0-9]*_[a-z0-9_]+)(?=[ \t;)\n]|$)(?!\(\)|=)", re.MULTILINE)


def _functions(tree: Tree, hooks: list[str], shared: list[str]) -> Iterator[Finding]:
    """Names with an underscore where a command stands: no program that hooks use has one, so they are functions."""
    library = {name for file in shared for name in _DEFINED.findall(tree.text(file))}
    for hook in (*hooks, *shared):
        plain = code.unquoted(tree.text(hook))
        own = set(_DEFINED.findall(plain)) | library
        for match in _CALLED.finditer(plain):
            if match[1] not in own and shared:
                at = Place(hook, _line(plain, match.start(1)))
                told = f"{hook} calls {match[1]}, and neither it nor {', '.join(shared)} has such a function{did_you_mean(match[1], own)}"
                yield finding("contract-hook-function", at, told, "correct the name")
    everything = "\n".join(code.unquoted(tree.text(file)) for file in (*hooks, *shared))
    for file in shared:
        for match in _DEFINED.finditer(tree.text(file)):
            # A name without an underscore may be a program's where it is called; where it is defined it is not.
            if len(re.findall(rf"(?<![\w-]){match[1]}(?![\w-])", everything)) == 1:
                told = f"{file} has the function {match[1]}, and no hook calls it ({', '.join(hooks)})"
                yield finding("contract-hook-function", Place(file, _line(tree.text(file), match.start(1))), told, "correct the name, or remove it")


def _variables(tree: Tree, scripts: list[str]) -> Iterator[Finding]:
    texts = {script: tree.text(script) for script in scripts}
    written = list(_host_files(tree))
    named = [(match[1] + match[2], Place(script, _line(text, match.start()))) for script, text in texts.items() for match in _READ_FILE.finditer(text)]
    if not written or not named:
        return
    for path, at, _ in written:
        if all(path != wanted for wanted, _ in named):
            there = ", ".join(f"{wanted} ({where})" for wanted, where in named)
            yield finding("contract-host-file", at, f"hosts write {path}, and hooks read {there}", "write the file that is read")
    own = {name for text in texts.values() for name in code.shell_sets(text)}
    for path, at, names in written:
        missing: dict[str, Place] = {}
        for script, text in texts.items():
            for read in code.shell_reads(text, script):
                if read.needed and read.name not in own | set(names) and read.name not in CODEDEPLOY and not GIVEN.fullmatch(read.name):
                    missing.setdefault(read.name, read.place)
            for match in re.finditer(r"\bfor name in ([A-Z][A-Z0-9_ ]*);", text):
                for name in match[1].split():
                    if name not in own | set(names):
                        missing.setdefault(name, Place(script, _line(text, match.start())))
        for name, where in missing.items():
            told = f"{name} is read at {where}, and neither {path} as hosts write it nor a hook nor CodeDeploy sets it{did_you_mean(name, names)}"
            yield finding("contract-host-variable", at, told, f"set {name}, or read what is set")
        read_anywhere = "\n".join(texts.values())
        for name in names:
            if not re.search(rf"\b{name}\b", read_anywhere):
                told = f"{path} has {name}, and no hook reads it ({', '.join(sorted(texts))}){did_you_mean(name, missing)}"
                yield finding("contract-host-variable-unused", at, told, "correct the name, or remove it")


def _host_files(tree: Tree) -> Iterator[tuple[str, Place, list[str]]]:
    """(path, where, variables) of the files of variables that user data writes."""
    for path in tree.templates:
        for steps, value in walk(tree.template(path)):
            if isinstance(value, str) and "UserData" in steps:
                for match in _HOST_FILE.finditer(value):
                    at = tree.place(path, steps)
                    line = at.line + 1 + value.count("\n", 0, match.start())
                    yield match[2], Place(path, line), re.findall(r"(?:^|\s)([A-Z][A-Z0-9_]*)=", match[1])


# The release's description


def _release(tree: Tree) -> Iterator[Finding]:
    written: dict[str, Place] = {}
    for path in tree.glob("buildspecs/*.sh", "buildspecs/*.py"):
        for at, keys in _dictionaries(tree, path):
            written |= dict.fromkeys(keys, at)
    if not written:
        return
    there = f"{', '.join(written)} ({next(iter(written.values()))})"
    for path, function, variable in READERS:
        scope = code.functions(tree.python(path)).get(function)
        for node in ast.walk(scope) if scope else ():
            if not isinstance(node, ast.Subscript) or not (key := code.text(node.slice)):
                continue
            of_variable = isinstance(node.value, ast.Name) and node.value.id == variable
            of_json = isinstance(node.value, ast.Call) and code.called(node.value) == "loads"
            if (of_variable or of_json) and key not in written:
                at = Place(path, node.lineno)
                told = f"{at} reads {key} of {RELEASE}, and the build writes {there}{did_you_mean(key, written)}"
                yield finding("contract-release-key", at, told, "correct one of them")


def _dictionaries(tree: Tree, path: str) -> Iterator[tuple[Place, list[str]]]:
    """The keys of `release = {…}` in Python, or in Python within a script."""
    text = tree.text(path)
    parts = [(text, 0)] if path.endswith(".py") else [(match[1], _line(text, match.start(1)) - 1) for match in re.finditer(r"python3 -c '([^']*)'", text)]
    for source, above in parts:
        try:
            module = ast.parse(source)
        except SyntaxError:
            continue
        for node in ast.walk(module):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
                continue
            if any(isinstance(one, ast.Name) and one.id == "release" for one in node.targets):
                yield Place(path, above + node.lineno), [key for one in node.value.keys if (key := code.text(one))]


# The app's settings


def _settings(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    """/<service>/<environment>/app/NAME becomes NAME in the container: somebody should read it."""
    texts: dict[str, str] = {path: tree.text(path) for path in tree.glob("app/**/*", "appspecs/**/*.sh")}
    for path, name, properties in tree.resources("AWS::SSM::Parameter"):
        for one in wiring.values(path, properties.get("Name")):
            match: Any = re.fullmatch(r"/\*/\*/(?:app|fleet|onebox|\*)/([A-Z][A-Z0-9_]*)", pattern(one))
            if match and not any(re.search(rf"\b{match[1]}\b", text) for text in texts.values()):
                names = {word for text in texts.values() for word in re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", text)}
                at = tree.place(path, ("Resources", name, "Properties", "Name"))
                told = f"{name} gives the app {match[1]}, and neither the app nor a hook reads it{did_you_mean(match[1], names)}"
                yield finding("contract-app-setting", at, told, "correct the name, or remove the parameter")
