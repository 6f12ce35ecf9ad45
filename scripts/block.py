"""Let no release into an environment until `make unblock`: a freeze, recorded with who and why. What runs there is left alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.core import control, world
from scripts.core.world import World


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("block", __doc__)
    arguments.add_argument("--reason", help="why; recorded with who and when, and shown where releases wait (required)")
    return world.run(arguments, argv, given, _block)


def _block(options: argparse.Namespace, here: World) -> int:
    environment = control.require_environment(here, options.env, options.local)
    reason = control.require_reason(options.reason, f"make block ENV={environment.name}")
    function = control.open_control(here, options.local, environment)
    function.send("block", reason=reason, by=function.by)
    here.console.line(f"{environment.name} is blocked, by {function.by}: {reason}\n  next:   make unblock ENV={environment.name} REASON=\"…\" opens it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
