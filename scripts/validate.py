"""Check everything of the project that can be known before AWS sees it. Calls nothing outside this machine.

Every module of scripts/checks that has rules is asked: cfn-lint with the project's own rules over all templates, cfn-guard, the parameters files,
buildspecs and appspecs, shell, Dockerfile, workflows, and what one file expects of another. One report: text, or with --format the whole of it
as SARIF or JUnit on standard output. docs/validation.md lists what is asked.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from scripts import checks
from scripts.checks import catalogue, reports
from scripts.checks.finding import Finding
from scripts.core import world
from scripts.core.errors import CommandError, WrongUse
from scripts.core.world import World

NOT_CHECKED = "not-checked"


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("validate", __doc__, environment=None)
    arguments.add_argument("--format", choices=reports.FORMATS, help="write the whole report in this form to standard output")
    arguments.add_argument("--list", action="store_true", help="list the project's own rules and checks as Markdown, and check nothing")
    arguments.add_argument("--document", action="store_true", help=f"write that list into {catalogue.PAGE}, and check nothing")
    return world.run(arguments, argv, given, _validate)


def _validate(options: argparse.Namespace, here: World) -> int:
    modules = discover()
    if options.list:
        here.console.line(catalogue.table(modules))
        return 0
    if options.document:
        page = here.root / catalogue.PAGE
        page.write_text(catalogue.put_in(page.read_text(encoding="utf-8"), catalogue.table(modules)), encoding="utf-8")
        here.console.line(f"validate: {catalogue.PAGE} lists what is asked")
        return 0
    if not options.format:
        here.console.line("Target: none; validate reads files only")
    if not any((here.root / "templates").rglob("*.yaml")):
        raise WrongUse("there is nothing to validate", "templates/ has no *.yaml", "run it in the project's folder")
    findings = reports.ordered(ask(here.root, modules))
    rules = rules_of(modules)
    if options.format == "sarif":
        here.console.line(reports.sarif(findings, rules))
    elif options.format == "junit":
        here.console.line(reports.junit(findings, rules))
    elif findings:
        here.console.line(reports.text(findings))
    failing = any(found.level != "note" for found in findings)
    if not failing and not options.format:
        here.console.line(f"validate: templates, parameters, buildspecs, appspecs and the rest are good ({len(modules)} checks)")
    return 1 if failing else 0


def discover() -> list[ModuleType]:
    """The modules of scripts/checks that are checks: those with RULES and check()."""
    names = sorted(found.name for found in pkgutil.iter_modules(checks.__path__))
    modules = [importlib.import_module(f"scripts.checks.{name}") for name in names]
    return [module for module in modules if hasattr(module, "RULES") and hasattr(module, "check")]


def ask(root: Path, modules: Iterable[ModuleType]) -> Iterator[Finding]:
    """Every check's findings. Threads are enough: the long ones wait for a program of their own, cfn-lint the longest."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        # The long one first.
        for findings in pool.map(lambda module: _ask_one(module, root), sorted(modules, key=lambda module: not module.__name__.endswith("cfn_lint"))):
            yield from findings


def _ask_one(module: ModuleType, root: Path) -> list[Finding]:
    try:
        return list(module.check(root))
    except CommandError as error:
        # A check that could not be made must not look like one that found nothing.
        name = module.__name__.rpartition(".")[2]
        message = f"{name} could not be asked: {error.what}" + (f" ({error.reason})" if error.reason else "")
        return [Finding(NOT_CHECKED, f"scripts/checks/{name}.py", message=message, next_step=error.next_step)]
    except Exception as error:  # One check's fault, or a tree that nobody thought of, must not cost the others' findings.
        name = module.__name__.rpartition(".")[2]
        return [Finding(NOT_CHECKED, f"scripts/checks/{name}.py", message=f"{name} broke off: {type(error).__name__}: {error}",
                        next_step="mend the file that it names, if any; else report it")]


def rules_of(modules: Iterable[ModuleType]) -> Mapping[str, str]:
    """Rule id → what it asks, of all checks."""
    return {rule: what for module in modules for rule, what in module.RULES.items()}


if __name__ == "__main__":
    raise SystemExit(main())
