"""Open an environment that a rollback or `make block` closed, recorded with who and why. A release marked bad stays refused.

While a rollback is going on it is refused; --force gives that rollback up where it stands (break glass; recorded).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.core import control, world
from scripts.core.world import World


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("unblock", __doc__)
    arguments.add_argument("--reason", help="why it may go on; recorded with who and when (required)")
    arguments.add_argument("--force", action="store_true", help="break glass: give up a rollback that is going on")
    return world.run(arguments, argv, given, _unblock)


def _unblock(options: argparse.Namespace, here: World) -> int:
    environment = control.require_environment(here, options.env, options.local)
    reason = control.require_reason(options.reason, f"make unblock ENV={environment.name}")
    function = control.open_control(here, options.local, environment)
    function.send("unblock", reason=reason, by=function.by, force=options.force)
    here.console.line(f"{environment.name} is open, by {function.by}: {reason}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
