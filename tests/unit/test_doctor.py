"""`make doctor` over an account that is well, and over one made wrong in each way; the local AWS's own services where they have the operation."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from inprocess import PRINCIPAL
from planning_place import ACCOUNT, ROOT, Place, Writable

from localaws.ec2.catalogue import Catalogue
from localaws.service import Service, ServiceError
from localaws.service_quotas import api as quotas
from localaws.ssm.api import Api as Ssm
from localaws.synthetics.api import Api as Synthetics
from scripts import deploy, doctor
from scripts.core import documents, reads
from scripts.doctors.every import CHECKS, ONCE
from scripts.doctors.place import Place as DoctorsPlace
from scripts.doctors.quotas import DEPLOYMENT_CONFIGS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/00000000-0000-0000-0000-000000000000"
CONNECTION = f"arn:aws:codeconnections:us-east-1:{ACCOUNT}:connection/00000000-0000-0000-0000-000000000000"
GAMMA, LOCAL = "parameters/gamma.yaml", "parameters/local/gamma.yaml"


class Ec2(Catalogue, Service):
    """What EC2 offers, and an account with next to nothing in it."""

    name = iam = "ec2"

    def permissions(self, operation: str, params: dict[str, Any], ctx: Any) -> list[tuple[str, str]]:
        return [(f"ec2:{operation}", "*")]


def denied(action: str, because: str = "no identity-based policy allows the action") -> ServiceError:
    return ServiceError(
        "UnauthorizedOperation" if action.startswith("ec2:") else "AccessDeniedException",
        f"User: me is not authorized to perform: {action} on resource: * because {because}",
        403,
    )


@functools.cache
def _clients() -> Writable:
    """Clients that all tests share: making them takes longer than what is asked of them."""
    return Writable(account=ACCOUNT)


def _fresh() -> Writable:
    aws = _clients()
    aws.account, aws.principal, aws.denied = ACCOUNT, PRINCIPAL, set()
    aws._recorded.clear()
    aws.called.clear()
    aws.buckets.objects.clear()
    return aws


class Account(Place):
    """Gamma's files and an account in which nothing stands in the way."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch, aws=_fresh())
        self.patch, self.expiry = monkeypatch, NOW + timedelta(hours=8)
        monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's pauses between tries
        monkeypatch.setattr(self.aws, "expires", lambda: self.expiry, raising=False)
        behind: Any = self.behind
        self.aws.services |= {"ec2": Ec2(behind), "service-quotas": quotas.Api(behind), "ssm": Ssm(behind), "synthetics": Synthetics(behind)}
        say = self.aws.record
        zones = [{"ZoneName": f"us-east-1{letter}", "State": "available", "ZoneType": "availability-zone"} for letter in "abc"]
        say(
            "ec2",
            "DescribeAvailabilityZones",
            {"AvailabilityZones": [*zones, {"ZoneName": "us-east-1-lax-1a", "State": "available", "ZoneType": "local-zone"}]},
        )
        say("ec2", "DescribeVpcs", {"Vpcs": [{"VpcId": "vpc-12345678"}]})
        say("ec2", "DescribeAddresses", {"Addresses": []})
        say("ec2", "DescribeNatGateways", {"NatGateways": []})
        say("ec2", "DescribeInstances", {"Reservations": []})
        say("ec2", "DescribeSubnets", {"Subnets": []})
        say("elbv2", "DescribeLoadBalancers", {"LoadBalancers": []})
        say("codedeploy", "ListDeploymentConfigs", {"deploymentConfigsList": ["CodeDeployDefault.AllAtOnce"]})
        say("codeconnections", "ListConnections", {"Connections": []})
        say("iam", "GetRole", {"Role": role()})
        say("cloudwatch", "DescribeAlarms", {"MetricAlarms": [], "CompositeAlarms": []})
        say("cloudwatch", "ListDashboards", {"DashboardEntries": []})
        say("ssm", "GetParameters", {"Parameters": [], "InvalidParameters": []})
        path = self.root / LOCAL
        path.write_text(path.read_text(encoding="utf-8").replace("\ndeployer: true\n", "\n"), encoding="utf-8")
        self.edit(LOCAL, 'account: "000000000000"', 'account: "000000000000"\nregions: [us-east-1]')

    def answer(self, service: str, operation: str, answer: Any) -> None:
        self.aws.record(service, operation, answer)

    def quota(self, code: str, value: float) -> None:
        known = {key: (name, value if key[1] == code else limit) for key, (name, limit) in quotas._DEFAULTS.items()}
        self.patch.setattr(quotas, "_DEFAULTS", known)

    def set(self, **parameters: str) -> None:
        """Lay parameters over gamma's."""
        more = "".join(f'\n  {name}: "{value}"' for name, value in parameters.items())
        path = self.root / LOCAL
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip().split(":")[0] not in parameters]
        path.write_text("\n".join(lines).replace("\nparameters:", f"\nparameters:{more}"), encoding="utf-8")

    def examine(self, env: str = "gamma", code: int | None = None) -> list[dict[str, Any]]:
        exit_code, out, errors = self.run(doctor, "--env", env, "--json")
        assert exit_code in ((0, 1) if code is None else (code,)), errors + out
        found: list[dict[str, Any]] = json.loads(out)["findings"]
        assert exit_code == int(any(one["level"] == "fail" for one in found))
        return found


