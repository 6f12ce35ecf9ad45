"""The releases of an environment: what became of each execution there, why, and how it was taken back. Pure: over what pipelines.py and ledger.py read.

An execution is a release's way through the pipeline; a commit that is sent through again has a row for each way. Times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scripts.core.pipelines import GOING_ON, Action, Execution, Stage

GOOD, BAD, FAILED, SUPERSEDED, STOPPED, UNDER_WAY, REFUSED = "good", "bad", "failed", "superseded", "stopped", "under way", "refused"
# A person's order and the page of the rollback that it begins come at once; what comes later is another's.
_SAME_ROLLBACK_SECONDS = 300.0
# A mark and the start of an execution are told by two clocks.
_SLACK_SECONDS = 2.0


@dataclass(frozen=True)
class Rollback:
    """A way back, as the ledger's log tells it. `by` is who ordered it, "handsoff" where nobody did; `ended` None: not, or it was given up."""

    bad: str
    to: str
    by: str
    began: float
    ended: float | None = None
    reason: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took until every group ran the release before."""
        return None if self.ended is None else self.ended - self.began


@dataclass(frozen=True)
class Passage:
    """A stage that an execution went into. `status`: Succeeded, Failed, Stopped or InProgress; `finished` None while it goes on."""

    stage: str
    status: str
    entered: float
    finished: float | None


@dataclass(frozen=True)
class Past:
    """One row of the history.

    `pushed` is when its execution began: CodePipeline does not know of a push before that. `committed` is the commit's author date, None where AWS does not
    tell it. `deployed`: a deployment to the environment began. `out`: when the environment's last stage succeeded. `found_bad`: when the release was marked
    bad, or its first action there failed. `caught_in` is the stage that ended it.
    """

    execution: str
    commit: str
    message: str
    outcome: str
    cause: str
    caught_in: str
    by: str
    pushed: float
    committed: float | None
    stages: tuple[Passage, ...]
    deployed: bool
    out: float | None
    found_bad: float | None
    rollback: Rollback | None


def rollbacks(log: Sequence[Mapping[str, Any]]) -> tuple[Rollback, ...]:
    """The ways back that an environment's log (newest entry first) tells of, oldest first.

    Its words: `rollback` with `by`, `to`, `bad` is a person's order, with `to` and `bad` alone the beginning of a way back, ordered or not; `done` its end.
    An environment has one at a time, so an end ends all that began before it.
    """
    found: list[Rollback] = []
    for entry in reversed(log):
        at, kind, to = when(entry), entry.get("kind"), str(entry.get("to") or "")
        if at is None:
            continue
        if kind == "rollback" and to:
            last = found[-1] if found else None
            by, bad = str(entry.get("by") or ""), str(entry.get("bad") or "")
            if last and not by and last.ended is None and last.to == to and at - last.began <= _SAME_ROLLBACK_SECONDS:
                found[-1] = Rollback(last.bad or bad, to, last.by, last.began, None, last.reason)
            else:
                found.append(Rollback(bad, to, by or "handsoff", at, None, str(entry.get("reason") or "")))
        elif kind == "done":
            found = [Rollback(one.bad, one.to, one.by, one.began, at if one.ended is None else one.ended, one.reason) for one in found]
    return tuple(found)


def when(entry: Mapping[str, Any]) -> float | None:
    """When a log's entry was written: its sort key begins with the time."""
    text = str(entry.get("at", ""))[: len("2026-01-01T00:00:00.000Z")]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def pasts(
    executions: Sequence[Execution],
    actions: Sequence[Action],
    stages: Sequence[Stage],
    environment: str,
    releases: Sequence[Mapping[str, Any]],
    log: Sequence[Mapping[str, Any]],
) -> tuple[Past, ...]:
    """A row for each execution, in their order (newest first). `stages` are the pipeline's, `releases` the ledger's records, `log` the environment's log."""
    marks = {str(release["commit"]): release["bad"] for release in releases if release.get("bad")}
    back = rollbacks(log)
    marked: set[str] = set()
    rows = []
    for execution in executions:
        own = [action for action in actions if action.execution == execution.id]
        mark = marks.get(execution.commit)
        # The mark is of the newest way that had begun when it was set: an older way of the same commit may have been good, a newer one is refused for it.
        if mark and (execution.commit in marked or float(mark["at"]) + _SLACK_SECONDS < (execution.started or 0.0)):
            mark = None
        if mark:
            marked.add(execution.commit)
        rows.append(_past(execution, own, stages, environment, mark, back))
    return tuple(rows)


def remembered(
    records: Sequence[Mapping[str, Any]], stages: Sequence[Stage], environment: str, log: Sequence[Mapping[str, Any]], since: float
) -> tuple[Past, ...]:
    """The rows that the ledger alone gives, where executions may not be read: releases that came to a gate since then, by when it first saw them."""
    own = [stage.name for stage in stages if stage.environment == environment]
    back = rollbacks(log)
    rows = []
    for record in records:
        seen, mark, passed = float(record.get("first_seen") or 0), record.get("bad"), record.get("passed") or {}
        if seen < since:
            continue
        out = float(passed[own[-1]]) if own and own[-1] in passed else None
        commit = str(record["commit"])
        way = next((one for one in back if one.bad == commit), None) if mark else None
        through = tuple(Passage(stage, "Succeeded", float(passed[stage]), float(passed[stage])) for stage in own if stage in passed)
        outcome, found_bad = BAD if mark else GOOD if out is not None else UNDER_WAY, float(mark["at"]) if mark else None
        cause = _line(str(mark.get("reason", ""))) if mark else ""
        rows.append(Past("", commit, "", outcome, cause, "", "", seen, None, through, bool(through), out, found_bad, way))
    return tuple(rows)


