"""A service that an action needs, CodeDeploy above all, is not available in the Region."""

from __future__ import annotations

import re

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

_WORDS = re.compile(r"(?:Provider: '(?P<provider>\w+)'.*)?is not available in region '?(?P<region>[A-Za-z0-9_-]+)"
                    r"|The region (?P<other>[a-z0-9-]+) specified in 'pipeline\.artifactStores' is not a valid AWS Region")
_NO_ENDPOINT = re.compile(r"(?:Could not connect to the endpoint URL: \"|UnknownHostException: |endpoint )(?:https://)?(?P<service>[a-z]+)\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com")


def check(case: Case) -> Match | None:
    """CodePipeline's words where it refuses the action type; a sign where the service's name in that Region leads nowhere."""
    told = [(signs.place(action), signs.at(action), signs.said(action), f"{action.message}", action.provider, action.region) for action in signs.failed(case)]
    told += [(f"{stack.region}/{stack.name}", event.at, f"{event.logical_id}: {event.reason}", event.reason, "", "")
             for stack in case.stacks for event in stack.failures if event.type == signs.PIPELINE_TYPE]
    for where, at, words, text, provider, region in told:
        if found := _WORDS.search(text):
            provider, region = found["provider"] or provider or "the service", (found["region"] or found["other"]).lower().replace("_", "-").rstrip(".")
            return Match("certain", where, (words,), _fix(provider, region), at, f"{provider} is not available in {region} for CodePipeline")
        if found := _NO_ENDPOINT.search(text):
            return Match("likely", where, (words,), _fix(found["service"], found["region"]), at, f"{found['service']} has no endpoint in {found['region']}")
    for one in case.unreadable:
        if found := _NO_ENDPOINT.search(one.why):
            return Match("possible", found["region"], (f"{one.what}: {one.why}",), _fix(found["service"], found["region"]),
                         None, f"{found['service']} may have no endpoint in {found['region']}")
    return None


def _fix(service: str, region: str) -> tuple[str, ...]:
    return ("See where it is: aws ssm get-parameters-by-path --query Parameters[].Value "
            f"--path /aws/service/global-infrastructure/services/{service.lower()}/regions",
            f"Take {region} out of the regions of parameters/*.yaml, or choose a Region that has it, then deploy the environment and the pipeline")


CAUSE = Cause(
    id="pipeline-region-unavailable",
    area="pipeline",
    title="A service is not available in the Region",
    document=Document("AWS CodeDeploy endpoints and quotas", "https://docs.aws.amazon.com/general/latest/gr/codedeploy.html"),
    check=check,
    source="https://github.com/aws/aws-cdk/issues/20987",
)
