"""Measure how long commands take: validate, and a deploy of each environment that changes nothing.

Each is run several times; the median and the spread are printed. Run it when the environments are deployed (make demo).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from scripts.core import settings, world
from scripts.core.errors import CommandError


def main(argv: list[str] | None = None) -> int:
    """Measure and print. Exit code 0 done, 1 a measured command failed."""
    parser = world.parser("bench", __doc__, environment=None)
    parser.add_argument("--times", type=int, default=3, help="how often each command is run (default 3)")
    return world.run(parser, argv, None, _bench)


def _bench(options: argparse.Namespace, here: world.World) -> int:
    commands: dict[str, Sequence[str]] = {"validate": ["scripts.validate"]}
    if options.local:
        commands |= {f"deploy {name}, no change": ["scripts.deploy", "--env", name, "--local", "--yes", "--no-wait"] for name in settings.names(here.root)}
    for name, command in commands.items():
        seconds = [_run(name, command) for _ in range(options.times)]
        here.console.line(f"{name:<28} median {statistics.median(seconds):.1f} s, from {min(seconds):.1f} to {max(seconds):.1f} s")
    return 0


def _run(name: str, command: Sequence[str]) -> float:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(name, f"it ended with code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}", "run the command by itself")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
