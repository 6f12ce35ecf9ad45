"""The answer of `why`: as text for people, or as data. Both without secrets.

Width: on a terminal, and where COLUMNS says how wide, text is wrapped; a line that is a command never is, so that it can be copied whole. Into a pipe each
fact is one line, so that grep finds it. Nothing is ever cut: a log line goes on below, indented.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.diagnosis.case import Action, Case, Hold
from scripts.diagnosis.judge import Finding, Verdict
from scripts.diagnosis.redact import redact, redact_all, redact_lines

SCHEMA = 1
WIDEST = 120
"""Lines longer than this are hard to read, however wide the terminal is."""
MOST_RULED_OUT = 7
_COMMAND = re.compile(r"(?<=[:;,])\s+(?=(?:aws|make|git|docker|curl|python) \S)")
_STARTS = re.compile(r"(?:aws|make|git|docker|curl|python) \S")


def failing(case: Case, verdict: Verdict) -> bool:
    """Whether something is failing: a cause says so, or something failed for a reason that none knows."""
    if verdict.first is not None and verdict.first.match.certainty != "possible":
        return verdict.first.cause.failing
    return _failed(case) or _unread(case)


def document(case: Case, verdict: Verdict, calls: int) -> dict[str, Any]:
    """The answer as data; docs/why.md has the schema. Every text is redacted."""
    first = verdict.first
    told: dict[str, Any] = {
        "schema": SCHEMA, "environment": case.asked or case.environment, "about": case.about, "subject": case.subject, "failing": failing(case, verdict),
        "cause": first.cause.id if first else None,
        "title": first.title if first else _unknown(case),
        "certainty": first.match.certainty if first else None,
        "where": first.match.where if first else case.region,
        "evidence": list(first.match.evidence) if first else list(_found(case)),
        "ruled_out": [{"cause": cause, "why": why} for cause, why in verdict.ruled_out],
        "fix": list(first.match.fix) if first else [],
        "document": {"title": first.cause.document.title, "url": first.cause.document.url} if first else None,
        "others": [{"cause": one.cause.id, "title": one.title, "certainty": one.match.certainty, "where": one.match.where,
                    "evidence": list(one.match.evidence), "fix": list(one.match.fix)} for one in verdict.others],
        "holds": [{"kind": hold.kind, "where": hold.where, "reason": hold.reason, "since": hold.since, "by": hold.by, "waiting": list(hold.waiting)}
                  for hold in case.holds],
        "running": case.running, "also": list(case.also),
        "unreadable": [{"what": one.what, "why": one.why, "permission": one.permission or None} for one in case.unreadable],
        "calls": calls,
    }
    return dict(redact_all(told))


def text(case: Case, verdict: Verdict, calls: int, width: int | None) -> str:
    """The answer for people. `width` is how many columns there are; None: one line for each fact."""
    page = _Page(None if width is None else min(width, WIDEST))
    for line in _headline(case, verdict):
        page.line(line)
    first = verdict.first
    if first is not None:
        _finding(page, first, case)
    elif _failed(case):
        page.line("")
        page.line("No cause of the catalogue matches. This is what was found:")
        page.items(redact_lines(tuple(_found(case))))
    if verdict.others:
        page.head("also")
        for other in verdict.others:
            page.item(f"{other.title} ({other.cause.id}, {other.match.certainty}) - {other.match.where}")
            for fact in redact_lines(other.match.evidence)[:2]:
                page.line(fact, "      ")
    if case.also:
        page.head("failed too, and not looked into")
        page.items(tuple(f"{one.partition(': ')[0]}: make why ENV={case.asked or case.environment} {one.partition(': ')[2]}" for one in case.also))
    if first is not None and verdict.ruled_out and _failed(case):
        page.head("ruled out")
        page.items(_ruled_out(verdict.ruled_out))
    holds = [hold for hold in case.holds if first is None or not _says(first, hold)]
    if holds:
        page.head("holds releases back, and is no failure")
        page.items(tuple(_hold(hold) for hold in holds))
    if case.running:
        page.head("under way")
        page.items(tuple(case.running.split("; ")))
    if case.unreadable:
        page.head("could not be read")
        page.items(tuple(f"{one.what}: {one.why}" + (f"; allow {one.permission}" if one.permission else "") for one in case.unreadable))
    page.line("")
    page.line(f"{calls} API call{'' if calls == 1 else 's'}")
    return page.whole()


class _Page:
    """Lines, wrapped where there is a width."""

    def __init__(self, width: int | None) -> None:
        self._width, self._lines = width, list[str]()

    def head(self, words: str) -> None:
        """A heading."""
        self._lines += ["", f"{words[0].upper()}{words[1:]}"]

    def line(self, words: str, indent: str = "") -> None:
        """Words at an indent; what is already indented in them (a traceback) stays so."""
        words = redact(words.rstrip())
        own = indent + words[: len(words) - len(words.lstrip())]
        if self._width is None or len(indent) + len(words) <= self._width or _STARTS.match(words.lstrip()):
            self._lines.append((indent + words).rstrip())
            return
        self._lines += textwrap.wrap(words.lstrip(), max(self._width, len(own) + 30), initial_indent=own, subsequent_indent=f"{own}  ",
                                     break_long_words=False, break_on_hyphens=False)

    def item(self, words: str, mark: str = "-") -> None:
        """An item of a list; a command in it stands on a line of its own where there is a width."""
        parts = _COMMAND.split(words) if self._width is not None else [words]
        whole = len(words) + 4 <= (self._width or 0)
        first, *commands = [words] if whole else parts
        if _STARTS.match(first):
            self._lines.append(redact(f"  {mark} {first}"))
        else:
            self._wrapped(first, f"  {mark} ")
        for command in commands:
            self._lines.append(redact(f"  {' ' * len(mark)} {command}"))

    def items(self, words: Sequence[str]) -> None:
        """A list."""
        for each in words:
            self.item(each)

    def _wrapped(self, words: str, begin: str) -> None:
        words = redact(words.rstrip())
        inner = words[: len(words) - len(words.lstrip())]
        if self._width is None or len(begin) + len(words) <= self._width:
            self._lines.append(begin + words)
            return
        self._lines += textwrap.wrap(words.lstrip(), self._width, initial_indent=begin + inner, subsequent_indent=" " * len(begin) + inner,
                                     break_long_words=False, break_on_hyphens=False) or [begin.rstrip()]

    def whole(self) -> str:
        """The page."""
        return "\n".join(self._lines)


def _ruled_out(found: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each reason, with the causes that it rules out; not more lines than one reads."""
    by_reason: dict[str, list[str]] = {}
    for cause, why in found:
        by_reason.setdefault(why, []).append(cause)
    lines = [f"{why}: not {', '.join(causes)}" for why, causes in by_reason.items()]
    left = len(lines) - MOST_RULED_OUT
    return lines if left <= 1 else [*lines[:MOST_RULED_OUT], f"and for {left} more reasons (JSON=1 has them all)"]


