"""elbv2: target health in virtual time, what haproxy is told, what its log lines mean, and the operations without Docker."""

from __future__ import annotations

import json
import re
import threading
from types import SimpleNamespace
from typing import Any

import botocore.session
import botocore.validate
import pytest

from localaws.clock import VirtualClock
from localaws.elbv2 import balancing, driver, engine, proxy
from localaws.elbv2.api import Api
from localaws.elbv2.engine import Result
from localaws.elbv2.proxy import Backend, Frontend, Measurement, Plan, Server
from localaws.service import Context, ServiceError

CTX = Context("000000000000", "us-east-1", "arn:aws:iam::000000000000:root", "000000000000")
MODEL = botocore.session.get_session().get_service_model("elbv2")
CHECK = engine.Check(5, 2, 3, 2, "/health", "traffic-port", ((200, 200),))
GOOD, BAD, SLOW, REFUSED = Result(200), Result(503), Result(timed_out=True), Result()


# -- target health -----------------------------------------------------------------------------------------------------------

def after(*results: Result) -> engine.Target:
    target = engine.register("i-1", 8080, "us-east-1a", "10.0.0.1", 0.0)
    for result in results:
        target = engine.observe(target, CHECK, result)
    return target


@pytest.mark.parametrize(("results", "expected"), [
    ((), "initial"), ((GOOD,), "healthy"), ((BAD,), "initial"), ((BAD, BAD), "unhealthy"), ((BAD, GOOD), "healthy"),
    ((GOOD, BAD), "healthy"), ((GOOD, BAD, GOOD, BAD), "healthy"), ((GOOD, BAD, BAD), "unhealthy"),
    ((BAD, BAD, GOOD, GOOD), "unhealthy"), ((BAD, BAD, GOOD, GOOD, GOOD), "healthy"), ((BAD, BAD, GOOD, GOOD, BAD, GOOD), "unhealthy")])
def test_thresholds_count_consecutive_results_and_one_success_is_enough_for_a_new_target(results: tuple[Result, ...], expected: str) -> None:
    assert after(*results)["state"] == expected


@pytest.mark.parametrize(("result", "expected"), [
    (BAD, {"Reason": "Target.ResponseCodeMismatch", "Description": "Health checks failed with these codes: [503]"}),
    (SLOW, {"Reason": "Target.Timeout", "Description": "Request timed out"}),
    (REFUSED, {"Reason": "Target.FailedHealthChecks", "Description": "Health checks failed"})])
def test_an_unhealthy_target_says_why(result: Result, expected: dict[str, str]) -> None:
    assert engine.health(after(result, result), True) == {"State": "unhealthy", **expected}


def test_health_in_other_states() -> None:
    assert engine.health(after(), True) == {"State": "initial", "Reason": "Elb.InitialHealthChecking",
                                           "Description": "Initial health checks in progress"}
    assert engine.health(after(GOOD), True) == {"State": "healthy"}
    assert engine.health(after(GOOD), False)["Reason"] == "Target.NotInUse"
    assert engine.health(engine.deregister(after(GOOD), 30, 0), True)["Reason"] == "Target.DeregistrationInProgress"


def test_drain_lasts_for_the_whole_delay_and_is_not_checked() -> None:
    target = engine.deregister(after(GOOD), 30, 100.0)
    assert not engine.due(target, 1000.0)
    assert engine.observe(target, CHECK, GOOD) == target
    assert (engine.drained(target, 129.9), engine.drained(target, 130.0)) == (False, True)


def test_only_healthy_targets_serve_and_a_group_of_unhealthy_ones_fails_open() -> None:
    targets = {"a": after(GOOD), "b": after(BAD, BAD), "c": after(), "d": engine.deregister(after(GOOD), 30, 0)}
    assert engine.serving(targets) == {"a"}
    assert engine.serving({key: targets[key] for key in "bcd"}) == {"b"}
    assert engine.serving({key: targets[key] for key in "cd"}) == set()


