"""Package, and let taskcat create the stacks of every root template in the Regions of .taskcat.yml, and delete them again.

On AWS this costs: it says what and asks. The release stores must be there (make deploy ENV=…); locally it deploys them. taskcat's report is
build/taskcat/report/index.html. What a deleted stack leaves on purpose (buckets, keys, repositories, logs, tables) is removed too, since it was
only a test; so are stacks that an interrupted run left. 0: every stack was created in every Region and is gone.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from scripts.core import accounts, leftovers, parallel, rollout, roots, tested, world
from scripts.core.accounts import Accounts
from scripts.core.errors import CommandError, WrongUse
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.roots import Roots
from scripts.core.session import Aws
from scripts.core.tested import Plan
from scripts.core.world import World
from scripts.package import package_one

FOLDER = Path("build/taskcat")
PROGRAM = FOLDER / "venv" / "bin" / "taskcat"
REPORT = FOLDER / "report"
# A shim for the local AWS alone, run by taskcat's own Python: on AWS nothing of it is needed.
SHIM = Path("scripts/shims/taskcat_local.py")


@dataclass(frozen=True)
class Row:
    """One line of taskcat's report."""

    test: str
    region: str
    stack: str
    status: str


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("taskcat", __doc__, environment=None)
    arguments.add_argument("--lint", action="store_true", help="only taskcat's lint of what the last package wrote")
    arguments.add_argument("--sweep", action="store_true", help="test nothing: only remove what earlier runs left")
    arguments.add_argument("--tests", default="", help="only these tests, commas between")
    return world.run(arguments, argv, given, _taskcat)


def _taskcat(options: argparse.Namespace, here: World) -> int:
    plan = tested.load(here.root)
    chosen = [name for name in options.tests.split(",") if name]
    unknown = sorted({*chosen} - {case.name for case in plan.cases})
    if not plan.cases or unknown:
        there = ", ".join(case.name for case in plan.cases) or "no tests"
        raise WrongUse(f"there is no test {', '.join(unknown)}" if unknown else "there is nothing to test", f"{tested.FILE} has {there}")
    if not (here.root / PROGRAM).exists():
        raise CommandError("taskcat is not installed", str(PROGRAM), "make taskcat installs it")
    if options.lint:
        return _lint(here, plan)
    loaded = {name: roots.load(here.root, name, options.local) for name in dict.fromkeys(copy.environment for copy in plan.copies)}
    aws = here.open_aws(options.local, here.environ)
    entered = accounts.open_accounts(aws, plan.regions, [one.tools for one in loaded.values()])
    here.console.line(entered.target.line)
    if not options.sweep:
        _ask(options, here, plan, chosen)
    begun = here.clock.now()
    if options.sweep:
        return _sweep(here, aws, plan, datetime.fromtimestamp(0, UTC))
    if options.local:
        _deploy_stores(options, here, plan, loaded, entered)
    for copy in plan.copies:
        package_one(loaded[copy.environment], copy.region, entered, here)
    _stage(here.root, plan)
    code = 1
    try:
        code = _run(options, here, chosen)
    finally:
        causes = [*_refusals(here.root / REPORT), *_causes(aws, plan, begun)]
        left = _sweep(here, aws, plan, begun)
    return _judge(here, plan, chosen, code, causes, left)


def _lint(here: World, plan: Plan) -> int:
    """taskcat's lint of what .taskcat.yml names, where it names it: the templates as they are in the tree, since a package would need a bucket."""
    here.console.line("Target: none; taskcat's lint reads files only")
    project = here.root / FOLDER / "lint"
    shutil.rmtree(project, ignore_errors=True)
    for copy in plan.copies:
        shutil.copytree(here.root / "templates", project / copy.folder)
    project.mkdir(parents=True, exist_ok=True)
    for name in (tested.FILE, ".cfnlintrc"):
        shutil.copy(here.root / name, project / name)
    _add_own(here.root, project, plan)
    code = subprocess.run([*_command(here.root, shim=True), "lint"], cwd=project, env=_quiet(here), check=False).returncode
    if code:
        raise CommandError("taskcat's lint found something", f"it ended with {code}", "its lines above name the template and the rule")
    return 0


def _ask(options: argparse.Namespace, here: World, plan: Plan, chosen: Sequence[str]) -> None:
    cases = [case for case in plan.cases if not chosen or case.name in chosen]
    stacks_of = "; ".join(f"{case.name} in {', '.join(case.regions)}" for case in cases)
    here.console.line(f"tests: {stacks_of}")
    if not options.local and not here.console.confirm("Create these stacks on AWS, for money, and delete them?", options.yes):
        raise CommandError("nothing was created", "it was not agreed to", "YES=1 asks nothing")


def _deploy_stores(options: argparse.Namespace, here: World, plan: Plan, loaded: Mapping[str, Roots], entered: Accounts) -> None:
    """On the local AWS the release stores that the packages need, as a deploy makes them: flat, by body."""
    one = next(iter(loaded.values()))
    board = Board(here.console)
    work = {}
    for region in dict.fromkeys(copy.region for copy in plan.copies):
        driver = Driver(
            cloudformation=entered.of(one.tools).client("cloudformation", region), region=region, board=board, clock=here.clock,
            poll_seconds=1.0, verbose=options.verbose, confirm=lambda question: True,
        )
        work[region] = (driver, roots.needed_request(one, roots.RELEASE_STORE, region))
    rollout.deploy(work, here.console, here.clock, True, options.verbose)


