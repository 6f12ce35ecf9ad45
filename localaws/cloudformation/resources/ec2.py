"""EC2: the network of an environment, and launch templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation.resources import Failed, Made, Request, fit, fit_shape, gone, resource, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of


def tagging(request: Request, kind: str) -> dict[str, Any]:
    """Return the TagSpecifications argument of a create call."""
    tags = tag_list(request.properties)
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def retag(request: Request, identity: str) -> None:
    """Bring the tags of an EC2 resource to what the properties say."""
    added, removed = tag_changes(request)
    if added:
        request.client("ec2").create_tags(Resources=[identity], Tags=[{"Key": key, "Value": value} for key, value in added.items()])
    if removed:
        request.client("ec2").delete_tags(Resources=[identity], Tags=[{"Key": key} for key in removed])


def patiently(request: Request, call: Callable[..., Any], **arguments: Any) -> None:
    """Delete what others may still hold for a while: network interfaces of hosts and balancers that are going away."""
    def attempt() -> bool:
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "DependencyViolation":
                seen.append(error)
                return False
            if not gone(error):
                raise
        return True

    seen: list[ClientError] = []
    try:
        request.wait(attempt, 120, "held", every=2.0)
    except Failed:
        raise seen[-1] from None


@resource("AWS::EC2::VPC")
class Vpc:
    """A VPC."""

    def create(self, request: Request) -> Made:
        ec2, properties = request.client("ec2"), request.properties
        vpc = ec2.create_vpc(**fit(ec2, "create_vpc", properties, drop=["EnableDnsHostnames", "EnableDnsSupport", "Tags"]),
                             **tagging(request, "vpc"))["Vpc"]
        request.claim(vpc["VpcId"])
        self._dns(request, vpc["VpcId"])
        groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["SecurityGroups"]
        default = next((group["GroupId"] for group in groups if group["GroupName"] == "default"), "")
        return Made(vpc["VpcId"], {"VpcId": vpc["VpcId"], "CidrBlock": vpc["CidrBlock"], "DefaultSecurityGroup": default,
                                   "CidrBlockAssociations": [], "Ipv6CidrBlocks": []})

    def update(self, request: Request) -> Made:
        self._dns(request, request.physical_id)
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def _dns(self, request: Request, vpc: str) -> None:
        for prop, default in (("EnableDnsSupport", True), ("EnableDnsHostnames", False)):
            if request.changed(prop):
                on = text_of(request.properties.get(prop, default)) == "true"
                request.client("ec2").modify_vpc_attribute(VpcId=vpc, **{prop: {"Value": on}})

    def delete(self, request: Request) -> None:
        patiently(request, request.client("ec2").delete_vpc, VpcId=request.physical_id)


@resource("AWS::EC2::Subnet")
class Subnet:
    """A subnet."""

    def create(self, request: Request) -> Made:
        ec2 = request.client("ec2")
        subnet = ec2.create_subnet(**fit(ec2, "create_subnet", request.properties, drop=["MapPublicIpOnLaunch", "Tags"]),
                                   **tagging(request, "subnet"))["Subnet"]
        request.claim(subnet["SubnetId"])
        self._public(request, subnet["SubnetId"])
        return Made(subnet["SubnetId"], {"SubnetId": subnet["SubnetId"], "VpcId": subnet["VpcId"],
                                         "AvailabilityZone": subnet["AvailabilityZone"], "CidrBlock": subnet["CidrBlock"]})

    def update(self, request: Request) -> Made:
        self._public(request, request.physical_id)
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def _public(self, request: Request, subnet: str) -> None:
        if request.changed("MapPublicIpOnLaunch"):
            on = text_of(request.properties.get("MapPublicIpOnLaunch", False)) == "true"
            request.client("ec2").modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": on})

    def delete(self, request: Request) -> None:
        patiently(request, request.client("ec2").delete_subnet, SubnetId=request.physical_id)


@resource("AWS::EC2::InternetGateway")
class InternetGateway:
    """An internet gateway."""

    def create(self, request: Request) -> Made:
        identity = request.client("ec2").create_internet_gateway(**tagging(request, "internet-gateway"))[
            "InternetGateway"]["InternetGatewayId"]
        return Made(identity, {"InternetGatewayId": identity})

    def update(self, request: Request) -> Made:
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        patiently(request, request.client("ec2").delete_internet_gateway, InternetGatewayId=request.physical_id)


@resource("AWS::EC2::VPCGatewayAttachment")
class GatewayAttachment:
    """An internet gateway's attachment to a VPC."""

    def create(self, request: Request) -> Made:
        if "VpnGatewayId" in request.properties:
            raise Failed("VpnGatewayId is not served by the local AWS")
        vpc = request.properties["VpcId"]
        request.client("ec2").attach_internet_gateway(InternetGatewayId=request.properties["InternetGatewayId"], VpcId=vpc)
        return Made(f"IGW|{vpc}", {"AttachmentType": "IGW"})

    def update(self, request: Request) -> Made:
        self._detach(request, request.before)
        return self.create(request)

    def _detach(self, request: Request, properties: dict[str, Any]) -> None:
        try:
            unless_gone(request.client("ec2").detach_internet_gateway, InternetGatewayId=properties["InternetGatewayId"],
                        VpcId=properties["VpcId"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "Gateway.NotAttached":
                raise

    def delete(self, request: Request) -> None:
        self._detach(request, request.properties)


@resource("AWS::EC2::RouteTable")
class RouteTable:
    """A route table."""

    def create(self, request: Request) -> Made:
        identity = request.client("ec2").create_route_table(VpcId=request.properties["VpcId"], **tagging(request, "route-table"))[
            "RouteTable"]["RouteTableId"]
        return Made(identity, {"RouteTableId": identity})

    def update(self, request: Request) -> Made:
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        patiently(request, request.client("ec2").delete_route_table, RouteTableId=request.physical_id)


@resource("AWS::EC2::Route")
class Route:
    """A route; its physical id is table and destination."""

    def create(self, request: Request) -> Made:
        ec2 = request.client("ec2")
        ec2.create_route(**fit(ec2, "create_route", request.properties))
        where = self._key(request)
        destination = next(iter(value for key, value in where.items() if key != "RouteTableId"))
        return Made(f"{where['RouteTableId']}|{destination}", {"CidrBlock": destination})

    def update(self, request: Request) -> Made:
        ec2 = request.client("ec2")
        ec2.replace_route(**fit(ec2, "replace_route", request.properties))
        return Made(request.physical_id)

    @staticmethod
    def _key(request: Request) -> dict[str, str]:
        return {key: request.properties[key] for key in ("RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock",
                                                         "DestinationPrefixListId") if key in request.properties}

    def delete(self, request: Request) -> None:
        unless_gone(request.client("ec2").delete_route, **self._key(request))


@resource("AWS::EC2::SubnetRouteTableAssociation")
class SubnetRoutes:
    """The route table of a subnet."""

    def create(self, request: Request) -> Made:
        ec2, properties = request.client("ec2"), request.properties
        tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [properties["SubnetId"]]}])
        held = [link for table in tables["RouteTables"] for link in table.get("Associations", [])
                if link.get("SubnetId") == properties["SubnetId"]]
        if held:
            identity = ec2.replace_route_table_association(AssociationId=held[0]["RouteTableAssociationId"],
                                                           RouteTableId=properties["RouteTableId"])["NewAssociationId"]
        else:
            identity = ec2.associate_route_table(SubnetId=properties["SubnetId"], RouteTableId=properties["RouteTableId"])[
                "AssociationId"]
        return Made(identity, {"Id": identity})

    def update(self, request: Request) -> Made:
        return self.create(request)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("ec2").disassociate_route_table, AssociationId=request.physical_id)


