"""Alarms in `why`: the templates' own alarms on the real CloudWatch Api, over simulated deployments that they stop, in virtual time.

What is asked of boto3's clients is answered in process. Each cause is made to happen, and must be named first over the whole catalogue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from inprocess import InProcess

from localaws.cloudformation import intrinsics, template
from localaws.cloudformation.resources import fit
from localaws.cloudwatch.api import Api
from localaws.codedeploy.simulator import ACCOUNT, REGION, Simulation
from localaws.service import Context
from scripts.diagnosis import alarms, deployments, fired
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.case import Action, Alarm, Case, Deployment, Event, Group, Target
from scripts.diagnosis.judge import judge

TEMPLATES = Path(__file__).parents[2] / "templates/environment"
CTX = Context(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root", "key")
BALANCER, TARGETS, HOSTS = "app/sample/1234", "targetgroup/sample-fleet/5678", "sample-environment-gamma-Fleet-Group"
OF_TARGETS = {"LoadBalancer": BALANCER, "TargetGroup": TARGETS}
VALUES = {
    "ServiceName": "sample", "EnvironmentName": "gamma", "Scope": "fleet", "LoadBalancerFullName": BALANCER, "TargetGroupFullName": TARGETS,
    "AutoScalingGroupName": HOSTS, "FaultPercentThreshold": "5", "FaultRequestFloor": "20", "LatencyP50Seconds": "0.5", "LatencyP99Seconds": "2",
    "CpuPercentThreshold": "80", "EvaluationPeriods": "2", "DatapointsToAlarm": "1", "FleetCompositeAlarmName": "sample-gamma-fleet-high-severity",
    "OneBoxCompositeAlarmName": "", "CanaryRateMinutes": "1", "TrafficFloor": "10", "TrafficMinutes": "2"}


class Cloudwatch:
    """What the Api needs of the local AWS; its clock is the simulation's."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    def spawn(self, name: str, work: Any) -> None:
        work()

    def emit(self, *event: Any) -> None:
        pass


