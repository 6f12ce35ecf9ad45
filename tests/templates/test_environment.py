"""What the environment's templates say in JSON and in tables is right under every condition: the functions read it, people see it."""

from __future__ import annotations

import ast
import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from template_files import ROOT, walk

from localaws.cloudformation import intrinsics
from localaws.cloudformation import template as engine
from localaws.cloudwatch import engine as cloudwatch
from localaws.cloudwatch.store import Bucket
from scripts.core import documents, fixed, removal, settings, stacks, templates

FOLDER = ROOT / "templates" / "environment"
PSEUDO = {"AWS::Region": "us-west-2", "AWS::AccountId": "111122223333", "AWS::Partition": "aws", "AWS::NoValue": engine.NO_VALUE}
SCOPE = {"group", "autoScalingGroup", "composite", "alarms", "loadBalancer", "targetGroup"}


def _value(name: str, spec: dict[str, Any]) -> str:
    """A value for a parameter: its own name, where nothing forbids that."""
    if spec["Type"] == "Number":
        return str(spec["AllowedValues"][-1] if "AllowedValues" in spec else spec.get("MinValue", 1))
    known = {"ServiceName": "sample", "EnvironmentName": "gamma", "ToolsAccountId": "999988887777", "ArtifactBucketName": "bucket"}
    known |= {"ArtifactKeyArn": "arn:aws:kms:us-west-2:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab"}
    known |= {"Scheme": "internal", "CanaryRuntime": "syn-python-selenium-14.0", "PermissionsBoundaryArn": ""}
    return known.get(name, ",".join(f"{name}{number}" for number in range(5)) if spec["Type"] == "CommaDelimitedList" else name)


def _resolved(file: str, resource: str, **given: str) -> dict[str, Any]:
    """A resource's properties, with the parameters given, and any value for the others."""
    data = engine.parse((FOLDER / f"{file}.yaml").read_text(encoding="utf-8"))
    values = {name: given.get(name, _value(name, spec)) for name, spec in data["Parameters"].items()}
    scope = intrinsics.Scope(data, engine.bind(data, values), PSEUDO)
    scope.ref, scope.attribute = lambda name: name, lambda name, attribute: f"{name}.{attribute}"
    found: dict[str, Any] = intrinsics.resolve(intrinsics.effective(scope).resources[resource]["Properties"], scope)
    return found


NO_ONE_BOX = {f"OneBox{name}": "" for name in ("DeploymentGroupName", "TargetGroupFullName", "CompositeAlarmName", "AutoScalingGroupName", "AlarmNames")}


@pytest.mark.parametrize("one_box", [True, False])
@pytest.mark.parametrize("others", [True, False])
def test_the_document_of_the_functions_is_json_of_the_contract(one_box: bool, others: bool) -> None:
    given = ({} if one_box else NO_ONE_BOX) | ({} if others else {"CanaryAlarmName": "", "TrafficDroppedAlarmName": ""})
    text = _resolved("control", "EnvironmentDocument", **given)["Value"]
    document = json.loads(text)
    assert set(document) == {"region", "account", "application", "endpoint", "composite", "alarms", "rollbackConfigs", "scopes"}
    assert document["rollbackConfigs"][:2] == ["RollbackConfigNames0", "RollbackConfigNames1"]
    assert document["alarms"] == ["BalancerFaultsAlarmName", *(["CanaryAlarmName", "TrafficDroppedAlarmName"] if others else [])]
    assert list(document["scopes"]) == (["fleet", "onebox"] if one_box else ["fleet"])
    assert all(set(scope) == SCOPE for scope in document["scopes"].values())
    # A standard parameter holds 4096 characters. CloudFormation makes no name of these longer than 100, and here each is its own parameter's.
    names = [value for value in walk(document) if isinstance(value, str)]
    assert len(text) + sum(100 - len(name) for name in names) < 4096


@pytest.mark.parametrize("given", [{}, NO_ONE_BOX])
def test_the_dashboard_is_json(given: dict[str, str]) -> None:
    widgets = json.loads(_resolved("dashboard", "Dashboard", **given)["DashboardBody"])["widgets"]
    titles = [widget["properties"].get("title", "") for widget in widgets]
    assert any("onebox" in title for title in titles) == (not given)
    assert {widget["properties"]["region"] for widget in widgets if widget["type"] == "metric"} == {"us-west-2"}


def test_the_composite_names_what_there_is_and_nothing_else() -> None:
    def named(**given: str) -> list[str]:
        return re.findall(r'ALARM\("([^"]+)"\)(?: OR |$)', _resolved("environment-alarms", "HighSeverity", **given)["AlarmRule"])

    assert named(CanaryRateMinutes="0", OneBoxCompositeAlarmName="") == ["FleetCompositeAlarmName", "BalancerFaults"]
    everything = ["FleetCompositeAlarmName", "BalancerFaults", "OneBoxCompositeAlarmName", "Canary", "TrafficDropped"]
    assert named(TrafficFloor="10") == everything


@pytest.mark.parametrize("rate", [1, 2, 5, 10])
@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5])
def test_the_canarys_alarm_looks_at_the_minutes_of_its_runs(rate: int, runs: int) -> None:
    alarm = _resolved("environment-alarms", "Canary", CanaryRateMinutes=str(rate), DatapointsToAlarm=str(runs))
    assert int(alarm["EvaluationPeriods"]) == runs * rate + 1


