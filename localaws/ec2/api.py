"""EC2's instance operations: RunInstances, TerminateInstances, DescribeInstances, DescribeInstanceStatus; and what it offers (catalogue).

Everything else of EC2 is MiniStack's. Sources: the EC2 API Reference of each operation; actions and resources of RunInstances:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
import secrets
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from localaws.ec2 import engine
from localaws.ec2.catalogue import Catalogue
from localaws.hosts.api import Hosts, Launch
from localaws.service import Aws, Context, Service, ServiceError, Stores

log = logging.getLogger("localaws")

PLAYED_AT_MOST = 40
"""Instances of one account and Region: more would bring this machine down before AWS's quota would say no."""


class Api(Catalogue, Service):
    """Instances."""

    name = "ec2"
    iam = "ec2"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self._stores = Stores()

    # -- operations --------------------------------------------------------------------------------------------------------

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str] | tuple[str, str, dict[str, Any]]]:
        """RunInstances asks for itself once the launch template is read; Describe* know no resources."""
        if operation == "RunInstances":
            return []
        if operation == "TerminateInstances":
            return [("ec2:TerminateInstances", self._arn(ctx, f"instance/{known}")) for known in params["InstanceIds"]]
        return [(f"ec2:{operation}", "*")]

    def run_instances(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Start MinCount to MaxCount instances, each as a host of its own."""
        template, template_arn = self._template(ctx, params.get("LaunchTemplate"))
        try:
            wanted = engine.merged(template, params)
        except engine.InvalidRequest as error:
            raise ServiceError(error.code, str(error)) from error
        image = self._image(ctx, wanted["ImageId"])
        subnet = self._subnet(ctx, wanted)
        groups = self._groups(ctx, wanted, subnet["VpcId"])
        profile = self._profile(ctx, wanted.get("IamInstanceProfile"))
        try:
            self._authorize_run(ctx, wanted, image, subnet, groups, template_arn)
            if profile:
                self.aws.check_pass_role(ctx, profile["RoleArn"], "ec2.amazonaws.com")
        except ServiceError as error:
            # EC2's own name for it.
            raise ServiceError("UnauthorizedOperation", f"You are not authorized to perform this operation. {error.message}", 403) from error
        if params.get("DryRun"):
            raise ServiceError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        count = int(params.get("MaxCount", 1))
        with self.lock:
            running = sum(record["State"] != "terminated" for record in self._stores[ctx]["instances"].values())
        if running + count > PLAYED_AT_MOST:
            raise ServiceError("InstanceLimitExceeded", f"You have requested more instances ({running + count}) than your current instance "
                               f"limit of {PLAYED_AT_MOST} allows for the local AWS.")
        reservation = "r-" + secrets.token_hex(9)[:17]
        launched = [self._launch(ctx, wanted, subnet, groups, profile, reservation) for _ in range(count)]
        return {"ReservationId": reservation, "OwnerId": ctx.account, "Groups": [], "Instances": [engine.describe(record) for record in launched]}

    def terminate_instances(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """End instances; their hosts are removed in the background."""
        records = self._records(ctx, params["InstanceIds"])
        changes = []
        for record in records:
            before = record["State"]
            if before not in ("terminated", "shutting-down"):
                self._move(ctx.account, ctx.region, record, "shutting-down", {
                    "Code": "Client.UserInitiatedShutdown", "Message": "Client.UserInitiatedShutdown: User initiated shutdown"})
                self.aws.spawn(f"terminate {record['InstanceId']}", functools.partial(self._end, ctx.account, ctx.region, record))
            changes.append({"InstanceId": record["InstanceId"],
                            "CurrentState": {"Code": engine.STATE_CODES[record["State"]], "Name": record["State"]},
                            "PreviousState": {"Code": engine.STATE_CODES[before], "Name": before}})
        return {"TerminatingInstances": changes}

    def describe_instances(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell instances, each in its reservation."""
        reservations: dict[str, dict[str, Any]] = {}
        for record in self._chosen(ctx, params):
            entry = reservations.setdefault(record["ReservationId"], {
                "ReservationId": record["ReservationId"], "OwnerId": record["OwnerId"], "Groups": [], "Instances": []})
            entry["Instances"].append(engine.describe(record))
        return {"Reservations": list(reservations.values())}

    def describe_instance_status(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell the status of running instances, of all with IncludeAllInstances."""
        shown = []
        for record in self._chosen(ctx, params):
            if record["State"] != "running" and not params.get("IncludeAllInstances"):
                continue
            status = "ok" if record["State"] == "running" else "not-applicable"
            details = [{"Name": "reachability", "Status": "passed"}] if status == "ok" else []
            shown.append({"InstanceId": record["InstanceId"], "AvailabilityZone": record["Zone"], "Events": [],
                          "InstanceState": {"Code": engine.STATE_CODES[record["State"]], "Name": record["State"]},
                          "InstanceStatus": {"Status": status, "Details": details}, "SystemStatus": {"Status": status, "Details": details}})
        return {"InstanceStatuses": shown}

    # -- for the other services of this process ----------------------------------------------------------------------------

    def record(self, account: str, region: str, instance_id: str) -> dict[str, Any] | None:
        """Return a copy of an instance's record (see engine), None if there is none."""
        with self.lock:
            found = self._stores.at(account, region)["instances"].get(instance_id)
            return dict(found) if found else None

    def records(self, account: str, region: str) -> list[dict[str, Any]]:
        """Return copies of the records of an account and Region."""
        with self.lock:
            return [dict(record) for record in self._stores.at(account, region)["instances"].values()]

    def scopes(self) -> list[tuple[str, str]]:
        """Return every (account, Region) that has instances."""
        return self._stores.scopes()

    def on_host_lost(self, account: str, region: str, instance_id: str, gone: bool) -> None:
        """A host ended by itself (`docker kill`: stopped) or is `gone` (`docker rm`: terminated)."""
        with self.lock:
            record = self._stores.at(account, region)["instances"].get(instance_id)
        if record is None or record["State"] not in ("pending", "running", "stopped"):
            return
        if gone:
            self._move(account, region, record, "shutting-down", {"Code": "Server.InternalError", "Message":
                                                                  "Server.InternalError: Internal error on launch"})
            self._end(account, region, record)
        elif record["State"] != "stopped":
            self._move(account, region, record, "stopped", {"Code": "Client.InstanceInitiatedShutdown", "Message":
                                                            "Client.InstanceInitiatedShutdown: Instance initiated shutdown"})

    def on_host_address(self, account: str, region: str, instance_id: str, address: str) -> None:
        """A host came back after a stop of the local AWS, perhaps with another address."""
        with self.lock:
            record = self._stores.at(account, region)["instances"].get(instance_id)
            if record is not None:
                record["PrivateIpAddress"] = address

    def start(self) -> None:
        """Forget instances that were terminated long ago."""
        self.aws.every(60.0, "ec2-expire", self._expire)

    def dump(self) -> Any:
        """The instances."""
        with self.lock:
            return self._stores.dump()

    def load(self, state: Any) -> None:
        """Take up the instances of the last run."""
        self._stores.load(state)

    # -- inside ------------------------------------------------------------------------------------------------------------

    def _launch(self, ctx: Context, wanted: dict[str, Any], subnet: dict[str, Any], groups: list[dict[str, str]],
                profile: dict[str, str], reservation: str) -> dict[str, Any]:
        options = wanted.get("MetadataOptions") or {}
        record: dict[str, Any] = {
            "InstanceId": "i-" + secrets.token_hex(9)[:17], "ReservationId": reservation, "OwnerId": ctx.account, "State": "pending",
            "ImageId": wanted["ImageId"], "InstanceType": wanted["InstanceType"], "SubnetId": subnet["SubnetId"], "VpcId": subnet["VpcId"],
            "Zone": subnet["AvailabilityZone"], "PrivateIpAddress": "", "LaunchTime": self.aws.clock.now(),
            "ProfileArn": profile.get("Arn", ""), "ProfileId": profile.get("Id", ""), "SecurityGroups": groups, "Tags": wanted["Tags"],
            "Metadata": {"HttpTokens": options.get("HttpTokens", "optional"),
                         "HttpPutResponseHopLimit": int(options.get("HttpPutResponseHopLimit", 1)),
                         "HttpEndpoint": options.get("HttpEndpoint", "enabled"),
                         "InstanceMetadataTags": options.get("InstanceMetadataTags", "disabled")},
            "Monitoring": "enabled" if (wanted.get("Monitoring") or {}).get("Enabled") else "disabled",
            "ClientToken": wanted.get("ClientToken", ""), "Reason": None, "EndTime": None}
        try:
            user_data = base64.b64decode(wanted.get("UserData") or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ServiceError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from error
        with self.lock:
            self._stores[ctx]["instances"][record["InstanceId"]] = record
        launch = Launch(
            account=ctx.account, region=ctx.region, instance_id=record["InstanceId"], zone=record["Zone"], image_id=record["ImageId"],
            instance_type=record["InstanceType"], launched=record["LaunchTime"], role_arn=profile.get("RoleArn", ""),
            profile_arn=record["ProfileArn"], profile_id=record["ProfileId"], user_data=user_data,
            hop_limit=record["Metadata"]["HttpPutResponseHopLimit"], tokens=record["Metadata"]["HttpTokens"],
            instance_tags=record["Metadata"]["InstanceMetadataTags"], tags=dict(record["Tags"]))
        try:
            address = self._hosts().launch(launch)
        except ServiceError as error:
            self._move(ctx.account, ctx.region, record, "terminated", {
                "Code": "Server.InternalError", "Message": f"Server.InternalError: Internal error on launch ({error.message})"})
            record["EndTime"] = self.aws.clock.now()
            raise
        with self.lock:
            record["PrivateIpAddress"] = address
            told = dict(record)
        self._move(ctx.account, ctx.region, record, "running", None)
        return told  # pending, as EC2 answers

    def _end(self, account: str, region: str, record: dict[str, Any]) -> None:
        self._hosts().terminate(record["InstanceId"])
        with self.lock:
            record["EndTime"] = self.aws.clock.now()
        self._move(account, region, record, "terminated", record["Reason"])

    def _move(self, account: str, region: str, record: dict[str, Any], state: str, reason: dict[str, str] | None) -> None:
        """Put an instance into `state` and tell EventBridge."""
        with self.lock:
            record["State"], record["Reason"] = state, reason
        arn = f"arn:aws:ec2:{region}:{account}:instance/{record['InstanceId']}"
        try:
            self.aws.emit(account, region, "aws.ec2", "EC2 Instance State-change Notification",
                          {"instance-id": record["InstanceId"], "state": state}, [arn])
        except Exception:  # events are best effort
            log.exception("event of %s", record["InstanceId"])

    def _hosts(self) -> Hosts:
        hosts = self.aws.services["hosts"]
        assert isinstance(hosts, Hosts)
        return hosts

    def _arn(self, ctx: Context, resource: str) -> str:
        return f"arn:aws:ec2:{ctx.region}:{ctx.account}:{resource}"

    def _records(self, ctx: Context, ids: list[str]) -> list[dict[str, Any]]:
        with self.lock:
            known = self._stores[ctx]["instances"]
            missing = [instance_id for instance_id in ids if instance_id not in known]
            if missing:
                what = "ID" if len(missing) == 1 else "IDs"
                verb = "does" if len(missing) == 1 else "do"
                raise ServiceError("InvalidInstanceID.NotFound", f"The instance {what} '{', '.join(missing)}' {verb} not exist")
            return [known[instance_id] for instance_id in ids]

    def _chosen(self, ctx: Context, params: dict[str, Any]) -> list[dict[str, Any]]:
        ids = params.get("InstanceIds") or []
        with self.lock:
            records = self._records(ctx, ids) if ids else list(self._stores[ctx]["instances"].values())
            try:
                return [dict(record) for record in records if engine.matches(record, params.get("Filters") or [])]
            except engine.InvalidRequest as error:
                raise ServiceError(error.code, str(error)) from error

    def _expire(self) -> None:
        with self.lock:
            for scope in self._stores.scopes():
                table = self._stores.at(*scope)["instances"]
                for instance_id in [known for known, record in table.items() if engine.expired(record, self.aws.clock.now())]:
                    del table[instance_id]

    # -- what MiniStack knows ----------------------------------------------------------------------------------------------

    def _ec2(self, ctx: Context) -> Any:
        return self.aws.as_service(ctx.account).client("ec2", ctx.region)

    def _template(self, ctx: Context, specification: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
        """Return a launch template version's data and the template's ARN ({} and '' without one)."""
        if not specification:
            return {}, ""
        name = {key: specification[key] for key in ("LaunchTemplateId", "LaunchTemplateName") if specification.get(key)}
        try:
            found = self._ec2(ctx).describe_launch_template_versions(Versions=[specification.get("Version") or "$Default"], **name)
        except ClientError as error:
            raise _passed_on(error) from error
        versions = found["LaunchTemplateVersions"]
        if not versions:
            raise ServiceError("InvalidLaunchTemplateId.VersionNotFound",
                               f"Could not find launch template version {specification.get('Version')} of {', '.join(name.values())}")
        return dict(versions[0]["LaunchTemplateData"]), self._arn(ctx, f"launch-template/{versions[0]['LaunchTemplateId']}")

    def _image(self, ctx: Context, image_id: str) -> str:
        try:
            images = self._ec2(ctx).describe_images(ImageIds=[image_id])["Images"]
        except ClientError as error:
            raise _passed_on(error) from error
        if not images:
            raise ServiceError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        return f"arn:aws:ec2:{ctx.region}::image/{image_id}"

    def _subnet(self, ctx: Context, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return the subnet to launch into: the one asked for, else the default VPC's first."""
        ec2 = self._ec2(ctx)
        try:
            if wanted.get("SubnetId"):
                subnets = ec2.describe_subnets(SubnetIds=[wanted["SubnetId"]])["Subnets"]
            else:
                subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
        except ClientError as error:
            raise _passed_on(error) from error
        if not subnets:
            raise ServiceError("InvalidSubnetID.NotFound" if wanted.get("SubnetId") else "MissingInput",
                               f"The subnet ID '{wanted['SubnetId']}' does not exist" if wanted.get("SubnetId")
                               else "No subnets found for the default VPC. Please specify a subnet.")
        return dict(subnets[0])

    def _groups(self, ctx: Context, wanted: dict[str, Any], vpc_id: str) -> list[dict[str, str]]:
        """Return the security groups as [{GroupId, GroupName}]: those asked for, else the VPC's default."""
        ec2, ids = self._ec2(ctx), wanted.get("SecurityGroupIds") or []
        try:
            found = ec2.describe_security_groups(GroupIds=ids) if ids else ec2.describe_security_groups(
                Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": ["default"]}])
        except ClientError as error:
            raise _passed_on(error) from error
        groups = found["SecurityGroups"]
        for group in groups:
            if ids and group.get("VpcId") != vpc_id:
                raise ServiceError("InvalidParameter", f"Security group {group['GroupId']} and subnet {wanted.get('SubnetId')} belong to "
                                   "different networks.")
        return [{"GroupId": group["GroupId"], "GroupName": group["GroupName"]} for group in groups]

    def _profile(self, ctx: Context, specification: dict[str, Any] | None) -> dict[str, str]:
        """Return {Arn, Id, RoleArn} of the instance profile, {} where none is asked for."""
        if not specification:
            return {}
        name = specification.get("Name") or specification.get("Arn", "").rpartition("/")[2]
        wrong = ServiceError("InvalidParameterValue", f"Value ({specification.get('Arn') or name}) for parameter iamInstanceProfile."
                             f"{'arn' if specification.get('Arn') else 'name'} is invalid. Invalid IAM Instance Profile "
                             f"{'ARN' if specification.get('Arn') else 'name'}")
        try:
            profile = self.aws.as_service(ctx.account).client("iam", ctx.region).get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        except ClientError as error:
            raise wrong from error
        if specification.get("Arn") and specification["Arn"] != profile["Arn"]:
            raise wrong
        if not profile["Roles"]:
            raise ServiceError("InvalidParameterValue", f"IAM Instance Profile \"{profile['Arn']}\" has no associated IAM Roles")
        return {"Arn": profile["Arn"], "Id": profile["InstanceProfileId"], "RoleArn": profile["Roles"][0]["Arn"]}

    def _authorize_run(self, ctx: Context, wanted: dict[str, Any], image: str, subnet: dict[str, Any], groups: list[dict[str, str]],
                       template_arn: str) -> None:
        """Check ec2:RunInstances on each resource that a launch touches, and ec2:CreateTags where it tags."""
        instance = self._arn(ctx, "instance/*")
        resources = [image, instance, self._arn(ctx, "network-interface/*"), self._arn(ctx, "volume/*"),
                     self._arn(ctx, f"subnet/{subnet['SubnetId']}"),
                     *[self._arn(ctx, f"security-group/{group['GroupId']}") for group in groups], *([template_arn] if template_arn else [])]
        for resource in resources:
            self.aws.authorize(ctx, "ec2:RunInstances", resource, {"ec2:LaunchTemplate": template_arn} if template_arn else None)
        if wanted["Tags"]:
            self.aws.authorize(ctx, "ec2:CreateTags", instance, {"ec2:CreateAction": "RunInstances"})


def _passed_on(error: ClientError) -> ServiceError:
    """Return a refusal of MiniStack's as our own answer."""
    return ServiceError(error.response["Error"]["Code"], error.response["Error"]["Message"], error.response["ResponseMetadata"]["HTTPStatusCode"])