@pytest.mark.parametrize(("text", "ranges"), [("200", ((200, 200),)), ("200,202", ((200, 200), (202, 202))), ("200-299", ((200, 299),))])
def test_matcher(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert engine.matcher(text) == ranges


@pytest.mark.parametrize("text", ["", "abc", "100", "200-500", "299-200"])
def test_matcher_refuses(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() words it too
        engine.matcher(text)


# -- haproxy -----------------------------------------------------------------------------------------------------------------

AT = proxy.Addresses("172.17.0.2", "172.20.0.2", "172.20.0.1:5000", 7)


def plan(*servers: Server, weights: tuple[int, ...] = (90, 10)) -> Plan:
    forward = {"type": "forward", "weights": [[name, weight] for name, weight in zip(("fleet.1", "box.2"), weights, strict=True)]}
    return Plan((Frontend(80, 10001, forward),), (Backend("fleet.1", servers), Backend("box.2", ())))


def test_configuration_shares_requests_and_answers_for_empty_groups() -> None:
    text = proxy.render(plan(Server("i-1_8080", "10.0.0.1", 8080, True), Server("i-2_8080", "10.0.0.2", 8080, False)), AT)
    assert "  http-request set-var(txn.share) rand(100)\n  use_backend fleet.1 if { var(txn.share) -m int lt 90 }\n  default_backend box.2" in text
    assert "  bind 172.17.0.2:10001\n  bind 172.20.0.2:80\n" in text
    assert "  server i-1_8080 10.0.0.1:8080\n  server i-2_8080 10.0.0.2:8080 disabled\n" in text
    assert text.count("nbsrv() eq 0") == 4
    assert "retries 0" in text
    assert "revision-7" in text


def test_a_weight_of_nothing_gets_nothing() -> None:
    assert "use_backend" not in proxy.render(plan(weights=(100, 0)), AT)
    assert "default_backend nobody" in proxy.render(plan(weights=(0, 0)), AT)


def test_only_servers_differ_means_no_reload() -> None:
    up, down = Server("i-1_8080", "10.0.0.1", 8080, True), Server("i-1_8080", "10.0.0.1", 8080, False)
    assert plan(up).topology() == plan(down).topology()
    assert plan(up).topology() != plan(up, weights=(80, 20)).topology()


@pytest.mark.parametrize(("config", "query", "expected"), [
    ({"Protocol": "HTTPS", "Port": "443"}, True, "https://%[req.hdr(host),field(1,:)]:443%[path]?%[query]"),
    ({"Protocol": "HTTPS", "Port": "443"}, False, "https://%[req.hdr(host),field(1,:)]:443%[path]"),
    ({"Host": "example.org", "Path": "/new/#{path}", "Query": ""}, True, "http://example.org:80/new%[path]"),
    ({"Path": "/100%", "Query": ""}, True, "http://%[req.hdr(host),field(1,:)]:80/100%%")])
def test_redirects(config: dict[str, str], query: bool, expected: str) -> None:
    assert proxy.location(config, 80, query) == expected


def entry(**changes: Any) -> dict[str, Any]:
    return {"b": "fleet.1", "s": "i-1_8080", "st": 200, "tr": 25, "ts": "--", "k": "-", **changes}


def metrics(line: dict[str, Any]) -> dict[str, str]:
    return {each.metric: each.backend for each in proxy.measure(line)}


@pytest.mark.parametrize(("line", "expected"), [
    (entry(), {"RequestCount": "fleet.1", "HTTPCode_Target_2XX_Count": "fleet.1", "TargetResponseTime": "fleet.1"}),
    (entry(st=500), {"RequestCount": "fleet.1", "HTTPCode_Target_5XX_Count": "fleet.1", "TargetResponseTime": "fleet.1"}),
    (entry(st=404, ts="CD"), {"RequestCount": "fleet.1", "HTTPCode_Target_4XX_Count": "fleet.1", "TargetResponseTime": "fleet.1"}),
    (entry(st=503, tr=-1, ts="SC"), {"RequestCount": "fleet.1", "TargetConnectionErrorCount": "fleet.1", "HTTPCode_ELB_5XX_Count": "",
                                     "HTTPCode_ELB_502_Count": ""}),
    (entry(st=502, tr=-1, ts="SH"), {"RequestCount": "fleet.1", "HTTPCode_ELB_5XX_Count": "", "HTTPCode_ELB_502_Count": ""}),
    (entry(st=504, tr=-1, ts="sH"), {"RequestCount": "fleet.1", "HTTPCode_ELB_5XX_Count": "", "HTTPCode_ELB_504_Count": ""}),
    (entry(st=-1, tr=-1, ts="CH"), {"RequestCount": "fleet.1", "HTTPCode_ELB_4XX_Count": ""}),
    (entry(s="<NOSRV>", st=503, tr=-1, ts="LR", k="unavailable"), {"HTTPCode_ELB_5XX_Count": "", "HTTPCode_ELB_503_Count": ""}),
    (entry(b="listener-80", s="<NOSRV>", st=400, tr=-1, ts="PR"), {"HTTPCode_ELB_4XX_Count": ""}),
    (entry(s="<NOSRV>", st=301, tr=-1, ts="LR", k="redirect"), {"HTTP_Redirect_Count": "", "HTTPCode_ELB_3XX_Count": ""}),
])
def test_what_a_request_counts_as(line: dict[str, Any], expected: dict[str, str]) -> None:
    assert metrics(line) == expected


def test_response_time_is_in_seconds() -> None:
    assert Measurement("TargetResponseTime", 0.025, "Seconds", "fleet.1") in proxy.measure(entry())


def test_lines_that_are_not_requests_are_left_out() -> None:
    assert proxy.parse_line(b'{"b":"x","st":200}') == {"b": "x", "st": 200}
    assert proxy.parse_line(b"Server a/b is UP/READY") is None
    assert proxy.parse_line(b"{broken") is None


def test_servers_change_over_the_runtime_socket_new_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    balancer = driver.Balancer(None, "image", "name", "network", "receiver", {})
    said: list[str] = []
    answers = {"add": "New server registered."}
    monkeypatch.setattr(balancer, "_command", lambda command: said.append(command) or answers.get(command.split()[0], ""))
    before = plan(Server("a_1", "10.0.0.1", 1, True), Server("b_1", "10.0.0.2", 1, True)).servers()
    balancer._change_servers(before, plan(Server("b_1", "10.0.0.2", 1, False), Server("c_1", "10.0.0.3", 1, True)).servers())
    assert said == ["set server fleet.1/b_1 state maint", "add server fleet.1/c_1 10.0.0.3:1", "set server fleet.1/c_1 state ready",
                    "set server fleet.1/a_1 state maint", "del server fleet.1/a_1"]


# -- operations --------------------------------------------------------------------------------------------------------------

class FakeEc2:
    """Two subnets in two zones, and instances by id."""

    def __init__(self) -> None:
        self.instances = {"i-1": ("10.0.0.1", "running"), "i-2": ("10.0.0.2", "running"), "i-9": ("", "stopped")}

    def describe_subnets(self, SubnetIds: list[str]) -> dict[str, Any]:
        return {"Subnets": [{"SubnetId": each, "AvailabilityZone": f"us-east-1{each[-1]}", "VpcId": "vpc-2" if each.startswith("subnet-2") else "vpc-1"}
                            for each in SubnetIds]}

    def describe_security_groups(self, **_: Any) -> dict[str, Any]:
        return {"SecurityGroups": [{"GroupId": "sg-default"}]}

    def get_paginator(self, name: str) -> FakeEc2:
        assert name == "describe_instances"
        return self

    def paginate(self, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"Reservations": [{"Instances": [
            {"InstanceId": each, "PrivateIpAddress": self.instances[each][0], "State": {"Name": self.instances[each][1]},
             "Placement": {"AvailabilityZone": "us-east-1a"}} for each in Filters[0]["Values"] if each in self.instances]}]}]


class FakeAws:
    """No Docker: balancers never start, so load balancers stay `provisioning`."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ec2 = FakeEc2()

    def spawn(self, name: str, work: Any) -> None:
        pass

    def as_service(self, account: str) -> FakeAws:
        return self

    def client(self, service: str, region: str) -> FakeEc2:
        return self.ec2


@pytest.fixture
def api() -> Api:
    return Api(FakeAws())


def call(api: Api, operation: str, **params: Any) -> dict[str, Any]:
    """Call the operation, and check request and response against AWS's model."""
    model = MODEL.operation_model(operation)
    botocore.validate.validate_parameters(params, model.input_shape)
    result = getattr(api, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(CTX, params) or {}
    botocore.validate.validate_parameters(result, model.output_shape)
    return result


def group(api: Api, name: str = "fleet", **more: Any) -> str:
    return str(call(api, "CreateTargetGroup", **{"Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": "vpc-1", **more})
               ["TargetGroups"][0]["TargetGroupArn"])


def balancer(api: Api, name: str = "web", **more: Any) -> dict[str, Any]:
    return dict(call(api, "CreateLoadBalancer", **{"Name": name, "Subnets": ["subnet-a", "subnet-b"], **more})["LoadBalancers"][0])


def listener(api: Api, arn: str, *groups: str, port: int = 80) -> dict[str, Any]:
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": each, "Weight": 1} for each in groups]}}]
    return dict(call(api, "CreateListener", LoadBalancerArn=arn, Protocol="HTTP", Port=port, DefaultActions=actions)["Listeners"][0])


def health(api: Api, arn: str) -> dict[str, tuple[str, str]]:
    found = call(api, "DescribeTargetHealth", TargetGroupArn=arn)["TargetHealthDescriptions"]
    return {each["Target"]["Id"]: (each["TargetHealth"]["State"], each["TargetHealth"].get("Reason", "")) for each in found}


def refused(code: str, api: Api, operation: str, **params: Any) -> None:
    with pytest.raises(ServiceError) as error:
        call(api, operation, **params)
    assert error.value.code == code


def test_a_load_balancer_looks_like_awss(api: Api) -> None:
    made = balancer(api)
    assert re.fullmatch(r"arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/[0-9a-f]{16}", made["LoadBalancerArn"])
    assert re.fullmatch(r"web-\d{10}\.us-east-1\.elb\.amazonaws\.com", made["DNSName"])
    assert (made["State"], made["SecurityGroups"], made["VpcId"]) == ({"Code": "provisioning"}, ["sg-default"], "vpc-1")
    assert balancer(api)["LoadBalancerArn"] == made["LoadBalancerArn"], "the same again is no error"
    assert balancer(api, "other", Scheme="internal")["DNSName"].startswith("internal-other-")
    assert call(api, "DescribeLoadBalancers", Names=["web"])["LoadBalancers"][0] == made


def test_names_are_unique_and_checked(api: Api) -> None:
    balancer(api)
    refused("DuplicateLoadBalancerName", api, "CreateLoadBalancer", Name="web", Subnets=["subnet-a", "subnet-b"], Scheme="internal")
    refused("ValidationError", api, "CreateLoadBalancer", Name="-web", Subnets=["subnet-a", "subnet-b"])
    refused("ValidationError", api, "CreateLoadBalancer", Name="one-zone", Subnets=["subnet-a"])
    group(api)
    refused("DuplicateTargetGroupName", api, "CreateTargetGroup", Name="fleet", Protocol="HTTP", Port=81, VpcId="vpc-1")


def test_a_load_balancer_stays_in_its_vpc(api: Api) -> None:
    made = balancer(api)["LoadBalancerArn"]
    refused("InvalidConfigurationRequest", api, "SetSubnets", LoadBalancerArn=made, Subnets=["subnet-2a", "subnet-2b"])
    refused("InvalidConfigurationRequest", api, "CreateLoadBalancer", Name="both", Subnets=["subnet-a", "subnet-2b"])
    zones = call(api, "SetSubnets", LoadBalancerArn=made, Subnets=["subnet-b", "subnet-c"])["AvailabilityZones"]
    assert [zone["SubnetId"] for zone in zones] == ["subnet-b", "subnet-c"]


def test_what_is_in_use_cannot_be_deleted_and_the_rest_can_twice(api: Api) -> None:
    made, fleet = balancer(api), group(api)
    listener(api, made["LoadBalancerArn"], fleet)
    refused("ResourceInUse", api, "DeleteTargetGroup", TargetGroupArn=fleet)
    refused("DuplicateListener", api, "CreateListener", LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": fleet}])
    other = balancer(api, "other")
    refused("TargetGroupAssociationLimit", api, "CreateListener", LoadBalancerArn=other["LoadBalancerArn"], Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": fleet}])
    call(api, "ModifyLoadBalancerAttributes", LoadBalancerArn=made["LoadBalancerArn"],
         Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}])
    refused("OperationNotPermitted", api, "DeleteLoadBalancer", LoadBalancerArn=made["LoadBalancerArn"])
    call(api, "ModifyLoadBalancerAttributes", LoadBalancerArn=made["LoadBalancerArn"],
         Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}])
    for _ in range(2):
        call(api, "DeleteLoadBalancer", LoadBalancerArn=made["LoadBalancerArn"])
        call(api, "DeleteTargetGroup", TargetGroupArn=fleet)
    refused("LoadBalancerNotFound", api, "DescribeLoadBalancers", LoadBalancerArns=[made["LoadBalancerArn"]])
    refused("LoadBalancerNotFound", api, "DescribeLoadBalancers", Names=["web"])
    refused("TargetGroupNotFound", api, "DescribeTargetGroups", TargetGroupArns=[fleet])


