"""What CodeBuild projects, buildspecs and their scripts expect of each other: files, steps, variables, the bundle."""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.checks import code
from scripts.checks.code import Read
from scripts.checks.finding import Finding
from scripts.checks.tree import Place, Tree, listing, mapping, node_of
from scripts.checks.wiring import Action, Source, Wiring, literal
from scripts.core.settings import did_you_mean

RULES = {
    "contract-buildspec-path": "A CodeBuild project's BuildSpec is a file of this tree.",
    "contract-build-file": "The scripts that a buildspec runs, and those that they run, are files of this tree.",
    "contract-build-step": "A script is called with a step that it has.",
    "contract-build-variable": "Every variable that a build needs is set by its project, its stage, its buildspec or CodeBuild.",
    "contract-build-variable-unused": "Every variable that a project or a stage sets is read by the build.",
    "contract-exported-variable": "A buildspec exports only variables that something sets.",
    "contract-bundle-appspec": "The bundle that a deployment gets is made by its build, from a folder with an appspec.yml.",
    "contract-bundle-file": "What an AppSpec file copies is in the bundle's folder, or is made by the build.",
    "contract-build-argument": "The app's Dockerfile takes the commit, which /version must name on every host.",
}
SOURCES = {
    "contract-buildspec-path": "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec-ref-name-storage",
    "contract-build-file": "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.phases",
    "contract-build-step": "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.phases",
    "contract-build-variable": "https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html",
    "contract-build-variable-unused": "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeBuild.html",
    "contract-exported-variable": "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.env.exported-variables",
    "contract-bundle-appspec": "https://docs.aws.amazon.com/codedeploy/latest/userguide/application-revisions-appspec-file.html",
    "contract-bundle-file": "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-files.html",
    "contract-build-argument": "https://docs.docker.com/reference/dockerfile/#arg",
}

# Names that every shell has, and those that CodeBuild sets.
GIVEN = re.compile(r"CODEBUILD_\w+|AWS_\w+|HOME|PATH|PWD|OLDPWD|USER|LANG|LC_ALL|IFS|TMPDIR|HOSTNAME|SHELL|TERM|DEBIAN_FRONTEND|PYTHONPATH|DOCKER_\w+")
# What a build makes itself is not in the source.
_MADE = ("build/", "dist/", "target/", "out/", "node_modules/", ".venv/")
_RUNS = re.compile(
    r"(?:\b(?:sh|bash|python3?|source)(?:\s+-[A-Za-z]+)*|(?:^|[;&|]\s*)\.)\s+([A-Za-z0-9_][\w./-]*\.(?:sh|py))(?:[ \t]+([a-z][\w-]*))?", re.MULTILINE
)
_DISCOVER = re.compile(r"unittest discover\b[^\n;&|]*?\s-s\s+([\w./-]+)")
_CASE = re.compile(r"case\s+\"?\$\{?1[^\n]*?\bin\b(.*?)\besac\b", re.DOTALL)
_BAKED = ("COMMIT",)


def finding(rule: str, at: Place, message: str, next_step: str) -> Finding:
    """A finding with its rule's source."""
    return Finding(rule, at.path, at.line, 0, message, next_step=next_step, source=SOURCES[rule])


@dataclass(frozen=True)
class Build:
    """A project with its buildspec and everything that it runs. `actions` are those of pipelines that start it."""

    project: Source
    buildspec: str
    commands: tuple[tuple[str, int], ...]
    """Each command with the line that it begins on."""
    files: tuple[str, ...]
    """Scripts and modules that are run, in the tree."""
    tests: tuple[str, ...]
    actions: tuple[Action, ...]


def check(root: Path) -> Iterable[Finding]:
    """Every expectation of a build that is not met."""
    tree = Tree(root)
    wiring = Wiring(tree)
    found = [*_paths(tree, wiring)]
    built = builds(tree, wiring)
    for path in dict.fromkeys(build.buildspec for build in built):
        found += _files_and_steps(tree, path)
    for build in built:
        found += [*_variables(tree, wiring, build), *_exports(tree, wiring, build)]
    found += [*_bundles(tree, wiring, built), *_bundle_files(tree, built), *_arguments(tree, built)]
    return tree.settled(found)


