"""A lifecycle hook of a deployment group that is gone holds each new instance until its heartbeat times out."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """A hook of CodeDeploy's that no deployment group answers; certain once launches have timed out, possible before."""
    for one in sorted(case.deployments, key=lambda each: each.created):
        settings = one.settings
        if settings is None:
            continue
        late = [each for each in settings.activities if "Heartbeat Timeout" in each.message]
        left, waiting = settings.leftover_hooks, settings.members.get("Pending:Wait", 0)
        if not left and not late:
            continue
        name = settings.scaling_groups[0] if settings.scaling_groups else "<group>"
        certainty = "certain" if left and late else "likely" if late or (left and waiting) else "possible"
        hooks = left or settings.hooks
        return Match(
            certainty, one.where,
            (*(f"{hook} on {name} belongs to no deployment group" for hook in left[:2]), *(f"a launch failed: {each.message}" for each in late[-2:]),
             *((f"{waiting} instances wait at a hook now",) if waiting else ())),
            (*(f"Remove it: aws autoscaling delete-lifecycle-hook --region {one.region} --auto-scaling-group-name {name} --lifecycle-hook-name {hook}"
               for hook in left[:2]),
             *(() if left else (f"See who should have answered: aws autoscaling describe-lifecycle-hooks --region {one.region} "
                                f"--auto-scaling-group-name {name} "
                                f"(hooks: {', '.join(hooks) or 'none'}); one deployment group for an Auto Scaling group is enough",)),
             "Delete a deployment group before its service role: without the role CodeDeploy cannot remove its hooks."),
            late[0].at if late else one.created, f"A lifecycle hook that nobody answers holds the launches of {name}")
    return None


CAUSE = Cause(
    id="deployment-launch-hook-left-over",
    area="deployment",
    title="A lifecycle hook is left over",
    document=Document("Amazon EC2 instances in an Amazon EC2 Auto Scaling group fail to launch and receive the error Heartbeat Timeout",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-auto-scaling.html#troubleshooting-auto-scaling-heartbeat"),
    check=check,
    rank=35,
    source="https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-auto-scaling.html#troubleshooting-auto-scaling-heartbeat",
)
