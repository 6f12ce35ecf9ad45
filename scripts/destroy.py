"""Remove the stacks of an environment; `--env all` removes everything, `--env release-store` what environments share.

Shows what goes and what is kept, and why; asks; then watches it go. Nothing there is success. A later deploy works although kept
resources are still there: the new ones have names of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from scripts.core import accounts, deployers, parallel, prerequisites, recover, removal, stacks, watch, world
from scripts.core.accounts import Accounts
from scripts.core.console import table
from scripts.core.errors import CommandError, WrongUse
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.removal import Item, KeptResource
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.world import World

_NOTHING = "Nothing to do: there is no stack of it."


@dataclass(frozen=True)
class Destroy:
    """One run of the command."""

    name: str
    options: argparse.Namespace
    world: World
    environments: dict[str, Environment]
    accounts: Accounts

    def client(self, service: str, item: Item) -> Any:
        """A client for a stack's account and Region."""
        return self.accounts.of(self.environments[item.owner]).client(service, item.region)

    def reaches(self, item: Item) -> bool:
        return self.accounts.reaches(self.environments[item.owner])


@dataclass(frozen=True)
class Found:
    """A stack that is there, with what it leaves behind."""

    item: Item
    stack: Stack
    kept: tuple[KeptResource, ...]
    total: int


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("destroy", __doc__)
    arguments.add_argument("--poll", type=float, default=2.0, metavar="SECONDS", help="how often to ask CloudFormation (default 2)")
    return world.run(arguments, argv, given, _destroy)


def _destroy(options: argparse.Namespace, here: World) -> int:
    environments = removal.load_all(here.root, options.local)
    if options.env not in environments:
        environments = removal.placed(environments)
    steps = removal.plan(options.env, environments)  # Refuses an unknown name before any call.
    involved = dict.fromkeys(item.owner for step in steps for item in step)
    regions = [item.region for step in steps for item in step]
    owners = [environments[name] for name in involved]
    if options.local:
        # The local AWS's deployer is made by whoever opens it first: where there is nothing to remove, nothing is made.
        caller = accounts.open_accounts(here.open_aws(True, here.environ), regions, owners)
        if _nothing(Destroy(options.env, options, here, environments, caller), steps):
            here.console.line(caller.target.line)
            here.console.line(_NOTHING)
            return 0
    entered = deployers.open_as_deployer(options, here, regions, owners)
    here.console.line(entered.target.line)
    run = Destroy(options.env, options, here, environments, entered)
    found = [_find(run, step) for step in _reached(run, steps)]
    if not any(found):
        here.console.line(_NOTHING)
        return 0
    _refuse_if_used(run)
    _show(run, found)
    if not here.console.confirm("Remove these stacks?", options.yes):
        raise CommandError("Nothing was removed", "the answer was no")
    board = Board(here.console)
    for step in found:
        _remove(run, step, board)
    _tell_kept([kept for step in found for one in step for kept in one.kept], here)
    return 0


def _nothing(run: Destroy, steps: list[list[Item]]) -> bool:
    """True when all of it can be looked at, and none of it is there."""
    items = [item for step in steps for item in step]
    return all(run.reaches(item) for item in items) and not any(stacks.find(run.client("cloudformation", item), item.stack_name) for item in items)


def _reached(run: Destroy, steps: list[list[Item]]) -> list[list[Item]]:
    """The steps in accounts that can be entered. What is named must be; of `all`, what cannot be is left, and what it may use too."""
    if run.name != removal.ALL:
        for item in (item for step in steps for item in step):
            run.accounts.of(run.environments[item.owner])
        return steps
    out_of_reach = [environment for environment in run.environments.values() if not run.accounts.reaches(environment)]
    for environment in out_of_reach:
        run.world.console.line(f"not touched: {environment.name} is in account {environment.account}")
    if len(out_of_reach) == len(run.environments):
        raise WrongUse(f"no environment of parameters/ is in account {run.accounts.target.account}", "", "change AWS_PROFILE (or the keys)")
    used = {environment.needed_stack_name(need) for environment in out_of_reach for need in environment.needs}
    for name in sorted(used & {item.stack_name for step in steps for item in step}):
        run.world.console.line(f"not touched: {name}, which they use")
    return [[item for item in step if run.reaches(item) and item.stack_name not in used] for step in steps]