def _finding(page: _Page, one: Finding, case: Case) -> None:
    page.line("")
    page.line(f"{'Cause' if one.cause.failing else 'Reason'} ({one.match.certainty}): {one.title}")
    page.line(f"{one.cause.id}, {one.match.where}" + (f", since {moment(one.match.at)}" if one.match.at is not None else ""), "  ")
    if one.match.evidence:
        page.head("evidence")
        page.items(redact_lines(one.match.evidence))
    if one.match.fix:
        page.head("fix" if one.cause.failing else "what to do")
        for number, step in enumerate(one.match.fix, 1):
            page.item(step, f"{number}.")
    page.head("read")
    page.item(f"{one.cause.document.title}: {one.cause.document.url}")


def _headline(case: Case, verdict: Verdict) -> list[str]:
    bad = failing(case, verdict)
    asked = case.asked or case.environment
    lines = [f"{asked}: {_about(case)}"]
    if not bad and case.about == "nothing":
        # What could not be read may fail all the same: that is not for us to say.
        known = "nothing that could be read is failing" if case.unreadable else "nothing is failing"
        lines = [f"{asked}: {known}." + (f" {_newest(case)}" if case.execution else "")]
    elif not bad:
        lines.append("This is not a failure of the release." if verdict.first is not None else "It is not failing.")
    return lines


def _about(case: Case) -> str:
    execution = case.execution
    if case.about == "execution" and execution is not None:
        action = next((one for one in case.actions if one.status == "Failed"), case.actions[0] if case.actions else None)
        place = f" in {action.stage}/{action.name}" + (f" ({action.region})" if action.region else "") if action else ""
        commit = f", commit {execution.commit[:12]}" + (f" \"{execution.summary}\"" if execution.summary else "") if execution.commit else ""
        when = f", {moment(execution.ended)}" if execution.ended else ""
        return f"execution {execution.id} {_past(execution.status)}{place}{commit}{when}"
    if case.about == "deployment":
        found = next((one for one in case.deployments if one.id == case.subject), None)
        if found is None:
            return f"deployment {case.subject} could not be read"
        end = f", {moment(found.ended)}" if found.ended else ""
        return f"deployment {found.id} to {found.where} {_past(found.status)}, created by {found.creator}{end}"
    if case.about == "stack":
        stack = next(iter(case.stacks), None)
        return f"stack {case.subject} is {stack.status} ({stack.region})" if stack else f"stack {case.subject} could not be read"
    return case.running or "nothing is failing"


