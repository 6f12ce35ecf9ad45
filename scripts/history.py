"""Show the releases of an environment, what became of each, why, and how it was taken back; and the four key figures of delivery (DORA) over them.

A row is one execution of the pipeline, newest first. good: through the environment's last stage. bad: marked so, or failed in the environment after a
deployment to it had begun. refused: not let in. failed: before it came there. superseded, stopped, under way: as CodePipeline says.
Reads only: CodePipeline's executions and actions (kept for twelve months) and the pipeline's ledger.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from scripts.core import accounts, control, dora, layout, ledger, pipelines, reading, releases, roots, settings, stacks, world
from scripts.core.console import table
from scripts.core.dora import Figure, Period
from scripts.core.errors import CommandError, WrongUse
from scripts.core.layout import minute, span
from scripts.core.releases import Past
from scripts.core.settings import Environment
from scripts.core.world import World
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.redact import redact, redact_all

_SCHEMA = 1
_SINCE, _LIMIT, _MOST = "30d", 50, 1000
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
# A release's rollback, pages and blocks are about ten entries.
_LOG_PER_RELEASE, _SHORTEST_LOG = 20, 200
_CAUSE_CHARACTERS = 300


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("history", __doc__)
    arguments.add_argument("--since", default=_SINCE, metavar="HOW LONG", help=f"how far back: 12h, 30d, 8w, or a day like 2026-01-31 (default {_SINCE})")
    arguments.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help=f"the newest N releases at most (default {_LIMIT})")
    arguments.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return world.run(arguments, argv, given, _history)


def _history(options: argparse.Namespace, here: World) -> int:
    environment = control.require_environment(here, options.env, options.local)
    now = here.clock.now()
    since = _since(options.since, now)
    if not 1 <= options.limit <= _MOST:
        raise WrongUse(f"LIMIT={options.limit} is not a number of releases", f"it goes from 1 to {_MOST}", "leave it out, or correct it")
    if roots.PIPELINE not in settings.names(here.root):
        raise WrongUse("there is no pipeline", f"parameters/{roots.PIPELINE}.yaml is missing", "restore it")
    tools = settings.load(here.root, roots.PIPELINE, options.local)
    entered = accounts.open_accounts(here.open_aws(options.local, here.environ), tools.regions[:1], [tools])
    (here.console.error if options.json else here.console.line)(entered.target.line)
    calls = Calls(entered.of(tools))
    rows, more, stages = _read(calls, tools, environment, since, options.limit)
    # What LIMIT cut off would make a long period look idle.
    begins = rows[-1].pushed if more and rows else since
    own = pipelines.stages_of(stages, environment.name)
    period, figures = dora.figures(rows, begins, now.timestamp(), own[-1].name if own else "")
    if calls.unreadable:
        figures = ()  # Without actions nothing was deployed, without marks nothing was bad: better none than a wrong one.
    if options.json:
        here.console.line(json.dumps(redact_all(_document(environment, rows, period, figures, calls, more)), indent=2))
        return 0
    lines = [*_heading(environment, rows, period, more), *_rows(rows, now.timestamp()), *_figures(environment, period, figures)]
    lines += [f"not readable: {one.what}: {one.why}" + (f": {one.permission}" if one.permission else "") for one in calls.unreadable]
    for line in layout.fit(lines, layout.width(here.console, here.environ)):
        here.console.line(redact(line))
    return 0


def _since(text: str, now: datetime) -> float:
    """Epoch seconds of `30d` ago, or of the beginning of a day (UTC). WrongUse for anything else."""
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if found and int(found[1]):
        return now.timestamp() - int(found[1]) * _UNITS[found[2]]
    try:
        at = datetime.fromisoformat(text.strip())
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        at = now
    if at >= now:
        raise WrongUse(f"SINCE={text} is not a time in the past", "it is a length (12h, 30d, 8w) or a day (2026-01-31)", "correct it, or leave it out: 30d")
    return at.timestamp()


def _read(calls: Calls, tools: Environment, environment: Environment, since: float, limit: int) -> tuple[tuple[Past, ...], bool, tuple[pipelines.Stage, ...]]:
    """The rows, whether LIMIT left out older ones, and the pipeline's stages. Executions are needed; what else may not be read is noted."""
    region = tools.regions[0]
    stack = stacks.find(calls.client("cloudformation", region), tools.stack_name)
    name = stacks.output(stack, tools.stack_name, "PipelineName", region, f"make deploy ENV={roots.PIPELINE}")
    assert stack is not None
    codepipeline = calls.client("codepipeline", region)
    book = ledger.of_stack(calls.client("dynamodb", region), stack)
    nothing: tuple[Any, ...] = ()

    def executions() -> tuple[Any, Any, Any, Any]:
        unknown: tuple[Any, bool] = (None, False)
        found, more = calls.attempt("executions", lambda: pipelines.executions(codepipeline, name, limit, since), unknown)
        if not found:
            # What the ledger remembers is less, and better than nothing.
            remembered = calls.attempt("releases", lambda: tuple(book.releases(limit)), nothing) if book and found is None else nothing
            return found, more, nothing, remembered
        oldest = min(one.started or 0.0 for one in found)
        commits = [one.commit for one in found if one.commit]
        parts = reading.at_once({
            "actions": partial(calls.attempt, "actions", partial(pipelines.actions, codepipeline, name, {one.id for one in found}, oldest), (nothing, True)),
            "releases": partial(calls.attempt, "releases", lambda: tuple(book.releases_of(commits)) if book else nothing, nothing),
        })
        actions, whole = parts["actions"]
        if not whole:
            calls.refused("actions of the oldest of these releases", CommandError("there are too many to read", "", "ask for fewer: SINCE, LIMIT"))
        return found, more, actions, parts["releases"]

    entries = max(_SHORTEST_LOG, limit * _LOG_PER_RELEASE)
    read_log = partial(book.log, environment.name, entries, since) if book else (lambda: nothing)
    reads: dict[str, Any] = {
        "executions": executions,
        "structure": partial(calls.attempt, "pipeline's structure", partial(pipelines.structure, codepipeline, name), nothing),
        "log": partial(calls.attempt, f"log of {environment.name}", read_log, nothing),
    }
    values = reading.at_once(reads)
    found, more, actions, marks = values["executions"]
    stages = values["structure"] or pipelines.structure_of(actions)
    if found is None:
        return releases.remembered(marks, stages, environment.name, values["log"], since), False, stages
    return releases.pasts(found, actions, stages, environment.name, marks, values["log"]), more, stages


