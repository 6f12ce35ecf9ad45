"""IAM: policies that the parameters name, and the service-linked roles that services make on first use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import error_code
from scripts.doctors.finding import Finding, fail, ok
from scripts.doctors.place import Place

_ROLES = {
    "autoscaling.amazonaws.com": "AWSServiceRoleForAutoScaling",
    "elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
}
_SOURCE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html"


def policies(place: Place) -> Iterable[Finding]:
    """The managed policies that HostPolicyArns names exist."""
    found: list[Finding] = []
    for arn in filter(None, place.value("HostPolicyArns").split(",")):
        with place.reading(f"the policy {arn}", found, f"aws iam get-policy --policy-arn {arn}"):
            try:
                place.client("iam").get_policy(PolicyArn=arn)
                found.append(ok(f"the policy {arn} exists"))
            except ClientError as error:
                if error_code(error) != "NoSuchEntity":
                    raise
                found.append(
                    fail(
                        f"HostPolicyArns: there is no policy {arn}",
                        "the hosts' role cannot be made with it: the stack Fleet fails",
                        f"correct it in {place.roots.environment.file}, or make the policy",
                    )
                )
    return found


def deployer(place: Place) -> Iterable[Finding]:
    """The role that deploys act as is there, where the environment's file says that they do."""
    environment = place.roots.environment
    if not environment.deployer:
        return []
    found: list[Finding] = []
    name = environment.deployer_role
    with place.reading(f"whether the role {name} exists", found, f"aws iam get-role --role-name {name}"):
        try:
            place.client("iam").get_role(RoleName=name)
            found.append(ok(f"the role {name} exists"))
        except ClientError as error:
            if error_code(error) != "NoSuchEntity":
                raise
            if place.local:  # scripts/core/deployers.py: whoever calls there is its administrator
                return [ok(f"the role {name} is not there yet: on the local AWS the first deploy makes it")]
            found.append(
                fail(
                    f"there is no role {name}",
                    f"{environment.file} says that deploys act as it: none could begin",
                    f"make deployer ENV={environment.name}, once, by somebody who may make roles",
                )
            )
    return found


def linked_roles(place: Place) -> Iterable[Finding]:
    """The roles that Auto Scaling and Elastic Load Balancing act as. The first use in an account makes them, if the caller may."""
    if place.roots.environment.template != "environment":
        return []
    found: list[Finding] = []
    for service, role in _ROLES.items():
        make = f"aws iam create-service-linked-role --aws-service-name {service}"
        with place.reading(f"whether {role} exists, or may be made", found, f"aws iam get-role --role-name {role}; somebody who may: {make}"):
            iam = place.client("iam")
            try:
                iam.get_role(RoleName=role)
                found.append(ok(f"{role} exists"))
                continue
            except ClientError as error:
                if error_code(error) != "NoSuchEntity":
                    raise
            if _may_make(iam, place, service, role):
                found.append(ok(f"{role} does not exist yet; who deploys may make it, and the first use does"))
            else:
                found.append(
                    fail(
                        f"{role} does not exist, and the caller may not make it",
                        f"it is made on the first use of {service} in an account with the caller's iam:CreateServiceLinkedRole: the stack would fail there",
                        f"somebody who may, once: {make}",
                        _SOURCE,
                    )
                )
    return found


def _may_make(iam: Any, place: Place, service: str, role: str) -> bool:
    """Whether who deploys has iam:CreateServiceLinkedRole (iam:SimulatePrincipalPolicy; it knows nothing of service control policies)."""
    environment, caller = place.roots.environment, place.caller
    partition, account = caller.split(":")[1], environment.account
    source = caller
    if environment.deployer or caller.endswith(":root"):
        return True  # The deployer's template lets it make these two.
    elif ":assumed-role/" in caller:
        source = iam.get_role(RoleName=caller.split("/")[1])["Role"]["Arn"]
    answer = iam.simulate_principal_policy(
        PolicySourceArn=source,
        ActionNames=["iam:CreateServiceLinkedRole"],
        ResourceArns=[f"arn:{partition}:iam::{account}:role/aws-service-role/{service}/{role}"],
        ContextEntries=[
            {"ContextKeyName": "iam:AWSServiceName", "ContextKeyType": "string", "ContextKeyValues": [service]},
            {"ContextKeyName": "aws:CalledViaFirst", "ContextKeyType": "string", "ContextKeyValues": ["cloudformation.amazonaws.com"]},
        ],
    )
    return all(result["EvalDecision"] == "allowed" for result in answer["EvaluationResults"])
