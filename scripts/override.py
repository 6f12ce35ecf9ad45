"""Let one release into an environment although alarms fire or its window is closed (break glass), recorded with who and why.

It does not lift the block of a rollback, and a release marked bad stays refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from scripts.core import control, follow, world
from scripts.core.errors import WrongUse
from scripts.core.world import World


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("override", __doc__)
    arguments.add_argument("--release", metavar="COMMIT", help="the release to let in, 7 digits or more (required)")
    arguments.add_argument("--reason", help="why; recorded with who and when (required)")
    return world.run(arguments, argv, given, _override)


def _override(options: argparse.Namespace, here: World) -> int:
    environment = control.require_environment(here, options.env, options.local)
    example = f"make override ENV={environment.name} RELEASE=<commit>"
    if not options.release:
        raise WrongUse("no release is named", "an override is for one release alone", f'{example} REASON="…"')
    reason = control.require_reason(options.reason, example)
    function = control.open_control(here, options.local, environment)
    commit = control.find_release(function.describe(), options.release, "RELEASE")
    function.send("override", commit=commit, reason=reason, by=function.by)
    here.console.line(f"{follow.short(commit)} may enter {environment.name} in spite of alarms and window, by {function.by}: {reason}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
