"""A validation function of a Lambda deployment said Failed, or said nothing."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import over_at
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """BeforeAllowTraffic (before requests go to the new version) or AfterAllowTraffic (after) failed."""
    for one in sorted(case.deployments, key=lambda each: each.created):
        event = next((event for target in one.targets for event in target.events if event.status == "Failed"), None)
        if one.platform != "Lambda" or one.status == "Succeeded" or event is None or event.name not in ("BeforeAllowTraffic", "AfterAllowTraffic"):
            continue
        which = "pre-traffic" if event.name == "BeforeAllowTraffic" else "post-traffic"
        about = f" of {one.function.name}:{one.function.target}" if one.function and one.function.name else ""
        return Match(
            "certain", one.where,
            (f"{one.id}{about}: {event.name} failed{f' ({event.code})' if event.code else ''}{f': {event.message}' if event.message else ''}",
             *((f"{one.id} ended with {one.code}: {one.message}",) if one.code else ())),
            (f"Read what the {which} hook's function wrote: aws logs tail /aws/lambda/<function of {event.name}> --region {one.region} --since 1h",
             "It must end with codedeploy:PutLifecycleEventHookExecutionStatus within an hour, with Succeeded or Failed; its role needs that permission, and "
             "its name must begin with CodeDeployHook_ where the service role is AWS's own."),
            event.ended or over_at(one), f"The {which} hook failed")
    return None


CAUSE = Cause(
    id="deployment-lambda-hook-failed",
    area="deployment",
    title="A traffic hook of a Lambda deployment failed",
    document=Document("AppSpec 'hooks' section for an AWS Lambda deployment",
                      "https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html#appspec-hooks-lambda"),
    check=check,
    source="https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_PutLifecycleEventHookExecutionStatus.html",
)