def _past(
    execution: Execution,
    actions: Sequence[Action],
    stages: Sequence[Stage],
    environment: str,
    mark: Mapping[str, Any] | None,
    back: Sequence[Rollback],
) -> Past:
    own = [stage.name for stage in stages if stage.environment == environment]
    through = {stage.name: passage for stage in stages if (passage := _passage(stage, stages, actions, execution))}
    deployed = any(one.stage in own and one.category == "Deploy" and (one.external or one.status == "Succeeded") for one in actions)
    last = through.get(own[-1]) if own else None
    out = last.finished if last and last.status == "Succeeded" else None
    if execution.status == "Succeeded" and out is None:
        out = execution.updated  # through every stage, whatever is known of its actions
    failed = _failed(actions)
    outcome = _outcome(execution, mark, out, failed, own, deployed)
    started = execution.started or 0.0
    found_bad = None
    if outcome == BAD:
        # Whichever came first: the mark follows its action's failure within a minute. What was taken back by hand has no failed action.
        signs = [at for at in (float(mark["at"]) if mark else None, failed.updated if failed else None) if at]
        found_bad = min(signs) if signs else execution.updated
    ways = [way for way in back if way.bad and way.bad == execution.commit and way.began + _SLACK_SECONDS >= started] if outcome == BAD else []
    source = next((one.variables for one in actions if one.category == "Source" and one.variables), {})
    return Past(
        execution=execution.id,
        commit=execution.commit,
        message=execution.summary,
        outcome=outcome,
        cause=_cause(execution, mark, failed, outcome),
        caught_in=(failed.stage if failed else "") if outcome in (BAD, FAILED, REFUSED, STOPPED) else "",
        by=str(source.get("AuthorDisplayName") or execution.by),
        pushed=started,
        committed=_date(source.get("AuthorDate", "")),
        stages=tuple(through.values()),
        deployed=deployed,
        out=out,
        found_bad=found_bad,
        rollback=ways[0] if ways else None,
    )


def _passage(stage: Stage, stages: Sequence[Stage], actions: Sequence[Action], execution: Execution) -> Passage | None:
    """How a stage went by the newest run of each of its actions: an older run was retried."""
    runs = sorted((one for one in actions if one.stage == stage.name), key=lambda one: one.started)
    if not runs:
        return None
    newest = {one.name: one for one in runs}
    states = {one.status for one in newest.values()}
    after = [one.name for one in stages][[one.name for one in stages].index(stage.name) + 1 :]
    left = execution.status == "Succeeded" or any(one.stage in after for one in actions) or set(stage.actions) <= set(newest)
    if "InProgress" in states:
        status = "InProgress"
    elif "Failed" in states:
        status = "Failed"
    elif "Abandoned" in states:
        status = "Stopped"
    else:
        # Between two actions all that ran have succeeded, and the stage has not.
        status = "Succeeded" if left else "InProgress" if execution.status in GOING_ON else "Stopped"
    finished = None if status == "InProgress" else max(one.updated for one in newest.values())
    return Passage(stage.name, status, runs[0].started, finished)


def _failed(actions: Sequence[Action]) -> Action | None:
    """The action that ended it: the first that failed among the newest runs, else the first that was abandoned."""
    newest = {(one.stage, one.name): one for one in sorted(actions, key=lambda one: one.started)}
    for status in ("Failed", "Abandoned"):
        ended = [one for one in newest.values() if one.status == status]
        if ended:
            return min(ended, key=lambda one: one.updated)
    return None


def _outcome(
    execution: Execution, mark: Mapping[str, Any] | None, out: float | None, failed: Action | None, own: Sequence[str], deployed: bool
) -> str:
    """good: through the environment's last stage, and not marked bad after. bad: marked so, or failed there after a deployment to it had begun.

    refused: failed at the environment's door, before any deployment. failed: before it came there. What is marked bad is bad for every environment.
    """
    if mark:
        return BAD
    if out is not None:
        return GOOD
    if execution.status in GOING_ON:
        return UNDER_WAY
    if execution.status == "Superseded":
        return SUPERSEDED
    if execution.status in ("Stopped", "Cancelled"):
        return STOPPED
    if failed is not None and failed.stage in own:
        return BAD if deployed else REFUSED
    return FAILED if execution.status == "Failed" else STOPPED


def _cause(execution: Execution, mark: Mapping[str, Any] | None, failed: Action | None, outcome: str) -> str:
    if mark:
        return _line(str(mark.get("reason", "")))
    if outcome == SUPERSEDED:
        return "a newer execution took its place"
    if outcome == STOPPED:
        return _line(execution.stop_reason) or "no reason was given"
    if outcome in (BAD, REFUSED, FAILED):
        if failed is None:
            return _line(execution.stop_reason)
        return _line(f"{failed.stage}/{failed.name}: {failed.message}".rstrip(": "))
    return ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _date(text: str) -> float | None:
    """ISO 8601, as a source action gives a commit's date; without a time zone it is UTC."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
