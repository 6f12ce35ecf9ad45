"""The operations of elbv2 that are served: application load balancers with HTTP listeners, and target groups of instances or addresses.

Network and gateway load balancers, HTTPS listeners and rules beyond a listener's default are refused by name.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

from localaws.elbv2 import engine, proxy
from localaws.elbv2.balancing import Balancing
from localaws.elbv2.records import Records, weights
from localaws.service import Context, Service, ServiceError

_ZONE_ID = {"us-east-1": "Z35SXDOTRQ7X7K", "us-west-2": "Z1H1FL5HABSF5", "eu-west-1": "Z32O12XQLNTSW2"}

_LOAD_BALANCER_ATTRIBUTES = {
    "access_logs.s3.enabled": "false", "access_logs.s3.bucket": "", "access_logs.s3.prefix": "", "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": "", "connection_logs.s3.prefix": "", "deletion_protection.enabled": "false",
    "idle_timeout.timeout_seconds": "60", "client_keep_alive.seconds": "3600", "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive", "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false", "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false", "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true", "waf.fail_open.enabled": "false", "zonal_shift.config.enabled": "false",
}
_TARGET_GROUP_ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": "300", "stickiness.enabled": "false", "stickiness.type": "lb_cookie",
    "stickiness.lb_cookie.duration_seconds": "86400", "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400", "slow_start.duration_seconds": "0",
    "load_balancing.algorithm.type": "round_robin", "load_balancing.algorithm.anomaly_mitigation": "off",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}
_LISTENER_ATTRIBUTES = {"routing.http.response.server.enabled": "true"}
_NAME = re.compile(r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?")


def _not_found(kind: str, what: str) -> ServiceError:
    return ServiceError(f"{kind}NotFound", f"{what}")


class Api(Service):
    """See the module; what it keeps is in `records.Records`, what goes on behind it in `balancing.Balancing`."""

    name = "elbv2"
    iam = "elasticloadbalancing"

    def __init__(self, aws: Any) -> None:
        super().__init__(aws)
        self.stores = Records()
        self.balancing = Balancing(aws, self.stores, self.lock)

    # -- IAM ---------------------------------------------------------------------------------------------------------------

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """Source: Service Authorization Reference, "Elastic Load Balancing V2"."""
        def arn(rest: str) -> str:
            return f"arn:aws:elasticloadbalancing:{ctx.region}:{ctx.account}:{rest}"

        action = f"elasticloadbalancing:{operation}"
        resources = {
            "CreateLoadBalancer": [arn(f"loadbalancer/app/{params.get('Name')}/*")],
            "CreateTargetGroup": [arn(f"targetgroup/{params.get('Name')}/*")],
            "DescribeTags": ["*"],
        }.get(operation)
        if resources is None:
            named = [params[key] for key in ("ListenerArn", "LoadBalancerArn", "TargetGroupArn") if key in params]
            resources = params.get("ResourceArns") or named[:1]
        if operation.startswith("Describe") or not resources:
            resources = ["*"]
        needed = [(action, resource) for resource in resources]
        if operation.startswith("Create") and params.get("Tags"):
            made = {"CreateListener": str(params.get("LoadBalancerArn", "")).replace(":loadbalancer/", ":listener/") + "/*"}
            needed.append(("elasticloadbalancing:AddTags", made.get(operation, resources[0])))
        return needed

    # -- life --------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to balance, and to follow the instances that are targets: they come back before, perhaps on other addresses."""
        self.follow_instances()
        self.balancing.start()
        self.aws.every(15.0, "elbv2 instances", self.follow_instances)

    def stop(self) -> None:
        """End what `start` began."""
        self.balancing.stop()

    def dump(self) -> Any:
        """See `Service.dump`."""
        with self.lock:
            return self.stores.dump()

    def load(self, state: Any) -> None:
        """See `Service.load`."""
        self.stores.load(state)

    def endpoints(self) -> dict[str, str]:
        """Return the URL on this machine of each load balancer's first listener, by DNS name."""
        with self.lock:
            found = {}
            for arn, record in self.stores.all("load_balancers"):
                listeners = self.stores.listeners_of(arn)
                if listeners:
                    found[record["description"]["DNSName"]] = f"http://127.0.0.1:{record['ports'][listeners[0]['slot']]}"
            return found

    def addresses(self) -> dict[str, str]:
        """Return each balancer's address on the hosts' network by DNS name, for the name server that hosts ask."""
        with self.lock:
            running = self.balancing.balancers
            return {record["description"]["DNSName"]: running[arn].inside
                    for arn, record in self.stores.all("load_balancers") if arn in running and running[arn].inside}

    # -- load balancers ----------------------------------------------------------------------------------------------------

    def create_load_balancer(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """CreateLoadBalancer: idempotent for the same settings; `provisioning` until haproxy runs."""
        if params.get("Type", "application") != "application":
            raise ServiceError("InvalidConfigurationRequest", f"Load balancer type '{params['Type']}' is not served by the local AWS")
        name, scheme = params["Name"], params.get("Scheme", "internet-facing")
        if not _NAME.fullmatch(name):
            raise _invalid(f"The load balancer name '{name}' is not valid")
        subnets = params.get("Subnets") or [mapping["SubnetId"] for mapping in params.get("SubnetMappings", [])]
        zones, vpc = self._zones(ctx, subnets)
        groups = params.get("SecurityGroups") or [self._default_group(ctx, vpc)]
        with self.lock:
            table = self.stores[ctx]["load_balancers"]
            for record in table.values():
                old = record["description"]
                if old["LoadBalancerName"] == name:
                    if (old["Scheme"], old["AvailabilityZones"], old["SecurityGroups"]) == (scheme, zones, groups):
                        return {"LoadBalancers": [old]}
                    raise ServiceError("DuplicateLoadBalancerName",
                                       f"A load balancer with the same name '{name}' exists, but with different settings")
            identity = _hex()
            arn = f"arn:aws:elasticloadbalancing:{ctx.region}:{ctx.account}:loadbalancer/app/{name}/{identity}"
            prefix = "internal-" if scheme == "internal" else ""
            table[arn] = {
                "description": {
                    "LoadBalancerArn": arn, "DNSName": f"{prefix}{name}-{random.randrange(10**9, 10**10)}.{ctx.region}.elb.amazonaws.com",
                    "CanonicalHostedZoneId": _ZONE_ID.get(ctx.region, _ZONE_ID["us-east-1"]), "CreatedTime": self.aws.clock.now(),
                    "LoadBalancerName": name, "Scheme": scheme, "VpcId": vpc, "State": {"Code": "provisioning"},
                    "Type": "application", "AvailabilityZones": zones, "SecurityGroups": groups,
                    "IpAddressType": params.get("IpAddressType", "ipv4")},
                "attributes": dict(_LOAD_BALANCER_ATTRIBUTES), "tags": _tags(params),
                "ports": self.balancing.new_ports()}
            answer = {"LoadBalancers": [dict(table[arn]["description"])]}
        self.balancing.begin(arn)
        return answer

    def describe_load_balancers(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeLoadBalancers."""
        with self.lock:
            table = self.stores[ctx]["load_balancers"]
            for arn in params.get("LoadBalancerArns") or []:
                self._record(ctx, "load_balancers", arn)
            names = params.get("Names") or []
            known = {record["description"]["LoadBalancerName"] for record in table.values()}
            if missing := [name for name in names if name not in known]:
                raise _not_found("LoadBalancer", f"Load balancers '[{', '.join(missing)}]' not found")
            found = [dict(record["description"]) for arn, record in table.items()
                     if arn in (params.get("LoadBalancerArns") or [arn])
                     and record["description"]["LoadBalancerName"] in (names or [record["description"]["LoadBalancerName"]])]
        return _page(found, "LoadBalancers", params)

    def delete_load_balancer(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteLoadBalancer, with its listeners; deleting what is not there succeeds."""
        arn = params["LoadBalancerArn"]
        with self.lock:
            table = self.stores[ctx]["load_balancers"]
            if arn not in table:
                return
            if table[arn]["attributes"]["deletion_protection.enabled"] == "true":
                raise ServiceError("OperationNotPermitted",
                                   f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled")
            del table[arn]
            for listener in [key for key, record in self.stores[ctx]["listeners"].items()
                             if record["description"]["LoadBalancerArn"] == arn]:
                del self.stores[ctx]["listeners"][listener]
        self.balancing.end(arn)

    def describe_load_balancer_attributes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeLoadBalancerAttributes."""
        return self._attributes(ctx, "load_balancers", params["LoadBalancerArn"], {})

    def modify_load_balancer_attributes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ModifyLoadBalancerAttributes; only the idle timeout and deletion protection have an effect here."""
        answer = self._attributes(ctx, "load_balancers", params["LoadBalancerArn"], _pairs(params))
        self.balancing.sync(params["LoadBalancerArn"])
        return answer

    def set_security_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """SetSecurityGroups (kept, not enforced)."""
        with self.lock:
            self._record(ctx, "load_balancers", params["LoadBalancerArn"])["description"]["SecurityGroups"] = params["SecurityGroups"]
        return {"SecurityGroupIds": params["SecurityGroups"]}

    def set_subnets(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """SetSubnets."""
        subnets = params.get("Subnets") or [mapping["SubnetId"] for mapping in params.get("SubnetMappings", [])]
        zones, vpc = self._zones(ctx, subnets)
        with self.lock:
            description = self._record(ctx, "load_balancers", params["LoadBalancerArn"])["description"]
            if vpc != description["VpcId"]:
                raise _other_vpc()
            description["AvailabilityZones"] = zones
            return {"AvailabilityZones": zones, "IpAddressType": description["IpAddressType"]}

    def set_ip_address_type(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """SetIpAddressType (kept, IPv4 is served)."""
        with self.lock:
            description = self._record(ctx, "load_balancers", params["LoadBalancerArn"])["description"]
            description["IpAddressType"] = params["IpAddressType"]
        return {"IpAddressType": params["IpAddressType"]}

    # -- target groups -----------------------------------------------------------------------------------------------------

    def create_target_group(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """CreateTargetGroup: HTTP to instances or addresses."""
        name = params["Name"]
        if not _NAME.fullmatch(name):
            raise _invalid(f"Target group name '{name}' is not valid")
        if params.get("Protocol", "HTTP") != "HTTP" or params.get("TargetType", "instance") not in ("instance", "ip"):
            raise ServiceError("InvalidConfigurationRequest", "The local AWS serves HTTP target groups of type instance or ip only")
        for required in ("Protocol", "Port", "VpcId"):
            if required not in params:
                raise _invalid(f"A {required[0].lower() + required[1:] if required != 'VpcId' else 'VPC ID'} must be specified")
        description = {
            "TargetGroupName": name, "Protocol": params["Protocol"], "Port": params["Port"], "VpcId": params["VpcId"],
            "TargetType": params.get("TargetType", "instance"), "ProtocolVersion": params.get("ProtocolVersion", "HTTP1"),
            "IpAddressType": params.get("IpAddressType", "ipv4"), "LoadBalancerArns": [],
            **_health_check(params, {
                "HealthCheckProtocol": "HTTP", "HealthCheckPort": "traffic-port", "HealthCheckEnabled": True,
                "HealthCheckIntervalSeconds": 30, "HealthCheckTimeoutSeconds": 5, "HealthyThresholdCount": 5,
                "UnhealthyThresholdCount": 2, "HealthCheckPath": "/", "Matcher": {"HttpCode": "200"}})}
        with self.lock:
            table = self.stores[ctx]["target_groups"]
            for record in table.values():
                old = record["description"]
                if old["TargetGroupName"] == name:
                    if all(old[key] == value for key, value in description.items() if key != "LoadBalancerArns"):
                        return {"TargetGroups": [self._group(ctx, record)]}
                    raise ServiceError("DuplicateTargetGroupName",
                                       f"A target group with the same name '{name}' exists, but with different settings")
            arn = f"arn:aws:elasticloadbalancing:{ctx.region}:{ctx.account}:targetgroup/{name}/{_hex()}"
            table[arn] = {"description": {"TargetGroupArn": arn, **description}, "attributes": dict(_TARGET_GROUP_ATTRIBUTES),
                          "tags": _tags(params), "targets": {}}
            return {"TargetGroups": [self._group(ctx, table[arn])]}

    def describe_target_groups(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTargetGroups: by ARN, name or load balancer."""
        with self.lock:
            table = self.stores[ctx]["target_groups"]
            for arn in params.get("TargetGroupArns") or []:
                self._record(ctx, "target_groups", arn)
            names = params.get("Names") or []
            known = {record["description"]["TargetGroupName"] for record in table.values()}
            if any(name not in known for name in names):
                raise _not_found("TargetGroup", "One or more target groups not found")
            groups = [self._group(ctx, record) for record in table.values()]
        if balancer := params.get("LoadBalancerArn"):
            with self.lock:
                self._record(ctx, "load_balancers", balancer)
            groups = [group for group in groups if balancer in group["LoadBalancerArns"]]
        found = [group for group in groups if group["TargetGroupArn"] in (params.get("TargetGroupArns") or [group["TargetGroupArn"]])
                 and group["TargetGroupName"] in (names or [group["TargetGroupName"]])]
        return _page(found, "TargetGroups", params)

    def modify_target_group(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ModifyTargetGroup: the health check."""
        with self.lock:
            record = self._record(ctx, "target_groups", params["TargetGroupArn"])
            record["description"] |= _health_check(params, record["description"])
            return {"TargetGroups": [self._group(ctx, record)]}

    def delete_target_group(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteTargetGroup: refused while a listener forwards to it; deleting what is not there succeeds."""
        arn = params["TargetGroupArn"]
        with self.lock:
            table = self.stores[ctx]["target_groups"]
            if arn in table and self.stores.balancers_of(arn):
                raise ServiceError("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule")
            table.pop(arn, None)

    def describe_target_group_attributes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTargetGroupAttributes."""
        return self._attributes(ctx, "target_groups", params["TargetGroupArn"], {})

    def modify_target_group_attributes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ModifyTargetGroupAttributes; deregistration delay and algorithm have an effect here, stickiness is refused."""
        changes = _pairs(params)
        if changes.get("stickiness.enabled") == "true":
            raise ServiceError("InvalidConfigurationRequest", "Stickiness is not served by the local AWS")
        if not 0 <= int(changes.get("deregistration_delay.timeout_seconds", "0")) <= 3600:
            raise _invalid("Target group attribute 'deregistration_delay.timeout_seconds' must be between '0' and '3600' inclusive")
        answer = self._attributes(ctx, "target_groups", params["TargetGroupArn"], changes)
        self.balancing.sync_group(params["TargetGroupArn"])
        return answer

    # -- targets -----------------------------------------------------------------------------------------------------------

    def register_targets(self, ctx: Context, params: dict[str, Any]) -> None:
        """RegisterTargets: new targets wait for their first health check; a draining one begins anew."""
        arn = params["TargetGroupArn"]
        with self.lock:
            group = dict(self._record(ctx, "target_groups", arn)["description"])
        found = self._instances(ctx.account, ctx.region, [target["Id"] for target in params["Targets"]]) \
            if group["TargetType"] == "instance" else {}
        if group["TargetType"] == "instance":
            bad = [target["Id"] for target in params["Targets"] if found.get(target["Id"], ("", "", ""))[2] not in ("pending", "running")]
            if bad:
                listed = ", ".join(f"'{each}'" for each in bad)
                raise ServiceError("InvalidTarget", f"The following targets are not in a running state and cannot be registered: {listed}")
        now = self.aws.clock.now()
        with self.lock:
            targets = self._record(ctx, "target_groups", arn)["targets"]
            for target in params["Targets"]:
                port = target.get("Port", group["Port"])
                address, zone, _ = found.get(target["Id"], (target["Id"], target.get("AvailabilityZone"), ""))
                key = f"{target['Id']}:{port}"
                if key not in targets or targets[key]["state"] == "draining":
                    targets[key] = engine.register(target["Id"], port, zone, address, now)
        self.balancing.sync_group(arn)

    def deregister_targets(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeregisterTargets: no new requests from now on; those in flight have the deregistration delay to finish."""
        arn = params["TargetGroupArn"]
        now = self.aws.clock.now()
        with self.lock:
            record = self._record(ctx, "target_groups", arn)
            delay = float(record["attributes"]["deregistration_delay.timeout_seconds"])
            for target in params["Targets"]:
                for key in self._keys(record, target):
                    if record["targets"][key]["state"] != "draining":
                        record["targets"][key] = engine.deregister(record["targets"][key], delay, now)
        self.balancing.sync_group(arn)

    def describe_target_health(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTargetHealth."""
        with self.lock:
            record = self._record(ctx, "target_groups", params["TargetGroupArn"])
            in_use = bool(self.stores.balancers_of(params["TargetGroupArn"]))
            shown = []
            asked = params.get("Targets") or []
            keys = [key for target in asked for key in self._keys(record, target)] if asked else list(record["targets"])
            check_port = record["description"]["HealthCheckPort"]
            for key in keys:
                target = record["targets"][key]
                shown.append({"Target": {"Id": target["id"], "Port": target["port"]},
                              "HealthCheckPort": str(target["port"]) if check_port == "traffic-port" else check_port,
                              "TargetHealth": engine.health(target, in_use)})
            shown += [{"Target": {"Id": target["Id"], "Port": target.get("Port", record["description"]["Port"])},
                       "TargetHealth": engine.not_registered()} for target in asked if not self._keys(record, target)]
            return {"TargetHealthDescriptions": shown}

    # -- listeners ---------------------------------------------------------------------------------------------------------

    def create_listener(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """CreateListener: HTTP only."""
        balancer = params["LoadBalancerArn"]
        with self.lock:
            self._record(ctx, "load_balancers", balancer)
            self._http_only(params)
            if "Port" not in params:
                raise _invalid("A port must be specified")
            used = self.stores.listeners_of(balancer)
            if any(each["description"]["Port"] == params["Port"] for each in used):
                raise ServiceError("DuplicateListener", "A listener already exists on this port for this load balancer "
                                                        f"'{balancer}'")
            free = [slot for slot in range(len(proxy.PUBLISHED_PORTS)) if slot not in [each["slot"] for each in used]]
            if not free:
                raise ServiceError("TooManyListeners", f"The local AWS serves {len(proxy.PUBLISHED_PORTS)} listeners per load balancer")
            actions = self._actions(ctx, balancer, params["DefaultActions"])
            arn = f"{balancer.replace(':loadbalancer/', ':listener/')}/{_hex()}"
            description = {"ListenerArn": arn, "LoadBalancerArn": balancer, "Port": params["Port"], "Protocol": params["Protocol"],
                           "DefaultActions": actions}
            self.stores[ctx]["listeners"][arn] = {"description": description, "attributes": dict(_LISTENER_ATTRIBUTES),
                                                  "tags": _tags(params), "slot": free[0]}
            self._begin_checks(actions)
        self.balancing.sync(balancer)
        return {"Listeners": [description]}

    def describe_listeners(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeListeners: of a load balancer, or by ARN."""
        with self.lock:
            if balancer := params.get("LoadBalancerArn"):
                self._record(ctx, "load_balancers", balancer)
                found = [record["description"] for record in self.stores.listeners_of(balancer)]
            else:
                found = [self._record(ctx, "listeners", arn)["description"] for arn in params.get("ListenerArns") or []]
            return _page([dict(each) for each in found], "Listeners", params)

    def modify_listener(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ModifyListener: port and default actions."""
        with self.lock:
            record = self._record(ctx, "listeners", params["ListenerArn"])
            self._http_only({**record["description"], **params})
            description = {**record["description"], **{key: params[key] for key in ("Port", "Protocol") if key in params}}
            balancer = description["LoadBalancerArn"]
            if any(each is not record and each["description"]["Port"] == description["Port"] for each in self.stores.listeners_of(balancer)):
                raise ServiceError("DuplicateListener", f"A listener already exists on this port for this load balancer '{balancer}'")
            if "DefaultActions" in params:
                description["DefaultActions"] = self._actions(ctx, balancer, params["DefaultActions"])
            record["description"] = description
            self._begin_checks(description["DefaultActions"])
        self.balancing.sync(balancer)
        return {"Listeners": [description]}

    def delete_listener(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteListener."""
        with self.lock:
            balancer = self._record(ctx, "listeners", params["ListenerArn"])["description"]["LoadBalancerArn"]
            del self.stores[ctx]["listeners"][params["ListenerArn"]]
        self.balancing.sync(balancer)

    def describe_listener_attributes(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeListenerAttributes."""
        return self._attributes(ctx, "listeners", params["ListenerArn"], {})

    def describe_rules(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeRules: each listener has its default rule, and no other."""
        with self.lock:
            record = self._record(ctx, "listeners", params["ListenerArn"]) if "ListenerArn" in params else None
            if record is None:
                raise _not_found("Rule", "One or more rules not found")
            arn = params["ListenerArn"].replace(":listener/", ":listener-rule/") + "/" + params["ListenerArn"].rsplit("/", 1)[1]
            return {"Rules": [{"RuleArn": arn, "Priority": "default", "Conditions": [], "IsDefault": True,
                               "Actions": record["description"]["DefaultActions"]}]}

    # -- tags --------------------------------------------------------------------------------------------------------------

    def add_tags(self, ctx: Context, params: dict[str, Any]) -> None:
        """AddTags."""
        with self.lock:
            for arn in params["ResourceArns"]:
                self._any(ctx, arn)["tags"] |= _tags(params)

    def remove_tags(self, ctx: Context, params: dict[str, Any]) -> None:
        """RemoveTags."""
        with self.lock:
            for arn in params["ResourceArns"]:
                for key in params["TagKeys"]:
                    self._any(ctx, arn)["tags"].pop(key, None)

    def describe_tags(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTags."""
        with self.lock:
            return {"TagDescriptions": [
                {"ResourceArn": arn, "Tags": [{"Key": key, "Value": value} for key, value in self._any(ctx, arn)["tags"].items()]}
                for arn in params["ResourceArns"]]}

    # -- records -----------------------------------------------------------------------------------------------------------

    def _record(self, ctx: Context, table: str, arn: str) -> dict[str, Any]:
        record = self.stores[ctx][table].get(arn)
        if record is None:
            raise {"load_balancers": _not_found("LoadBalancer", f"Load balancer '{arn}' not found"),
                   "target_groups": _not_found("TargetGroup", f"Target groups '{arn}' not found"),
                   "listeners": _not_found("Listener", "One or more listeners not found")}[table]
        return record  # type: ignore[no-any-return]

    def _any(self, ctx: Context, arn: str) -> dict[str, Any]:
        kind = arn.split(":")[-1].split("/")[0]
        table = {"loadbalancer": "load_balancers", "targetgroup": "target_groups", "listener": "listeners"}.get(kind)
        if table is None:
            raise _invalid(f"'{arn}' is not a valid resource ARN")
        return self._record(ctx, table, arn)

    def _attributes(self, ctx: Context, table: str, arn: str, changes: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            attributes = self._record(ctx, table, arn)["attributes"]
            for key in changes:
                if key not in attributes:
                    raise _invalid(f"{table[:-1].replace('_', ' ').capitalize()} attribute key '{key}' is not recognized")
            attributes |= changes
            return {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]}

    def _group(self, ctx: Context, record: dict[str, Any]) -> dict[str, Any]:
        description = record["description"]
        return {**description, "LoadBalancerArns": self.stores.balancers_of(description["TargetGroupArn"])}

    @staticmethod
    def _keys(record: dict[str, Any], target: dict[str, Any]) -> list[str]:
        """The registered targets that a request's target means: all ports of it where it names none."""
        return [key for key, each in record["targets"].items()
                if each["id"] == target["Id"] and target.get("Port", each["port"]) == each["port"]]

    def _http_only(self, listener: dict[str, Any]) -> None:
        if listener.get("Protocol", "HTTP") != "HTTP" or listener.get("Certificates"):
            raise ServiceError("UnsupportedProtocol", "The local AWS serves HTTP listeners only: leave the certificate out")
        if "Protocol" not in listener:
            raise _invalid("A protocol must be specified")

    def _actions(self, ctx: Context, balancer: str, actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the default actions as AWS describes them. Raises for what is unknown, elsewhere in use, or not served."""
        if len(actions) != 1 or actions[0]["Type"] not in ("forward", "redirect", "fixed-response"):
            raise ServiceError("InvalidLoadBalancerAction",
                               "The local AWS serves one default action of type forward, redirect or fixed-response")
        action = dict(actions[0])
        if action["Type"] == "forward":
            if action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {}).get("Enabled"):
                raise ServiceError("InvalidLoadBalancerAction", "Target group stickiness is not served by the local AWS")
            shares = weights(actions)
            if not shares:
                raise _invalid("A target group ARN must be specified")
            for group, _ in shares:
                self._record(ctx, "target_groups", group)
                if any(other != balancer for other in self.stores.balancers_of(group)):
                    raise ServiceError("TargetGroupAssociationLimit", "The following target groups cannot be associated with more than "
                                                                      f"one load balancer: {group}")
            action["ForwardConfig"] = {"TargetGroups": [{"TargetGroupArn": group, "Weight": weight} for group, weight in shares],
                                       "TargetGroupStickinessConfig": {"Enabled": False}}
            if len(shares) == 1:
                action["TargetGroupArn"] = shares[0][0]
        if action["Type"] == "redirect":
            action["RedirectConfig"] = {"Protocol": "#{protocol}", "Port": "#{port}", "Host": "#{host}", "Path": "/#{path}",
                                        "Query": "#{query}", **action["RedirectConfig"]}
        return [action]

    # -- other services ----------------------------------------------------------------------------------------------------

    def _ec2(self, account: str, region: str) -> Any:
        return self.aws.as_service(account).client("ec2", region)

    def _zones(self, ctx: Context, subnets: list[str]) -> tuple[list[dict[str, Any]], str]:
        """Return AvailabilityZones of a load balancer on the subnets, and their VPC."""
        import botocore.exceptions

        try:
            found = self._ec2(ctx.account, ctx.region).describe_subnets(SubnetIds=subnets)["Subnets"] if subnets else []
        except botocore.exceptions.ClientError as error:
            raise ServiceError("SubnetNotFound", error.response["Error"]["Message"]) from error
        zones = {subnet["AvailabilityZone"] for subnet in found}
        if len(zones) < 2:
            raise _invalid("At least two subnets in two different Availability Zones must be specified")
        if len(zones) < len(found):
            raise ServiceError("InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same "
                                                              "Availability Zone")
        if len({subnet["VpcId"] for subnet in found}) > 1:
            raise _other_vpc()
        ordered = sorted(found, key=lambda subnet: str(subnet["AvailabilityZone"]))
        return [{"ZoneName": subnet["AvailabilityZone"], "SubnetId": subnet["SubnetId"], "LoadBalancerAddresses": []}
                for subnet in ordered], found[0]["VpcId"]

    def _default_group(self, ctx: Context, vpc: str) -> str:
        groups = self._ec2(ctx.account, ctx.region).describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
        return str(groups[0]["GroupId"]) if groups else ""

    def _instances(self, account: str, region: str, ids: list[str]) -> dict[str, tuple[str, str, str]]:
        """Return (private address, zone, state) of the instances that exist, by id."""
        found = {}
        pages = self._ec2(account, region).get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-id", "Values": sorted(set(ids))}])
        for reservation in (each for page in pages for each in page["Reservations"]):
            for instance in reservation["Instances"]:
                found[instance["InstanceId"]] = (instance.get("PrivateIpAddress", ""), instance["Placement"]["AvailabilityZone"],
                                                 instance["State"]["Name"])
        return found

    def follow_instances(self) -> None:
        """Drop targets whose instance is gone, as AWS does, and follow an instance that came back on another address."""
        for account, region in self.stores.scopes():
            with self.lock:
                groups = [(arn, [target["id"] for target in record["targets"].values()])
                          for arn, record in self.stores.at(account, region)["target_groups"].items()
                          if record["description"]["TargetType"] == "instance" and record["targets"]]
            if not groups:
                continue
            found = self._instances(account, region, [identity for _, ids in groups for identity in ids])
            for arn, ids in groups:
                changed = False
                with self.lock:
                    targets = self.stores.targets(arn)
                    for key, target in list(targets.items()):
                        address, _, state = found.get(target["id"], ("", "", "terminated"))
                        if target["id"] in ids and state == "terminated":
                            del targets[key]
                            changed = True
                        elif address and address != target["address"]:
                            targets[key] = {**target, "address": address}
                            changed = True
                if changed:
                    self.balancing.sync_group(arn)

    def _begin_checks(self, actions: list[dict[str, Any]]) -> None:
        """Targets that waited unused in a group that a listener now forwards to are checked from now on. Called with the lock held."""
        for group, _ in weights(actions):
            for target in self.stores.targets(group).values():
                target["next_check"] = self.aws.clock.now()


def _other_vpc() -> ServiceError:
    """SetSubnets and CreateLoadBalancer refuse it; AWS's words for it are nowhere documented."""
    return ServiceError("InvalidConfigurationRequest", "The subnets of a load balancer must all be in its VPC")


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _hex() -> str:
    return f"{random.getrandbits(64):016x}"


def _tags(params: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in params.get("Tags") or []}


def _pairs(params: dict[str, Any]) -> dict[str, str]:
    return {pair["Key"]: pair.get("Value", "") for pair in params["Attributes"]}


def _health_check(params: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the health check's members of a target group. Raises where AWS would for values out of range."""
    keys = ("HealthCheckProtocol", "HealthCheckPort", "HealthCheckEnabled", "HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds",
            "HealthyThresholdCount", "UnhealthyThresholdCount", "HealthCheckPath", "Matcher")
    check = {key: params.get(key, defaults[key]) for key in keys}
    if check["HealthCheckProtocol"] != "HTTP":
        raise ServiceError("InvalidConfigurationRequest", "The local AWS serves HTTP health checks only")
    for key, low, high in (("HealthCheckIntervalSeconds", 5, 300), ("HealthCheckTimeoutSeconds", 2, 120),
                           ("HealthyThresholdCount", 2, 10), ("UnhealthyThresholdCount", 2, 10)):
        if not low <= check[key] <= high:
            words = re.sub(r"(?<!^)(?=[A-Z])", " ", key.removesuffix("Seconds").removesuffix("Count")).lower()
            raise _invalid(f"{words.capitalize()} '{check[key]}' must be between {low} and {high}"
                           f"{' seconds' if key.endswith('Seconds') else ''}")
    if check["HealthCheckTimeoutSeconds"] >= check["HealthCheckIntervalSeconds"]:
        raise _invalid("Health check interval must be greater than the timeout.")
    try:
        engine.matcher(check["Matcher"].get("HttpCode", "200"))
    except ValueError:
        raise _invalid(f"Health check matcher HTTP code '{check['Matcher'].get('HttpCode')}' must be within '200-499' inclusive") from None
    return check


def _page(found: list[dict[str, Any]], member: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return one page of `found`; the marker is the index of the next one."""
    start, size = int(params.get("Marker") or 0), int(params.get("PageSize") or 400)
    page: dict[str, Any] = {member: found[start:start + size]}
    if len(found) > start + size:
        page["NextMarker"] = str(start + size)
    return page