@resource("AWS::EC2::EIP")
class Address:
    """An elastic address; its physical id is the address."""

    def create(self, request: Request) -> Made:
        if unknown := sorted(set(request.properties) - {"Domain", "Tags"}):
            raise Failed(f"Property {unknown[0]} of AWS::EC2::EIP is not served by the local AWS")
        found = request.client("ec2").allocate_address(Domain="vpc", **tagging(request, "elastic-ip"))
        return Made(found["PublicIp"], {"PublicIp": found["PublicIp"], "AllocationId": found["AllocationId"]})

    def update(self, request: Request) -> Made:
        retag(request, self._allocation(request) or request.physical_id)
        return Made(request.physical_id)

    @staticmethod
    def _allocation(request: Request) -> str:
        found = unless_gone(request.client("ec2").describe_addresses, PublicIps=[request.physical_id])
        return found["Addresses"][0]["AllocationId"] if found and found["Addresses"] else ""

    def delete(self, request: Request) -> None:
        if allocation := self._allocation(request):
            unless_gone(request.client("ec2").release_address, AllocationId=allocation)


@resource("AWS::EC2::NatGateway")
class NatGateway:
    """A NAT gateway; made once it is available, deleted once it is gone."""

    def create(self, request: Request) -> Made:
        ec2 = request.client("ec2")
        identity = ec2.create_nat_gateway(**fit(ec2, "create_nat_gateway", request.properties, drop=["Tags"]),
                                          **tagging(request, "natgateway"))["NatGateway"]["NatGatewayId"]
        request.claim(identity)
        request.wait(lambda: self._state(request, identity) == "available", 300, f"NatGateway {identity} did not become available")
        return Made(identity, {"NatGatewayId": identity})

    @staticmethod
    def _state(request: Request, identity: str) -> str:
        found = unless_gone(request.client("ec2").describe_nat_gateways, NatGatewayIds=[identity])
        return found["NatGateways"][0]["State"] if found and found["NatGateways"] else "deleted"

    def update(self, request: Request) -> Made:
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        identity = request.physical_id
        if self._state(request, identity) in ("deleted", "deleting"):
            return
        request.client("ec2").delete_nat_gateway(NatGatewayId=identity)
        request.wait(lambda: self._state(request, identity) == "deleted", 300, f"NatGateway {identity} was not deleted")