def _heading(environment: Environment, rows: Sequence[Past], period: Period, more: bool) -> list[str]:
    since = f"since {minute(period.since)} UTC"
    if not rows:
        return ["", f"{environment.name}: no release {since}"]
    counted = f"{len(rows)} release{'' if len(rows) == 1 else 's'}"
    return ["", f"{environment.name}: {counted} {since}, newest first; times are UTC" + ("; older ones left out (LIMIT)" if more else "")]


def _rows(rows: Sequence[Past], now: float) -> list[str]:
    lines: list[str] = []
    for row in rows:
        lines += ["", f"{row.outcome:<10}  {row.commit[:12] or 'no revision':<12}  {row.message}".rstrip()]
        who = f" by {row.by}" if row.by else ""
        way = f", out after {span(row.out - row.pushed)}" if row.out else f", {span(now - row.pushed)} ago" if row.outcome == releases.UNDER_WAY else ""
        lines.append(f"  pushed {minute(row.pushed)}{who}{way}")
        if row.stages:
            lines.append("  " + "  ".join(_stage(passage, row.pushed) for passage in row.stages))
        if row.cause:
            lines.append(f"  cause: {_cut(row.cause)}")
        if row.rollback:
            took = f" in {span(row.rollback.seconds)}" if row.rollback.seconds is not None else ", no end on record"
            lines.append(f"  rolled back to {row.rollback.to[:12]} by {row.rollback.by}{took}")
    return lines


def _stage(passage: releases.Passage, pushed: float) -> str:
    """`Gamma 10:02–10:21`, with the day where it is another than the push's, and how it ended if not well."""
    day = "" if minute(passage.entered)[:10] == minute(pushed)[:10] else minute(passage.entered)[5:10] + " "
    until = minute(passage.finished)[11:] if passage.finished else "…"
    word = {"Succeeded": "", "InProgress": "" if passage.finished is None else " goes on"}.get(passage.status, f" {passage.status.lower()}")
    return f"{passage.stage} {day}{minute(passage.entered)[11:]}–{until}{word}".replace(" ", layout.FIRM)


def _figures(environment: Environment, period: Period, figures: Sequence[Figure]) -> list[str]:
    """The four, with what each is made of."""
    counted = f"{period.releases} release{'' if period.releases == 1 else 's'} in {_length(period.days)}"
    if not figures:
        return ["", f"key figures of {environment.name}: none, for want of what could not be read"]
    rows = [(figure.name, _value(figure), "" if figure.value is None else figure.note.replace(" ", layout.FIRM)) for figure in figures]
    return ["", f"key figures of {environment.name} over {counted} ({dora.SOURCE})", *table(rows).split("\n")]


def _value(figure: Figure) -> str:
    if figure.value is None:
        return f"n/a: {figure.note}"
    if figure.unit == "seconds":
        return span(figure.value)
    if figure.unit == "share":
        return f"{figure.value * 100:.3g} %"
    return f"{figure.value:.3g} a day"


def _document(environment: Environment, rows: Sequence[Past], period: Period, figures: Sequence[Figure], calls: Calls, more: bool) -> dict[str, Any]:
    """The history as data. Times are epoch seconds."""
    plain = []
    for row in rows:
        seconds = {"seconds": row.rollback.seconds} if row.rollback else {}
        plain.append({**asdict(row), "rollback": {**asdict(row.rollback), **seconds} if row.rollback else None})
    return {
        "schema": _SCHEMA,
        "environment": environment.name,
        "since": period.since,
        "until": period.until,
        "more": more,
        "releases": plain,
        "dora": {"source": dora.SOURCE, "days": period.days, "releases": period.releases, "figures": [asdict(figure) for figure in figures]},
        "unreadable": [asdict(one) for one in calls.unreadable],
        "calls": calls.count,
    }


def _cut(text: str) -> str:
    return text if len(text) <= _CAUSE_CHARACTERS else text[: _CAUSE_CHARACTERS - 1] + "…"


def _length(days: float) -> str:
    """A period as people say it: 30 days, 1.5 days, 5 hours, 40 minutes."""
    count, unit = (days, "day") if days >= 1 else (days * 24, "hour") if days * 24 >= 1 else (days * 1440, "minute")
    number = f"{count:.3g}"
    return f"{number} {unit}{'' if number == '1' else 's'}"


if __name__ == "__main__":
    raise SystemExit(main())