def _stage(root: Path, plan: Plan) -> None:
    """A project of the packaged copies alone: taskcat uploads the whole folder that it runs in."""
    project = root / FOLDER / "project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.rmtree(root / REPORT, ignore_errors=True)
    project.mkdir(parents=True)
    shutil.copy(root / tested.FILE, project / tested.FILE)
    for copy in plan.copies:
        shutil.copytree(root / copy.folder, project / copy.folder)
    _add_own(root, project, plan)


def _add_own(root: Path, project: Path, plan: Plan) -> None:
    """The templates of tests that are no packaged copies."""
    for case in plan.cases:
        if not (project / case.template).exists():
            (project / case.template).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / case.template, project / case.template)


def _command(root: Path, shim: bool) -> list[str]:
    # -I: this folder's own taskcat.py must not be taken for taskcat.
    return [str(root / PROGRAM.parent / "python"), "-I", str(root / SHIM)] if shim else [str(root / PROGRAM)]


def _quiet(here: World) -> dict[str, str]:
    """The environment without the user's own settings of taskcat."""
    return {name: value for name, value in here.environ.items() if not name.startswith("TASKCAT_")} | {"HOME": str(here.root / FOLDER)}


def _run(options: argparse.Namespace, here: World, chosen: Sequence[str]) -> int:
    """taskcat's exit code. It cleans up by itself when interrupted; a second signal finds it at that."""
    command = _command(here.root, options.local)
    command += ["test", "run", "--output-directory", str(here.root / REPORT), "--minimal-output"]
    command += ["--test-names", ",".join(chosen)] if chosen else []
    environ = _quiet(here) if options.local else dict(here.environ)
    taskcat = subprocess.Popen(command, cwd=here.root / FOLDER / "project", env=environ, start_new_session=True)

    def stop(*_: object) -> None:
        taskcat.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return taskcat.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if taskcat.poll() is None:
            taskcat.kill()


def rows(report: str) -> list[Row]:
    """The lines of taskcat's index.html (_generate_reports.py): test, Region, stack, result, link."""
    text = [re.sub(r"<[^>]*>", " ", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", report, re.DOTALL)]
    cells = [" ".join(html.unescape(cell).split()) for cell in text]
    return [Row(*cells[at - 4 : at]) for at, cell in enumerate(cells) if cell == "View Logs" and at >= 4]


def _causes(aws: Aws, plan: Plan, begun: datetime) -> list[str]:
    """What failed first in each stack of this run, children before the parents that only say that a child failed."""

    def of(region: str) -> list[str]:
        found = []
        cloudformation = aws.client("cloudformation", region)
        for stack in leftovers.of_project(cloudformation, plan.project, begun):
            found += [f"{region} {stack['StackName']}: {line}" for line in leftovers.failures(cloudformation, stack["StackId"])]
        return found

    return [line for region in plan.regions for line in of(region)]


def _refusals(report: Path) -> list[str]:
    """Stacks that CloudFormation would not begin: they have no events, and taskcat writes the answer into a file of its own."""
    return [f"{path.stem}: {' '.join(path.read_text(encoding='utf-8').split())}" for path in sorted(report.glob("FailedToLaunch-*.txt"))]


def _sweep(here: World, aws: Aws, plan: Plan, since: datetime) -> int:
    """Removes what is left of taskcat's stacks; the number of things that stay. Each is named with the reason."""

    def clean(region: str) -> list[str]:
        return leftovers.remove(aws, region, plan.project, since, here.clock, here.console.line)

    left = parallel.all_or_raise({region: partial(clean, region) for region in plan.regions}, here.clock)
    lines = [line for found in left.values() for line in found]
    for line in lines:
        here.console.error(f"still there: {line}")
    return len(lines)


def _judge(here: World, plan: Plan, chosen: Sequence[str], code: int, causes: Iterable[str], left: int) -> int:
    wanted = {(case.name, region) for case in plan.cases for region in case.regions if not chosen or case.name in chosen}
    page = here.root / REPORT / "index.html"
    found = rows(page.read_text(encoding="utf-8")) if page.is_file() else []
    for row in found:
        here.console.line(f"{row.status:16} {row.test:24} {row.region:12} {row.stack}")
    good = {(row.test, row.region) for row in found if row.status == "CREATE_COMPLETE"}
    problems = [f"{name} in {region} did not reach CREATE_COMPLETE" for name, region in sorted(wanted - good)]
    problems += [f"taskcat ended with {code}"] if code else []
    problems += [f"{left} things are still there"] if left else []
    if page.is_file():
        here.console.line(f"report: {page.relative_to(here.root)}")
    if problems:
        reason = "\n          ".join([*problems, *causes])
        raise CommandError("taskcat failed", reason, f"{REPORT}/ has every event; make taskcat SWEEP=1 removes what is left")
    here.console.line(f"taskcat: {len(good)} stacks were created, and are gone")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