def builds(tree: Tree, wiring: Wiring) -> list[Build]:
    """The projects of the templates whose buildspecs are files of the tree."""
    found = []
    for path, name, properties in tree.resources("AWS::CodeBuild::Project"):
        buildspec = mapping(properties.get("Source")).get("BuildSpec")
        if not isinstance(buildspec, str) or not tree.has(buildspec):
            continue
        project = Source(path, name)
        text = [(command, line) for command, line in _commands(tree, buildspec)]
        files, tests = _reached(tree, [command for command, _ in text])
        started = tuple(action for action in wiring.actions if project in _projects(wiring, action))
        found.append(Build(project, buildspec, tuple(text), files, tests, started))
    return found


def _projects(wiring: Wiring, action: Action) -> list[Source]:
    if action.provider != "CodeBuild":
        return []
    return wiring.sources(action.path, action.configuration.get("ProjectName"), "AWS::CodeBuild::Project")


def build_of(wiring: Wiring, action: Action, built: Iterable[Build]) -> Build | None:
    """The build that an action starts."""
    projects = _projects(wiring, action)
    return next((build for build in built if build.project in projects), None)


def _commands(tree: Tree, path: str) -> Iterator[tuple[str, int]]:
    for phase, content in mapping(mapping(tree.yaml(path)).get("phases")).items():
        for key in ("commands", "finally"):
            for index, command in enumerate(listing(mapping(content).get(key))):
                if isinstance(command, str):
                    node = node_of(tree.text(path), ("phases", phase, key, index))
                    below = 1 if getattr(node, "style", None) in ("|", ">") else 0
                    yield command, tree.place(path, ("phases", phase, key, index)).line + below


