"""Take an environment back to its last good release, or to another one (--to), in every Region and scope; watch it, and ask the hosts at its end.

It shows what will change where and asks. The rollback function does it, as it does by itself when an alarm fires: it stops executions and deployments
behind it, marks what is taken back as bad and blocks the environment. Interrupted, it goes on by itself; run again, this command watches it.
--force goes to a release that baked in gamma only, or of which something is gone (break glass; recorded).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.core import accounts, control, follow, hosts, roots, settings, wayback, world
from scripts.core.control import Control
from scripts.core.errors import CommandError, WrongUse
from scripts.core.follow import moment, short
from scripts.core.settings import Environment
from scripts.core.world import World


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("rollback", __doc__)
    arguments.add_argument("--reason", help="why; recorded with who and when (required)")
    arguments.add_argument("--to", metavar="COMMIT", help="the release to go to, 7 digits or more (default: the last good one)")
    arguments.add_argument("--force", action="store_true", help="break glass: to a release that did not bake in this environment")
    arguments.add_argument("--no-wait", action="store_true", help="give the order and do not watch")
    arguments.add_argument("--wait-minutes", type=float, default=60.0, help="how long to watch (default 60)")
    arguments.add_argument("--poll", type=float, default=3.0, metavar="SECONDS", help="how often to ask (default 3)")
    arguments.add_argument("--addresses", metavar="URL", default="", help="where each balancer's DNS name answers, as JSON (the local AWS says so)")
    return world.run(arguments, argv, given, _rollback)


def _rollback(options: argparse.Namespace, here: World) -> int:
    environment = control.require_environment(here, options.env, options.local)
    reason = control.require_reason(options.reason, f"make rollback ENV={environment.name}")
    function = control.open_control(here, options.local, environment)
    before = function.describe()
    to = control.find_release(before, options.to, "TO") if options.to else None
    if under_way := _under_way(before, to):
        here.console.line(under_way)
    elif arrived := _arrived(before, to, environment):
        here.console.line(arrived)
        return _verify(options, here, environment, str((before.get("record") or {}).get("desired")))
    else:
        before, to, shown = _agree(options, here, function, environment, before, to)
        function.send("rollback", to=to, reason=reason, by=function.by, force=options.force, **shown)
        where = short(to) if to else "its last good release"
        here.console.line(f"rollback of {environment.name} to {where} is ordered, by {function.by}: {reason}")
    if options.no_wait:
        here.console.line(f"not watched; make status ENV={environment.name} shows how far it is")
        return 0
    ended = follow.until_arrived(function, follow.entries(before), here.console, here.clock, options.wait_minutes * 60, options.poll)
    here.console.line(f"rollback of {environment.name} done: {', '.join(ended.arrived)} run {short(ended.commit)}")
    blocked = (function.describe().get("record") or {}).get("blocked")
    if blocked:
        here.console.line(f"{environment.name} is blocked: {blocked.get('reason', '')}\n  next:   make unblock ENV={environment.name} REASON=\"…\"")
    return _verify(options, here, environment, ended.commit)


def _under_way(described: Mapping[str, Any], to: str | None) -> str:
    """The words for a way back to this release that is going on already: it is not ordered again."""
    record = described.get("record") or {}
    rollback = record.get("rollback") or {}
    if not rollback.get("to") or to not in (None, rollback["to"]):
        return ""
    since, by = moment(rollback.get("began")), rollback.get("by")
    return f"a rollback to {short(rollback['to'])} is under way since {since}, by {by}: it is watched, not ordered again"


def _arrived(described: Mapping[str, Any], to: str | None, environment: Environment) -> str:
    """The words for an environment that is where it is to go: after a rollback, or because every group runs the named release."""
    record, now = described.get("record") or {}, follow.standing(described)
    if not now.arrived or not now.done:
        return ""
    if to is None and (record.get("blocked") or {}).get("rollback"):
        return f"{environment.name} was rolled back to {short(now.commit)} already; TO=<commit> goes further back"
    return f"every group of {environment.name} runs {short(to)} already" if to is not None and to == now.commit else ""


def _agree(
    options: argparse.Namespace, here: World, function: Control, environment: Environment, before: dict[str, Any], to: str | None
) -> tuple[dict[str, Any], str | None, dict[str, Any]]:
    """Show what will change and ask: (what was seen, where to, what the order says of what was shown).

    CommandError or WrongUse where it cannot be, and where the answer is no: nothing was done then.
    """
    name, console = environment.name, here.console
    answer = function.plan(to, options.force)
    if answer is None:
        console.line("what will change is not known beforehand: the deployed rollback function is of before this command (make deploy ENV=pipeline)")
        _ask(options, here, name, to)
        return before, to, {}
    plan, now = wayback.read(answer), here.clock.now().timestamp()
    stores = _stores(options, here)
    if plan.to is None:
        others = wayback.offered(wayback.had(stores, plan, here.clock, to), answer, name)
        if not plan.known:
            raise WrongUse(f"TO={options.to}: there is no such release", plan.wrong, others)
        raise CommandError(f"rollback of {name} was refused, and nothing done", plan.wrong, others)
    notes = wayback.require(answer, plan, name, stores, here.clock, options.force)
    choice = plan.choice
    console.line(f"{name} goes back to {short(plan.to)}" + (f"\n  {wayback.words(choice, plan, now)}" if choice else ""))
    console.line(wayback.changes(answer, plan, now))
    if plan.marks:
        verb = "is" if len(plan.marks) == 1 else "are"
        console.line(f"  {', '.join(map(short, plan.marks))} {verb} marked bad and {verb} never deployed again")
    if plan.blocks:
        console.line(f'  {name} then takes no release until: make unblock ENV={name} REASON="…"')
    for note in notes:
        console.line(f"  {note}")
    _ask(options, here, name, plan.to)
    return answer, plan.to, {"expected": list(plan.marks)}


def _ask(options: argparse.Namespace, here: World, name: str, to: str | None) -> None:
    if not here.console.confirm(f"Roll {name} back to {short(to) if to else 'its last good release'}?", options.yes):
        raise CommandError(f"rollback of {name} was not ordered", "the answer was no; nothing was done")


def _stores(options: argparse.Namespace, here: World) -> Any:
    """Clients for the account of the release stores, which is the pipeline's."""
    tools = settings.load(here.root, roots.PIPELINE, options.local)
    return accounts.open_accounts(here.open_aws(options.local, here.environ), tools.regions[:1], [tools]).of(tools)


def _verify(options: argparse.Namespace, here: World, environment: Environment, commit: str) -> int:
    """Ask the hosts, and tell how they were asked and what answered. 1 where one answers with another release."""
    try:
        known = hosts.addresses(options.addresses)
    except hosts.Unanswered as error:
        here.console.line(f"where balancers answer could not be read: {error}")
        known = {}
    aws = accounts.open_accounts(here.open_aws(options.local, here.environ), environment.regions[:1], [environment]).of(environment)
    found = hosts.look(aws, environment, commit, known, here.clock)
    here.console.line(f"the hosts were asked for {short(commit)}:")
    for region in found:
        for line in (region.line(commit), *region.groups):
            here.console.line(f"  {line}")
    behind = [each for region in found for each in region.behind]
    if behind:
        here.console.line(f"  not reached, and may run another release: {', '.join(behind)}\n  next:   terminate them; their Auto Scaling group replaces them")
    wrong = [region.line(commit) for region in found if region.wrong(commit)]
    if wrong:
        raise CommandError(f"not every host of {environment.name} answers with {short(commit)}", "; ".join(wrong),
                           f"make status ENV={environment.name} says what each host got; what is not reached: terminate it, its group replaces it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