def _find(run: Destroy, step: Sequence[Item]) -> list[Found]:
    def look(item: Item) -> Found | None:
        cloudformation = run.client("cloudformation", item)
        stack = stacks.find(cloudformation, item.stack_name)
        if stack is None or stack.status == "DELETE_COMPLETE":
            return None
        if prerequisites.deployment_groups(stack):
            prerequisites.require_no_deployment(run.client("codedeploy", item), stack, item.region)
        return Found(item, stack, tuple(removal.kept(cloudformation, stack)), removal.resource_total(cloudformation, stack))

    jobs: dict[str, Callable[[], Found | None]] = {f"{item.region} {item.stack_name}": partial(look, item) for item in step}
    return [one for one in parallel.all_or_raise(jobs, run.world.clock).values() if one]


def _refuse_if_used(run: Destroy) -> None:
    """What environments share goes last."""
    if run.name in run.environments or run.name == removal.ALL:
        return
    used = [
        item
        for item in removal.users_of(run.name, run.environments.values())
        if stacks.find(run.client("cloudformation", item), item.stack_name)
    ]
    if used:
        raise CommandError(
            f"{run.name} is still needed",
            ", ".join(f"{item.stack_name} ({item.region})" for item in used) + " use it",
            "remove those first (make destroy ENV=…), or all at once: ENV=all",
        )


def _show(run: Destroy, found: list[list[Found]]) -> None:
    here, name, environments = run.world, run.name, run.environments
    here.console.line("These stacks go:")
    here.console.line(
        table([(one.item.stack_name, one.item.region, one.stack.status, f"{one.total} resources") for step in found for one in step])
    )
    for one in (one for step in found for one in step if one.stack.protected):
        here.console.line(f"  {one.item.stack_name} ({one.item.region}) is protected against deletion: that is lifted right before")
    kept = [(item.logical_id, item.type, one.item.region, item.physical_id, item.why) for step in found for one in step for item in one.kept]
    if kept:
        here.console.line("These stay in the account:")
        here.console.line(table(kept))
    if name in environments:
        for need in environments[name].needs:
            here.console.line(f"  {environments[name].needed_stack_name(need)} stays: other environments use it (ENV={need} removes it)")
        using = [
            item
            for item in removal.users_of(name, environments.values())
            if run.reaches(item) and stacks.find(run.client("cloudformation", item), item.stack_name)
        ]
        for item in using:
            here.console.line(
                f"WARNING: {item.stack_name} ({item.region}) uses {name} and fails without it; deploy it again after {name} is back"
            )


def _remove(run: Destroy, step: Sequence[Found], board: Board) -> None:
    here, options = run.world, run.options

    def remove(one: Found) -> watch.Watched:
        driver = Driver(
            cloudformation=run.client("cloudformation", one.item),
            region=one.item.region,
            board=board,
            clock=here.clock,
            poll_seconds=options.poll,
            verbose=options.verbose,
            confirm=lambda question: here.console.confirm(question, options.yes),
        )
        stack = one.stack
        if stacks.next_step(stack.status) is stacks.Step.WAIT and not stack.status.startswith("DELETE"):
            here.console.line(f"{stack.name} ({one.item.region}) is {stack.status}: waiting for that first")
            begun = watch.mark_of_running_operation(driver.cloudformation, stack.id)
            stack = driver.watch(stack.id, begun, recover.label(driver.region, stack.name)).stack
        return recover.delete(driver, stack, "deleting", one.total)

    outcomes = parallel.each({f"{one.item.region} {one.item.stack_name}": partial(remove, one) for one in step}, here.clock)
    errors = [outcome.error for outcome in outcomes.values() if outcome.error]
    for name, outcome in outcomes.items():
        if not outcome.error:
            here.console.line(f"{name}: removed")
    for error in errors[:-1]:
        here.console.error(f"Error: {error}")
    if errors:
        raise errors[-1]


def _tell_kept(kept: Sequence[KeptResource], here: World) -> None:
    if kept:
        here.console.line(
            f"{len(kept)} resources were kept. The next deploy makes new ones beside them; remove the old by hand when nothing needs them any more."
        )


if __name__ == "__main__":
    raise SystemExit(main())
