"""Names for what the templates would make: the same for the same resource each time, and in the form that AWS gives them.

A resource that the template names has that name. Any other is called after its stack and its logical path (`sample-pipeline-Access-PipelineRole`);
where AWS gives a number instead of a name, it is made from the same words.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_STACK_NAME_IN_ROLE = 24
"""How much of a stack's name CloudFormation keeps in the names that it gives roles, so that they fit into 64 characters."""


@dataclass(frozen=True)
class Place:
    """Where a resource is: the root stack's name, Region and account, and the logical path below it (`Access/PipelineRole`)."""

    stack: str
    region: str
    account: str
    path: str
    partition: str = "aws"

    @property
    def _words(self) -> str:
        return f"{self.stack}-{self.path.replace('/', '-')}"

    def name(self, longest: int = 255) -> str:
        """A name that is one in its account and Region, at most `longest` characters."""
        return self._words if len(self._words) <= longest else f"{self._words[:longest - 9]}-{self.number(8)}"

    def everywhere(self, longest: int) -> str:
        """A name that is one in all Regions, in lower case."""
        name = f"{self._words}-{self.region}".lower()
        return name if len(name) <= longest else f"{name[:longest - 9]}-{self.number(8)}"

    def role(self) -> str:
        """A role's name: roles know no Region, and CloudFormation keeps only the beginning of the stack's name."""
        name = f"{self.stack[:_STACK_NAME_IN_ROLE]}-{self.path.replace('/', '-')}-{self.region}"
        return name if len(name) <= 64 else f"{name[:55]}-{self.number(8)}"

    def number(self, digits: int) -> str:
        """So many hexadecimal digits, the same each time."""
        return hashlib.sha256(f"{self.account}/{self.region}/{self.stack}/{self.path}".encode()).hexdigest()[:digits]

    def uuid(self) -> str:
        """A UUID, the same each time."""
        return str(uuid.UUID(self.number(32)))

    def arn(self, service: str, rest: str, region: str | None = None, account: str | None = None) -> str:
        """An ARN in this place; `region` and `account` where the service's ARNs have none."""
        return ":".join(("arn", self.partition, service, self.region if region is None else region, self.account if account is None else account, rest))


Attributes = dict[str, str]
Properties = Mapping[str, Any]


def _named(service: str, rest: str, key: str, longest: int = 255) -> Callable[[Place, Properties], Attributes]:
    """A resource whose Ref is its name; `rest` is the end of its ARN, with {} for the name."""
    def make(place: Place, given: Properties) -> Attributes:
        name = str(given.get(key) or place.name(longest))
        return {"Ref": name, "Arn": place.arn(service, rest.format(name))}
    return make


def _by_arn(service: str, rest: str, longest: int = 255) -> Callable[[Place, Properties], Attributes]:
    """A resource whose Ref is its ARN; {} stands for the name, {number} for sixteen digits."""
    def make(place: Place, given: Properties) -> Attributes:
        arn = place.arn(service, rest.format(str(given.get("Name") or place.name(longest)), number=place.number(16), uuid=place.uuid()))
        return {"Ref": arn, "Arn": arn}
    return make


def _id(prefix: str, *attributes: str) -> Callable[[Place, Properties], Attributes]:
    """A resource of EC2, known by a number."""
    def make(place: Place, given: Properties) -> Attributes:
        identity = f"{prefix}-{place.number(17)}"
        return {"Ref": identity, **{name: f"{name.lower()}-{place.number(8)}" for name in attributes}}
    return make


def _role(place: Place, given: Properties) -> Attributes:
    name = str(given.get("RoleName") or place.role())
    return {"Ref": name, "Arn": place.arn("iam", "role" + str(given.get("Path") or "/") + name, region=""), "RoleId": f"AROA{place.number(17).upper()}"}


def _instance_profile(place: Place, given: Properties) -> Attributes:
    name = place.role()
    return {"Ref": name, "Arn": place.arn("iam", f"instance-profile/{name}", region="")}


def _managed_policy(place: Place, given: Properties) -> Attributes:
    arn = place.arn("iam", "policy" + str(given.get("Path") or "/") + str(given.get("ManagedPolicyName") or place.role()), region="")
    return {"Ref": arn, "Arn": arn, "PolicyArn": arn}


def _bucket(place: Place, given: Properties) -> Attributes:
    name = str(given.get("BucketName") or place.everywhere(63))
    return {"Ref": name, "Arn": place.arn("s3", name, region="", account="")}


def _key(place: Place, given: Properties) -> Attributes:
    return {"Ref": place.uuid(), "Arn": place.arn("kms", f"key/{place.uuid()}"), "KeyId": place.uuid()}


def _repository(place: Place, given: Properties) -> Attributes:
    name = str(given.get("RepositoryName") or place.name().lower())
    return {"Ref": name, "Arn": place.arn("ecr", f"repository/{name}"), "RepositoryUri": f"{place.account}.dkr.ecr.{place.region}.amazonaws.com/{name}"}


def _load_balancer(place: Place, given: Properties) -> Attributes:
    full = f"app/{place.name(32)}/{place.number(16)}"
    arn = place.arn("elasticloadbalancing", f"loadbalancer/{full}")
    return {"Ref": arn, "LoadBalancerArn": arn, "LoadBalancerFullName": full, "LoadBalancerName": place.name(32), "CanonicalHostedZoneID": "Z35SXDOTRQ7X7K",
            "DNSName": f"{place.name(32)}-{int(place.number(8), 16)}.{place.region}.elb.amazonaws.com"}


