"""Remove the stacks of an environment; `--env all` removes everything, `--env release-store` what environments share.

Shows what goes and what is kept, and why; asks; then watches it go. Nothing there is success. A later deploy works although kept
resources are still there: the new ones have names of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from scripts.core import parallel, prerequisites, recover, removal, session, stacks, watch, world
from scripts.core.console import table
from scripts.core.errors import CommandError, WrongUse
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.removal import Item, KeptResource
from scripts.core.session import Aws, Target
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.world import World


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
    removal.plan(options.env, environments)  # Refuses an unknown name before any call.
    aws = here.open_aws(options.local, here.environ)
    regions = tuple(dict.fromkeys(region for environment in environments.values() for region in environment.regions))
    target = session.identify(aws, regions)
    here.console.line(target.line)
    steps = removal.plan(options.env, _in_account(options.env, environments, target, here))
    found = [_find(aws, step, here) for step in steps]
    if not any(found):
        here.console.line("Nothing to do: there is no stack of it.")
        return 0
    _refuse_if_used(options.env, environments, aws)
    _show(found, here, options.env, environments, aws)
    if not here.console.confirm("Remove these stacks?", options.yes):
        raise CommandError("Nothing was removed", "the answer was no")
    board = Board(here.console)
    for step in found:
        _remove(step, options, here, aws, board)
    _tell_kept([kept for step in found for one in step for kept in one.kept], here)
    return 0


def _in_account(name: str, environments: dict[str, Environment], target: Target, here: World) -> dict[str, Environment]:
    """The environments of the caller's account. A named one must be of it."""
    if name in environments:
        session.require_account(target, environments[name].account, environments[name].file)
    here_too = {key: environment for key, environment in environments.items() if environment.account == target.account}
    for key in environments.keys() - here_too.keys():
        here.console.line(f"not touched: {key} is in account {environments[key].account}")
    if not here_too:
        raise WrongUse(f"no environment of parameters/ is in account {target.account}", "", "change AWS_PROFILE (or the keys)")
    return here_too


def _find(aws: Aws, step: Sequence[Item], here: World) -> list[Found]:
    def look(item: Item) -> Found | None:
        cloudformation = aws.client("cloudformation", item.region)
        stack = stacks.find(cloudformation, item.stack_name)
        if stack is None or stack.status == "DELETE_COMPLETE":
            return None
        if prerequisites.deployment_groups(stack):
            prerequisites.require_no_deployment(aws.client("codedeploy", item.region), stack, item.region)
        return Found(item, stack, tuple(removal.kept(cloudformation, stack)), removal.resource_total(cloudformation, stack))

    jobs: dict[str, Callable[[], Found | None]] = {f"{item.region} {item.stack_name}": partial(look, item) for item in step}
    return [one for one in parallel.all_or_raise(jobs, here.clock).values() if one]


def _refuse_if_used(name: str, environments: dict[str, Environment], aws: Aws) -> None:
    """What environments share goes last."""
    if name in environments or name == removal.ALL:
        return
    used = [
        item
        for item in removal.users_of(name, environments.values())
        if stacks.find(aws.client("cloudformation", item.region), item.stack_name)
    ]
    if used:
        raise CommandError(
            f"{name} is still needed",
            ", ".join(f"{item.stack_name} ({item.region})" for item in used) + " use it",
            "remove those first (make destroy ENV=…), or all at once: ENV=all",
        )


def _show(found: list[list[Found]], here: World, name: str, environments: dict[str, Environment], aws: Aws) -> None:
    here.console.line("These stacks go:")
    here.console.line(
        table([(one.item.stack_name, one.item.region, one.stack.status, f"{one.total} resources") for step in found for one in step])
    )
    kept = [kept for step in found for one in step for kept in one.kept]
    if kept:
        here.console.line("These stay in the account:")
        here.console.line(table([(item.logical_id, item.type, item.physical_id, item.why) for item in kept]))
    if name in environments:
        for need in environments[name].needs:
            here.console.line(f"  {environments[name].needed_stack_name(need)} stays: other environments use it (ENV={need} removes it)")
        using = [
            item
            for item in removal.users_of(name, environments.values())
            if stacks.find(aws.client("cloudformation", item.region), item.stack_name)
        ]
        for item in using:
            here.console.line(
                f"WARNING: {item.stack_name} ({item.region}) uses {name} and fails without it; deploy it again after {name} is back"
            )


def _remove(step: Sequence[Found], options: argparse.Namespace, here: World, aws: Aws, board: Board) -> None:
    def remove(one: Found) -> watch.Watched:
        driver = Driver(
            cloudformation=aws.client("cloudformation", one.item.region),
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
            driver.watch(
                stack.id, watch.mark_of_running_operation(driver.cloudformation, stack.id), recover.label(driver.region, stack.name)
            )
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
