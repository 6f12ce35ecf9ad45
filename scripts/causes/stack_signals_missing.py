"""Hosts of an Auto Scaling group did not say in time that they are ready, or said that they are not."""

from __future__ import annotations

import re

from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match
from scripts.diagnosis.stack_signs import deploy, match, sign

_SIGNALS = re.compile(r"Received (\d+) FAILURE signal|Failed to receive \d+ resource signal|"
                      r"signal\(s\) out of|Unable to satisfy \d+% MinSuccessfulInstancesPercent")


def check(case: Case) -> Match | None:
    """CloudFormation's words about CreationPolicy and UpdatePolicy."""
    found = sign(case, _SIGNALS)
    if found is None:
        return None
    failed = found.groups[0] not in ("", "0")
    group = found.event.physical_id or "<Auto Scaling group>"
    return match(found, f"{found.event.logical_id}: hosts {'signalled a failure' if failed else 'did not signal in time that they are ready'}", (
        f"aws autoscaling describe-scaling-activities --region {found.stack.region} --auto-scaling-group-name {group}",
        f"On a host, or of it: /var/log/cloud-init-output.log; aws ec2 get-console-output --region {found.stack.region} --latest --instance-id <i-…>",
        f"A host that cannot reach CloudFormation's endpoint (routes, security groups, proxy) cannot signal. Then: {deploy(case, found.stack)}"))


CAUSE = Cause(
    id="stack-signals-missing",
    area="stack",
    title="Hosts did not signal that they are ready",
    document=Document("CreationPolicy attribute", "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-creationpolicy.html"),
    check=check,
    rank=5,
    source="https://github.com/F5Networks/f5-aws-cloudformation/issues/168",
)