class Place:
    """A fleet of three hosts in three zones, five minutes in the first, watched by the templates' alarms; `each_second` is what is measured then."""

    def __init__(self, **group: Any) -> None:
        self.names = {name: f"sample-environment-gamma-{stack}-1A2B3C-{name}-4D5E6F"
                      for stack, names in (("FleetAlarms", ("Faults", "LatencyP50", "LatencyP99", "Cpu", "UnhealthyHosts")),
                                           ("EnvironmentAlarms", ("BalancerFaults", "Canary", "TrafficDropped"))) for name in names}
        self.simulation = Simulation(zonal={"firstZoneMonitorDurationInSeconds": 300, "monitorDurationInSeconds": 60},
                                     alarms=tuple(self.names.values()), **group)
        self.clock = self.simulation.clock
        self.cloudwatch = Api(Cloudwatch(self.clock))
        self.aws = InProcess({"cloudwatch": self.cloudwatch, "codedeploy": self.simulation.api})
        self.calls = Calls(self.aws)
        self.each_second: dict[tuple[str, str], tuple[dict[str, str], list[float]]] = {}
        self.good()
        for file in ("alarms.yaml", "environment-alarms.yaml"):
            self._create(file)
        self.simulation.watchers.append(self._second)
        self.simulation.run(240)
        self.deployment = ""

    def measure(self, metric: str, values: list[float], dimensions: Mapping[str, str] = OF_TARGETS, namespace: str = "AWS/ApplicationELB") -> None:
        """From now on, these values each second."""
        self.each_second[namespace, metric] = (dict(dimensions), values)

    def good(self) -> None:
        """Five quick requests a second, all is well."""
        self.measure("RequestCount", [1.0] * 5)
        self.measure("RequestCount ", [1.0] * 5, {"LoadBalancer": BALANCER})
        self.measure("TargetResponseTime", [0.01] * 5)
        self.measure("HTTPCode_Target_5XX_Count", [])
        self.measure("UnHealthyHostCount", [0.0])
        self.measure("CPUUtilization", [12.0], {"AutoScalingGroupName": HOSTS}, "AWS/EC2")
        self.measure("SuccessPercent", [100.0], {"CanaryName": "sample-gamma"}, "CloudWatchSynthetics")
        self.measure("Armed", [1.0], {"Service": "sample", "Environment": "gamma"}, "Handsoff")

    def ship(self, bad_after: float | None = 60.0, metric: str = "", values: list[float] | None = None, dimensions: Mapping[str, str] = OF_TARGETS,
             namespace: str = "AWS/ApplicationELB") -> Deployment:
        """Deploy; after some seconds a metric becomes what is given. The deployment at its end, as a reader makes it."""
        self.deployment = self.simulation.deploy("two")
        if bad_after is not None:
            self.simulation.run(bad_after)
            self.measure(metric, values or [], dimensions, namespace)
        self.simulation.finish(self.deployment)
        return self.read_deployment()

    def read_deployment(self) -> Deployment:
        """The deployment as a value."""
        info, group = self.simulation.info(self.deployment), self.simulation.call("GetDeploymentGroup", applicationName="app", deploymentGroupName="fleet")
        watched = tuple(each["name"] for each in group["deploymentGroupInfo"]["alarmConfiguration"]["alarms"])
        error = info.get("errorInformation") or {}
        return Deployment(
            id=self.deployment, region=REGION, application="app", group="fleet", scope="fleet", status=info["status"], created=info["createTime"],
            started=info.get("startTime"), ended=info.get("completeTime"), code=error.get("code", ""), message=error.get("message", ""),
            settings=Group("fleet", alarms=watched, alarms_enabled=True))

    def read(self, *names: str, since: float | None = None) -> tuple[Alarm, ...]:
        """The alarms, with the reader."""
        return alarms.read(self.calls, REGION, names or tuple(self.names.values()), self.clock.now() - 900 if since is None else since, self.clock.now() + 60)

    def case(self, deployment: Deployment | None = None, *names: str, actions: tuple[Action, ...] = ()) -> Case:
        """All of it."""
        found = self.read(*names)
        return Case("gamma", "sample", "deployment", self.clock.now(), deployments=(deployment,) if deployment else (), actions=actions, alarms=found)

    def gate(self, text: str) -> Action:
        """A gate's failed action."""
        return Action("Gamma", "Gate", "Failed", "Lambda", REGION, "gamma", message=text, started=self.clock.now() - 60, ended=self.clock.now())

    def _second(self, simulation: Simulation) -> None:
        for (namespace, metric), (dimensions, values) in self.each_second.items():
            if values:
                self.cloudwatch.record(ACCOUNT, REGION, namespace, metric.strip(), dimensions, self.clock.now(), values, "None")
        self.cloudwatch.tick()
        kept = self.cloudwatch.stores[CTX]["alarms"]
        simulation.world.alarm_states = {name: alarm["StateValue"] for name, alarm in kept.items() if "AlarmRule" not in alarm}

    def _create(self, file: str) -> None:
        data = template.parse((TEMPLATES / file).read_text())
        given = {key: value for key, value in VALUES.items() if key in data["Parameters"]}
        scope = intrinsics.Scope(data, template.bind(data, given), {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"})
        scope.ref = lambda name: self.names[name]
        client = self.aws.client("cloudwatch", REGION)
        for name, resource in intrinsics.effective(scope).resources.items():
            made = intrinsics.resolve(resource["Properties"], scope)
            method = "put_composite_alarm" if resource["Type"].endswith("CompositeAlarm") else "put_metric_alarm"
            getattr(client, method)(**fit(client, method, {"AlarmName": self.names.get(name, ""), **made}))


@pytest.fixture
def place() -> Place:
    return Place()


FAULTS = ("HTTPCode_Target_5XX_Count", [1.0] * 2)
STOPPED = [
    pytest.param({"metric": FAULTS[0], "values": FAULTS[1]}, "alarm-requests-failed", ("Faults (percent) is above 5 in 1 of 2 periods of 60 s", "answered 5xx"),
                 marks=pytest.mark.cause("alarm-requests-failed", "made")),
    pytest.param({"metric": "TargetConnectionErrorCount", "values": [1.0] * 2}, "alarm-connections-refused", ("found no connection, 0 were answered 5xx",),
                 marks=pytest.mark.cause("alarm-connections-refused", "made")),
    pytest.param({"metric": "TargetResponseTime", "values": [3.0] * 5}, "alarm-slow", ("is above 0.5",), marks=pytest.mark.cause("alarm-slow", "made")),
    pytest.param({"metric": "CPUUtilization", "values": [97.0], "dimensions": {"AutoScalingGroupName": HOSTS}, "namespace": "AWS/EC2"}, "alarm-cpu",
                 ("Average of CPUUtilization is above 80",), marks=pytest.mark.cause("alarm-cpu", "made")),
    pytest.param({"metric": "UnHealthyHostCount", "values": [1.0]}, "alarm-hosts-unhealthy", ("Unhealthy hosts is above 0",),
                 marks=pytest.mark.cause("alarm-hosts-unhealthy", "made")),
    pytest.param({"metric": "HTTPCode_ELB_5XX_Count", "values": [1.0] * 3, "dimensions": {"LoadBalancer": BALANCER}}, "alarm-balancer-faults",
                 ("answered 5xx by the load balancer itself",), marks=pytest.mark.cause("alarm-balancer-faults", "made")),
    pytest.param({"metric": "RequestCount ", "values": [], "dimensions": {"LoadBalancer": BALANCER}}, "alarm-traffic-dropped", ("is below 10 in 2 of 2",),
                 marks=pytest.mark.cause("alarm-traffic-dropped", "made")),
]


@pytest.mark.parametrize(("bad", "cause", "told"), STOPPED)
def test_an_alarm_that_stopped_a_deployment_is_explained(place: Place, bad: dict[str, Any], cause: str, told: tuple[str, ...]) -> None:
    deployment = place.ship(**bad)
    assert (deployment.status, deployment.code) == ("Stopped", "ALARM_ACTIVE")
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == cause
    match, text = verdict.first.match, "\n".join(verdict.first.match.evidence)
    assert (match.certainty, match.where) == ("certain", f"{REGION}/fleet")
    assert match.at is not None and deployment.started is not None and deployment.ended is not None and deployment.started < match.at <= deployment.ended
    assert all(each in text for each in told), text
    assert "its data points that fired it (UTC)" in text and f"it stopped deployment {deployment.id}" in text
    assert any("make rollback ENV=gamma" in step for step in match.fix)
    assert ("alarm-active-before", "the alarm was OK when the deployment was created") in verdict.ruled_out
    assert not [each.cause.id for each in verdict.others if each.match.certainty == "certain"]


@pytest.mark.parametrize(("bad", "cause"), [(each.values[0], each.values[1]) for each in STOPPED])
def test_alarms_that_stay_quiet_are_ruled_out_or_not_spoken_of(place: Place, bad: dict[str, Any], cause: str) -> None:
    deployment = place.ship(bad_after=None)
    assert deployment.status == "Succeeded"
    verdict = judge(place.case(deployment))
    assert verdict.first is None or not verdict.first.cause.id.startswith("alarm-")
    assert cause not in [each.cause.id for each in verdict.others]
    ruled_out = dict(verdict.ruled_out)
    assert "OK" in ruled_out.get(cause, "OK") and ruled_out["alarm-missing"] == "all 8 alarms that are named exist"


@pytest.mark.cause("alarm-canary-failed", "made")
def test_a_canary_that_fails_is_named_with_what_its_run_said(place: Place) -> None:
    place.aws.record("synthetics", "GetCanaryRuns", {"CanaryRuns": [
        {"Id": "2", "Name": "sample-gamma", "Status": {"State": "RUNNING"}, "Timeline": {"Started": 1.7e9}},
        {"Id": "1", "Name": "sample-gamma", "Status": {"State": "FAILED", "StateReason": "greets Grace, not Ada", "StateReasonCode": "CANARY_FAILURE"},
         "Timeline": {"Started": 1.7e9}, "ArtifactS3Location": "bucket/canary/us-east-1"}]})
    deployment = place.ship(metric="SuccessPercent", values=[0.0], dimensions={"CanaryName": "sample-gamma"}, namespace="CloudWatchSynthetics")
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-canary-failed"
    text = "\n".join(verdict.first.match.evidence)
    assert "greets Grace, not Ada" in text and "s3://bucket/canary/us-east-1" in text
    assert place.calls.unreadable == ()


def test_a_canary_whose_runs_may_not_be_read_is_named_all_the_same(place: Place) -> None:
    place.aws.denied = {"synthetics:GetCanaryRuns"}
    deployment = place.ship(metric="SuccessPercent", values=[0.0], dimensions={"CanaryName": "sample-gamma"}, namespace="CloudWatchSynthetics")
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-canary-failed"
    assert [each.permission for each in place.calls.unreadable] == ["synthetics:GetCanaryRuns"]


@pytest.mark.cause("alarm-active-before", "made")
def test_an_alarm_that_fired_before_the_deployment_began_is_not_the_releases(place: Place) -> None:
    place.measure(*FAULTS)
    place.simulation.run(120)
    deployment = place.ship(bad_after=None)
    assert deployment.code == "ALARM_ACTIVE"
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-active-before"
    assert (verdict.first.match.certainty, verdict.first.match.where) == ("certain", f"{REGION}/fleet")
    assert "after the alarm fired" in verdict.first.match.evidence[-1]
    assert "alarm-requests-failed" not in [each.cause.id for each in verdict.others]


@pytest.mark.cause("alarm-missing", "made")
def test_an_alarm_that_the_group_names_and_that_is_gone(place: Place) -> None:
    client = place.aws.client("cloudwatch", REGION)
    client.delete_alarms(AlarmNames=["sample-gamma-high-severity"])
    client.delete_alarms(AlarmNames=["sample-gamma-fleet-high-severity"])
    client.delete_alarms(AlarmNames=[place.names["Cpu"]])
    place.simulation.run(5)
    deployment = place.ship(bad_after=None)
    assert deployment.status == "Failed"
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-missing"
    assert place.names["Cpu"] in verdict.first.title and verdict.first.match.where == f"{REGION}/fleet"
    assert "make deploy ENV=gamma" in verdict.first.match.fix[0]


def test_an_alarm_that_a_gate_misses(place: Place) -> None:
    gate = place.gate(f"gamma Gamma: release aaa does not pass. Alarm gone of gamma/{REGION}/fleet does not exist: nobody watches.")
    first = judge(place.case(None, "gone", actions=(gate,))).first
    assert first is not None and (first.cause.id, first.match.where, first.match.certainty) == ("alarm-missing", f"{REGION}/fleet", "certain")


def test_an_alarm_that_is_missing_is_no_cause_where_a_hook_failed(place: Place) -> None:
    event = Event("ValidateService", "Failed", code="ScriptFailed", script="hooks/validate.sh", message="it broke", ended=1.0)
    deployment = dataclasses.replace(place.ship(bad_after=None), status="Failed", code="HEALTH_CONSTRAINTS",
                                     targets=(Target("i-1", "Failed", events=(event,)),), settings=Group("fleet", alarms=("gone",)))
    verdict = judge(place.case(deployment, "gone"))
    assert verdict.first is not None and verdict.first.cause.id == "deployment-hook-failed"
    assert "alarm-missing" not in [each.cause.id for each in verdict.others]


@pytest.mark.cause("alarm-without-data", "made")
def test_an_alarm_without_data_that_a_gate_waited_for(place: Place) -> None:
    client = place.aws.client("cloudwatch", REGION)
    client.put_metric_alarm(AlarmName="orders", Namespace="Shop", MetricName="Orders", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
                            ComparisonOperator="LessThanThreshold", TreatMissingData="missing")
    place.simulation.run(20)
    gate = place.gate(f"gamma Gamma: Not proven within 5 min: Alarm orders of gamma/{REGION}/fleet has no data: it has judged nothing.")
    verdict = judge(place.case(None, "orders", actions=(gate,)))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-without-data" and verdict.first.match.where == f"{REGION}/fleet"
    assert "aws cloudwatch list-metrics --region us-east-1 --namespace Shop --metric-name Orders" in verdict.first.match.fix[0]
    quiet = judge(place.case(None, "orders", actions=(place.gate("gamma Gamma: too few requests"), )))
    assert quiet.first is None or quiet.first.match.certainty != "certain"
    among = judge(place.case(None, "orders", place.names["Cpu"], actions=(place.gate("gamma Gamma: too few requests"), )))
    assert "alarm-without-data" not in [each.cause.id for each in (*((among.first,) if among.first else ()), *among.others)]


@pytest.mark.cause("alarm-fired", "made")
def test_an_alarm_of_an_adopters_own(place: Place) -> None:
    client = place.aws.client("cloudwatch", REGION)
    client.put_metric_alarm(AlarmName="too few orders", Namespace="Shop", MetricName="Orders", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
                            ComparisonOperator="LessThanThreshold", TreatMissingData="breaching", AlarmDescription="People buy nothing")
    client.put_composite_alarm(AlarmName="shop", AlarmRule=f'ALARM("{place.names["Cpu"]}") OR ALARM("too few orders")')
    place.simulation.run(20)
    gate = place.gate(f"gamma Gamma: release aaa does not pass. Alarm shop of gamma/{REGION}/fleet is firing.")
    verdict = judge(place.case(None, "shop", actions=(gate,)))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-fired" and verdict.first.match.certainty == "certain"
    assert verdict.first.title == f"Alarm too few orders fired in {REGION}/fleet"
    assert {"it is made of Shop Orders", "People buy nothing", "it is named by what failed"} <= set(verdict.first.match.evidence)


def test_a_gate_that_names_the_composite_leads_to_the_alarm_under_it(place: Place) -> None:
    place.measure(*FAULTS)
    place.simulation.run(60)
    gate = place.gate(f"gamma Gamma: release aaa does not pass. Alarm sample-gamma-high-severity of gamma/{REGION} is firing.")
    verdict = judge(place.case(None, "sample-gamma-high-severity", actions=(gate,)))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-requests-failed"
    assert (verdict.first.match.certainty, verdict.first.match.where) == ("certain", f"{REGION}/fleet"), "the alarm's stack says whose it is"
    of_fleet = place.gate(f"Alarm sample-gamma-fleet-high-severity of gamma/{REGION}/fleet is firing.")
    named = judge(place.case(None, "sample-gamma-fleet-high-severity", actions=(of_fleet,))).first
    assert named is not None and named.match.where == f"{REGION}/fleet"
    # The same composite of another Region is another alarm.
    elsewhere = judge(place.case(None, "sample-gamma-high-severity", actions=(place.gate("Alarm sample-gamma-high-severity of gamma/us-west-2 is firing."),)))
    assert elsewhere.first is not None and elsewhere.first.match.certainty == "likely"


def test_with_the_deployments_own_reader_the_alarm_is_all_that_is_named(place: Place) -> None:
    shipped = place.ship(metric=FAULTS[0], values=FAULTS[1])
    deployment = deployments.read(place.calls, REGION, shipped.id)
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and (verdict.first.cause.id, verdict.first.match.where) == ("alarm-requests-failed", f"{REGION}/fleet")
    assert verdict.others == (), "that an alarm stopped it goes without saying"
    place.aws.denied = {"cloudwatch:DescribeAlarms"}
    untold = judge(place.case(deployment)).first
    assert untold is not None and untold.cause.id == "deployment-stopped-by-alarm"


def test_an_alarm_that_is_quiet_again_is_read_from_its_history(place: Place) -> None:
    deployment = place.ship(metric=FAULTS[0], values=FAULTS[1])
    place.good()
    place.simulation.run(400)
    assert place.simulation.world.alarm_states[place.names["Faults"]] == "OK"
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-requests-failed"
    assert "its data points that fired it" in "\n".join(verdict.first.match.evidence)


def test_few_calls_are_made_whatever_fires(place: Place) -> None:
    place.measure(*FAULTS)
    place.measure("CPUUtilization", [97.0], {"AutoScalingGroupName": HOSTS}, "AWS/EC2")
    place.simulation.run(120)
    before = place.calls.count
    found = place.read("sample-gamma-high-severity", *place.names.values(), since=place.clock.now() - 180)
    assert sum(bool(each.fired) for each in found) == 4  # two metric alarms and the composites over them
    # Two DescribeAlarms (the Region's composite leads to the fleet's), a history for each that fired, one GetMetricData.
    assert place.calls.count - before == 2 + 4 + 1
    faults = next(each for each in found if each.name == place.names["Faults"])
    assert faults.parts["HTTPCode_Target_5XX_Count"] and faults.points and faults.proof
    assert faults.judged == (1, 2) and faults.metrics[0] == ("AWS/ApplicationELB", "RequestCount")
    before = place.calls.count
    place.read(*place.names.values(), since=place.clock.now() - 1)
    assert place.calls.count - before == 2, "what fired long before has no history to read: its alarm says when"


def test_nothing_is_made_of_alarms_that_may_not_be_read(place: Place) -> None:
    place.aws.denied = {"cloudwatch:DescribeAlarms"}
    deployment = place.ship(metric=FAULTS[0], values=FAULTS[1])
    case = place.case(deployment)
    assert case.alarms == () and [each.permission for each in place.calls.unreadable] == ["cloudwatch:DescribeAlarms"]
    first = judge(case).first
    assert first is None or not first.cause.id.startswith("alarm-")


def test_an_alarm_is_told_without_history_and_data_where_they_may_not_be_read(place: Place) -> None:
    deployment = place.ship(metric=FAULTS[0], values=FAULTS[1])
    place.aws.denied = {"cloudwatch:DescribeAlarmHistory", "cloudwatch:GetMetricData"}
    verdict = judge(place.case(deployment))
    assert verdict.first is not None and verdict.first.cause.id == "alarm-requests-failed"
    assert {each.permission for each in place.calls.unreadable} == {"cloudwatch:DescribeAlarmHistory", "cloudwatch:GetMetricData"}
    place.good()
    place.simulation.run(400)
    assert "alarm-requests-failed" not in dict(judge(place.case(deployment)).ruled_out), "it is OK now, and nobody knows since what"


def test_names_of_alarms_are_read_out_of_any_rule() -> None:
    rule = 'ALARM("a b") OR (NOT OK(arn:aws:cloudwatch:us-east-1:1:alarm:c) AND INSUFFICIENT_DATA(\'d\')) OR ALARM( e ) OR ALARM("a b") OR TRUE'
    assert alarms.named_in(rule) == ("a b", "c", "d", "e")


def test_an_expression_over_all_metrics_is_not_asked_for_beside_others() -> None:
    stat = {"Metric": {"Namespace": "N", "MetricName": "M"}, "Period": 60, "Stat": "Sum"}
    shared = {"AlarmName": "a", "Metrics": [{"Id": "m", "MetricStat": stat, "ReturnData": False}, {"Id": "e", "Expression": 'SUM(METRICS("m"))'}]}
    assert alarms._queries(shared, "a0") == []
    own = {"AlarmName": "a", "Metrics": [{"Id": "m", "MetricStat": stat, "ReturnData": False}, {"Id": "e1", "Expression": "IF(m > 1, m, FILL(m, 0))"}]}
    assert alarms._queries(own, "a0")[1][0]["Expression"] == "IF(a0_m > 1, a0_m, FILL(a0_m, 0))"


@pytest.mark.parametrize(("data", "points"), [
    ('{"startDate":"2014-04-09T18:44:00.000+0000","period":300,"recentDatapoints":[38.958,40.292]}', ((1397069040.0, 38.958), (1397069340.0, 40.292))),
    ({"recentDatapoints": [1.0], "evaluatedDatapoints": [{"timestamp": "2014-04-09T18:45:00.000+0000", "value": 2.0},
                                                        {"timestamp": "2014-04-09T18:44:00.000+0000"}]}, ((1397069100.0, 2.0),)),
    ("testing purposes", ()), (None, ())])
def test_data_points_are_read_as_cloudwatch_writes_them(data: Any, points: Any) -> None:
    """Source: the example of describe-alarm-history in the AWS CLI's reference; evaluatedDatapoints from "Alarm events and EventBridge"."""
    assert alarms._proof(data) == points


@pytest.mark.parametrize(("metrics", "comparison", "kind"), [
    ((("AWS/ApplicationELB", "RequestCount"),), "LessThanThreshold", "traffic"), ((("AWS/ApplicationELB", "RequestCount"),), "GreaterThanThreshold", "other"),
    ((("AWS/EC2", "StatusCheckFailed"),), "GreaterThanThreshold", "other"), ((("AWS/EC2", "CPUUtilization"),), "GreaterThanThreshold", "cpu"),
    ((("AWS/ApplicationELB", "UnHealthyHostCount"), ("Handsoff", "Armed")), "GreaterThanThreshold", "hosts"), ((), "", "other"),
    ((("AWS/ApplicationELB", "RequestCount"), ("Shop", "Orders")), "LessThanThreshold", "other")])
def test_alarms_are_known_by_their_metrics_not_by_their_names(metrics: Any, comparison: str, kind: str) -> None:
    assert fired.kind(Alarm("Faults", REGION, metrics=metrics, comparison=comparison)) == kind
