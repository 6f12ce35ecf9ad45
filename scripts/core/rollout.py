"""Deploying stacks in several Regions: make ready, change sets, one question, then execute and watch, wave after wave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace

from scripts.core import changes, changesets, parallel, protection, recover, stacks, watch
from scripts.core.changesets import ChangeSet, Request
from scripts.core.clock import Clock, duration
from scripts.core.console import Console
from scripts.core.errors import CommandError
from scripts.core.recover import Driver
from scripts.core.stacks import Stack


@dataclass(frozen=True)
class Planned:
    """A stack that will be created or updated, or (change_set None) already is as it should be."""

    request: Request
    driver: Driver
    change_set: ChangeSet | None


Adjust = Callable[[Request, "Stack | None"], Request]


def deploy(
    work: Mapping[str, tuple[Driver, Request]],
    console: Console,
    clock: Clock,
    yes: bool,
    verbose: bool,
    adjust: Adjust = lambda request, stack: request,
    waves: Sequence[Sequence[str]] = (),
    verdict: MutableMapping[str, str] | None = None,
) -> dict[str, Stack]:
    """Deploys one stack per Region; returns each Region's stack as it is afterwards.

    `adjust` completes a request once the deployed stack is known (rollback triggers). CommandError when any Region failed; the others of
    its wave are still brought to their end, and the next wave is not begun. Nothing is executed unless all change sets could be made and
    the person agreed. `waves` are the Regions in order (default: all at once); `verdict` takes how each Region ended, in that order.
    """
    verdict = {} if verdict is None else verdict
    waves = [[region for region in wave if region in work] for wave in waves] or [list(work)]
    verdict.update({region: "not begun" for wave in waves for region in wave})
    outcomes = parallel.each({region: _planner(driver, request, adjust) for region, (driver, request) in work.items()}, clock)
    planned = {region: outcome.value for region, outcome in outcomes.items() if outcome.value is not None}
    failed = [outcome.error for outcome in outcomes.values() if outcome.error]
    if failed:
        _discard(planned.values())
        raise failed[0]
    to_do = {region: plan for region, plan in planned.items() if plan.change_set}
    for region, plan in planned.items():
        if not plan.change_set:
            console.line(f"{plan.request.stack_name} ({region}): no change")
            verdict[region] = "no change"
    if to_do:
        _ask(to_do, console, yes, verbose)
        _execute_waves(to_do, waves, console, clock, verdict)
    return {region: _after(plan) for region, plan in planned.items()}


def _execute_waves(
    to_do: Mapping[str, Planned], waves: Sequence[Sequence[str]], console: Console, clock: Clock, verdict: MutableMapping[str, str]
) -> None:
    """Executes wave after wave; when one fails the change sets of the later ones are thrown away."""
    left = [wave for wave in ({region: to_do[region] for region in regions if region in to_do} for regions in waves) if wave]
    count = len(left)
    while left:
        wave = left.pop(0)
        if count > 1:
            console.line(f"wave {count - len(left)} of {count}: {', '.join(wave)}")
        try:
            _execute(wave, console, clock, verdict)
        except CommandError:
            if left:
                console.line(f"not begun, because a wave before it failed: {', '.join(region for later in left for region in later)}")
            _discard(plan for later in left for plan in later.values())
            raise


def _planner(driver: Driver, request: Request, adjust: Adjust) -> Callable[[], Planned]:
    def run() -> Planned:
        stack = recover.make_ready(driver, request.stack_name)
        if stack and changesets.is_unchanged(stack, stacks.template_text(driver.cloudformation, stack.id), request):
            return Planned(request, driver, None)
        complete = adjust(request, stack)
        made = changesets.create(driver.cloudformation, complete, stack is None, driver.clock, _preview_poll(driver))
        if made and complete.triggers:
            # A trigger whose alarm the update itself removes would fail the update: leave it out.
            going = {change.physical_id for _, change in changes.flatten(made.changes) if change.action == "Remove" or change.replaces}
            staying = tuple(arn for arn in complete.triggers if arn not in going and arn.rpartition(":alarm:")[2] not in going)
            if staying != complete.triggers:
                driver.discard(made.id, made.stack_id, stack is None)
                complete = replace(complete, triggers=staying)
                made = changesets.create(driver.cloudformation, complete, stack is None, driver.clock, _preview_poll(driver))
        return Planned(complete, driver, made)

    return run


def _preview_poll(driver: Driver) -> float:
    return min(1.0, driver.poll_seconds)


def _ask(to_do: Mapping[str, Planned], console: Console, yes: bool, verbose: bool) -> None:
    for region, plan in to_do.items():
        made = plan.change_set
        assert made is not None
        counts = changes.count(made.changes)
        console.line(f"{plan.request.stack_name} ({region}): {'create' if made.kind == 'CREATE' else 'update'}, {counts}")
        console.line(changes.render(made.changes, verbose))
        for note in made.notes:
            console.line(f"  note: {note}")
        for warning in changes.warnings(made.changes):
            console.line(f"  WARNING: {warning}")
    try:
        agreed = console.confirm("Execute?", yes)
    except (CommandError, KeyboardInterrupt):
        _discard(to_do.values())
        raise
    if not agreed:
        _discard(to_do.values())
        raise CommandError("Nothing was changed", "the answer was no")


def _discard(plans: Iterable[Planned]) -> None:
    for plan in plans:
        if plan.change_set:
            plan.driver.discard(plan.change_set.id, plan.change_set.stack_id, plan.change_set.kind == "CREATE")


def _execute(to_do: Mapping[str, Planned], console: Console, clock: Clock, verdict: MutableMapping[str, str]) -> None:
    outcomes = parallel.each({region: _executor(plan) for region, plan in to_do.items()}, clock)
    errors = []
    for region, outcome in outcomes.items():
        if outcome.error:
            errors.append(outcome.error)
            verdict[region] = "not known"
            continue
        watched = outcome.value
        assert watched is not None
        name = to_do[region].request.stack_name
        verdict[region] = watched.stack.status
        console.line(f"{name} ({region}): {watched.stack.status} in {duration(watched.seconds)}")
        if watched.stack.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            errors.append(failure(name, region, watched))
            continue
        try:
            _protect(to_do[region], watched.stack)
        except CommandError as unprotected:
            errors.append(unprotected)
    if errors:
        for error in errors[:-1]:
            console.error(f"Error: {error}")
        raise errors[-1]


def _executor(plan: Planned) -> Callable[[], watch.Watched]:
    def run() -> watch.Watched:
        driver, made = plan.driver, plan.change_set
        assert made is not None
        begun = watch.mark(driver.cloudformation, made.stack_id)
        changesets.execute(driver.cloudformation, made)
        return driver.watch(
            made.stack_id, begun, recover.label(driver.region, plan.request.stack_name), changes.resource_total(made.changes)
        )

    return run


def failure(name: str, region: str, watched: watch.Watched) -> CommandError:
    """What to tell about an operation that did not succeed."""
    cause = watched.cause()
    after = {
        "ROLLBACK_COMPLETE": "everything it made was removed; deploy again after mending the cause",
        "UPDATE_ROLLBACK_COMPLETE": "the stack is as it was before; deploy again after mending the cause",
    }.get(watched.stack.status, "deploy again after mending the cause: it deals with the state that the stack is in")
    if cause is None:
        return CommandError(
            f"{name} ({region}) ended in {watched.stack.status}", watched.stack.reason or "CloudFormation gives no reason", after
        )
    return CommandError(
        f"{name} ({region}) ended in {watched.stack.status}; the first cause was {cause.where} ({cause.type}) {cause.status}",
        cause.reason or "CloudFormation gives none",
        f"{cause.hint}; {after}" if cause.hint else after,
    )


def _after(plan: Planned) -> Stack:
    stack = stacks.find(plan.driver.cloudformation, plan.request.stack_name)
    if stack is None:
        raise CommandError(
            f"{plan.request.stack_name} ({plan.driver.region}) is not there after its deploy", "somebody removed it", "deploy again"
        )
    if plan.change_set is None:
        _protect(plan, stack)
    return stack


def _protect(plan: Planned, stack: Stack) -> None:
    """A stack that is as asked for cannot be deleted by mistake, where that is asked for."""
    if plan.request.protected and protection.turn(plan.driver.cloudformation, plan.driver.region, stack, on=True):
        plan.driver.say(f"{stack.name} ({plan.driver.region}): protected against deletion")
