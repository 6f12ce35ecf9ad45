"""Check templates, parameters files and the other YAML of the project. Calls nothing outside this machine.

Templates go to cfn-lint in one call, for the Regions of parameters/; the values of parameters/ are checked against the templates,
with and without the local overlay. With --format the output is cfn-lint's report and the other problems go to standard error.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.core import documents, roots, settings, world
from scripts.core.errors import BadInput, CommandError, WrongUse
from scripts.core.world import World

_OTHER_YAML = ("buildspecs/**/*.y*ml", "appspecs/**/*.y*ml", ".github/**/*.y*ml", ".taskcat.yml", ".pre-commit-config.yaml")
# Exit status of cfn-lint: 2 for errors, 4 for warnings, 8 for information, added up; anything else means that it did not run.
_FINDINGS = range(2, 15, 2)


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("validate", __doc__, environment=None)
    arguments.add_argument("--format", choices=("sarif", "junit"), help="write cfn-lint's report in this form to standard output")
    return world.run(arguments, argv, given, _validate)


def _validate(options: argparse.Namespace, here: World) -> int:
    say = (lambda text: None) if options.format else here.console.line
    say("Target: none; validate reads files only")
    environments = settings.names(here.root)
    lint = _start_cfn_lint(here, _regions(here.root, environments), options.format)
    # While cfn-lint loads its schemas.
    problems = [*_check_yaml(here.root), *_check_parameters(here.root, environments)]
    output, failed = _finish_cfn_lint(lint)
    if output:
        # A report goes out as it is: it may be read by a machine.
        here.console.line(output.rstrip("\n"))
    for problem in problems:
        here.console.error(str(problem))
    if failed or problems:
        here.console.error(f"validate: cfn-lint {'found something' if failed else 'is content'}; {len(problems)} other problems")
        return 1
    say(f"validate: templates, {len(environments)} parameters files and the other YAML are good")
    return 0


def _regions(root: Path, environments: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in environments:
        try:
            found += settings.load(root, name, local=False).regions
        except CommandError:
            continue  # Reported with the other problems of that file.
    return list(dict.fromkeys(found))


def _start_cfn_lint(here: World, regions: Sequence[str], report: str | None) -> subprocess.Popen[str]:
    templates = sorted(str(path.relative_to(here.root)) for path in (here.root / "templates").rglob("*.yaml"))
    if not templates:
        raise WrongUse("there is nothing to validate", "templates/ has no *.yaml", "run it in the project's folder")
    # The virtual environment's own: another on PATH may be older and know fewer resource types.
    program = Path(sys.executable).parent / "cfn-lint"
    if not program.exists():
        raise CommandError("cfn-lint is not installed beside this Python", str(program), "make setup")
    command = [str(program), "-c", "I", *(["-r", *regions] if regions else []), *(["--format", report] if report else []), "--", *templates]
    return subprocess.Popen(command, cwd=here.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish_cfn_lint(lint: subprocess.Popen[str]) -> tuple[str, bool]:
    output, errors = lint.communicate()
    if lint.returncode and lint.returncode not in _FINDINGS:
        lines = (errors or output).strip().splitlines()
        step = (
            "add cfn-lint's extra of that name to requirements.in"
            if lines and "optional dependencies" in lines[-1]
            else "make setup, then make validate"
        )
        raise CommandError(f"cfn-lint did not run (exit {lint.returncode})", lines[-1] if lines else "it says nothing", step)
    return output, bool(lint.returncode)


def _check_yaml(root: Path) -> list[CommandError]:
    problems = []
    for pattern in _OTHER_YAML:
        for path in sorted(root.glob(pattern)):
            try:
                documents.read(path, root=root)
            except CommandError as error:
                problems.append(error)
    return problems


def _check_parameters(root: Path, environments: Sequence[str]) -> list[CommandError]:
    problems: dict[str, CommandError] = {}
    for name in environments:
        for local in (False, True):
            try:
                roots.load(root, name, local)
            except BadInput as error:
                # The overlay repeats what the base file has wrong: each line once.
                for problem in error.problems:
                    problems.setdefault(
                        f"{problem.reason} {problem.name.split(': ')[-1]}", CommandError(problem.name, problem.reason, problem.next_step)
                    )
            except CommandError as error:
                problems.setdefault(str(error), error)
    return [*problems.values(), *_check_orphans(root, environments)]


def _check_orphans(root: Path, environments: Sequence[str]) -> list[CommandError]:
    return [
        CommandError(f"parameters/local/{path.name} lies over nothing", f"there is no parameters/{path.name}", "rename or remove it")
        for path in sorted((root / "parameters" / "local").glob("*.yaml"))
        if path.stem not in environments
    ]


if __name__ == "__main__":
    raise SystemExit(main())