def _target_group(place: Place, given: Properties) -> Attributes:
    full = f"targetgroup/{place.name(32)}/{place.number(16)}"
    arn = place.arn("elasticloadbalancing", full)
    return {"Ref": arn, "TargetGroupArn": arn, "TargetGroupFullName": full, "TargetGroupName": place.name(32)}


def _group(place: Place, given: Properties) -> Attributes:
    name = str(given.get("AutoScalingGroupName") or place.name())
    return {"Ref": name, "Arn": place.arn("autoscaling", f"autoScalingGroup:{place.uuid()}:autoScalingGroupName/{name}")}


def _launch_template(place: Place, given: Properties) -> Attributes:
    identity = f"lt-{place.number(17)}"
    return {"Ref": identity, "LaunchTemplateId": identity, "LatestVersionNumber": "1", "DefaultVersionNumber": "1"}


def _deployment_group(place: Place, given: Properties) -> Attributes:
    name = str(given.get("DeploymentGroupName") or place.name(100))
    return {"Ref": name, "Arn": place.arn("codedeploy", f"deploymentgroup:{given['ApplicationName']}/{name}")}


def _parameter(place: Place, given: Properties) -> Attributes:
    name = str(given.get("Name") or place.name())
    return {"Ref": name, "Arn": place.arn("ssm", f"parameter/{name.lstrip('/')}"), "Type": str(given.get("Type")), "Value": str(given.get("Value"))}


def _rule(place: Place, given: Properties) -> Attributes:
    name = str(given.get("Name") or place.name(64))
    bus = str(given.get("EventBusName") or "default")
    return {"Ref": name, "Arn": place.arn("events", f"rule/{name}" if bus == "default" else f"rule/{bus}/{name}")}


def _alias(place: Place, given: Properties) -> Attributes:
    return {"Ref": str(given["AliasName"]), "Arn": place.arn("kms", str(given["AliasName"]))}


_MAKERS: dict[str, Callable[[Place, Properties], Attributes]] = {
    "AWS::AutoScaling::AutoScalingGroup": _group,
    "AWS::CloudWatch::Alarm": _named("cloudwatch", "alarm:{}", "AlarmName"),
    "AWS::CloudWatch::CompositeAlarm": _named("cloudwatch", "alarm:{}", "AlarmName"),
    "AWS::CloudWatch::Dashboard": _named("cloudwatch", "dashboard/{}", "DashboardName"),
    "AWS::CodeBuild::Project": _named("codebuild", "project/{}", "Name"),
    "AWS::CodeConnections::Connection": _by_arn("codeconnections", "connection/{uuid}"),
    "AWS::CodeDeploy::Application": _named("codedeploy", "application:{}", "ApplicationName", 100),
    "AWS::CodeDeploy::DeploymentConfig": _named("codedeploy", "deploymentconfig:{}", "DeploymentConfigName", 100),
    "AWS::CodeDeploy::DeploymentGroup": _deployment_group,
    "AWS::CodePipeline::Pipeline": _named("codepipeline", "{}", "Name"),
    "AWS::DynamoDB::Table": _named("dynamodb", "table/{}", "TableName"),
    "AWS::EC2::EIP": _id("eipalloc", "AllocationId"),
    "AWS::EC2::InternetGateway": _id("igw"),
    "AWS::EC2::LaunchTemplate": _launch_template,
    "AWS::EC2::NatGateway": _id("nat"),
    "AWS::EC2::RouteTable": _id("rtb"),
    "AWS::EC2::SecurityGroup": lambda place, given: {"Ref": f"sg-{place.number(17)}", "GroupId": f"sg-{place.number(17)}"},
    "AWS::EC2::Subnet": _id("subnet"),
    "AWS::EC2::VPC": _id("vpc"),
    "AWS::ECR::Repository": _repository,
    "AWS::ElasticLoadBalancingV2::Listener": _by_arn("elasticloadbalancing", "listener/app/{}/{number}/{number}", 32),
    "AWS::ElasticLoadBalancingV2::ListenerRule": _by_arn("elasticloadbalancing", "listener-rule/app/{}/{number}/{number}/{number}", 32),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::ElasticLoadBalancingV2::TargetGroup": _target_group,
    "AWS::Events::Rule": _rule,
    "AWS::IAM::InstanceProfile": _instance_profile,
    "AWS::IAM::ManagedPolicy": _managed_policy,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Alias": _alias,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::Function": _named("lambda", "function:{}", "FunctionName", 64),
    "AWS::Logs::LogGroup": _named("logs", "log-group:{}:*", "LogGroupName"),
    "AWS::S3::Bucket": _bucket,
    "AWS::SNS::Topic": _by_arn("sns", "{}"),
    "AWS::SSM::Parameter": _parameter,
    "AWS::Synthetics::Canary": _named("synthetics", "canary:{}", "Name"),
}


def of(kind: str, place: Place, given: Properties) -> Attributes:
    """What Ref and GetAtt give for a resource of a type, with its properties resolved. A type that is not known has an id alone."""
    maker = _MAKERS.get(kind)
    return maker(place, given) if maker else {"Ref": place.name()}