def role(name: str = "reader") -> dict[str, Any]:
    return {"Path": "/", "RoleName": name, "RoleId": "AROA" + "A" * 16, "Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "CreateDate": NOW}


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(tmp_path, monkeypatch)


def bad(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['level']}: {one['what']}" for one in found if one["level"] != "ok"]


_PREFIX = {"service-quotas": "servicequotas", "elbv2": "elasticloadbalancing"}


def test_an_account_in_which_nothing_stands_in_the_way(account: Account) -> None:
    found = account.examine(code=0)
    assert bad(found) == []
    assert {"stacks", "names", "quotas", "image", "instance type", "disk encryption", "agent", "canary", "service-linked roles"} <= {
        one["check"] for one in found
    }
    called = {f"{_PREFIX.get(service, service)}:{operation}" for service, operation in account.aws.called} - {"sts:GetCallerIdentity"}
    assert called <= set(reads.DOCTOR) and all(operation.split(":")[1].startswith(("Get", "List", "Describe", "Simulate")) for operation in called)


def test_a_finding_says_why_and_what_to_do(account: Account) -> None:
    account.quota("L-F678F1CE", 1)
    code, out, _ = account.run(doctor, "--env", "gamma")
    assert code == 1 and "FAIL         us-east-1: VPCs: 1 needed, 1 of 1 in use\n             why  the stack would fail half-way" in out
    assert "aws service-quotas request-service-quota-increase --region us-east-1 --service-code vpc --quota-code L-F678F1CE --desired-value 2" in out
    assert "doctor of gamma: 1 will fail, " in out and "ok  " not in out
    assert "ok           us-east-1: the Region can be used" in account.run(doctor, "--env", "gamma", "--verbose")[1]


Wrong = Callable[[Account], object]


def instance(kind: str, **more: Any) -> dict[str, Any]:
    return {"InstanceId": "i-1", "InstanceType": kind, "State": {"Code": 16, "Name": "running"}, **more}


def running(*instances: dict[str, Any]) -> dict[str, Any]:
    return {"Reservations": [{"ReservationId": "r-1", "OwnerId": ACCOUNT, "Instances": list(instances)}]}


def image(**more: Any) -> dict[str, Any]:
    return {
        "Images": [
            {
                "ImageId": "ami-0123456789abcdef0",
                "Name": "al2023-ami-2023.6-kernel-6.1-x86_64",
                "ImageOwnerAlias": "amazon",
                "State": "available",
                "Architecture": "x86_64",
                "OwnerId": "137112412989",
                **more,
            }
        ]
    }


def key(state: str = "Enabled", manager: str = "CUSTOMER") -> dict[str, Any]:
    return {"KeyMetadata": {"KeyId": "k", "KeyState": state, "KeyManager": manager}}


def policy(principal: Any) -> dict[str, Any]:
    return {"Policy": json.dumps({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}]})}


def own_key(account: Account, described: dict[str, Any], principal: Any, grants: list[dict[str, Any]] | None = None) -> None:
    account.answer("ec2", "GetEbsDefaultKmsKeyId", {"KmsKeyId": "arn:aws:kms:us-east-1:000000000000:key/k"})
    account.answer("kms", "DescribeKey", described)
    account.answer("kms", "GetKeyPolicy", policy(principal))
    account.answer("kms", "ListGrants", {"Grants": grants or []})


