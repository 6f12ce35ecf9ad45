"""GetServiceQuota and GetAWSDefaultServiceQuota for the quotas that `make deploy` and `make doctor` look at, at AWS's default values.

Values: https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html, https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/elastic-ip-addresses-eip.html,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html,
https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html; vCPUs and builds are more than a new account has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localaws.service import Context, Service, ServiceError

_DEFAULTS = {
    ("ec2", "L-0263D0A3"): ("EC2-VPC Elastic IPs", 5.0),
    ("vpc", "L-F678F1CE"): ("VPCs per Region", 5.0),
    ("vpc", "L-FE5A380F"): ("NAT gateways per Availability Zone", 5.0),
    ("ec2", "L-1216C47A"): ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 80.0),
    ("elasticloadbalancing", "L-53DA6B97"): ("Application Load Balancers per Region", 50.0),
    ("codedeploy", "L-5AD34096"): ("Custom deployment configurations per account", 50.0),
    ("codebuild", "L-9D07B6EF"): ("Concurrently running builds for Linux/Small environment", 2.0),
    ("codebuild", "L-2DC20C30"): ("Concurrently running builds for Linux/Medium environment", 2.0),
    ("codebuild", "L-4DDC4A99"): ("Concurrently running builds for Linux/Large environment", 2.0),
}

_DEFAULT_ONLY = frozenset({"codebuild"})
"""Services whose quotas have no applied value until somebody asks for more: GetServiceQuota does not know them then."""


class Api(Service):
    """The service's two operations."""

    name, iam = "service-quotas", "servicequotas"

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """Ask for the quota's ARN, as the Service Authorization Reference has it."""
        return [(f"servicequotas:{operation}", f"arn:aws:servicequotas:{ctx.region}:{ctx.account}:{params['ServiceCode']}/{params['QuotaCode']}")]

    def get_service_quota(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Return a quota as it is applied; raises NoSuchResourceException for one that is not, or not known here."""
        if params["ServiceCode"] in _DEFAULT_ONLY:
            raise ServiceError("NoSuchResourceException", f"The quota {params['QuotaCode']} of {params['ServiceCode']} has no applied value.")
        return self.get_aws_default_service_quota(ctx, params)

    def get_aws_default_service_quota(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Return a quota's default, which is what applies here; raises NoSuchResourceException for one that is not known here."""
        known = _DEFAULTS.get((params["ServiceCode"], params["QuotaCode"]))
        if known is None:
            raise ServiceError("NoSuchResourceException", f"The quota {params['QuotaCode']} of {params['ServiceCode']} does not exist.")
        arn = f"arn:aws:servicequotas:{ctx.region}:{ctx.account}:{params['ServiceCode']}/{params['QuotaCode']}"
        return {"Quota": {"ServiceCode": params["ServiceCode"], "QuotaCode": params["QuotaCode"], "QuotaName": known[0], "QuotaArn": arn,
                          "Value": known[1], "Unit": "None", "Adjustable": True, "GlobalQuota": False}}
