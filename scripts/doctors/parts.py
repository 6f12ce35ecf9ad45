"""Things that parameters name and that somebody else made: network, certificate, connection; and what AWS may have taken away meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from scripts.core import connection as connections
from scripts.core import stacks
from scripts.core.errors import error_code
from scripts.core.roots import RELEASE_STORE
from scripts.doctors.finding import Finding, fail, ok, warn
from scripts.doctors.place import Place

_SOON = timedelta(days=30)
_ACM = "https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html"


def network(place: Place) -> Iterable[Finding]:
    """An existing VPC, and its subnets: there, of that VPC, each in a zone of its own."""
    vpc = place.value("ExistingVpcId")
    if not vpc:
        return []
    found: list[Finding] = []
    file = place.roots.environment.file
    with place.reading(f"the network {vpc}", found, f"aws ec2 describe-subnets --region {place.region} --filters Name=vpc-id,Values={vpc}"):
        ec2 = place.client("ec2")
        if not _described(lambda: ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"], "InvalidVpcID"):
            return [fail(f"ExistingVpcId: there is no {vpc} in {place.region}", "CloudFormation refuses the change set", f"correct it in {file}")]
        by_key = {}
        for key in ("ExistingPublicSubnetIds", "ExistingHostSubnetIds"):
            wanted = [part for part in place.value(key).split(",") if part]
            subnets = _described(partial(_subnets, ec2, wanted), "InvalidSubnetID")
            by_key[key] = {subnet["AvailabilityZone"] for subnet in subnets}
            if len(subnets) < len(wanted) or any(subnet["VpcId"] != vpc for subnet in subnets):
                found.append(
                    fail(f"{key}: not all of {', '.join(wanted)} are subnets of {vpc}", "what is put into them would be refused", f"correct it in {file}")
                )
            elif len(by_key[key]) < len(wanted):
                found.append(
                    fail(
                        f"{key}: two of them are in one zone",
                        "a balancer takes one subnet of each zone; releases go zone by zone",
                        f"correct it in {file}",
                        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html",
                    )
                )
        if not found and by_key["ExistingHostSubnetIds"] - by_key["ExistingPublicSubnetIds"]:
            missing = ", ".join(sorted(by_key["ExistingHostSubnetIds"] - by_key["ExistingPublicSubnetIds"]))
            found.append(
                fail(
                    f"ExistingPublicSubnetIds: none is in {missing}, where hosts are",
                    "a balancer sends nothing to hosts in a zone that it is not in, and they stay unused in its target group",
                    f"add a subnet there in {file}",
                    "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html",
                )
            )
    return found or [ok(f"the network {vpc} is there")]


def _subnets(ec2: Any, names: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ec2.describe_subnets(SubnetIds=names)["Subnets"]
    return found


def _described(read: Callable[[], list[dict[str, Any]]], gone: str) -> list[dict[str, Any]]:
    try:
        return read()
    except ClientError as error:
        if error_code(error).startswith(gone):
            return []
        raise


def certificate(place: Place) -> Iterable[Finding]:
    """CertificateArn: issued, in this Region and account, and not about to end."""
    arn = place.value("CertificateArn")
    if not arn:
        return []
    where = arn.split(":")
    if where[3] != place.region:
        return [
            fail(
                f"CertificateArn is of {where[3]}, and the balancer is in {place.region}",
                "a listener takes certificates of its own Region only",
                f"aws acm list-certificates --region {place.region}; write one of these under region_parameters: in {place.roots.environment.file}",
            )
        ]
    found: list[Finding] = []
    with place.reading("the certificate", found, f"aws acm describe-certificate --region {place.region} --certificate-arn {arn}"):
        try:
            described = place.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return [fail(f"CertificateArn: there is no {arn}", "the listener would be refused", f"aws acm list-certificates --region {place.region}")]
        found.append(_judge_certificate(place, arn, described))
    return found


def _judge_certificate(place: Place, arn: str, described: dict[str, Any]) -> Finding:
    status = described["Status"]
    names = ", ".join(dict.fromkeys([described.get("DomainName", ""), *described.get("SubjectAlternativeNames", [])]))
    if status != "ISSUED":
        records = [option["ResourceRecord"] for option in described.get("DomainValidationOptions", ()) if option.get("ResourceRecord")]
        do = "; ".join(f"make the record {record['Name']} {record['Type']} {record['Value']}" for record in records)
        return fail(
            f"the certificate of {names} is {status}",
            "the listener is refused until it is ISSUED",
            do or f"console, Certificate Manager: see why; aws acm describe-certificate --region {place.region} --certificate-arn {arn}",
        )
    ends = described.get("NotAfter")
    if ends is not None and ends <= place.now:
        return fail(f"the certificate of {names} ended on {ends:%Y-%m-%d}", "callers refuse it", "renew it, and write its ARN", _ACM)
    if ends is not None and ends - place.now < _SOON:
        renewed = described.get("RenewalEligibility") == "ELIGIBLE" and described.get("Type") == "AMAZON_ISSUED"
        return warn(
            f"the certificate of {names} ends on {ends:%Y-%m-%d}",
            "callers refuse it from then on",
            "see that its DNS record still stands, by which AWS renews it" if renewed else "AWS does not renew it: import or request a new one",
            _ACM,
        )
    return ok(f"the certificate of {names} is issued" + (f" until {ends:%Y-%m-%d}" if ends else ""))


def canary_runtime(place: Place) -> Iterable[Finding]:
    """The canary's runtime is one that AWS still takes."""
    name = place.value("CanaryRuntime")
    if not name or place.value("CanaryRateMinutes") in ("", "0"):
        return []
    found: list[Finding] = []
    look = f"aws synthetics describe-runtime-versions --region {place.region} --query RuntimeVersions[].[VersionName,DeprecationDate]"
    source = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Synthetics_Canaries_Library.html"
    with place.reading(f"whether the canary's runtime {name} is supported", found, look):
        client = place.client("synthetics")
        versions: dict[str, Any] = {}
        token: dict[str, str] = {}
        while True:
            page = client.describe_runtime_versions(**token)
            versions |= {version["VersionName"]: version.get("DeprecationDate") for version in page["RuntimeVersions"]}
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        newest = ", ".join(sorted(version for version, ends in versions.items() if version.startswith("syn-python") and ends is None)) or "none"
        if name not in versions:
            found.append(fail(f"CanaryRuntime: there is no {name}", "the canary cannot be made: the stack fails", f"one of {newest}: {look}", source))
        elif versions[name] is not None and versions[name] <= place.now:
            found.append(
                fail(
                    f"CanaryRuntime: {name} is deprecated since {versions[name]:%Y-%m-%d}",
                    "AWS makes no canary with it any more: the stack fails",
                    f"one of {newest}: {look}",
                    source,
                )
            )
        elif versions[name] is not None and versions[name] - place.now < _SOON:
            found.append(
                warn(
                    f"CanaryRuntime: {name} is deprecated from {versions[name]:%Y-%m-%d} on",
                    "AWS makes no canary with it from then on",
                    f"one of {newest}: {look}",
                    source,
                )
            )
        else:
            found.append(ok(f"the canary's runtime {name} is supported"))
    return found


