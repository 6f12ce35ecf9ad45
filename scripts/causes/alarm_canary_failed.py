"""The canary failed: a caller from outside does not get what callers need, whatever the hosts answer."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """An alarm on a canary's success fired. The newest failed run is among the alarm's notes, where it could be read."""
    one = next(iter(fired.of_kind(case, "canary")), None)
    if one is None:
        return None
    name = one.alarm.dimensions.get("CanaryName", "")
    return fired.match(one, f"The canary of {one.where} fails", (
        f"Read its failed runs: aws synthetics get-canary-runs --region {one.alarm.region} --name {name or '<its name>'} --max-results 5",
        "Ask for the same by hand; app/canary/python/canary.py says what it asks. Where every other alarm is quiet, answers are wrong and not failing: "
        "200 with the wrong words.",
        fired.back(case)))


CAUSE = Cause(
    id="alarm-canary-failed",
    area="alarm",
    title="The canary fails",
    document=Document("Troubleshooting a failed canary",
                      "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Synthetics_Canaries_Troubleshoot.html"),
    check=check,
    rank=14,
    clears=lambda case: fired.quiet(case, "canary"),
    source="https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Synthetics_Canaries_metrics.html",
)
