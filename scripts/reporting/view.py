"""What the sections of a page share: the period, colours of releases, and the words for what happened."""

from __future__ import annotations

from scripts.reporting import hosts, summary
from scripts.reporting.charts import Axis
from scripts.reporting.values import Alarm, Deployment, Report
from scripts.reporting.words import clock, first_line, span

KINDS = {"Succeeded": "ok", "Failed": "failed", "Stopped": "stopped", "Abandoned": "stopped", "Superseded": "held", "Cancelled": "held"}
WORDS = {"ok": "succeeded", "failed": "failed", "stopped": "stopped", "back": "rollback", "running": "in progress", "alarm": "alarm", "held": "blocked"}
BY = {
    "user": "the pipeline",
    "codeDeployRollback": "CodeDeploy, by itself",
    "reconciler": "the rollback function",
    "autoscaling": "Auto Scaling, new hosts",
    "autoscalingTermination": "Auto Scaling, hosts that go",
    "CodeDeployAutoUpdate": "CodeDeploy, outdated hosts",
}


class View:
    """A report with what several sections need of it."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.axis = Axis(report.since, report.until)
        self.bad = summary.bad_commits(report)
        self.outcomes = {release.execution: summary.outcome(report, release) for release in report.releases}
        self.colours = self._colours()

    def _colours(self) -> dict[str, str]:
        """A class for each release that ran: those that failed look like it, the others take turns, in the order in which they came."""
        seen: list[str] = []
        for environment in self.report.environments:
            for step in hosts.of_environment(environment, self.report.since):
                seen += [commit for commit in step.counts if commit not in seen]
        came = {release.commit: index for index, release in enumerate(self.report.releases, 1)}
        seen.sort(key=lambda commit: came.get(commit, 0))
        good = [commit for commit in seen if commit and commit not in self.bad]
        return {commit: "r-none" if not commit else "r-bad" if commit in self.bad else f"r-{good.index(commit) % 4}" for commit in seen}


def kind_of(status: str) -> str:
    return KINDS.get(status, "running")


def deployment_kind(one: Deployment) -> str:
    return "back" if one.is_rollback and one.status == "Succeeded" else kind_of(one.status)


def alarm_name(alarm: Alarm) -> str:
    label = first_line(alarm.label, 60)
    return f"{label} ({alarm.scope})" if alarm.scope else label


def from_to(begin: float | None, end: float | None) -> str:
    since = clock(begin) if begin is not None else "before"
    until = clock(end) if end is not None else "still"
    return f"{since} to {until} UTC" + (f" ({span(end - begin)})" if begin is not None and end is not None else "")