def connection(place: Place) -> Iterable[Finding]:
    """The pipeline's connection to the repository."""
    if "ConnectionArn" not in place.values:
        return []
    found: list[Finding] = []
    with place.reading("the connection to the repository", found, "console, Developer Tools, Settings, Connections"):
        try:
            place.client("codeconnections").list_connections(MaxResults=1)
        except EndpointConnectionError:
            # Without a network nothing of the Region answers, and the check of the Region has said so.
            return [
                fail(
                    f"CodeConnections does not answer in {place.region}",
                    "it is not in every Region that has CodePipeline, and the pipeline's connection and Source action are in its own: the stack would fail",
                    f"another Region first under regions: in {place.roots.environment.file}, which is the pipeline's home (HomeRegion of the environments)",
                    "https://docs.aws.amazon.com/general/latest/gr/codeconnections.html",
                )
            ]
        stack = place.stack()
        arn = place.value("ConnectionArn") or (stack.outputs.get("ConnectionArn", "") if stack else "")
        if not arn:
            return [ok("a deploy makes the connection; it prints the link by which somebody completes it, and waits")]
        try:
            status = place.client("codeconnections").get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"]
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return [
                fail(
                    f"ConnectionArn: there is no {arn}",
                    "the pipeline cannot fetch the source",
                    f"correct it in {place.roots.environment.file}, or empty it to have one made",
                )
            ]
        if status == "AVAILABLE":
            found.append(ok("the connection to the repository is AVAILABLE"))
        else:
            found.append(
                fail(
                    f"the connection to the repository is {status}",
                    "the Source stage fails until somebody completes it",
                    f"who may install an app in the repository's organization opens {connections.console_link(arn)} and chooses Update pending connection",
                    "https://docs.aws.amazon.com/dtconsole/latest/userguide/connections-update.html",
                )
            )
    return found