def test_targets_are_unused_until_a_listener_forwards_to_them_then_initial_then_draining_then_gone(api: Api) -> None:
    made, fleet = balancer(api), group(api)
    call(api, "ModifyTargetGroupAttributes", TargetGroupArn=fleet, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}])
    call(api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}, {"Id": "i-2", "Port": 81}])
    assert health(api, fleet) == {"i-1": ("unused", "Target.NotInUse"), "i-2": ("unused", "Target.NotInUse")}
    listener(api, made["LoadBalancerArn"], fleet)
    assert health(api, fleet)["i-1"] == ("initial", "Elb.InitialHealthChecking")
    call(api, "DeregisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    assert health(api, fleet)["i-1"] == ("draining", "Target.DeregistrationInProgress")
    api.aws.clock.advance(5)
    api.balancing.tick()
    assert "i-1" not in health(api, fleet)
    asked = call(api, "DescribeTargetHealth", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])["TargetHealthDescriptions"]
    assert asked[0]["TargetHealth"]["Reason"] == "Target.NotRegistered"


def test_a_draining_target_that_is_registered_again_begins_anew(api: Api) -> None:
    made, fleet = balancer(api), group(api)
    listener(api, made["LoadBalancerArn"], fleet)
    for operation in ("RegisterTargets", "DeregisterTargets", "RegisterTargets"):
        call(api, operation, TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    assert health(api, fleet)["i-1"][0] == "initial"


def test_instances_that_do_not_run_are_refused_and_terminated_ones_leave(api: Api) -> None:
    fleet = group(api)
    refused("InvalidTarget", api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-9"}])
    refused("InvalidTarget", api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-0"}])
    call(api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    api.aws.ec2.instances = {"i-1": ("10.0.0.1", "terminated")}
    api.follow_instances()
    assert health(api, fleet) == {}


@pytest.mark.parametrize("change", [
    {"HealthCheckIntervalSeconds": 4}, {"HealthyThresholdCount": 1}, {"HealthCheckTimeoutSeconds": 30}, {"Matcher": {"HttpCode": "500"}}])
def test_health_checks_out_of_range_are_refused(api: Api, change: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as error:
        api.create_target_group(CTX, {"Name": "fleet", "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1", **change})
    assert error.value.code == "ValidationError"


def test_https_and_stickiness_are_refused_by_name(api: Api) -> None:
    made, fleet = balancer(api), group(api)
    refused("UnsupportedProtocol", api, "CreateListener", LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTPS", Port=443,
            Certificates=[{"CertificateArn": "arn"}], DefaultActions=[{"Type": "forward", "TargetGroupArn": fleet}])
    refused("InvalidConfigurationRequest", api, "ModifyTargetGroupAttributes", TargetGroupArn=fleet,
            Attributes=[{"Key": "stickiness.enabled", "Value": "true"}])
    refused("ValidationError", api, "ModifyTargetGroupAttributes", TargetGroupArn=fleet, Attributes=[{"Key": "no.such", "Value": "1"}])


def test_weights_become_shares_and_only_healthy_targets_serve(api: Api) -> None:
    made, fleet, box = balancer(api), group(api), group(api, "box")
    arn = made["LoadBalancerArn"]
    call(api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}, {"Id": "i-2"}])
    added = listener(api, arn, fleet, box)
    call(api, "ModifyListener", ListenerArn=added["ListenerArn"], DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": [
        {"TargetGroupArn": fleet, "Weight": 90}, {"TargetGroupArn": box, "Weight": 10}]}}])
    targets = api.stores[CTX]["target_groups"][fleet]["targets"]
    targets["i-1:8080"] = engine.observe(targets["i-1:8080"], CHECK, GOOD)
    found = api.balancing.plan(arn)
    assert [weight for _, weight in found.frontends[0].action["weights"]] == [90, 10]
    assert sorted((server.name, server.serving) for server in found.servers().values()) == [("i-1_8080", True), ("i-2_8080", False)]
    assert call(api, "DescribeTargetGroups", LoadBalancerArn=arn)["TargetGroups"][0]["LoadBalancerArns"] == [arn]
    assert call(api, "DescribeRules", ListenerArn=added["ListenerArn"])["Rules"][0]["IsDefault"] is True
    port = api.stores[CTX]["load_balancers"][arn]["ports"][0]
    assert api.endpoints() == {made["DNSName"]: f"http://127.0.0.1:{port}"}


