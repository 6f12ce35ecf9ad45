"""Ship a release that behaves in some way, and look at all that comes of it; and what must hold whatever was shipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scripts import demo
from scripts.demonstration import summary
from scripts.demonstration.delivery import Deployment, Outcome
from scripts.demonstration.traffic import Answer

_CALM_SECONDS = 5.0


@dataclass(frozen=True)
class Shipped:
    """A release, and what was there before it: `before` is the commit that each <environment>/<region>/<scope> ran, `since` when it was pushed."""

    outcome: Outcome
    since: float
    before: dict[str, str]
    alarms: list[dict[str, Any]]
    answers: list[Answer]

    @property
    def fired(self) -> list[str]:
        """The names of the alarms that fired once it was being deployed, in order: one that fired before has not seen it."""
        begun = min((one.created for one in self.outcome.deployments), default=self.since)
        return [str(one["alarm"]) for one in self.alarms if one["time"] >= begun]

    @property
    def rollback(self) -> dict[str, Any] | None:
        """{by, deployment_ids, seconds_from_alarm}."""
        first = summary.first_alarm(self.alarms, self.outcome)
        return summary.rollback(self.outcome, first["time"] if first else None)

    def report(self) -> str:
        """What to read where a case fails, and which alarm and how long where it does not."""
        detection = summary.detection(self.alarms, self.outcome, self.answers)
        return (f"{self.outcome.status}, caught in {self.outcome.caught_in} after {self.outcome.seconds:g} s; detection {detection}; rollback {self.rollback}; "
                f"unsettled {list(self.outcome.unsettled)}; deployments {[one.summary() for one in self.outcome.deployments]}; alarms {self.fired}")


def ship(delivery: demo.Demonstration, message: str, at_action: Callable[[str, str, str], None] | None = None, **switches: Any) -> Shipped:
    """Push a release with these switches of app/behaviour.json (none: a good one) and follow it until nothing moves any more."""
    commit_and_execution = begin(delivery, message, **switches)
    return finish(delivery, *commit_and_execution, at_action=at_action)


def begin(delivery: demo.Demonstration, message: str, **switches: Any) -> tuple[str, str, float, dict[str, str]]:
    """Push it; return its commit, its execution, when, and what ran before. Alarms are quiet first, so that what fires is of this release."""
    assert delivery.quiet() == []
    before, since = delivery.running(), time.time()
    delivery.repository.behave(**switches)
    delivery.repository.write("app/release-note.txt", f"{message} {since}\n")
    try:
        commit = delivery.repository.push(message)
    finally:
        delivery.repository.behave()
    return commit, delivery.pipeline.execution_of(commit, 60), since, before


def finish(delivery: demo.Demonstration, commit: str, execution: str, since: float, before: dict[str, str],
           at_action: Callable[[str, str, str], None] | None = None) -> Shipped:
    """Follow what `begin` pushed, and some seconds of traffic after it."""
    outcome = delivery.follow(commit, execution, at_action)
    time.sleep(_CALM_SECONDS)
    shipped = Shipped(outcome, since, before, delivery.alarms(since), delivery.answers(since))
    print(shipped.report())
    return shipped


def came_back(delivery: demo.Demonstration, shipped: Shipped, stage: str, alarm: str | None = None, by: str | None = None,
              status: str | None = "Failed") -> None:
    """Everything that must hold after a release was caught in `stage`: what ran before runs again on every host of every Region and scope.

    `alarm` is part of the name of one that fired, `by` who took it back (codedeploy, reconciler). `status` None: Failed where a gate saw it first, Stopped
    where the reconciler did.
    """
    outcome = shipped.outcome
    assert outcome.caught_in == stage and outcome.status in ((status,) if status else ("Failed", "Stopped")), shipped.report()
    assert outcome.unsettled == (), shipped.report()
    assert delivery.running() == shipped.before, shipped.report()
    if stage == "Gamma":
        assert not outcome.in_environment("prod"), "prod never saw it"
    if alarm:
        assert any(alarm in name for name in shipped.fired), shipped.report()
    if by:
        assert shipped.rollback is not None and shipped.rollback["by"] == by, shipped.report()
    last: dict[tuple[str, str, str], Deployment] = {(one.environment, one.region, one.scope): one for one in outcome.deployments}
    for where, one in last.items():
        if one.is_rollback or one.creator == "user":
            assert one.is_rollback and one.status == "Succeeded", f"{'/'.join(where)}: {shipped.report()}"
    nothing_failed_after(shipped)


def nothing_failed_after(shipped: Shipped) -> None:
    """No customer of any Region got a fault once the last deployment was over."""
    over = max((one.completed or 0.0 for one in shipped.outcome.deployments), default=shipped.since)
    failed = [answer for answer in shipped.answers if answer.failed and answer.time > over]
    assert failed == [], f"{len(failed)} requests failed after all was back, the first {failed[:3]}"


def went_out(delivery: demo.Demonstration, shipped: Shipped) -> None:
    """A good release runs on every host, and no customer noticed."""
    assert (shipped.outcome.status, shipped.outcome.unsettled) == ("Succeeded", ()), shipped.report()
    assert set(delivery.running().values()) == {shipped.outcome.commit}
    failed = [answer for answer in shipped.answers if answer.failed]
    assert failed == [], f"{len(failed)} requests failed, the first {failed[:3]}"


def share_failed(answers: Iterable[Answer], commit: str, place: str) -> float:
    """The share (0 to 1) of a place's requests that failed between the first and the last answer of a release there; 0 where it never answered."""
    here = sorted((one for one in answers if one.environment == place), key=lambda one: one.time)
    times = [one.time for one in here if one.release == commit]
    span = [one for one in here if times and times[0] <= one.time <= times[-1]]
    return sum(one.failed for one in span) / len(span) if span else 0.0


def until(what: str, look: Callable[[], Any], seconds: float, pause: float = 0.5) -> Any:
    """Return what `look` returns as soon as it is true; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"not within {seconds:g} s: {what}")