def store(place: Place) -> Iterable[Finding]:
    """The release store that is there: its key works, its bucket is shut."""
    name = place.roots.environment.needed_stack_name(RELEASE_STORE)
    found: list[Finding] = []
    with place.reading(f"the stack {name}", found, f"aws cloudformation describe-stacks --region {place.region} --stack-name {name}"):
        stack = stacks.find(place.tools.client("cloudformation", place.region), name)
        if stack is None:
            return []
        bucket, key = stack.outputs.get("ArtifactBucketName", ""), stack.outputs.get("ArtifactKeyArn", "")
        if key:
            with place.reading("the release store's key", found, f"aws kms describe-key --region {place.region} --key-id {key}"):
                state = place.tools.client("kms", place.region).describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
                if state == "Enabled":
                    found.append(ok("the release store's key is enabled"))
                else:
                    undo = "cancel-key-deletion" if state == "PendingDeletion" else "enable-key"
                    found.append(
                        fail(
                            f"the release store's key is {state}",
                            "no template can be uploaded, no image pulled, no release built",
                            f"aws kms {undo} --region {place.region} --key-id {key}",
                        )
                    )
        if bucket:
            _bucket(place, bucket, found)
    return found


def _bucket(place: Place, bucket: str, found: list[Finding]) -> None:
    s3 = place.tools.client("s3", place.region)
    again = f"a deploy does not see what was changed by hand: aws cloudformation detect-stack-drift --region {place.region} --stack-name " + (
        place.roots.environment.needed_stack_name(RELEASE_STORE)
    )
    with place.reading("whether the release store's bucket is shut to the public", found, f"aws s3api get-public-access-block --bucket {bucket}"):
        try:
            block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        except ClientError as error:
            if error_code(error) not in ("NoSuchPublicAccessBlockConfiguration", "NoSuchBucket"):
                raise
            if error_code(error) == "NoSuchBucket":
                found.append(
                    fail(
                        f"the release store's bucket {bucket} is gone",
                        "no template can be uploaded, no release built",
                        "make destroy ENV=release-store, and deploy again",
                        "",
                    )
                )
                return
            block = {}
        if len(block) == 4 and all(block.values()):
            found.append(ok("the release store's bucket is shut to the public"))
        else:
            found.append(warn(f"the release store's bucket {bucket} is not shut to the public", "its template shuts it; somebody opened it by hand", again))
    with place.reading("who owns the objects of the release store's bucket", found, f"aws s3api get-bucket-ownership-controls --bucket {bucket}"):
        try:
            rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        except ClientError as error:
            if error_code(error) != "OwnershipControlsNotFoundError":
                raise
            rules = []
        if [rule["ObjectOwnership"] for rule in rules] == ["BucketOwnerEnforced"]:
            found.append(ok("the release store owns its objects"))
        else:
            found.append(
                warn(f"the release store's bucket {bucket} does not own all its objects", "what another account puts into it could not be read", again)
            )
