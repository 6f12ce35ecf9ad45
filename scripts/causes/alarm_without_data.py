"""An alarm has judged nothing: its metric is not there, so a gate that waits for its word gives up."""

from __future__ import annotations

from scripts.diagnosis import fired
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """What failed names an alarm that is INSUFFICIENT_DATA; or a function's action failed and no alarm of the Region has data."""
    silent = [alarm for alarm in case.alarms if alarm.exists and alarm.state == "INSUFFICIENT_DATA"]
    told = [(action.message, action.ended or action.started) for action in case.actions if action.message]
    for alarm in silent:
        moments = [at for text, at in told if fired.speaks(text, alarm.name)]
        others = [each for each in case.alarms if each.exists and not each.composite and each.region == alarm.region]
        deaf = bool(others) and all(each.state == "INSUFFICIENT_DATA" for each in others) and any(action.provider == "Lambda" for action in case.actions)
        if not moments and not deaf:
            continue
        made = ", ".join(f"{namespace} {name}" for namespace, name in alarm.metrics)
        dimensions = ", ".join(f"{key}={value}" for key, value in alarm.dimensions.items())
        namespace, metric = alarm.metrics[0] if alarm.metrics else ("<namespace>", "<metric>")
        return Match("certain" if moments else "likely", fired.place(case, alarm, (alarm.name,), " ".join(text for text, _ in told)), (
            f"alarm {alarm.name} ({alarm.region}) is INSUFFICIENT_DATA since {fired.stamp(alarm.since)}",
            *((f"it is made of {made}" + (f" with {dimensions}" if dimensions else ""),) if made else ()),
            *((f"it treats missing data as {alarm.treats_missing or 'missing'}",) if not alarm.composite else ())), (
            f"See whether the metric is there: aws cloudwatch list-metrics --region {alarm.region} --namespace {namespace} --metric-name {metric}",
            "If callers or tests made no requests, there is none: the load balancer reports nothing without them.",
            "A metric whose dimensions name something that was replaced never comes again: deploy the environment "
            f"(make deploy ENV={case.environment}). One that is rightly sparse: TreatMissingData notBreaching, or FILL(m, 0) in its math."),
            min(moments, default=None), f"Alarm {alarm.name} has no data")
    return None


CAUSE = Cause(
    id="alarm-without-data",
    area="alarm",
    title="An alarm has no data",
    document=Document("Configuring how CloudWatch alarms treat missing data",
                      "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html"),
    check=check,
    rank=16,
    source="https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html",
)
