"""Write build/report.html: what was released, deployed, alarmed and taken back, with the traffic and the hosts, as one page that needs no network. Reads only.

Covers all environments, or the one that is named; the last 24 hours from the first thing that happened in them, or all of --since. The page reads on
a phone, on paper, in light and dark. Read-only credentials suffice: what may not be read is named on the page, with the permission.

A picture of it, with headless Chromium (docs/pictures/report.png is one of the demonstration's):

    chromium --headless --no-sandbox --hide-scrollbars \\
      --window-size=1200,1500 --screenshot=report.png \\
      file://$PWD/build/report.html
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from scripts import why
from scripts.core import accounts, roots, settings, world
from scripts.core.errors import CommandError, WrongUse
from scripts.core.world import World
from scripts.diagnosis import answer
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.collect import Asked, collect
from scripts.diagnosis.judge import judge
from scripts.reporting import gather, page
from scripts.reporting.summary import verdict

TARGET = "build/report.html"
_DAY = 86400.0
_UNITS = {"m": 60.0, "h": 3600.0, "d": _DAY}
_MOST_DAYS = 30


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("report", __doc__, environment="optional")
    arguments.add_argument("--since", default="", help="how far back: 90m, 2h, 3d; without it 24h, less the empty time at their beginning")
    arguments.add_argument("--out", default=TARGET, help=f"the file to write (default {TARGET})")
    return world.run(arguments, argv, given, _report)


def _report(options: argparse.Namespace, here: World) -> int:
    seconds = seconds_of(options.since) if options.since.strip() else _DAY
    every = {name: settings.load(here.root, name, options.local) for name in settings.names(here.root)}
    tools = every.get(roots.PIPELINE)
    asked = settings.load(here.root, options.env, options.local) if options.env else tools
    if asked is None:
        raise WrongUse("no environment is named", f"there is no parameters/{roots.PIPELINE}.yaml that would stand for all of them", "name one: ENV=…")
    shown = [one for one in every.values() if one.template == "environment"] if asked is tools else [asked]
    entered = accounts.open_accounts(
        here.open_aws(options.local, here.environ),
        [region for one in (*shown, *([tools] if tools else [])) for region in one.regions],
        (*shown, *([tools] if tools else [])),
    )
    here.console.line(entered.target.line)
    if options.env:
        entered.of(asked)
    calls = Calls(entered.caller)
    scene = why.open_scene(entered, calls, asked, shown if asked is not tools else list(every.values()), tools, every, here)
    until = here.clock.now().timestamp()
    account = f"local AWS ({entered.target.account})" if entered.caller.local else entered.target.alias or entered.target.account
    made = gather.report(scene, account, until - seconds, until, here.clock, not options.since.strip(), _command(options))
    case = collect(scene, Asked(), until)
    made = gather.with_why(made, answer.document(case, judge(case), calls.count), calls.unreadable)
    target = here.root / options.out if not Path(options.out).is_absolute() else Path(options.out)
    try:
        size = page.write(made, target)
    except OSError as error:
        raise CommandError(f"{options.out} cannot be written", str(error), "name another file: OUT=…") from error
    here.console.line(verdict(made).text)
    for one in made.unreadable:
        here.console.line(f"  not readable: {one.what}: {one.why}" + (f" (missing permission: {one.permission})" if one.permission else ""))
    here.console.line(f"Written: {options.out} ({max(1, size // 1024)} kB); open it in a browser.")
    return 0


def seconds_of(text: str) -> float:
    """`90m`, `2h`, `3d` as seconds. WrongUse for anything else, and for more than 30 days."""
    found = re.fullmatch(r"\s*(\d{1,5})\s*([mhd])\s*", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= _MOST_DAYS * _DAY:
        raise WrongUse(f"SINCE={text} is not a time of up to {_MOST_DAYS} days", "write a number of minutes, hours or days", "SINCE=90m, SINCE=2h, SINCE=3d")
    return seconds


def _command(options: argparse.Namespace) -> str:
    """The command that makes this report again."""
    given = [f"ENV={options.env}" if options.env else "", f"SINCE={options.since.strip()}" if options.since.strip() else "", "LOCAL=1" if options.local else ""]
    return " ".join(["make report", *(one for one in given if one)])


if __name__ == "__main__":
    raise SystemExit(main())