def issued(account: Account, **more: Any) -> None:
    account.set(CertificateArn=CERTIFICATE)
    described = {"CertificateArn": CERTIFICATE, "DomainName": "example.com", "Status": "ISSUED", "NotAfter": NOW + timedelta(days=200), **more}
    account.answer("acm", "DescribeCertificate", {"Certificate": described})


def no_role(account: Account, decision: str) -> None:
    def get(params: dict[str, Any]) -> Any:
        return ServiceError("NoSuchEntity", "not found", 404) if params["RoleName"].startswith("AWSService") else {"Role": role(params["RoleName"])}

    account.answer("iam", "GetRole", lambda params: _or_raise(get(params)))
    account.answer("iam", "SimulatePrincipalPolicy", {"EvaluationResults": [{"EvalActionName": "iam:CreateServiceLinkedRole", "EvalDecision": decision}]})


def _or_raise(answer: Any) -> Any:
    if isinstance(answer, ServiceError):
        raise answer
    return answer


def network(account: Account, public: str = "ab", hosts: str = "ab", vpc: str = "vpc-12345678") -> None:
    """An existing VPC, its subnets in these zones."""
    names = {f"subnet-{kind}{number}": zone for kind, zones in (("0000000a", public), ("0000000b", hosts)) for number, zone in enumerate(zones)}
    ids = list(names)
    account.set(ExistingVpcId="vpc-12345678", ExistingPublicSubnetIds=",".join(ids[: len(public)]), ExistingHostSubnetIds=",".join(ids[len(public) :]))
    account.answer(
        "ec2",
        "DescribeSubnets",
        lambda params: {"Subnets": [{"SubnetId": name, "VpcId": vpc, "AvailabilityZone": f"us-east-1{names[name]}"} for name in params["SubnetIds"]]},
    )


def subnets(account: Account, letters: str) -> None:
    """Default subnets in these zones."""
    found = [{"SubnetId": f"subnet-{letter}", "AvailabilityZone": f"us-east-1{letter}"} for letter in letters]
    account.answer("ec2", "DescribeSubnets", {"Subnets": found})


def stack(account: Account, status: str, name: str = "sample-environment-gamma", service: str = "sample", **parameters: str) -> None:
    described = {
        "StackId": f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{name}/1",
        "StackName": name,
        "StackStatus": status,
        "CreationTime": NOW,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in {"ServiceName": service, **parameters}.items()],
    }
    gone = ServiceError("ValidationError", "Stack with id x does not exist")
    account.answer("cloudformation", "DescribeStacks", lambda params: _or_raise({"Stacks": [described]} if params["StackName"] == name else gone))


def no_deployer(a: Account) -> None:
    a.edit(LOCAL, 'account: "000000000000"', 'account: "000000000000"\ndeployer: true')
    gone = ServiceError("NoSuchEntity", "no", 404)
    a.answer("iam", "GetRole", lambda params: _or_raise(gone if params["RoleName"] == "sample-deployer" else {"Role": role()}))


