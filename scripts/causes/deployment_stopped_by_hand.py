"""Somebody, or something, stopped the deployment."""

from __future__ import annotations

from scripts.causes.pipeline_stopped_by_rollback import STOP_WORD
from scripts.diagnosis.case import Case, Deployment
from scripts.diagnosis.failures import over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A Stopped deployment that no alarm stopped, nor the rollback function with its execution."""
    if case.execution is not None and case.execution.stop_reason.startswith(STOP_WORD):
        return None
    found = next((one for one in sorted(case.deployments, key=lambda each: each.created) if one.status == "Stopped" and one.code in ("MANUAL_STOP", "")), None)
    if found is None or _by_rollback(case, found):
        return None
    return Match(
        "certain", found.where, (f"{found.id} was stopped: {found.message or found.code or 'StopDeployment was called'}", *_done(found)),
        (f"See who it was: aws cloudtrail lookup-events --region {found.region} --lookup-attributes AttributeKey=EventName,AttributeValue=StopDeployment "
         "--query 'Events[0].[EventTime,Username]'",
         "The reconciler stops deployments too, when an environment goes back: "
         f"make status ENV={case.environment} says whether it does.",
         "Instances that were done have the new release, the others the old one: release again, or go back."),
        over_at(found), f"{found.id} was stopped by hand")


def _by_rollback(case: Case, found: Deployment) -> bool:
    """Whether the rollback function did it: its log says so, or it had marked the release bad by then."""
    bad = (case.release or {}).get("bad")
    marked = bad.get("at") if isinstance(bad, dict) else None
    logged = any(entry.get("kind") == "stop" and found.id in str(entry.get("text", "")) for entry in case.log)
    return logged or (isinstance(marked, (int, float)) and marked <= (over_at(found) or case.now))


def _done(found: Deployment) -> tuple[str, ...]:
    counts = ", ".join(f"{count} {name}" for name, count in found.overview.items())
    return (f"its instances then: {counts}",) if counts else ()


CAUSE = Cause(
    id="deployment-stopped-by-hand",
    area="deployment",
    title="The deployment was stopped by hand",
    document=Document("Stop a deployment with CodeDeploy", "https://docs.aws.amazon.com/codedeploy/latest/userguide/deployments-stop.html"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html",
)