def _reached(tree: Tree, commands: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the scripts and modules that commands run, directly or not; the modules of tests that they discover)."""
    files: list[str] = []
    tests: list[str] = []
    waiting = list(commands)
    while waiting:
        text = code.unquoted(waiting.pop())
        for match in _RUNS.finditer(text):
            path = posixpath.normpath(match[1])
            if tree.has(path) and path not in files:
                found = code.closure(tree, path) if path.endswith(".py") else [path]
                files += [one for one in found if one not in files]
                if path.endswith(".sh"):
                    waiting.append(tree.text(path))
        tests += [path for match in _DISCOVER.finditer(text) for path in tree.glob(f"{match[1]}/**/*.py")]
    return tuple(files), tuple(dict.fromkeys(tests))


# Files


def _paths(tree: Tree, wiring: Wiring) -> Iterator[Finding]:
    for path, name, properties in tree.resources("AWS::CodeBuild::Project"):
        given = mapping(properties.get("Source")).get("BuildSpec")
        # A buildspec of several lines is the buildspec itself; an ARN is one in S3.
        if isinstance(given, str) and "\n" not in given and not given.startswith(("arn:", "version:", "{")) and not tree.has(given):
            at = wiring.place(Source(path, name), "Properties", "Source", "BuildSpec")
            near = did_you_mean(given, tree.glob("buildspecs/*.y*ml"))
            yield finding("contract-buildspec-path", at, f"{name} builds by {given}, and there is no such file{near}: every build fails", "correct the path")


def _files_and_steps(tree: Tree, buildspec: str) -> Iterator[Finding]:
    waiting = [(command, buildspec, line) for command, line in _commands(tree, buildspec)]
    seen: set[str] = set()
    while waiting:
        text, path, first = waiting.pop(0)
        plain = code.unquoted(text)
        for match in _RUNS.finditer(plain):
            at, file = Place(path, first + plain.count("\n", 0, match.start(1))), posixpath.normpath(match[1])
            if not tree.has(file):
                if not file.startswith(_MADE):
                    near = did_you_mean(file, tree.glob("**/*.sh", f"{posixpath.dirname(file) or '.'}/*.py") if tree.root.is_dir() else ())
                    yield finding("contract-build-file", at, f"{path} runs {file}, and there is no such file{near}", "correct the path")
                continue
            if file.endswith(".sh"):
                steps = _steps(tree.text(file))
                if match[2] and steps and match[2] not in steps:
                    told = f"{path}:{at.line} calls {file} with {match[2]}, and its steps are {', '.join(steps)} ({file}:{_case_line(tree.text(file))})"
                    yield finding("contract-build-step", at, told + did_you_mean(match[2], steps), "correct the step")
                if file not in seen:
                    seen.add(file)
                    waiting.append((tree.text(file), file, 1))


def _steps(script: str) -> list[str]:
    """The words that a script takes as its first argument; none where it takes any."""
    match = _CASE.search(code.unquoted(script))
    return re.findall(r"^\s*([a-z][\w-]*)(?=\s*(?:\||\)))", match[1], re.MULTILINE) if match else []


def _case_line(script: str) -> int:
    match = _CASE.search(code.unquoted(script))
    return code.unquoted(script).count("\n", 0, match.start()) + 1 if match else 0


# Variables


def _variables(tree: Tree, wiring: Wiring, build: Build) -> Iterator[Finding]:
    """What the build needs against what sets it. A stage sets for its own builds only; one that sets is enough: scripts know what they skip."""
    given = [*_of_project(wiring, build), *(one for action in build.actions for one in of_action(wiring, action))]
    own = set(_own(tree, build))
    names = {name for name, _ in given} | own
    sides = f"{wiring.place(build.project, 'Properties', 'Environment', 'EnvironmentVariables')}"
    sides += "".join(f", {tree.place(action.path, (*action.steps, 'Configuration'))}" for action in build.actions)
    missing: dict[str, Read] = {}
    for read in _reads(tree, build):
        if read.needed and read.name not in names and not GIVEN.fullmatch(read.name):
            missing.setdefault(read.name, read)
    for name, read in missing.items():
        told = f"{name} is read at {read.place}, and neither {build.buildspec} nor {build.project.name} nor its stages set it ({sides})"
        at = wiring.place(build.project, "Properties", "Environment", "EnvironmentVariables")
        yield finding("contract-build-variable", at, told + did_you_mean(name, names - own), f"set {name}, or read what is set")
    text = "\n".join([tree.text(build.buildspec), *(tree.text(file) for file in (*build.files, *build.tests))])
    for name, at in given:
        if not re.search(rf"\b{re.escape(name)}\b", text) and not GIVEN.fullmatch(name):
            told = f"{name} is set for {build.project.name}, and nothing that {build.buildspec} runs reads it"
            yield finding("contract-build-variable-unused", at, told + did_you_mean(name, missing), "correct the name, or remove it")


def _of_project(wiring: Wiring, build: Build) -> Iterator[tuple[str, Place]]:
    variables = mapping(wiring.resource(build.project).get("Environment")).get("EnvironmentVariables")
    for index, variable in enumerate(listing(variables)):
        if isinstance(mapping(variable).get("Name"), str):
            yield variable["Name"], wiring.place(build.project, "Properties", "Environment", "EnvironmentVariables", index)


def of_action(wiring: Wiring, action: Action) -> Iterator[tuple[str, Place]]:
    """The variables that a pipeline's action sets for its build."""
    at = wiring.tree.place(action.path, (*action.steps, "Configuration", "EnvironmentVariables"))
    for variable in listing(as_json(action.configuration.get("EnvironmentVariables"))):
        if isinstance(mapping(variable).get("name"), str):
            yield variable["name"], at


def as_json(value: Any) -> Any:
    """The JSON that a template writes, with 0 or nothing for what is put in; None if it is none."""
    text = _inlined(value)
    if text is None:
        return None

    def put_in(match: re.Match[str]) -> str:
        before = text[: match.start()].rstrip()
        return "0" if before.endswith((":", "[", ",")) else ""

    try:
        return json.loads(re.sub(r"\$\{[^}]*\}", put_in, text))
    except ValueError:
        return None


