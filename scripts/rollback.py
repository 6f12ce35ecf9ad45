"""Take an environment back to its last good release, or to another one (--to), in every Region and scope; then watch it.

The rollback function does it, as it does by itself when an alarm fires: it stops executions and deployments behind it, marks what
is taken back as bad and blocks the environment. --force goes to a release that baked in gamma only (break glass; recorded).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.core import control, follow, world
from scripts.core.world import World


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("rollback", __doc__)
    arguments.add_argument("--reason", help="why; recorded with who and when (required)")
    arguments.add_argument("--to", metavar="COMMIT", help="the release to go to, 7 digits or more (default: the last good one)")
    arguments.add_argument("--force", action="store_true", help="break glass: to a release that did not bake in this environment")
    arguments.add_argument("--no-wait", action="store_true", help="give the order and do not watch")
    arguments.add_argument("--wait-minutes", type=float, default=60.0, help="how long to watch (default 60)")
    arguments.add_argument("--poll", type=float, default=3.0, metavar="SECONDS", help="how often to ask (default 3)")
    return world.run(arguments, argv, given, _rollback)


def _rollback(options: argparse.Namespace, here: World) -> int:
    environment = control.require_environment(here, options.env, options.local)
    reason = control.require_reason(options.reason, f"make rollback ENV={environment.name}")
    function = control.open_control(here, options.local, environment)
    before = function.describe()
    to = control.find_release(before, options.to, "TO") if options.to else None
    function.send("rollback", to=to, reason=reason, by=function.by, force=options.force)
    here.console.line(f"rollback of {environment.name} to {follow.short(to) if to else 'its last good release'} is ordered, by {function.by}: {reason}")
    if options.no_wait:
        here.console.line(f"not watched; make status ENV={environment.name} shows how far it is")
        return 0
    ended = follow.until_arrived(
        function, follow.entries(before), here.console, here.clock, options.wait_minutes * 60, options.poll
    )
    here.console.line(f"rollback of {environment.name} done: {', '.join(ended.arrived)} run {follow.short(ended.commit)}")
    blocked = (function.describe().get("record") or {}).get("blocked")
    if blocked:
        here.console.line(f"{environment.name} is blocked: {blocked.get('reason', '')}\n  next:   make unblock ENV={environment.name} REASON=\"…\"")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