def test_requests_become_metrics_with_awss_dimensions(api: Api) -> None:
    recorded: list[tuple[Any, ...]] = []

    class Recorder:
        def record(self, *sample: Any) -> None:
            recorded.append(sample)

    api.aws.services = {"cloudwatch": Recorder()}
    made, fleet = balancer(api), group(api)
    listener(api, made["LoadBalancerArn"], fleet)
    api.balancing.tallies["172.20.0.2"] = (made["LoadBalancerArn"], proxy.Tally())
    name = api.balancing.plan(made["LoadBalancerArn"]).backends[0].name
    line = json.dumps(entry(b=name, st=500))
    for _ in range(3):
        api.balancing.take("172.20.0.2", line.encode())
    api.balancing.take("10.9.9.9", line.encode())
    api.balancing.flush()
    load_balancer, target_group = made["LoadBalancerArn"].split("loadbalancer/")[1], fleet.split(":")[-1]
    faults = [(sample[4], sample[6]) for sample in recorded if sample[3] == "HTTPCode_Target_5XX_Count"]
    assert faults == [({"LoadBalancer": load_balancer, "TargetGroup": target_group}, [1.0] * 3), ({"LoadBalancer": load_balancer}, [1.0] * 3)]
    recorded.clear()
    api.balancing.flush()
    assert recorded == [], "nothing is published without requests"
    call(api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    api.balancing.count_hosts()
    assert [(sample[3], sample[6]) for sample in recorded] == [("HealthyHostCount", [0.0]), ("UnHealthyHostCount", [0.0])]


def test_tags(api: Api) -> None:
    fleet = group(api, Tags=[{"Key": "a", "Value": "1"}])
    call(api, "AddTags", ResourceArns=[fleet], Tags=[{"Key": "b", "Value": "2"}])
    call(api, "RemoveTags", ResourceArns=[fleet], TagKeys=["a"])
    assert call(api, "DescribeTags", ResourceArns=[fleet])["TagDescriptions"] == [{"ResourceArn": fleet, "Tags": [{"Key": "b", "Value": "2"}]}]


def test_permissions_name_resources(api: Api) -> None:
    prefix = "arn:aws:elasticloadbalancing:us-east-1:000000000000:"
    assert list(api.permissions("CreateTargetGroup", {"Name": "a", "Tags": [{"Key": "k"}]}, CTX)) == [
        ("elasticloadbalancing:CreateTargetGroup", f"{prefix}targetgroup/a/*"), ("elasticloadbalancing:AddTags", f"{prefix}targetgroup/a/*")]
    assert list(api.permissions("RegisterTargets", {"TargetGroupArn": "arn:tg"}, CTX)) == [("elasticloadbalancing:RegisterTargets", "arn:tg")]
    assert list(api.permissions("DescribeTargetHealth", {"TargetGroupArn": "arn:tg"}, CTX)) == [("elasticloadbalancing:DescribeTargetHealth", "*")]


# -- the parts of the driver that need no Docker -----------------------------------------------------------------------------

def test_receiver_takes_octet_counted_lines() -> None:
    import socket

    taken: list[tuple[str, bytes]] = []
    done = threading.Event()

    def take(sender: str, line: bytes) -> None:
        taken.append((sender, line))
        if len(taken) == 2:
            done.set()

    receiver = driver.Receiver("127.0.0.1", take)
    try:
        with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
            connection.sendall(b"5 hello12 with a space")
            assert done.wait(5)
    finally:
        receiver.close()
    assert taken == [("127.0.0.1", b"hello"), ("127.0.0.1", b"with a space")]


def test_probe_tells_codes_refusals_and_timeouts_apart() -> None:
    import http.server
    import socket

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    silent = socket.create_server(("127.0.0.1", 0))
    quick = engine.Check(5, 0.2, 3, 2, "/health", "traffic-port", ((200, 200),))
    try:
        assert driver.probe("127.0.0.1", server.server_port, quick) == Result(204)
        assert driver.probe("127.0.0.1", silent.getsockname()[1], quick) == Result(timed_out=True)
    finally:
        server.shutdown()
        server.server_close()
        silent.close()
    assert driver.probe("127.0.0.1", server.server_port, quick) == Result()


# -- starting and stopping, with a stand-in for the container ------------------------------------------------------------------

class StandIn:
    """Takes the place of `driver.Balancer`; the first `fails` starts find their ports taken."""

    fails = 0
    inside = "172.20.0.2"

    def __init__(self, *_: Any) -> None:
        self.plans: list[Plan] = []
        self.cuts: list[str] = []

    def start(self, ports: list[int], plan: Plan) -> None:
        if StandIn.fails:
            StandIn.fails -= 1
            raise driver.BalancerError("Bind for 127.0.0.1:8800 failed: port is already allocated")
        self.ports = ports

    def apply_latest(self, plan_now: Any) -> None:
        self.plans.append(plan_now())

    def cut(self, backend: str, server: str) -> None:
        self.cuts.append(server)


@pytest.fixture
def running(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An Api whose balancers start at once."""
    import types

    monkeypatch.setattr("localaws.elbv2.balancing.Balancer", StandIn)
    api.aws.spawn = lambda name, work: work()
    api.aws.services = {"hosts": types.SimpleNamespace(image=lambda: "image")}
    api.aws.network = types.SimpleNamespace(name="network", gateway="127.0.0.1")
    api.aws.docker, api.aws.labels = None, {}
    api.balancing._receiver = types.SimpleNamespace(port=1)  # type: ignore[assignment]
    StandIn.fails = 0
    return api


def test_a_load_balancer_becomes_active_and_follows_its_records(running: Api) -> None:
    made, fleet = balancer(running), group(running)
    listener(running, made["LoadBalancerArn"], fleet)
    assert call(running, "DescribeLoadBalancers")["LoadBalancers"][0]["State"] == {"Code": "active"}
    assert running.addresses() == {made["DNSName"]: "172.20.0.2"}
    call(running, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    call(running, "DeregisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    stand_in = running.balancing.balancers[made["LoadBalancerArn"]]
    assert [server.serving for server in stand_in.plans[-1].servers().values()] == [False], "it drains: no new requests"
    running.aws.clock.advance(300)
    running.balancing.tick()
    assert (stand_in.cuts, stand_in.plans[-1].servers()) == (["i-1_8080"], {})


def test_ports_that_somebody_took_are_replaced(running: Api) -> None:
    StandIn.fails = 1
    made = balancer(running)
    assert call(running, "DescribeLoadBalancers")["LoadBalancers"][0]["State"] == {"Code": "active"}
    held = running.stores[CTX]["load_balancers"][made["LoadBalancerArn"]]["ports"]
    assert running.balancing.balancers[made["LoadBalancerArn"]].ports == held


def test_a_balancer_that_cannot_start_says_why(running: Api) -> None:
    StandIn.fails = 2
    balancer(running)
    state = call(running, "DescribeLoadBalancers")["LoadBalancers"][0]["State"]
    assert state == {"Code": "failed", "Reason": "Bind for 127.0.0.1:8800 failed: port is already allocated"}


def test_records_survive_a_restart(api: Api) -> None:
    made, fleet = balancer(api), group(api)
    listener(api, made["LoadBalancerArn"], fleet)
    call(api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}])
    again = Api(api.aws)
    again.load(json.loads(json.dumps(api.dump())))
    assert health(again, fleet) == health(api, fleet) == {"i-1": ("initial", "Elb.InitialHealthChecking")}
    assert again.endpoints() == api.endpoints()


def test_no_balancer_starts_before_its_targets_answer_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop of the local AWS: hosts take their time to come back, perhaps to another address, and that is no fault of theirs."""
    fleet = group(api)
    arn = balancer(api)["LoadBalancerArn"]
    listener(api, arn, fleet)
    call(api, "RegisterTargets", TargetGroupArn=fleet, Targets=[{"Id": "i-1"}, {"Id": "i-2"}])
    targets = api.stores.targets(fleet)
    for key, target in targets.items():
        targets[key] = {**target, "state": "healthy" if target["id"] == "i-1" else "unhealthy"}
    api.aws.ec2.instances["i-1"] = ("10.0.0.99", "running")
    seen: list[str] = []

    def probe(address: str, port: int, check: Any) -> Result:
        seen.append(address)
        return Result(200 if seen.count(address) > 2 else None)

    monkeypatch.setattr(balancing.driver, "probe", probe)
    monkeypatch.setattr(balancing.driver, "Receiver", lambda *_: None)
    monkeypatch.setattr(balancing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(api.balancing, "_begin", lambda arn: seen.append(arn))
    api.aws.network, api.aws.every = SimpleNamespace(gateway=""), lambda *_: None
    api.start()
    assert seen == ["10.0.0.99"] * 3 + [arn], "one that was unhealthy before is not waited for"
    seen.clear()
    monkeypatch.setattr(balancing, "COME_BACK_SECONDS", 0.0)
    api.start()
    assert seen == ["10.0.0.99", arn], "nor one that does not come back"