def _inlined(value: Any) -> str | None:
    """The text of an Fn::Sub with the texts of its own variables in it; of two that a condition chooses from, the first."""
    condition = mapping(value).get("Fn::If")
    if isinstance(condition, list) and len(condition) == 3:
        return _inlined(condition[1])
    given = mapping(value).get("Fn::Sub", value)
    if isinstance(given, str):
        return given
    if not isinstance(given, list) or len(given) != 2 or not isinstance(given[0], str):
        return None
    text: str = given[0]
    for name, inner in mapping(given[1]).items():
        put = _inlined(inner)
        if put is not None:
            text = text.replace(f"${{{name}}}", put)
    return text


def _own(tree: Tree, build: Build) -> Iterator[str]:
    """The variables that the buildspec and what it runs set themselves."""
    env = mapping(mapping(tree.yaml(build.buildspec)).get("env"))
    for kind in ("variables", "parameter-store", "secrets-manager"):
        yield from mapping(env.get(kind))
    for command, _ in build.commands:
        yield from code.shell_sets(command)
    for file in build.files:
        if file.endswith(".sh"):
            yield from code.shell_sets(tree.text(file))


def _reads(tree: Tree, build: Build) -> Iterator[Read]:
    for command, line in build.commands:
        yield from code.shell_reads(command, build.buildspec, line)
    for file in build.files:
        if file.endswith(".sh"):
            yield from code.shell_reads(tree.text(file), file)
    modules = [file for file in build.files if file.endswith(".py")]
    for file in modules:
        if _runs(tree, file, build):
            yield from code.environment(tree, code.closure(tree, file))
    for file in build.tests:
        yield from code.environment(tree, [file])


@functools.lru_cache(64)
def _run_by(text: str) -> frozenset[str]:
    return frozenset(posixpath.normpath(match[1]) for match in _RUNS.finditer(code.unquoted(text)))


def _runs(tree: Tree, file: str, build: Build) -> bool:
    """Whether a module is run, not only imported."""
    texts = [*(command for command, _ in build.commands), *(tree.text(one) for one in build.files if one.endswith(".sh"))]
    return any(file in _run_by(text) for text in texts)


def _exports(tree: Tree, wiring: Wiring, build: Build) -> Iterator[Finding]:
    names = {*_own(tree, build), *(name for name, _ in _of_project(wiring, build))}
    names |= {name for action in build.actions for name, _ in of_action(wiring, action)}
    for index, name in enumerate(exported(tree, build.buildspec)):
        if name not in names and not GIVEN.fullmatch(name):
            at = tree.place(build.buildspec, ("env", "exported-variables", index))
            told = f"{name} is exported, and neither {build.buildspec} nor {build.project.name} ({wiring.place(build.project)}) sets it: it is empty"
            yield finding("contract-exported-variable", at, told + did_you_mean(name, names), "set it in a command, or remove it")


def exported(tree: Tree, buildspec: str) -> list[str]:
    """The variables that a buildspec exports."""
    return [str(name) for name in listing(mapping(mapping(tree.yaml(buildspec)).get("env")).get("exported-variables"))]


# The bundle


