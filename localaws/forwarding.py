"""What an AWS service does in its caller's name (a forward access session), and what IAM is asked about it: pure.

CloudFormation without a service role signs with its caller's permissions, and the services that it calls see through whom the call came:
`aws:CalledVia` lists the services in order, `aws:CalledViaFirst` and `aws:CalledViaLast` are its ends, `aws:ViaAWSService` is true.
Source: IAM User Guide, "Forward access sessions" and "AWS global condition context keys".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VIA = "Via"
"""Where a session keeps the services through which it goes."""


def keys(via: tuple[str, ...]) -> dict[str, Any]:
    """The condition keys of a request that came through these services, in lower case; without any, none: the keys are then absent."""
    if not via:
        return {}
    return {"aws:calledvia": list(via), "aws:calledviafirst": via[0], "aws:calledvialast": via[-1], "aws:viaawsservice": "true"}


def iam_keys(action: str, given: Mapping[str, Any], boundary: str | None) -> dict[str, str]:
    """IAM's own condition keys of one of its requests: `given` are its parameters, `boundary` that of the role that is there already.

    `iam:PermissionsBoundary` is the one that the role gets, or has. Source: Service Authorization Reference, IAM.
    """
    def value(name: str) -> str:
        found = given.get(name)
        return str(found[0] if isinstance(found, list) else found or "")

    found = {}
    if action in _BOUNDED:
        found["iam:permissionsboundary"] = value("PermissionsBoundary") or boundary or ""
    if action in ("AttachRolePolicy", "DetachRolePolicy"):
        found["iam:policyarn"] = value("PolicyArn")
    if action == "CreateServiceLinkedRole":
        found["iam:awsservicename"] = value("AWSServiceName")
    return {name: text for name, text in found.items() if text}


_BOUNDED = {"AttachRolePolicy", "CreateRole", "DeleteRole", "DeleteRolePermissionsBoundary", "DeleteRolePolicy", "DetachRolePolicy",
            "PutRolePermissionsBoundary", "PutRolePolicy", "UpdateAssumeRolePolicy", "UpdateRole"}


def arn(service: str, action: str, given: Mapping[str, Any], found: str, region: str, account: str) -> str:
    """The ARN that AWS asks about where MiniStack asks about another (`found`), for what deploys call.

    Instance profiles are asked about as themselves (MiniStack: the role that is put in, or `*`); what EC2 makes, and most of what it is given by
    id, is asked about by its type, and a subscription as its topic (MiniStack: `*`). Source: Service Authorization Reference, IAM, EC2 and SNS.
    """
    if service == "iam" and "InstanceProfile" in action and action != "ListInstanceProfilesForRole":
        name = given.get("InstanceProfileName")
        name = name[0] if isinstance(name, list) else name
        return f"arn:aws:iam::{account}:instance-profile/{name}" if name else found
    if service == "sns" and found == "*":
        return _topic(given) or found
    if service == "ec2" and found == "*" and not action.startswith("Describe"):
        return _ec2(action, given, f"arn:aws:ec2:{region}:{account}:") or found
    return found


def association(given: Mapping[str, Any], region: str, account: str) -> str:
    """The ARN for State Manager's operations: an association by its id, else the document that it runs (one of AWS's own has no account).

    Source: Service Authorization Reference, Systems Manager.
    """
    if given.get("AssociationId"):
        return f"arn:aws:ssm:{region}:{account}:association/{given['AssociationId']}"
    name = str(given.get("Name", "*"))
    return f"arn:aws:ssm:{region}:{'' if name.startswith(('AWS-', 'AWSEC2-')) else account}:document/{name}"


def rule(operation: str, given: Mapping[str, Any], found: str, region: str, account: str) -> str:
    """The ARN for EventBridge's operations on a bus or a rule, whose bus is in it only where it is not the default one; `found` for all others.

    MiniStack names the default bus too, and does not know the rule of PutTargets and its like. Source: Service Authorization Reference, EventBridge.
    """
    if "ResourceARN" in given:
        return str(given["ResourceARN"])
    name, bus = given.get("Rule") or given.get("Name"), str(given.get("EventBusName") or "default").rpartition("/")[2]
    if "EventBus" in operation:
        return f"arn:aws:events:{region}:{account}:event-bus/{given.get('Name') or 'default'}"
    if not name:
        return found
    return f"arn:aws:events:{region}:{account}:rule/{'' if bus == 'default' else bus + '/'}{name}"


def tagged(given: Mapping[str, Any], found: str) -> str:
    """The ARN that a JSON request about tags gives, by whichever name its service has for it; `found` where it gives none."""
    return next((str(value) for name, value in given.items() if name.lower() == "resourcearn"), found)


def tagged_by_id(given: Mapping[str, Any], found: str, region: str, account: str) -> str:
    """The same for Systems Manager, which takes a type and a name."""
    if given.get("ResourceType") != "Parameter":
        return found
    return f"arn:aws:ssm:{region}:{account}:parameter/{str(given.get('ResourceId', '')).lstrip('/')}"


_EC2_MAKES = {"AllocateAddress": "elastic-ip", "CreateInternetGateway": "internet-gateway", "CreateLaunchTemplate": "launch-template", "CreateVpc": "vpc"}
_EC2_IDS = {"eipalloc": "elastic-ip", "eipassoc": "elastic-ip", "eni": "network-interface", "i": "instance", "igw": "internet-gateway",
            "lt": "launch-template", "nat": "natgateway", "rtb": "route-table", "rtbassoc": "route-table", "sg": "security-group",
            "subnet": "subnet", "vpc": "vpc", "vpce": "vpc-endpoint"}


def _topic(given: Mapping[str, Any]) -> str:
    """The topic of a request about tags or a subscription (arn:…:<topic>:<id>); '' of another."""
    values = [value[0] if isinstance(value, list) and value else value for value in (given.get("ResourceArn"), given.get("SubscriptionArn"))]
    return ":".join(str(values[0] or values[1] or "").split(":")[:6])


def _ec2(action: str, given: Mapping[str, Any], prefix: str) -> str:
    """The ARN of what an action makes, or of the first thing that it is given by id; '' if there is none."""
    if action in _EC2_MAKES:
        return f"{prefix}{_EC2_MAKES[action]}/*"
    for value in given.values():
        text = str(value[0] if isinstance(value, list) and value else value)
        match = re.fullmatch(r"([a-z]+)-[0-9a-f]{8,17}", text)
        if match and match[1] in _EC2_IDS:
            return f"{prefix}{_EC2_IDS[match[1]]}/{text}"
    return ""