WRONG: list[tuple[str, Wrong, str, str]] = [
    ("root", lambda a: setattr(a.aws, "principal", f"arn:aws:iam::{ACCOUNT}:root"), "warn", "the caller is the account's root user"),
    ("credentials end soon", lambda a: setattr(a, "expiry", NOW + timedelta(minutes=21)), "warn", "the credentials end in 20 min"),
    ("credentials ended", lambda a: setattr(a, "expiry", NOW - timedelta(minutes=1)), "fail", "the credentials have expired"),
    ("another account", lambda a: setattr(a.aws, "account", "999988887777"), "fail", "the caller's account is 999988887777, not 000000000000"),
    (
        "Region shut by the organization",
        lambda a: a.answer("ec2", "DescribeAvailabilityZones", denied("ec2:DescribeAvailabilityZones", "an explicit deny in a service control policy")),
        "fail",
        "a service control policy shuts the Region",
    ),
    (
        "Region not enabled",
        lambda a: a.answer("ec2", "DescribeAvailabilityZones", ServiceError("AuthFailure", "not able to validate", 401)),
        "fail",
        "the Region is not enabled in this account",
    ),
    (
        "Region not enabled, told by another",
        lambda a: (
            a.answer("ec2", "DescribeAvailabilityZones", denied("ec2:DescribeAvailabilityZones")),
            a.answer("ec2", "DescribeRegions", {"Regions": [{"RegionName": "us-east-1", "OptInStatus": "not-opted-in"}]}),
        ),
        "fail",
        "the Region is not enabled",
    ),
    ("no addresses left", lambda a: (a.set(Egress="one-nat"), a.quota("L-0263D0A3", 0)), "fail", "Elastic IP addresses: 1 needed, 0 of 0 in use"),
    (
        "no NAT gateways left",
        lambda a: (
            a.set(Egress="one-nat"),
            a.quota("L-FE5A380F", 1),
            a.answer("ec2", "DescribeNatGateways", {"NatGateways": [{"NatGatewayId": "nat-1", "SubnetId": "subnet-1"}]}),
            a.answer("ec2", "DescribeSubnets", {"Subnets": [{"SubnetId": "subnet-1", "AvailabilityZone": "us-east-1a"}]}),
        ),
        "fail",
        "NAT gateways in a zone: 1 needed, 1 of 1",
    ),
    ("no balancers left", lambda a: a.quota("L-53DA6B97", 0), "fail", "Application Load Balancers: 1 needed, 0 of 0"),
    (
        "no deployment configurations left",
        lambda a: a.answer("codedeploy", "ListDeploymentConfigs", {"deploymentConfigsList": [f"c-{number}" for number in range(47)]}),
        "fail",
        "custom deployment configurations of CodeDeploy: 4 needed, 47 of 50 in use",
    ),
    ("a default subnet removed", lambda a: subnets(a, "b"), "fail", "AvailabilityZoneCount: 2 wanted, and CloudFormation counts 1: us-east-1b"),
    (
        "type not in the zones with default subnets",
        lambda a: (
            subnets(a, "bc"),
            a.answer("ec2", "DescribeInstanceTypeOfferings", {"InstanceTypeOfferings": [{"InstanceType": "t3.small", "Location": "us-east-1b"}]}),
        ),
        "fail",
        "t3.small is not offered in us-east-1c",
    ),
    (
        "another scheme",
        lambda a: stack(a, "UPDATE_COMPLETE", Scheme="internal"),
        "fail",
        "Scheme: it is 'internet-facing', and sample-environment-gamma in us-east-1 was made with 'internal'",
    ),
    (
        "no vCPUs left",
        lambda a: (a.quota("L-1216C47A", 10), a.answer("ec2", "DescribeInstances", running(instance("m5.xlarge")))),
        "fail",
        "vCPUs of on-demand instances (4 × t3.small at most): 8 needed, 4 of 10",
    ),
    (
        "no image",
        lambda a: a.edit(LOCAL, "us-east-1:\n    AmiId: ami-0123456789abcdef0", "us-east-1:\n    AmiId: ami-0fffffffffffffff0"),
        "fail",
        "AmiId: there is no image ami-0fffffffffffffff0 in us-east-1",
    ),
    ("image gone", lambda a: a.answer("ec2", "DescribeImages", image(State="deregistered")), "fail", "is deregistered"),
    (
        "image of others",
        lambda a: a.answer("ec2", "DescribeImages", image(ImageOwnerAlias="", OwnerId="999988887777")),
        "warn",
        "is not of Amazon's, but of 9999",
    ),
    ("another system", lambda a: a.answer("ec2", "DescribeImages", image(Name="amzn2-ami-hvm")), "warn", "is amzn2-ami-hvm, not Amazon Linux 2023"),
    ("minimal image", lambda a: a.answer("ec2", "DescribeImages", image(Name="al2023-ami-minimal-2023")), "warn", "is al2023-ami-minimal-2023"),
    (
        "deprecated image",
        lambda a: a.answer("ec2", "DescribeImages", image(DeprecationTime="2025-12-31T00:00:00.000Z")),
        "warn",
        "is deprecated since 2025-12-31",
    ),
    ("architecture", lambda a: a.edit(GAMMA, "InstanceType: t3.small", "InstanceType: t4g.small"), "fail", "AmiId is of x86_64, and t4g.small runs arm64"),
    ("no such type", lambda a: a.edit(GAMMA, "InstanceType: t3.small", "InstanceType: m1.small"), "fail", "InstanceType: us-east-1 has no m1.small"),
    (
        "type not in a zone",
        lambda a: a.answer("ec2", "DescribeInstanceTypeOfferings", {"InstanceTypeOfferings": [{"InstanceType": "t3.small", "Location": "us-east-1a"}]}),
        "fail",
        "t3.small is not offered in us-east-1b",
    ),
    ("key of disks", lambda a: own_key(a, key(), {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), "fail", "does not let Auto Scaling use it"),
    ("key of disks disabled", lambda a: own_key(a, key("Disabled"), "*"), "fail", "is Disabled"),
    ("agent's version", lambda a: a.set(AgentVersion="9.9.9"), "fail", "AgentVersion: AWSCodeDeployAgent has no version 9.9.9"),
    ("no VPC", lambda a: (network(a), a.answer("ec2", "DescribeVpcs", ServiceError("InvalidVpcID.NotFound", "no"))), "fail", "there is no vpc-12345678"),
    ("subnets of another VPC", lambda a: network(a, vpc="vpc-87654321"), "fail", "are subnets of vpc-12345678"),
    ("two subnets in a zone", lambda a: network(a, hosts="aa"), "fail", "ExistingHostSubnetIds: two of them are in one zone"),
    ("hosts where no balancer is", lambda a: network(a, hosts="ac"), "fail", "ExistingPublicSubnetIds: none is in us-east-1c, where hosts are"),
    ("certificate of another Region", lambda a: a.set(CertificateArn=CERTIFICATE.replace("us-east-1", "eu-west-1")), "fail", "CertificateArn is of eu-west-1"),
    (
        "no certificate",
        lambda a: (issued(a), a.answer("acm", "DescribeCertificate", ServiceError("ResourceNotFoundException", "no"))),
        "fail",
        "there is no arn",
    ),
    (
        "certificate pending",
        lambda a: issued(
            a,
            Status="PENDING_VALIDATION",
            DomainValidationOptions=[{"DomainName": "example.com", "ResourceRecord": {"Name": "_x.example.com", "Type": "CNAME", "Value": "_y.aws"}}],
        ),
        "fail",
        "the certificate of example.com is PENDING_VALIDATION",
    ),
    ("certificate ends", lambda a: issued(a, NotAfter=NOW + timedelta(days=29)), "warn", "the certificate of example.com ends on 2026-01-30"),
    ("certificate ended", lambda a: issued(a, NotAfter=NOW - timedelta(days=1)), "fail", "the certificate of example.com ended on 2025-12-31"),
    ("no runtime", lambda a: a.set(CanaryRuntime="syn-python-selenium-99.0"), "fail", "CanaryRuntime: there is no syn-python-selenium-99.0"),
    (
        "runtime ended",
        lambda a: a.answer("synthetics", "DescribeRuntimeVersions", {"RuntimeVersions": [{"VersionName": "syn-python-selenium-14.0", "DeprecationDate": NOW}]}),
        "fail",
        "syn-python-selenium-14.0 is deprecated since 2026-01-01",
    ),
    (
        "runtime ends",
        lambda a: a.answer(
            "synthetics",
            "DescribeRuntimeVersions",
            {"RuntimeVersions": [{"VersionName": "syn-python-selenium-14.0", "DeprecationDate": NOW + timedelta(days=3)}]},
        ),
        "warn",
        "is deprecated from 2026-01-04 on",
    ),
    (
        "alarm's name",
        lambda a: a.answer("cloudwatch", "DescribeAlarms", {"CompositeAlarms": [{"AlarmName": "sample-gamma-high-severity"}]}),
        "fail",
        "CloudWatch::CompositeAlarm sample-gamma-high-severity exists already",
    ),
    (
        "dashboard's name",
        lambda a: a.answer("cloudwatch", "ListDashboards", {"DashboardEntries": [{"DashboardName": "sample-gamma-us-east-1"}]}),
        "fail",
        "CloudWatch::Dashboard sample-gamma-us-east-1 exists already",
    ),
    (
        "parameter's name",
        lambda a: a.answer("ssm", "GetParameters", {"Parameters": [{"Name": "/sample/gamma/app/PORT"}]}),
        "fail",
        "SSM::Parameter /sample/gamma/app/PORT exists already",
    ),
    (
        "canary's name",
        lambda a: a.answer("synthetics", "GetCanary", {"Canary": {"Name": "sample-gamma"}}),
        "fail",
        "Synthetics::Canary sample-gamma exists already",
    ),
    ("stack rolled back", lambda a: stack(a, "ROLLBACK_COMPLETE"), "warn", "the stack sample-environment-gamma is ROLLBACK_COMPLETE"),
    ("stack in review", lambda a: stack(a, "REVIEW_IN_PROGRESS"), "warn", "the stack sample-environment-gamma is REVIEW_IN_PROGRESS"),
    ("stack under way", lambda a: stack(a, "UPDATE_IN_PROGRESS"), "warn", "the stack sample-environment-gamma is UPDATE_IN_PROGRESS"),
    ("stack stuck", lambda a: stack(a, "UPDATE_ROLLBACK_FAILED"), "warn", "the stack sample-environment-gamma is UPDATE_ROLLBACK_FAILED"),
    ("another service's stack", lambda a: stack(a, "CREATE_COMPLETE", service="other"), "fail", "is another service's: other"),
    ("role may not be made", lambda a: no_role(a, "implicitDeny"), "fail", "AWSServiceRoleForAutoScaling does not exist, and the caller may not make it"),
    (
        "no policy",
        lambda a: (a.set(HostPolicyArns="arn:aws:iam::aws:policy/Nothing"), a.answer("iam", "GetPolicy", ServiceError("NoSuchEntity", "no", 404))),
        "fail",
        "HostPolicyArns: there is no policy arn:aws:iam::aws:policy/Nothing",
    ),
    (
        "no deployer on AWS",
        lambda a: (no_deployer(a), a.patch.setattr(doctor, "Place", lambda *of: DoctorsPlace(*of[:-1], local=False))),
        "fail",
        "there is no role sample-deployer",
    ),
]


@pytest.mark.parametrize(("spoil", "level", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_found(account: Account, spoil: Wrong, level: str, text: str) -> None:
    spoil(account)
    found = [one for one in account.examine() if text in one["what"]]
    assert [one["level"] for one in found][:1] == [level], account.examine()
    assert all(one["why"] and one["do"] for one in found)


RIGHT: list[tuple[str, Wrong]] = [
    ("no deployer on the local AWS, where the first deploy makes it", lambda a: no_deployer(a)),
    (
        "key of disks names Auto Scaling's role",
        lambda a: own_key(a, key(), {"AWS": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x/AWSServiceRoleForAutoScaling"}),
    ),
    ("key of disks for everyone in the account", lambda a: own_key(a, key(), {"AWS": "*"})),
    (
        "key of disks is granted to Auto Scaling's role",
        lambda a: own_key(a, key(), {"AWS": "root"}, [{"GranteePrincipal": "arn:aws:iam::1:role/aws-service-role/x/AWSServiceRoleForAutoScaling"}]),
    ),
    ("key of disks is AWS's", lambda a: own_key(a, key(manager="AWS"), {})),
    ("certificate", issued),
    ("existing network", network),
    ("role may be made", lambda a: no_role(a, "allowed")),
    ("no canary, whatever its runtime", lambda a: a.set(CanaryRateMinutes="0", CanaryRuntime="syn-python-selenium-1.0")),
    ("a zone without a default subnet, and enough with one", lambda a: subnets(a, "bc")),
    (
        "as many deployment configurations as there may be",
        lambda a: a.answer("codedeploy", "ListDeploymentConfigs", {"deploymentConfigsList": [f"c-{number}" for number in range(46)]}),
    ),
    ("reserved addresses fit", lambda a: a.set(Egress="one-nat")),
    (
        "spot and other families take no vCPU of the quota",
        lambda a: (
            a.quota("L-1216C47A", 8),
            a.answer("ec2", "DescribeInstances", running(instance("m5.xlarge", InstanceLifecycle="spot"), instance("g5.xlarge"))),
        ),
    ),
    ("policy", lambda a: (a.set(HostPolicyArns="arn:aws:iam::aws:policy/P"), a.answer("iam", "GetPolicy", {"Policy": {"Arn": "arn:aws:iam::aws:policy/P"}}))),
    (
        "Region told by another",
        lambda a: (
            a.answer("ec2", "DescribeAvailabilityZones", denied("ec2:DescribeAvailabilityZones")),
            a.answer("ec2", "DescribeRegions", {"Regions": [{"RegionName": "us-east-1", "OptInStatus": "opted-in"}]}),
            a.set(InstanceType="t3.small"),
            network(a),
        ),
    ),
]


@pytest.mark.parametrize("change", [case[1] for case in RIGHT], ids=[case[0] for case in RIGHT])
def test_what_is_right_is_let_be(account: Account, change: Wrong) -> None:
    change(account)
    assert bad(account.examine(code=0)) == []


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ("servicequotas:GetServiceQuota", "the quota of VPCs"),
        ("ec2:DescribeImages", "the image ami-0123456789abcdef0"),
        ("ssm:ListDocumentVersions", "AWSCodeDeployAgent"),
        ("ec2:DescribeInstanceTypeOfferings", "t3.small is offered"),
        ("ec2:GetEbsDefaultKmsKeyId", "default disk encryption"),
        ("ec2:DescribeInstances", "vCPUs"),
        ("synthetics:DescribeRuntimeVersions", "runtime syn-python-selenium-14.0"),
        ("iam:GetRole", "AWSServiceRoleForAutoScaling"),
        ("cloudwatch:DescribeAlarms", "AWS::CloudWatch::CompositeAlarm"),
        ("cloudformation:DescribeStacks", "the stack sample-environment-gamma"),
    ],
)
def test_what_may_not_be_read_names_the_permission_and_hides_nothing_else(account: Account, action: str, what: str) -> None:
    usual = {one["what"] for one in account.examine()}
    account.aws.denied = {action}
    found = account.examine(code=0)
    untold = [one for one in found if one["level"] == "cannot tell"]
    assert any(what in one["what"] for one in untold) and all(action in one["why"] and one["do"] for one in untold)
    assert {one["what"] for one in found if one["level"] == "ok"} <= usual and len([one for one in found if one["level"] == "ok"]) >= 8


def test_no_credentials_is_a_finding(account: Account) -> None:
    account.answer("sts", "GetCallerIdentity", ServiceError("ExpiredToken", "The security token included in the request is expired", 403))
    code, out, _ = account.run(doctor, "--env", "gamma")
    assert code == 1 and "FAIL         The AWS credentials have expired" in out and "aws sso login" in out


def test_placeholders_are_found_on_aws(account: Account) -> None:
    account.aws.account = "111122223333"
    from scripts_fakes import Recorder

    recorder = Recorder()
    assert doctor.main(["--env", "gamma"], account.world(recorder)) == 1
    assert "parameters/gamma.yaml: account: 111122223333 is a placeholder" in recorder.text and "AgentVersion: 0.0.0 is a placeholder" in recorder.text


def test_a_pipeline_is_asked_for_builds_and_its_connection(account: Account) -> None:
    for name in ("gamma", "prod"):
        path = account.root / f"parameters/local/{name}.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace("\nregions: [us-east-1]", ""), encoding="utf-8")
    assert bad(account.examine("pipeline", 0)) == []
    account.edit("parameters/local/pipeline.yaml", "parameters:", f"parameters:\n  ConnectionArn: {CONNECTION}")
    account.answer("codeconnections", "GetConnection", {"Connection": {"ConnectionArn": CONNECTION, "ConnectionStatus": "AVAILABLE"}})
    assert bad(account.examine("pipeline", 0)) == []
    account.answer("codeconnections", "GetConnection", {"Connection": {"ConnectionArn": CONNECTION, "ConnectionStatus": "PENDING"}})
    account.quota("L-9D07B6EF", 0)
    found = account.examine("pipeline", 1)
    assert bad(found) == ["fail: builds at once (Linux/Small): none may run", "fail: the connection to the repository is PENDING"]
    assert "settings/000000000000/us-east-1/codeconnections/connections/" in found[1]["do"]
    account.quota("L-9D07B6EF", 1)
    account.answer("codeconnections", "GetConnection", ServiceError("ResourceNotFoundException", "no"))
    assert bad(account.examine("pipeline", 1)) == [f"fail: ConnectionArn: there is no {CONNECTION}", "warn: builds at once (Linux/Small): only one may run"]


def test_a_region_without_codeconnections_is_no_home(account: Account) -> None:
    def nobody(params: dict[str, Any]) -> Any:
        raise EndpointConnectionError(endpoint_url="https://codeconnections.us-east-1.amazonaws.com")

    for name in ("gamma", "prod"):
        path = account.root / f"parameters/local/{name}.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace("\nregions: [us-east-1]", ""), encoding="utf-8")
    account.answer("codeconnections", "ListConnections", nobody)
    found = account.examine("pipeline", 1)
    assert bad(found) == ["fail: CodeConnections does not answer in us-east-1"] and "another Region first under regions:" in found[0]["do"]


def test_an_environment_has_as_many_deployment_configurations_as_its_template() -> None:
    text = (ROOT / "templates/environment/deployment.yaml").read_text(encoding="utf-8")
    resources = documents.parse(text, "deployment.yaml", documents.TemplateLoader)["Resources"].values()
    conditions = [one.get("Condition") for one in resources if one["Type"] == "AWS::CodeDeploy::DeploymentConfig"]
    assert (conditions.count(None), conditions.count("HasOneBox")) == (DEPLOYMENT_CONFIGS, 1) and len(conditions) == DEPLOYMENT_CONFIGS + 1


def test_a_deployed_environment_takes_nothing_more_and_its_store_is_looked_at(account: Account) -> None:
    code, _, errors = account.run(deploy, "--env", "gamma", "--yes")
    assert code == 0, errors
    for quota in ("L-F678F1CE", "L-53DA6B97", "L-0263D0A3"):
        account.quota(quota, 0)
    account.answer("kms", "DescribeKey", key())
    shut = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    owned = {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}

    class S3:
        meta = None

        def get_public_access_block(self, Bucket: str) -> dict[str, Any]:
            return {"PublicAccessBlockConfiguration": shut}

        def get_bucket_ownership_controls(self, Bucket: str) -> dict[str, Any]:
            return owned

    original: Callable[[str, str], Any] = account.aws.client
    account.patch.setattr(account.aws, "client", lambda service, region: S3() if service == "s3" else original(service, region))
    found = account.examine(code=0)
    assert bad(found) == [] and {"the release store's key is enabled", "the release store's bucket is shut to the public"} <= {one["what"] for one in found}
    assert not any("exists already" in one["what"] or ": free" in one["what"] for one in found)
    shut["BlockPublicPolicy"] = False
    owned["OwnershipControls"]["Rules"][0]["ObjectOwnership"] = "ObjectWriter"
    account.answer("kms", "DescribeKey", key("PendingDeletion"))
    spoilt = account.examine(code=1)
    assert [one["level"] for one in spoilt if one["level"] != "ok"] == ["fail", "warn", "warn"]
    assert "aws kms cancel-key-deletion" in spoilt[0]["do"]


def test_what_does_not_answer_in_time_cannot_be_told(account: Account) -> None:
    import threading

    block = threading.Event()

    def wait(params: dict[str, Any]) -> dict[str, Any]:
        block.wait(20)
        return {}

    account.answer("ec2", "GetEbsDefaultKmsKeyId", wait)
    code, out, _ = account.run(doctor, "--env", "gamma", "--seconds", "1.5")
    block.set()
    assert code == 0 and "CANNOT TELL  us-east-1: the check of disk encryption" in out and "no answer within" in out


def test_wrong_use_is_2(account: Account) -> None:
    assert account.run(doctor, "--env", "nowhere")[0] == 2
    account.edit(GAMMA, "FleetSize: 2", "FleetSize: many")
    assert account.run(doctor, "--env", "gamma")[0] == 2


def test_every_check_has_a_case_in_which_it_finds_something(account: Account) -> None:
    """Of the checks that are registered, none is without a wrong account above."""
    tried = {
        "certificate",
        "stacks",
        "names",
        "quotas",
        "image",
        "instance type",
        "disk encryption",
        "agent",
        "network",
        "zones",
        "canary",
        "connection",
        "release store",
        "service-linked roles",
        "policies",
        "deployer",
    }
    assert tried == set(CHECKS) | set(ONCE)


def test_the_session_tells_when_its_credentials_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.core.session import open_session

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert open_session(False, {}).expires() is None
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2030-01-01T08:00:00Z")
    assert open_session(False, {}).expires() == datetime(2030, 1, 1, 8, tzinfo=UTC)
