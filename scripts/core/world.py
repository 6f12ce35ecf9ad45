"""What every command is given, and the frame around it: arguments, errors, exit codes."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.core import errors, session
from scripts.core.clock import Clock, RealClock
from scripts.core.console import Console


@dataclass(frozen=True)
class World:
    """The project's folder, the environment variables, the terminal, the clock, and how to reach AWS."""

    root: Path
    environ: Mapping[str, str]
    console: Console
    clock: Clock
    open_aws: Callable[[bool, Mapping[str, str]], session.Aws]


def real_world() -> World:
    return World(Path(__file__).resolve().parents[2], os.environ, Console(), RealClock(), session.open_session)


class Help(argparse.HelpFormatter):
    """A module's docstring as wide as the terminal is: its paragraphs are filled, what is indented stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip().split("\n\n")
        return "\n\n".join(
            block if block.startswith(" ") else textwrap.fill(" ".join(block.split()), width, break_long_words=False, break_on_hyphens=False)
            for block in blocks
        )


def parser(name: str, text: str | None, environment: str | None = "required") -> argparse.ArgumentParser:
    """The options that every command has. `environment`: "required", "optional" or None for a command without one."""
    made = argparse.ArgumentParser(prog=f"python -m scripts.{name}", description=text, formatter_class=Help)
    if environment:
        made.add_argument(
            "--env", required=environment == "required", help="the environment: a file of parameters/ (gamma, prod, pipeline)"
        )
    made.add_argument(
        "--local", action="store_true", help="act on the local AWS only, with parameters/local/ laid over (make sets it for LOCAL=1)"
    )
    made.add_argument("--yes", action="store_true", help="ask nothing")
    made.add_argument("--verbose", action="store_true", help="show more, and the traceback of an error")
    return made


def run(
    arguments: argparse.ArgumentParser, argv: Sequence[str] | None, world: World | None, body: Callable[[argparse.Namespace, World], int]
) -> int:
    """Parses, runs the command, and turns errors into a message and an exit code: 0 done, 1 failed, 2 wrong use."""
    _open_streams()
    try:
        options = arguments.parse_args(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    else:
        code = _run(options, world or real_world(), body)
    return code if _all_written() else 1


def _open_streams() -> None:
    """A standard stream that the caller has closed is one with nothing to read, or that nobody reads; a letter that one cannot write becomes a ?."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (it stays open to the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="replace")


def _all_written() -> bool:
    """Whether what was written has gone out: a pipe that nobody reads any more, and a full disk, may show only now."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"Error: {errors.explain(error) or error}", file=sys.stderr)
        return False
    return True


def _run(options: argparse.Namespace, world: World, body: Callable[[argparse.Namespace, World], int]) -> int:
    try:
        return body(options, world)
    except (KeyboardInterrupt, errors.Interrupted):
        with contextlib.suppress(KeyboardInterrupt):  # whoever has no patience presses Ctrl-C twice
            world.console.show_live("")
            world.console.error("Interrupted. What AWS has begun goes on by itself; run the same command again to go on from there.")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # The one place where an error becomes a message.
        world.console.show_live("")
        if options.verbose:
            world.console.error(traceback.format_exc().rstrip())
        known = errors.explain(error)
        if known is None:
            world.console.error(f"Error: {type(error).__name__}: {error}\n  next:   --verbose shows where; please report it")
            return 1
        world.console.error(f"Error: {known}")
        return known.exit_code
