"""Elastic Load Balancing: LoadBalancer, TargetGroup, Listener, ListenerRule."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of


def _attributes(properties: dict[str, Any], prop: str) -> list[dict[str, str]]:
    return [{"Key": item["Key"], "Value": text_of(item["Value"])} for item in properties.get(prop) or []]


def _retag(request: Request) -> None:
    added, removed = tag_changes(request)
    if added:
        request.client("elbv2").add_tags(ResourceArns=[request.physical_id],
                                         Tags=[{"Key": key, "Value": value} for key, value in added.items()])
    if removed:
        request.client("elbv2").remove_tags(ResourceArns=[request.physical_id], TagKeys=removed)


def _tags(request: Request) -> dict[str, Any]:
    tags = tag_list(request.properties)
    return {"Tags": tags} if tags else {}


@resource("AWS::ElasticLoadBalancingV2::LoadBalancer")
class LoadBalancer:
    """A load balancer; made once it is active."""

    def create(self, request: Request) -> Made:
        elb, name = request.client("elbv2"), request.given("Name", 32)
        if "Name" in request.properties and unless_gone(elb.describe_load_balancers, Names=[name]):
            raise Failed(f"{name} already exists")
        arguments = fit(elb, "create_load_balancer", {**request.properties, "Name": name}, drop=["Tags", "LoadBalancerAttributes"])
        found = elb.create_load_balancer(**arguments, **_tags(request))["LoadBalancers"][0]
        arn = found["LoadBalancerArn"]
        request.claim(arn)
        self._settle(request, arn)
        found = request.wait(lambda: self._active(request, arn), 300, f"LoadBalancer {arn} did not become active") or {}
        return Made(arn, {"LoadBalancerArn": arn, "DNSName": found["DNSName"], "LoadBalancerName": name,
                          "LoadBalancerFullName": arn.split(":loadbalancer/", 1)[1],
                          "CanonicalHostedZoneID": found.get("CanonicalHostedZoneId", ""),
                          "SecurityGroups": found.get("SecurityGroups", [])})

    @staticmethod
    def _active(request: Request, arn: str) -> dict[str, Any] | None:
        found = request.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
        state = (found.get("State") or {}).get("Code", "active")
        if state == "failed":
            raise Failed(f"LoadBalancer {arn} failed: {found['State'].get('Reason', '')}")
        return found if state == "active" else None

    def update(self, request: Request) -> Made:
        elb, arn, properties = request.client("elbv2"), request.physical_id, request.properties
        if request.changed("Subnets", "SubnetMappings"):
            elb.set_subnets(**fit(elb, "set_subnets", {key: properties[key] for key in ("Subnets", "SubnetMappings") if key in properties}),
                            LoadBalancerArn=arn)
        if request.changed("SecurityGroups"):
            elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=properties.get("SecurityGroups") or [])
        if request.changed("IpAddressType"):
            elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType=properties.get("IpAddressType", "ipv4"))
        self._settle(request, arn)
        _retag(request)
        return Made(arn)

    def _settle(self, request: Request, arn: str) -> None:
        attributes = _attributes(request.properties, "LoadBalancerAttributes")
        if attributes and request.changed("LoadBalancerAttributes"):
            request.client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)

    def delete(self, request: Request) -> None:
        elb, arn = request.client("elbv2"), request.physical_id
        unless_gone(elb.delete_load_balancer, LoadBalancerArn=arn)
        request.wait(lambda: not (unless_gone(elb.describe_load_balancers, LoadBalancerArns=[arn]) or {}).get("LoadBalancers"),
                     120, f"LoadBalancer {arn} was not deleted")


@resource("AWS::ElasticLoadBalancingV2::TargetGroup")
class TargetGroup:
    """A target group."""

    def create(self, request: Request) -> Made:
        elb, name = request.client("elbv2"), request.given("Name", 32)
        if "Name" in request.properties and unless_gone(elb.describe_target_groups, Names=[name]):
            raise Failed(f"{name} already exists")
        arguments = fit(elb, "create_target_group", {**request.properties, "Name": name}, drop=["Tags", "Targets", "TargetGroupAttributes"])
        arn = elb.create_target_group(**arguments, **_tags(request))["TargetGroups"][0]["TargetGroupArn"]
        request.claim(arn)
        self._settle(request, arn)
        return Made(arn, {"TargetGroupArn": arn, "TargetGroupName": name, "TargetGroupFullName": arn.rsplit(":", 1)[1],
                          "LoadBalancerArns": []})

    def update(self, request: Request) -> Made:
        elb = request.client("elbv2")
        checks = {key: value for key, value in request.properties.items() if key.startswith("Health") or key in (
            "Matcher", "UnhealthyThresholdCount")}
        if any(request.changed(key) for key in {*checks, *request.before} if key in checks or key.startswith("Health")):
            elb.modify_target_group(**fit(elb, "modify_target_group", {**checks, "TargetGroupArn": request.physical_id}))
        self._settle(request, request.physical_id)
        _retag(request)
        return Made(request.physical_id)

    def _settle(self, request: Request, arn: str) -> None:
        elb = request.client("elbv2")
        attributes = _attributes(request.properties, "TargetGroupAttributes")
        if attributes and request.changed("TargetGroupAttributes"):
            elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)
        old, new = request.before.get("Targets") or [], request.properties.get("Targets") or []
        for call, targets in ((elb.deregister_targets, [item for item in old if item not in new]),
                              (elb.register_targets, [item for item in new if item not in old])):
            if targets:
                call(**fit(elb, "register_targets", {"TargetGroupArn": arn, "Targets": targets}))

    def delete(self, request: Request) -> None:
        elb, arn = request.client("elbv2"), request.physical_id

        def attempt() -> bool:
            try:
                unless_gone(elb.delete_target_group, TargetGroupArn=arn)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceInUse":
                    raise
                seen.append(error)
                return False
            return True

        seen: list[ClientError] = []
        try:
            request.wait(attempt, 30, "held", every=2.0)
        except Failed:
            raise seen[-1] from None


@resource("AWS::ElasticLoadBalancingV2::Listener")
class Listener:
    """A listener."""

    def create(self, request: Request) -> Made:
        elb = request.client("elbv2")
        arn = elb.create_listener(**fit(elb, "create_listener", request.properties, drop=["ListenerAttributes"]))["Listeners"][0][
            "ListenerArn"]
        request.claim(arn)
        self._settle(request, arn)
        return Made(arn, {"ListenerArn": arn})

    def update(self, request: Request) -> Made:
        elb = request.client("elbv2")
        elb.modify_listener(**fit(elb, "modify_listener", {**request.properties, "ListenerArn": request.physical_id},
                                  drop=["LoadBalancerArn", "ListenerAttributes", "Tags"]))
        self._settle(request, request.physical_id)
        return Made(request.physical_id)

    def _settle(self, request: Request, arn: str) -> None:
        attributes = _attributes(request.properties, "ListenerAttributes")
        if attributes and request.changed("ListenerAttributes"):
            request.client("elbv2").modify_listener_attributes(ListenerArn=arn, Attributes=attributes)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("elbv2").delete_listener, ListenerArn=request.physical_id)


@resource("AWS::ElasticLoadBalancingV2::ListenerRule")
class ListenerRule:
    """A rule of a listener."""

    def create(self, request: Request) -> Made:
        elb = request.client("elbv2")
        arn = elb.create_rule(**fit(elb, "create_rule", request.properties))["Rules"][0]["RuleArn"]
        return Made(arn, {"RuleArn": arn, "IsDefault": "false"})

    def update(self, request: Request) -> Made:
        elb, arn = request.client("elbv2"), request.physical_id
        if request.changed("Conditions", "Actions", "Transforms"):
            elb.modify_rule(**fit(elb, "modify_rule", {**request.properties, "RuleArn": arn}, drop=["ListenerArn", "Priority", "Tags"]))
        if request.changed("Priority"):
            elb.set_rule_priorities(RulePriorities=[{"RuleArn": arn, "Priority": int(request.properties["Priority"])}])
        return Made(arn)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("elbv2").delete_rule, RuleArn=request.physical_id)