def _past(status: str) -> str:
    return {"Failed": "failed", "Stopped": "was stopped", "Superseded": "was superseded", "Cancelled": "was cancelled", "Succeeded": "succeeded",
            "InProgress": "is under way"}.get(status, f"is {status}")


def _newest(case: Case) -> str:
    execution = case.execution
    assert execution is not None
    if case.about == "nothing" and execution.status not in ("InProgress", "Stopping"):
        return f"The newest execution, {execution.id}{' of ' + execution.commit[:12] if execution.commit else ''}, {_past(execution.status)}" + (
            f" at {moment(execution.ended)}." if execution.ended else ".")
    return ""


def _failed(case: Case) -> bool:
    """Whether what the case is about ended badly, whatever the reason."""
    execution = case.about == "execution" and case.execution is not None and case.execution.status in ("Failed", "Stopped", "Cancelled")
    return execution or any(one.status in ("Failed", "Stopped") for one in case.deployments) or bool(case.stacks)


def _unread(case: Case) -> bool:
    """Whether what was named is there, and could not be read: it is not said to be well."""
    return case.about in ("deployment", "stack") and not case.deployments and not case.stacks


def _unknown(case: Case) -> str:
    if _unread(case):
        return f"The {case.about} could not be read"
    return "No cause of the catalogue matches" if _failed(case) else "Nothing is failing"


def _found(case: Case) -> list[str]:
    """What there is to say where no cause is known: what failed, in AWS's own words, and where to look."""
    found = [_action(action) for action in case.actions if action.status in ("Failed", "Abandoned")]
    execution = case.execution
    if case.about == "execution" and execution is not None and execution.stop_reason:
        found.append(f"execution {execution.id}: {execution.stop_reason}")
    for deployment in case.deployments:
        if deployment.status in ("Failed", "Stopped"):
            words = f"{deployment.code}: {deployment.message}".strip(": ")
            found.append(f"deployment {deployment.id} ({deployment.where}) {deployment.status.lower()}" + (f": {words}" if words else ""))
            for target in deployment.targets[:5]:
                event = target.failed_event
                if event is not None:
                    found.append(f"{target.id}: {event.name}: {event.code} {event.message}".rstrip())
                    found += [f"  {line}" for line in event.log.splitlines()[-8:]]
            found.append(f"https://{deployment.region}.console.aws.amazon.com/codesuite/codedeploy/deployments/{deployment.id}?region={deployment.region}")
    for build in case.builds:
        phase = build.failed_phase
        found.append(f"build {build.id} {build.status}" + (f": {phase.name}: {phase.code}: {phase.message}" if phase else ""))
        found += [f"  {line}" for line in build.log[-12:]]
        found += [build.log_link] if build.log_link else []
    for stack in case.stacks:
        found.append(f"stack {stack.name} ({stack.region}) {stack.status}" + (f": {stack.reason}" if stack.reason else ""))
        found += [f"{'/'.join(one.path)}/{one.logical_id} ({one.type}) {one.status}: {one.reason}" for one in stack.failures[:5]]
    return found if _failed(case) else []


def _action(action: Action) -> str:
    words = f"{action.code}: {action.message}".strip(": ")
    return f"{action.stage}/{action.name} ({action.provider}{', ' + action.region if action.region else ''}) {action.status.lower()}" + (
        f": {words}" if words else "")


def _hold(hold: Hold) -> str:
    who = f", by {hold.by}" if hold.by else ""
    since = f" since {moment(hold.since)}" if hold.since is not None else ""
    waits = f"; waiting: {', '.join(hold.waiting)}" if hold.waiting else ""
    return f"{hold.kind} ({hold.where}){since}{who}: {hold.reason}{waits}"


def _says(one: Finding, hold: Hold) -> bool:
    """Whether a finding is about this very hold."""
    return not one.cause.failing and any(hold.reason and hold.reason in fact for fact in one.match.evidence)


def moment(epoch: float) -> str:
    """`2026-01-01 00:00:00 UTC`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def schema() -> Mapping[str, str]:
    """The members of `document`, and what they are: for the guide."""
    return {
        "schema": "1", "environment": "as asked", "about": "execution, deployment, stack or nothing", "subject": "its id or name",
        "failing": "whether something is failing (exit code 1)", "cause": "the cause's stable id, or null", "title": "the cause in a sentence",
        "certainty": "certain, likely or possible", "where": "Region/scope, stage or stack", "evidence": "facts", "ruled_out": "[{cause, why}]",
        "fix": "steps", "document": "{title, url}", "others": "[{cause, title, certainty, where, evidence, fix}]",
        "holds": "[{kind, where, reason, since, by, waiting}]", "running": "what is under way", "also": "what failed too, and was not looked into",
        "unreadable": "[{what, why, permission}]", "calls": "API calls made",
    }
