"""Whether what a deploy makes fits under the account's quotas, with what is in use.

Codes: Service Quotas, as its console lists them (aws service-quotas list-aws-default-service-quotas --service-code <code>):
ec2 L-0263D0A3 "EC2-VPC Elastic IPs", L-1216C47A "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances" (vCPUs);
vpc L-F678F1CE "VPCs per Region", L-FE5A380F "NAT gateways per Availability Zone"; elasticloadbalancing L-53DA6B97 "Application Load
Balancers per Region"; codebuild L-9D07B6EF, L-2DC20C30, L-4DDC4A99 "Concurrently running builds for Linux/Small, Medium, Large environment";
codedeploy L-5AD34096 "Custom deployment configurations per account", in each Region 50 and not adjustable
(https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html).
CloudWatch's alarms are not looked at: an environment has about ten, and an account thousands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from scripts.core import prerequisites
from scripts.core.prerequisites import Need
from scripts.doctors import hosts
from scripts.doctors.finding import Finding, fail, ok, warn
from scripts.doctors.place import Place

_STANDARD = frozenset("acdhimrtz")
_BUILDS = {
    "BUILD_GENERAL1_SMALL": ("L-9D07B6EF", "Linux/Small"),
    "BUILD_GENERAL1_MEDIUM": ("L-2DC20C30", "Linux/Medium"),
    "BUILD_GENERAL1_LARGE": ("L-4DDC4A99", "Linux/Large"),
}
DEPLOYMENT_CONFIGS = 4
"""Of an environment without a one-box, which has one more: templates/environment/deployment.yaml."""
_CONFIGS = "L-5AD34096"
_ASK = "ask for more: aws service-quotas request-service-quota-increase --region {} --service-code {} --quota-code {} --desired-value {}"
_VCPUS = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits"


def check(place: Place) -> Iterable[Finding]:
    """Every quota that the parameters touch. What a deployed stack has is counted as used already."""
    found: list[Finding] = []
    needs = _network(place) if place.is_new() else []
    for need, used in [*needs, *_cpus(place)]:
        with place.reading(f"the quota of {need.what}", found, _console(place, need)):
            found.append(_judge(place, need, used()))
    builds = _BUILDS.get(place.value("BuildComputeType"))
    if builds:
        _builds(place, builds, found)
    return found


def _judge(place: Place, need: Need, used: int) -> Finding:
    limit = prerequisites.limit(place.client("service-quotas"), need)
    short = prerequisites.shortage(need, used, limit, place.region)
    if short is None:
        return ok(f"{need.what}: {need.count} needed, {used} of {limit:.0f} in use")
    ask = _ASK.format(place.region, need.service_code, need.quota_code, used + need.count)
    do = need.next_step if need.quota_code == _CONFIGS else f"{ask} (or {need.next_step})"
    return fail(f"{need.what}: {short.reason}", "the stack would fail half-way, and be taken back", do)


def _console(place: Place, need: Need) -> str:
    return f"https://{place.region}.console.aws.amazon.com/servicequotas/home/services/{need.service_code}/quotas/{need.quota_code}"


Used = Callable[[], int]


def _network(place: Place) -> list[tuple[Need, Used]]:
    """Those of a new stack: network, NAT gateways, balancer."""
    ec2 = place.client("ec2")
    needs = prerequisites.network_needs(place.values)
    found: list[tuple[Need, Used]] = [(need, lambda need=need: prerequisites.in_use(ec2, need)) for need in needs]  # type: ignore[misc]
    if any(need.quota_code == "L-0263D0A3" for need in needs):
        gateways = Need("NAT gateways in a zone", 1, "vpc", "L-FE5A380F", "remove an unused one, or choose Egress: public")
        found.append((gateways, lambda: _gateways(ec2)))
    if "Scheme" in place.values:
        configs = Need(
            "custom deployment configurations of CodeDeploy",
            DEPLOYMENT_CONFIGS + (place.values.get("HasOneBox") == "true"),
            "codedeploy",
            _CONFIGS,
            f"AWS raises it for nobody: delete unused ones (aws deploy list-deployment-configs --region {place.region}), "
            "or take another Region or account for this environment",
        )
        found.append((configs, lambda: _configs(place.client("codedeploy"))))
        balancers = Need("Application Load Balancers", 1, "elasticloadbalancing", "L-53DA6B97", "remove an unused one")
        found.append((balancers, lambda: _balancers(place.client("elbv2"))))
    return found


def _gateways(ec2: Any) -> int:
    """NAT gateways of the zone that has most: those that come and go count too."""
    states = [{"Name": "state", "Values": ["pending", "available", "deleting"]}]
    there = [item for page in ec2.get_paginator("describe_nat_gateways").paginate(Filter=states) for item in page["NatGateways"]]
    if not there:
        return 0
    subnets = sorted({item["SubnetId"] for item in there})
    zone = {item["SubnetId"]: item["AvailabilityZone"] for item in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]}
    return max(Counter(zone.get(item["SubnetId"], "") for item in there).values())


def _configs(codedeploy: Any) -> int:
    pages = codedeploy.get_paginator("list_deployment_configs").paginate()
    return sum(not name.startswith("CodeDeployDefault.") for page in pages for name in page["deploymentConfigsList"])


def _balancers(elbv2: Any) -> int:
    pages = elbv2.get_paginator("describe_load_balancers").paginate()
    return sum(item["Type"] == "application" for page in pages for item in page["LoadBalancers"])


def _cpus(place: Place) -> list[tuple[Need, Used]]:
    """vCPUs of hosts at most: the fleet's and the one-box's maximum; of a stack that is there, what it does not run yet."""
    kind = place.value("InstanceType")
    family = re.match(r"[a-z]+", kind)
    if not family or kind[0] not in _STANDARD or kind.startswith(("dl", "inf", "hpc", "trn", "mac")):
        return []
    most = int(place.value("FleetMaxSize") or 0)
    count = most + (most if place.value("HasOneBox") == "true" else 0)

    def used() -> int:
        return _running(place)[0]

    each = _size(place, kind)
    if not each or not count:
        return []
    need = Need(
        f"vCPUs of on-demand instances ({count} × {kind} at most)",
        count * each - (0 if place.is_new() else _running(place)[1]),
        "ec2",
        "L-1216C47A",
        "smaller hosts, or fewer",
    )
    return [(need, used)]


def _size(place: Place, kind: str) -> int:
    """vCPUs of a type; 0 where it cannot be told (the check of the type says so)."""
    found: list[Finding] = []
    with place.reading("", found, ""):
        described = hosts.describe_type(place)
        return int(described["VCpuInfo"]["DefaultVCpus"]) if described else 0
    return 0


def _running(place: Place) -> tuple[int, int]:
    """vCPUs of all running standard instances, and of those that belong to the environment's stacks."""

    def read() -> tuple[int, int]:
        ec2 = place.client("ec2")
        pages = ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
        there = [
            item
            for page in pages
            for reservation in page["Reservations"]
            for item in reservation["Instances"]
            if item["InstanceType"][0] in _STANDARD and not item.get("InstanceLifecycle")
        ]
        kinds = sorted({item["InstanceType"] for item in there})
        sizes: dict[str, int] = {}
        for start in range(0, len(kinds), 100):
            for item in ec2.describe_instance_types(InstanceTypes=kinds[start : start + 100])["InstanceTypes"]:
                sizes[item["InstanceType"]] = item["VCpuInfo"]["DefaultVCpus"]
        own = place.roots.environment.stack_name
        mine = [item for item in there if any(tag["Key"] == "aws:cloudformation:stack-name" and tag["Value"].startswith(own) for tag in item.get("Tags", ()))]
        return sum(sizes[item["InstanceType"]] for item in there), sum(sizes[item["InstanceType"]] for item in mine)

    return place.once("running", read)


def _builds(place: Place, builds: tuple[str, str], found: list[Finding]) -> None:
    """A release builds and tests one after another; the next one's build runs beside the tests."""
    code, kind = builds
    need = Need(f"builds at once ({kind})", 1, "codebuild", code, "another BuildComputeType")
    with place.reading(f"the quota of {need.what}", found, _console(place, need)):
        limit = prerequisites.limit(place.client("service-quotas"), need)
        ask = _ASK.format(place.region, "codebuild", code, 2)
        if limit < 1:
            found.append(
                fail(
                    f"{need.what}: none may run",
                    "new accounts begin like this: the first release's build fails, 'Cannot have more than 0 builds in queue'",
                    ask,
                    "https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html",
                )
            )
        elif limit < 2:
            found.append(
                warn(
                    f"{need.what}: only one may run",
                    "a release's build waits while another one is tested",
                    ask,
                    "https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html",
                )
            )
        else:
            found.append(ok(f"{need.what}: {limit:.0f}"))