def _bundles(tree: Tree, wiring: Wiring, built: list[Build]) -> Iterator[Finding]:
    made = {artifact: action for action in wiring.actions if action.provider == "CodeBuild" for artifact in outputs(action)}
    for action in wiring.actions:
        if action.provider != "CodeDeploy":
            continue
        for artifact in inputs(action):
            build = build_of(wiring, made[artifact], built) if artifact in made else None
            if build is None:
                continue
            artifacts = mapping(mapping(tree.yaml(build.buildspec)).get("artifacts"))
            at = tree.place(build.buildspec, ("artifacts", "base-directory"))
            deployed = tree.place(action.path, (*action.steps, "InputArtifacts"))
            if not artifacts:
                told = f"{build.buildspec} makes no artifact, and {deployed} deploys {artifact}, which it is to make"
                yield finding("contract-bundle-appspec", at, told, "add artifacts: to the buildspec")
                continue
            texts = [*(command for command, _ in build.commands), *(tree.text(file) for file in build.files)]
            base = str(artifacts.get("base-directory", ""))
            if base.startswith(_MADE) and not any(base in text for text in texts):
                told = f"the artifact is what is in {base}, and nothing that the build runs names that folder ({', '.join(build.files)})"
                yield finding("contract-bundle-appspec", at, told, "write the folder that the build fills")
            elif not _appspec_folders(tree, texts, base):
                told = f"{deployed} deploys what {build.buildspec} makes, and nothing that it runs copies a folder with an appspec.yml"
                yield finding("contract-bundle-appspec", at, told, "put an appspec.yml at the top of the bundle")


def _appspec_folders(tree: Tree, texts: Iterable[str], base: str) -> list[str]:
    """The folders with an AppSpec file that the build's text names; the base directory, if it has one in the source."""
    named = {posixpath.normpath(word) for text in texts for word in re.findall(r"[\w][\w./-]*", text)} | {base or "."}
    return sorted(folder for folder in named if any(tree.has(posixpath.join(folder, f"appspec.{end}")) for end in ("yml", "yaml")))


def _bundle_files(tree: Tree, built: list[Build]) -> Iterator[Finding]:
    texts = [tree.text(file) for build in built for file in (build.buildspec, *build.files)]
    for path in tree.glob("appspecs/**/appspec.yml", "appspecs/**/appspec.yaml"):
        folder = posixpath.dirname(path)
        for index, entry in enumerate(listing(mapping(tree.typed(path)).get("files"))):
            source = mapping(entry).get("source")
            if not isinstance(source, str) or source.strip("/") == "":
                continue
            there = (tree.root / folder / source.strip("/")).exists()
            if not there and not any(re.search(rf"[\"'/]{re.escape(source.strip('/'))}\b", text) for text in texts):
                at = tree.place(path, ("files", index, "source"))
                near = did_you_mean(source, [posixpath.relpath(one, folder) for one in tree.glob(f"{folder}/*")])
                by = ", ".join(dict.fromkeys(build.buildspec for build in built))
                told = f"{path} copies {source}, which is not in {folder}/ and which no build makes ({by}){near}"
                yield finding("contract-bundle-file", at, told, "correct the source: Install fails over one that is not there")


def _arguments(tree: Tree, built: list[Build]) -> Iterator[Finding]:
    """Docker only warns of a build argument that the Dockerfile does not take; the image then names no commit and no host takes it."""
    for build in built:
        for file in build.files:
            for number, line in enumerate(tree.text(file).splitlines(), 1):
                for name in re.findall(r"--build-arg[ =][\"']?([A-Z][A-Z0-9_]*)=", line):
                    for dockerfile in tree.glob("app/Dockerfile"):
                        declared = re.findall(r"^ARG\s+(\w+)", tree.text(dockerfile), re.MULTILINE)
                        if name in _BAKED and name not in declared:
                            told = f"{dockerfile} has no ARG {name}, which {file}:{number} passes{did_you_mean(name, declared)}"
                            yield finding("contract-build-argument", Place(dockerfile), f"{told}: no host would take the image", f"add ARG {name}")


# Artifacts of actions


def inputs(action: Action) -> list[str]:
    """The names of an action's input artifacts."""
    return [str(mapping(one)["Name"]) for one in listing(action.content.get("InputArtifacts")) if "Name" in mapping(one)]


def outputs(action: Action) -> list[str]:
    """The names of an action's output artifacts."""
    return [str(mapping(one)["Name"]) for one in listing(action.content.get("OutputArtifacts")) if "Name" in mapping(one)]


def known(wiring: Wiring, path: str, value: Any) -> list[str]:
    """The texts that a value may be, of those that the templates know as a whole."""
    return [text for one in wiring.values(path, value) if (text := literal(one)) is not None]

