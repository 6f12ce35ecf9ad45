"""The words of pages: what happened, where, why, and what to do next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decide_rollback import Conforms, Stuck, Verdict
from model import Deployment, Environment, Group, Rollback, Silent

SUBJECT_CHARACTERS = 99


@dataclass(frozen=True)
class Message:
    """A page. The subject is what SNS takes: ASCII, one line, under 100 characters."""

    subject: str
    text: str


def short(commit: str | None) -> str:
    """A commit as people read it."""
    return commit[:12] if commit else "no release"


def began(service: str, record: Environment, rollback: Rollback, groups: Sequence[Group], blocks: bool) -> Message:
    """A rollback begins."""
    what = f"{short(rollback.bad)} is marked bad" if rollback.bad else "What runs is not what should run"
    lines = [f"{what}; every deployment group of {record.name} goes back to {short(rollback.to)}.",
             f"Why: {rollback.reason}.", f"By: {rollback.by}."]
    if rollback.alarm:
        lines.append(f"Alarms that fire: {rollback.alarm}.")
    lines.append(f"Groups: {', '.join(f'{g.region}/{g.scope}' for g in groups) or 'none has answered yet'}.")
    lines.append(f"Next: nothing to do; a second page says when it is done. {record.name} is blocked for releases." if blocks
                 else "Next: nothing to do; a second page says when it is done. The next push may come.")
    return _message(f"{service} {record.name}: rolling back to {short(rollback.to)}", lines)


def done(service: str, record: Environment, rollback: Rollback, steps: Sequence[Conforms], failed: Sequence[str], seconds: float, blocks: bool) -> Message:
    """Every group is back. `failed` names hosts on which the last deployment did not succeed."""
    lines = [f"Every deployment group of {record.name} runs {short(rollback.to)} again, {span(seconds)} after the rollback began.",
             f"It began because {rollback.reason}."]
    lines += [f"{s.group.region}/{s.group.scope}: {s.note}." for s in steps if s.note]
    if failed:
        lines.append(f"Hosts that its deployment did not reach, and that may still run another release: {', '.join(failed)}. Next: terminate them; "
                     "their Auto Scaling group replaces them.")
    lines.append(f"Next: {'find the cause; then lift the block with a reason' if blocks else 'push a new commit'}. {_refused(rollback)}")
    return _message(f"{service} {record.name}: back on {short(rollback.to)} after {span(seconds)}", lines)


def nothing(service: str, record: Environment, rollback: Rollback, blocks: bool) -> Message:
    """There is no last good release."""
    lines = [f"{short(rollback.bad)} failed in {record.name}, and no release has baked there yet: THERE IS NOTHING TO GO BACK TO. Hosts stay as they are.",
             f"Why: {rollback.reason}.",
             "Next: push a new commit" + (f"; then lift the block of {record.name} with a reason." if blocks else ".")]
    return _message(f"{service} {record.name}: {short(rollback.bad)} failed, nothing to go back to", lines)


def nothing_runs(service: str, group: Group, deployment: Deployment) -> Message:
    """A group runs a release that was marked bad elsewhere or before, and there is no last good release."""
    return _message(f"{service} {group.environment}: {short(deployment.commit)} is bad, nothing to go back to", [
        f"{group.place} runs {short(deployment.commit)} (deployment {deployment.id}), which is marked bad.",
        f"No other release has baked in {group.environment}: THERE IS NOTHING TO GO BACK TO.", "Next: push a new commit."])


def stuck(service: str, rollback: Rollback, step: Stuck) -> Message:
    """A group that cannot be brought back by itself."""
    where = f"{step.group.environment}/{step.group.region}/{step.group.scope}"
    return _message(f"{service} {where}: cannot go back by itself", [
        f"{where} is to go back to {short(rollback.to)}, but {step.why}. The other groups go on.",
        f"Next: name a release that has run there: make rollback ENV={step.group.environment} TO=<commit> REASON=…; it is tried again each minute."])


def failing(service: str, rollback: Rollback, group: Group, failures: int) -> Message:
    """A group whose rollback deployments keep failing."""
    last = group.attempts[0] if group.attempts else None
    why = f"{last.id}: {last.error}: {last.message}" if last else "unknown"
    return _message(f"{service} {group.place}: rollback keeps failing", [
        f"{failures} deployments of {short(rollback.to)} to {group.place} failed; the last was {why}. It is tried again, all hosts at once.",
        f"Next: make status ENV={group.environment}; terminate hosts that cannot be deployed to."])


def refused(service: str, rollback: Rollback, group: Group, error: str) -> Message:
    """CodeDeploy refused what the rollback asked for."""
    return _message(f"{service} {group.place}: CodeDeploy refuses the rollback", [
        f"The deployment of {short(rollback.to)} to {group.place} could not be begun or another could not be stopped: {error}. It is tried again each minute.",
        "Next: put right what the error names."])


def silent(service: str, place: Silent, rollback: Rollback | None) -> Message:
    """A Region does not answer: while a rollback goes on, or for long."""
    unknown = f"{place.region} does not answer, so nobody knows what runs there: {place.reason}."
    meanwhile = ("A release that goes bad there would not be taken back." if rollback is None else
                 f"The other Regions go back to {short(rollback.to)}; the rollback is not done until this one answers.")
    return _message(f"{service} {place.environment}/{place.region}: does not answer", [
        f"{unknown} {meanwhile}", "Next: look at the AWS Health Dashboard; if it lasts, take the Region out of traffic."])


def told(service: str, environment: str, verdict: Verdict, marked: bool) -> Message:
    """An execution went wrong and nothing is to be taken back."""
    because = "it is marked bad and is never deployed again" if marked else f"it deployed nothing to {environment}"
    return _message(f"{service} {environment}: {short(verdict.commit)} stopped at {verdict.where}", [
        f"{verdict.reason}.", f"Nothing is rolled back for it: {because}.",
        "Next: push a new commit." if marked else "Next: put right what the reason names, then retry the stage or push a new commit."])


def also(service: str, environment: str, verdict: Verdict) -> Message:
    """Another release proves bad while a rollback goes on."""
    return _message(f"{service} {environment}: {short(verdict.commit)} is marked bad too", [
        f"{verdict.reason}.", "The rollback that goes on takes it back as well.", "Next: nothing to do; a page says when it is done."])


def stopped(service: str, group: Group, deployment: Deployment) -> Message:
    """A deployment of a bad release was stopped, with nothing to go back to."""
    return _message(f"{service} {group.place}: deployment of a bad release stopped", [
        f"Deployment {deployment.id} brought {short(deployment.commit)}, which is marked bad, to {group.place}.",
        "It was stopped; there is nothing to go back to.",
        "Next: push a new commit."])


def span(seconds: float) -> str:
    """A time as people read it: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _refused(rollback: Rollback) -> str:
    return f"{short(rollback.bad)} stays refused." if rollback.bad else ""


def _message(subject: str, lines: Sequence[str]) -> Message:
    plain = " ".join(subject.encode("ascii", "replace").decode().split())
    return Message(plain[:SUBJECT_CHARACTERS], "\n".join(line.strip() for line in lines) + "\n")