_RULE = {"IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "Description", "SourceSecurityGroupId",
         "DestinationSecurityGroupId", "SourcePrefixListId", "DestinationPrefixListId", "SourceSecurityGroupOwnerId"}


def permission(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a security group rule as one IpPermission."""
    if unknown := sorted(set(rule) - _RULE - {"GroupId", "GroupName"}):
        raise Failed(f"Property {unknown[0]} of a security group rule is not served by the local AWS")
    found: dict[str, Any] = {"IpProtocol": text_of(rule["IpProtocol"])}
    for key in ("FromPort", "ToPort"):
        if key in rule:
            found[key] = int(rule[key])
    described = {"Description": rule["Description"]} if "Description" in rule else {}
    group = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId")
    prefix_list = rule.get("SourcePrefixListId") or rule.get("DestinationPrefixListId")
    if "CidrIp" in rule:
        found["IpRanges"] = [{"CidrIp": rule["CidrIp"], **described}]
    elif "CidrIpv6" in rule:
        found["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **described}]
    elif group:
        found["UserIdGroupPairs"] = [{"GroupId": group, **described}]
    elif prefix_list:
        found["PrefixListIds"] = [{"PrefixListId": prefix_list, **described}]
    else:
        raise Failed("A security group rule must name a CIDR block, a security group or a prefix list")
    return found


def revoke(call: Callable[..., Any], group: str, rules: list[dict[str, Any]]) -> None:
    """Take rules away that may be gone already."""
    for rule in rules:
        unless_gone(call, GroupId=group, IpPermissions=[permission(rule)])


_EVERYWHERE = [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]


@resource("AWS::EC2::SecurityGroup")
class SecurityGroup:
    """A security group with the rules written inside it."""

    def create(self, request: Request) -> Made:
        ec2, properties = request.client("ec2"), request.properties
        where = {"VpcId": properties["VpcId"]} if "VpcId" in properties else {}
        group = ec2.create_security_group(GroupName=request.given("GroupName", 255), Description=properties["GroupDescription"],
                                          **where, **tagging(request, "security-group"))["GroupId"]
        request.claim(group)
        self._rules(request, group)
        return Made(group, {"GroupId": group, "Id": group, **where})

    def update(self, request: Request) -> Made:
        self._rules(request, request.physical_id)
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def _rules(self, request: Request, group: str) -> None:
        ec2 = request.client("ec2")
        old, new = request.before.get("SecurityGroupIngress") or [], request.properties.get("SecurityGroupIngress") or []
        revoke(ec2.revoke_security_group_ingress, group, [rule for rule in old if rule not in new])
        for rule in [rule for rule in new if rule not in old]:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(rule)])
        # A group is born with a rule to everywhere; rules of one's own take its place.
        old = request.before.get("SecurityGroupEgress") or _EVERYWHERE
        new = request.properties.get("SecurityGroupEgress") or _EVERYWHERE
        revoke(ec2.revoke_security_group_egress, group, [rule for rule in old if rule not in new])
        for rule in [rule for rule in new if rule not in old]:
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission(rule)])

    def delete(self, request: Request) -> None:
        patiently(request, request.client("ec2").delete_security_group, GroupId=request.physical_id)


class _GroupRule:
    """A rule apart from its group; `direction` is ingress or egress."""

    direction = ""

    def create(self, request: Request) -> Made:
        call = getattr(request.client("ec2"), f"authorize_security_group_{self.direction}")
        answer = call(GroupId=request.properties["GroupId"], IpPermissions=[permission(request.properties)])
        rules = answer.get("SecurityGroupRules") or []
        identity = rules[0]["SecurityGroupRuleId"] if rules else request.name(128)
        return Made(identity, {"Id": identity})

    def update(self, request: Request) -> Made:
        call = getattr(request.client("ec2"), f"revoke_security_group_{self.direction}")
        revoke(call, request.before["GroupId"], [request.before])
        getattr(request.client("ec2"), f"authorize_security_group_{self.direction}")(
            GroupId=request.properties["GroupId"], IpPermissions=[permission(request.properties)])
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        call = getattr(request.client("ec2"), f"revoke_security_group_{self.direction}")
        revoke(call, request.properties["GroupId"], [request.properties])


@resource("AWS::EC2::SecurityGroupIngress")
class GroupIngress(_GroupRule):
    """A way into a security group."""

    direction = "ingress"


@resource("AWS::EC2::SecurityGroupEgress")
class GroupEgress(_GroupRule):
    """A way out of a security group."""

    direction = "egress"


@resource("AWS::EC2::VPCEndpoint")
class Endpoint:
    """A VPC endpoint."""

    def create(self, request: Request) -> Made:
        ec2 = request.client("ec2")
        identity = ec2.create_vpc_endpoint(**fit(ec2, "create_vpc_endpoint", request.properties, drop=["Tags"]),
                                           **tagging(request, "vpc-endpoint"))["VpcEndpoint"]["VpcEndpointId"]
        return Made(identity, {"Id": identity})

    def update(self, request: Request) -> Made:
        ec2, changes = request.client("ec2"), {}
        for prop, argument in (("RouteTableIds", "RouteTableIds"), ("SubnetIds", "SubnetIds"), ("SecurityGroupIds", "SecurityGroupIds")):
            old, new = request.before.get(prop) or [], request.properties.get(prop) or []
            if added := [item for item in new if item not in old]:
                changes[f"Add{argument}"] = added
            if removed := [item for item in old if item not in new]:
                changes[f"Remove{argument}"] = removed
        for prop in ("PolicyDocument", "PrivateDnsEnabled"):
            if request.changed(prop) and prop in request.properties:
                changes[prop] = fit_shape(ec2, "modify_vpc_endpoint", prop, request.properties[prop])
        if changes:
            ec2.modify_vpc_endpoint(VpcEndpointId=request.physical_id, **changes)
        retag(request, request.physical_id)
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("ec2").delete_vpc_endpoints, VpcEndpointIds=[request.physical_id])


@resource("AWS::EC2::LaunchTemplate")
class LaunchTemplate:
    """A launch template; each update makes a new version and makes it the latest."""

    def create(self, request: Request) -> Made:
        ec2 = request.client("ec2")
        found = ec2.create_launch_template(LaunchTemplateName=request.given("LaunchTemplateName", 128), **self._data(request))[
            "LaunchTemplate"]
        return Made(found["LaunchTemplateId"], self._attributes(found["LaunchTemplateId"], "1", "1"))

    def update(self, request: Request) -> Made:
        ec2, identity = request.client("ec2"), request.physical_id
        version = ec2.create_launch_template_version(LaunchTemplateId=identity, **self._data(request))["LaunchTemplateVersion"]
        found = ec2.describe_launch_templates(LaunchTemplateIds=[identity])["LaunchTemplates"][0]
        return Made(identity, self._attributes(identity, version["VersionNumber"], found["DefaultVersionNumber"]))

    @staticmethod
    def _attributes(identity: str, latest: Any, default: Any) -> dict[str, str]:
        return {"LaunchTemplateId": identity, "LatestVersionNumber": text_of(latest), "DefaultVersionNumber": text_of(default)}

    @staticmethod
    def _data(request: Request) -> dict[str, Any]:
        if "TagSpecifications" in request.properties:
            raise Failed("TagSpecifications of AWS::EC2::LaunchTemplate are not served by the local AWS")
        found = {"LaunchTemplateData": fit_shape(request.client("ec2"), "create_launch_template", "LaunchTemplateData",
                                                 request.properties["LaunchTemplateData"])}
        if "VersionDescription" in request.properties:
            found["VersionDescription"] = request.properties["VersionDescription"]
        return found

    def delete(self, request: Request) -> None:
        unless_gone(request.client("ec2").delete_launch_template, LaunchTemplateId=request.physical_id)
