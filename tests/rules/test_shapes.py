"""A template of any shape is judged or left alone: no rule of ours and no check breaks off over one that is not as it should be.

What cfn-lint itself says of such shapes (E1001, E3002, E3012 …) hides nothing that a rule of ours would have said.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.rules import Rules
from cfnlint.template import Template

from scripts.checks import guard, resolved
from scripts.core import documents

ROOT = Path(__file__).resolve().parents[2]
BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
RULES = Rules.create_from_directory(str(ROOT / "scripts" / "rules"))
# What stands where something else is meant. The functions are not as CloudFormation takes them.
SHAPES: tuple[Any, ...] = (
    ["x"],
    {"x": {"y": "z"}},
    None,
    1.5,
    "text",
    {1: 2},
    {"Ref": "AWS::NoValue"},
    {"Ref": ["x"]},
    {"Fn::If": ["HasA", "a", "b", "c"]},
    {"Fn::Sub": [{"a": "b"}, ["c"]]},
    {"Fn::Transform": {"Name": "AWS::Include"}},
)


def judged(template: dict[str, Any], file: Path) -> None:
    """Every rule of ours is asked of a template; cfn-lint would catch what a rule raises, and call it E0002."""
    cfn = Template(str(file), template, ["us-east-1"])
    for name in RULES:
        RULES[name].match(cfn)


def template(**sections: Any) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", **sections}


def resource(kind: Any, properties: Any = None, **more: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties, **more}


GROUP = "AWS::AutoScaling::AutoScalingGroup"
POLICY = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish", "Resource": "*"}
# Each of these broke a rule off.
BROKE = {
    "a type that is a list": template(Resources={"A": resource(["x"])}),
    "a type that is a mapping": template(Resources={"A": resource({"Ref": "x"})}),
    "no mapping of resources": template(Resources=["x"]),
    "a resource that is a number": template(Resources={"A": 7, "B": resource("AWS::CloudFormation::Stack", ["x"])}),
    "no mapping of outputs": template(Resources={}, Outputs=1.5),
    "no mapping of parameters": template(Resources={"A": resource("AWS::Lambda::Function", {"Role": {"Ref": "B"}})}, Parameters=1.5),
    "a role without properties": template(
        Resources={"A": resource("AWS::Lambda::Function", {"Role": {"Fn::GetAtt": ["B", "Arn"]}}), "B": resource("AWS::IAM::Role", 1.5)}
    ),
    "allowed values that are the parameter itself": template(
        Parameters={"A": {"Type": "String", "AllowedValues": [{"Ref": "A"}]}},
        Resources={"B": resource("AWS::CloudWatch::Alarm", {"Namespace": {"Ref": "A"}, "MetricName": {"Ref": "A"}})},
    ),
    "an Fn::If of four": template(
        Resources={"A": resource("AWS::CloudWatch::Alarm", {"Namespace": {"Fn::If": ["C", "a", "b", "c"]}, "MetricName": "Errors"})}
    ),
    "dimensions that are numbers": template(
        Resources={"A": resource("AWS::CloudWatch::Alarm", {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": [1.5]})}
    ),
    "an alarm rule about what is no resource": template(
        Resources={"A": resource("AWS::CloudWatch::CompositeAlarm", {"AlarmRule": {"Fn::Sub": "ALARM(${B}) AND ALARM(B)"}}), "B": ["x"]}
    ),
    "an alarm without properties": template(
        Resources={"A": resource("AWS::CloudWatch::CompositeAlarm", {"AlarmRule": "ALARM(B)"}), "B": resource("AWS::CloudWatch::Alarm", 7)}
    ),
    "a target that is no resource": template(
        Resources={"A": resource("AWS::Events::Rule", {"Targets": [{"Arn": {"Ref": "B"}}, {"Arn": {"Ref": "C"}}]}), "B": True, "C": resource({"a": "b"})}
    ),
    "a permission without properties": template(
        Resources={
            "A": resource("AWS::Events::Rule", {"Targets": [{"Arn": {"Ref": "B"}}]}),
            "B": resource("AWS::Lambda::Function", {}),
            "C": resource("AWS::Lambda::Permission", True),
        }
    ),
    "a topic that is no resource": template(
        Resources={"A": resource("AWS::SNS::TopicPolicy", {"Topics": [{"Ref": "B"}], "PolicyDocument": {"Statement": [POLICY]}}), "B": 7}
    ),
    "a topic's key that is no resource": template(
        Resources={
            "A": resource("AWS::SNS::TopicPolicy", {"Topics": [{"Ref": "B"}], "PolicyDocument": {"Statement": [POLICY]}}),
            "B": resource("AWS::SNS::Topic", {"KmsMasterKeyId": {"Ref": "C"}}),
            "C": ["x"],
        }
    ),
    "policies of a group that are no mappings": template(
        Resources={"A": resource(GROUP, {}, CreationPolicy={"ResourceSignal": 1.5}, UpdatePolicy={"AutoScalingRollingUpdate": ["x"]})}
    ),
    "a launch template that is no resource": template(
        Resources={"A": resource(GROUP, {"LaunchTemplate": {"LaunchTemplateId": {"Ref": "B"}}}), "B": "text"}
    ),
    "a launch template without properties": template(
        Resources={"A": resource(GROUP, {"LaunchTemplate": {"LaunchTemplateId": {"Ref": "B"}}}), "B": resource("AWS::EC2::LaunchTemplate", ["x"])}
    ),
    "a group that a deployment group names, without properties": template(
        Resources={"A": resource("AWS::CodeDeploy::DeploymentGroup", {"AutoScalingGroups": [{"Ref": "B"}]}), "B": resource(GROUP, ["x"])}
    ),
    "a condition key that is a number": template(
        Resources={
            "A": resource("AWS::IAM::Role", {"AssumeRolePolicyDocument": {"Statement": [{"Effect": "Allow", "Condition": {"StringEquals": {1: 2}}}]}})
        }
    ),
    "an event pattern with a number for a field": template(Resources={"A": resource("AWS::Events::Rule", {"EventPattern": {1: 2}})}),
}


@pytest.mark.parametrize("broken", BROKE.values(), ids=BROKE)
def test_what_broke_a_rule_off(broken: dict[str, Any]) -> None:
    judged(copy.deepcopy(broken), ROOT / "templates" / "x.yaml")


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_a_child_of_any_shape(shape: Any, tmp_path: Path) -> None:
    """Rules that read a nested stack's template: each of its sections, and an entry of each, is something else."""
    stack = resource("AWS::CloudFormation::Stack", {"TemplateURL": "child.yaml", "Parameters": {"A": "1"}})
    taken = resource("AWS::Lambda::Function", {"Role": {"Fn::GetAtt": ["S", "Outputs.A"]}})
    whole = template(Parameters={"A": {"Type": "String"}}, Conditions={"A": True}, Resources={"A": resource("X")}, Outputs={"A": {"Value": "x"}})
    for section in ("Parameters", "Conditions", "Resources", "Outputs"):
        for changed in (shape, {"A": shape}, {"A": dict.fromkeys(("AllowedValues", "MinLength", "Type", "Value", "Condition", "Properties"), shape)}):
            (tmp_path / "child.yaml").unlink(missing_ok=True)
            (tmp_path / "child.yaml").write_text(yaml.safe_dump({**whole, section: changed}), encoding="utf-8")
            judged(template(Resources={"S": stack, "F": taken}), tmp_path / "parent.yaml")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_fixture_of_any_shape(path: Path) -> None:
    """What a rule is about is something else: each of the fixture's values in turn has the next shape."""
    fixture = documents.read(path, documents.TemplateLoader)
    places = list(_places(fixture))
    # Some of them, spread over the file, are enough to see a rule that takes shapes for granted.
    for number, place in enumerate(places[:: max(1, len(places) // 9)]):
        changed = copy.deepcopy(fixture)
        holder = changed
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = copy.deepcopy(SHAPES[number % len(SHAPES)])
        judged(changed, path)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in entries:
        yield (*above, step)
        yield from _places(inner, (*above, step))


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_values_of_any_shape_are_put_in(shape: Any, tmp_path: Path) -> None:
    """What the security policy is asked of can be made of any template with resources."""
    (tmp_path / "templates").mkdir()
    bucket = resource("AWS::S3::Bucket", {"BucketName": {"Fn::FindInMap": ["A", "B", "C"]}}, Metadata=shape, Condition="A")
    for section in ("Parameters", "Mappings", "Conditions"):
        for changed in (shape, {"A": shape}):
            text = yaml.safe_dump(template(Resources={"B": bucket, "C": shape}, **{section: changed}))
            (tmp_path / "templates" / "a.yaml").write_text(text, encoding="utf-8")
            for found in resolved.documents_of(tmp_path):
                assert guard._suppressed(found.document, "/Resources/B/Properties") == []
