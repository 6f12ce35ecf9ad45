"""Say why the latest deployment of an environment is failing: the one most likely cause, its evidence, what it is not, and the fix. Reads only.

Looks at the newest failure of the environment (an execution of the pipeline, a deployment outside of it, an operation of a stack), or at the one that is named.
Exit codes: 0 nothing is failing, 1 something is, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from scripts.core import accounts, parallel, roots, settings, stacks, world
from scripts.core.accounts import Accounts
from scripts.core.errors import WrongUse
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.world import World
from scripts.diagnosis import answer
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.collect import Asked, Place, Scene, collect
from scripts.diagnosis.judge import judge


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("why", __doc__)
    arguments.add_argument("--execution", default="", help="look at this execution of the pipeline: its id, or the beginning of it")
    arguments.add_argument("--deployment", default="", help="look at this deployment: d-…")
    arguments.add_argument("--stack", default="", help="look at this stack, by its name or id")
    arguments.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return world.run(arguments, argv, given, _why)


def _why(options: argparse.Namespace, here: World) -> int:
    asked = Asked(options.execution.strip(), options.deployment.strip(), options.stack.strip())
    if sum(map(bool, (asked.execution, asked.deployment, asked.stack))) > 1:
        raise WrongUse("more than one thing is named", "EXECUTION, DEPLOYMENT and STACK exclude each other", "name one of them")
    environment = settings.load(here.root, options.env, options.local)
    every = {name: settings.load(here.root, name, options.local) for name in settings.names(here.root)}
    tools = every.get(roots.PIPELINE)
    involved = list(every.values()) if environment.name == roots.PIPELINE else [environment]
    regions = [region for one in (*involved, *([tools] if tools else [])) for region in one.regions]
    entered = accounts.open_accounts(here.open_aws(options.local, here.environ), regions, (*involved, *([tools] if tools else [])))
    (here.console.error if options.json else here.console.line)(entered.target.line)
    entered.of(environment)
    calls = Calls(entered.caller)
    scene = open_scene(entered, calls, environment, involved, tools, every, here)
    case = collect(scene, asked, here.clock.now().timestamp())
    verdict = judge(case)
    if options.json:
        here.console.line(json.dumps(answer.document(case, verdict, calls.count), indent=2))
    else:
        here.console.line("\n" + answer.text(case, verdict, calls.count, width(here.environ)))
    return 1 if answer.failing(case, verdict) else 0


def width(environ: Mapping[str, str]) -> int | None:
    """How many columns there are: as COLUMNS says, else as the terminal does; None into a pipe."""
    if environ.get("COLUMNS", "").isdigit() and int(environ["COLUMNS"]) > 0:
        return int(environ["COLUMNS"])
    return shutil.get_terminal_size().columns if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else None


def open_scene(entered: Accounts, calls: Calls, environment: Environment, involved: Sequence[Environment], tools: Environment | None,
               every: Mapping[str, Environment], here: World) -> Scene:
    """The stacks of the environment in each of its Regions, and the pipeline's: where everything else is named."""

    def reach(name: str) -> Calls | None:
        found = every.get(name)
        return calls.of(entered.of(found)) if found is not None and entered.reaches(found) else None

    def place(of: Environment, region: str) -> Place:
        own = calls.of(entered.of(of))
        nothing: Stack | None = None
        stack = own.attempt(f"the stack {of.stack_name} in {region}", lambda: stacks.find(own.client("cloudformation", region), of.stack_name), nothing)
        return Place(of.name, region, own, of.stack_name, stack)

    reached = [one for one in (*involved, *([tools] if tools else [])) if entered.reaches(one)]
    jobs = {f"{one.name}@{region}": (lambda one=one, region=region: place(one, region)) for one in reached for region in one.regions}
    found = parallel.all_or_raise(jobs, here.clock)
    home = found.get(f"{tools.name}@{tools.regions[0]}") if tools else None
    places = tuple(found[f"{one.name}@{region}"] for one in involved if entered.reaches(one) for region in one.regions)
    shared = tuple(environment.needed_stack_name(need) for need in environment.needs)
    names = tuple(name for name, one in every.items() if one.template == "environment")
    return Scene(environment.name, environment.service, names, places, home, shared, reach)


if __name__ == "__main__":
    raise SystemExit(main())