def test_the_canary_of_the_longest_names_may_write_its_log() -> None:
    service, environment = "a" + "b" * 15, "c" * 10
    role = _resolved("canary", "CanaryRole", ServiceName=service, EnvironmentName=environment, ArtifactBucketName="bucket")
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    (written,) = [one["Resource"] for one in statements if one is not engine.NO_VALUE and one["Sid"] == "WriteLogs"]
    name = _resolved("canary", "Canary", ServiceName=service, EnvironmentName=environment)["Name"]
    # Synthetics keeps 21 characters of the name: https://docs.aws.amazon.com/AmazonSynthetics/latest/APIReference/API_DeleteCanary.html
    group = "arn:aws:logs:us-west-2:111122223333:log-group:" + removal.canary_logs(name) + "1234abcd-12ab-34cd-56ef-1234567890ab"
    assert name == f"{service}-{environment}" and f"/cwsyn-{service}-cccc-1234" in group and fnmatchcase(group, written)
    assert not fnmatchcase(group.replace(f"cwsyn-{service}-", "cwsyn-another-"), written)


def test_what_cannot_be_changed_is_said_to_whoever_fills_it_in() -> None:
    template = templates.load(ROOT / "templates" / "environment.yaml")
    document = documents.parse(template.text, "environment.yaml", documents.TemplateLoader)
    said = {name for name, spec in document["Parameters"].items() if "Cannot be changed once deployed" in " ".join(spec["Description"].split())}
    declared = fixed.declared(template)
    assert set(declared) == said == {"VpcCidr", "ExistingVpcId", "Scheme"}
    assert {one.unless for one in declared.values()} - {""} <= set(declared)


@pytest.mark.parametrize(("deployed", "wanted", "refused"), [
    pytest.param("", "", ["VpcCidr"], id="a network of its own"),
    pytest.param("vpc-0123456789abcdef0", "vpc-0123456789abcdef0", [], id="an existing VPC: not used"),
    pytest.param("vpc-0123456789abcdef0", "", ["ExistingVpcId"], id="no longer the existing VPC"),
    pytest.param("", "vpc-0123456789abcdef0", ["VpcCidr", "ExistingVpcId"], id="now an existing VPC"),
])
def test_the_addresses_of_a_vpc_are_fixed_where_they_are_used(deployed: str, wanted: str, refused: list[str]) -> None:
    template, environment = templates.load(ROOT / "templates" / "environment.yaml"), settings.load(ROOT, "gamma", local=False)
    stack = stacks.Stack("id", "sample-environment-gamma", "CREATE_COMPLETE", "", {"VpcCidr": "10.20.0.0/16", "ExistingVpcId": deployed}, {}, {}, None)
    found = fixed.problems(template, environment, "us-east-1", stack, {"VpcCidr": "10.40.0.0/16", "ExistingVpcId": wanted})
    assert [problem.name for problem in found] == [f"{environment.file}: {name}" for name in refused]
    assert all(": A load balancer does not go to another VPC" in problem.reason for problem in found)


def test_the_canarys_handler_is_where_the_runtime_looks() -> None:
    code = _resolved("canary", "Canary")["Code"]
    module, function = code["Handler"].split(".")
    source = (FOLDER / code["S3Key"]).resolve() / "python" / f"{module}.py"
    assert function in {node.name for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("rate", "expression"), [("1", "rate(1 minute)"), ("5", "rate(5 minutes)")])
def test_the_canarys_rate_is_in_aws_grammar(rate: str, expression: str) -> None:
    assert _resolved("canary", "Canary", CanaryRateMinutes=rate)["Schedule"]["Expression"] == expression


@pytest.mark.parametrize(("seen", "state"), [
    pytest.param({"requests": 100}, "OK", id="all is well"),
    pytest.param({"requests": 100, "failed": 30}, "ALARM", id="answers with 5xx count always"),
    pytest.param({"requests": 100, "refused": 100, "armed": 0}, "OK", id="strangers knock before the first release"),
    pytest.param({"requests": 100, "failed": 30, "refused": 70, "armed": 0}, "ALARM", id="a first release that fails"),
    pytest.param({"requests": 100, "refused": 30, "armed": 1}, "ALARM", id="a container that is gone"),
    pytest.param({"requests": 100, "refused": 30}, "ALARM", id="nobody says whether it is armed"),
    pytest.param({"requests": 10, "refused": 10, "armed": 1}, "OK", id="below the floor"),
    pytest.param({"requests": 30, "failed": 1}, "OK", id="one alone says nothing"),
])
def test_faults_count_what_found_no_connection_once_there_is_a_release(seen: dict[str, int], state: str) -> None:
    alarm = _resolved("alarms", "Faults", Scope="fleet", FaultPercentThreshold="1", FaultRequestFloor="20", EvaluationPeriods="1", DatapointsToAlarm="1")
    names = {"RequestCount": "requests", "HTTPCode_Target_5XX_Count": "failed", "TargetConnectionErrorCount": "refused", "Armed": "armed"}

    def read(metric: dict[str, Any], start: float, end: float) -> Bucket:
        value = seen.get(names[metric["MetricName"]])
        if value is None:
            return Bucket()
        return Bucket({float(value): 1}) if metric["MetricName"] == "Armed" else Bucket({1.0: value})

    now = 1_700_000_000.0
    numbers = {key: float(alarm[key]) if key == "Threshold" else int(alarm[key]) for key in ("Threshold", "EvaluationPeriods", "DatapointsToAlarm")}
    wire = alarm | numbers
    verdict = cloudwatch.evaluate(wire, cloudwatch.points(wire, read, cloudwatch.end_of_range(now)), now)
    assert verdict is not None and verdict.state == state
