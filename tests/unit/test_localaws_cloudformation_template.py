"""CloudFormation's templates: text, references, parameters, rules, conditions, functions; each with what is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from localaws.cloudformation import intrinsics, template
from localaws.cloudformation.intrinsics import Scope
from localaws.cloudformation.schema import schemas
from localaws.cloudformation.stacks import default_zones, split_url
from localaws.cloudformation.template import UNKNOWN, TemplateError

ROOT = Path(__file__).parents[2]
ONE = "Resources: {A: {Type: 'AWS::SNS::Topic'}}\n"


def scope(text: str = ONE, parameters: dict[str, Any] | None = None, **more: Any) -> Scope:
    data = template.parse(text)
    pseudo = {"AWS::Region": "us-east-1", "AWS::AccountId": "000000000000", "AWS::Partition": "aws"}
    return Scope(data, template.bind(data, parameters or {}), pseudo, zones=lambda region: [f"{region}a", f"{region}b"], **more)


def value(text: str, **more: Any) -> Any:
    """Return what a YAML value of short-form functions resolves to."""
    data = template.parse(f"Parameters: {{List: {{Type: CommaDelimitedList, Default: 'x, y'}}, N: {{Type: Number, Default: 8080}}}}\n"
                          f"Mappings: {{M: {{k: {{v: 7}}}}}}\n{ONE}"
                          f"Outputs: {{O: {{Value: {text}}}}}")
    found = Scope(data, template.bind(data, {}), {"AWS::Region": "us-east-1"}, zones=lambda region: ["a", "b"],
                  ref=lambda name: f"<{name}>", attribute=lambda name, attribute: f"<{name}.{attribute}>",
                  exported=lambda name: f"<{name}>", **more)
    return intrinsics.resolve(data["Outputs"]["O"]["Value"], found)


@pytest.mark.parametrize(("text", "expected"), [
    ("!Ref A", "<A>"), ("!GetAtt A.TopicArn", "<A.TopicArn>"), ("!GetAtt [A, TopicArn]", "<A.TopicArn>"), ("!Ref N", "8080"),
    ("!Ref List", ["x", "y"]), ("!Join ['-', !Ref List]", "x-y"), ("!Join ['', [true, 1, x]]", "true1x"),
    ("!Select [1, !Ref List]", "y"), ("!Split [':', 'a:b:c']", ["a", "b", "c"]), ("!FindInMap [M, k, v]", 7),
    ("!Sub '${A}/${A.TopicArn}/${!Not}/${N}'", "<A>/<A.TopicArn>/${Not}/8080"), ("!Sub ['${x}-${N}', {x: !Ref A}]", "<A>-8080"),
    ("!GetAZs ''", ["a", "b"]), ("!ImportValue e", "<e>"), ("!Base64 hello", base64.b64encode(b"hello").decode()),
    ("!Cidr [10.20.0.0/16, 3, 10]", ["10.20.0.0/22", "10.20.4.0/22", "10.20.8.0/22"]), ("[1, !Ref AWS::NoValue, 2]", [1, 2]),
    ("{a: !Ref AWS::NoValue, b: 1}", {"b": 1})])
def test_functions(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(("text", "message"), [
    ("!Select [2, !Ref List]", "nonexistent value at index 2"), ("!Select [x, !Ref List]", "valid index"),
    ("!FindInMap [M, k, z]", "Unable to get mapping for M::k::z"), ("!FindInMap [Z, k, v]", "Mapping named 'Z' is not present"),
    ("!Join [a]", "every Fn::Join object requires two parameters"), ("!Sub [a, b, c]", "Fn::Sub"),
    ("!Cidr [10.0.0.0/24, 3, 8]", "does not hold 3 blocks"), ("!Split ['', a]", "Fn::Split")])
def test_functions_refuse_what_does_not_fit(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message.replace("[", r"\[").replace("(", r"\(")):
        value(text)


@pytest.mark.parametrize(("text", "message"), [
    ("Resources: {}", "At least one Resources member must be defined."), ("a: [", "YAML not well-formed"),
    ("{", "JSON not well-formed"), ("Resources: {A: {}}", "must contain a Type member"),
    ("Resources: {A: {Type: 'AWS::SNS::Topic', Propertys: {}}}", "Invalid template resource property 'Propertys'"),
    ("Resourses: {}\n" + ONE, "Invalid template property or properties [Resourses]"),
    ("Resources: {A: {Type: T, DependsOn: B}}", "Unresolved resource dependencies [B] in the Resources block of the template"),
    ("Resources: {A: {Type: T, Properties: {X: !Ref B}}}", "Unresolved resource dependencies [B] in the Resources block"),
    ("Resources: {A: {Type: T, Properties: {X: !Sub '${B}'}}}", "Unresolved resource dependencies [B] in the Resources block"),
    (ONE + "Outputs: {O: {Value: !Ref B}}", "Unresolved resource dependencies [B] in the Outputs block"),
    ("Resources: {A: {Type: T, Properties: {X: !GetAtt B.C}}}", "Fn::GetAtt references undefined resource B"),
    ("Resources: {A: {Type: T, Properties: {X: !Ref B}}, B: {Type: T, DependsOn: A}, C: {Type: T, DependsOn: A}}",
     "Circular dependency between resources: [A, B]"),
    ("Resources: {A: {Type: T, Condition: C}}", "Unresolved condition dependency C"),
    (ONE + "Conditions: {C: !Equals [!Ref A, x]}", "Cannot reference resources in the Conditions block"),
    ("Resources: {A-b: {Type: T}}", "non alphanumeric"), ("Resources: {A: {Type: T, DeletionPolicy: Keep}}", "Unrecognized DeletionPolicy"),
    (ONE + ONE, "duplicate key Resources"), ("Resources: {A: {Type: T, Properties: !Nonsense x}}", "Unrecognized function")])
def test_templates_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        template.parse(text)
    assert message in caught.value.message


def test_unknown_types_and_attributes_are_refused_and_known_ones_are_not() -> None:
    known = schemas("us-east-1")
    known.check(template.parse(ONE + "Outputs: {O: {Value: !GetAtt A.TopicArn}}"))
    with pytest.raises(TemplateError, match=r"Unrecognized resource types: \[AWS::SNS::Topik\]"):
        known.check(template.parse(ONE.replace("Topic", "Topik")))
    with pytest.raises(TemplateError, match="resource A does not support attribute type Nonsense in Fn::GetAtt"):
        known.check(template.parse(ONE + "Outputs: {O: {Value: !GetAtt A.Nonsense}}"))


def declared(**constraints: Any) -> dict[str, Any]:
    return {"Parameters": {"P": {"Type": "String", **constraints}}}


@pytest.mark.parametrize(("parameter", "good", "bad", "message"), [
    ({"AllowedValues": ["a", 2]}, "2", "b", "Parameter 'P' must be one of AllowedValues"),
    ({"AllowedPattern": "[a-z]+"}, "ab", "a1", "Parameter 'P' must match pattern [a-z]+"),
    ({"AllowedPattern": "[a-z]+", "ConstraintDescription": "letters"}, "ab", "1", "Parameter P failed to satisfy constraint: letters"),
    ({"MinLength": 2}, "ab", "a", "Parameter 'P' must contain at least 2 characters"),
    ({"MaxLength": "2"}, "ab", "abc", "Parameter 'P' must contain at most 2 characters"),
    ({"Type": "Number", "MinValue": 2}, "2", "1", "Parameter 'P' must be a number not less than 2"),
    ({"Type": "Number", "MaxValue": 2}, "2", "3", "Parameter 'P' must be a number not greater than 2"),
    ({"Type": "Number"}, "1.5", "x", "Parameter 'P' must be a number.")])
def test_parameter_constraints(parameter: dict[str, Any], good: str, bad: str, message: str) -> None:
    assert template.bind(declared(**parameter), {"P": good}) == {"P": good}
    with pytest.raises(TemplateError) as caught:
        template.bind(declared(**parameter), {"P": bad})
    assert caught.value.message == message


def test_parameters_missing_and_unknown() -> None:
    with pytest.raises(TemplateError, match=r"Parameters: \[P\] must have values"):
        template.bind(declared(), {})
    with pytest.raises(TemplateError, match=r"Parameters: \[Q\] do not exist in the template"):
        template.bind(declared(Default="x"), {"Q": "1"})
    assert template.bind(declared(Default=True), {}) == {"P": "true"}


CONDITIONAL = """
Parameters: {Three: {Type: String, Default: 'false'}}
Rules:
  Sane:
    RuleCondition: !Equals [!Ref Three, 'true']
    Assertions: [{Assert: !Contains [['true'], !Ref Three], AssertDescription: must be true}]
Conditions:
  HasThree: !Equals [!Ref Three, 'true']
  Both: !And [!Condition HasThree, !Not [!Equals [a, b]]]
Resources:
  A: {Type: 'AWS::SNS::Topic'}
  B: {Type: 'AWS::SNS::Topic', Condition: HasThree, DependsOn: A}
  C: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: !If [Both, !Ref B, none], Description: !If [Both, x, !Ref 'AWS::NoValue']}}
Outputs:
  O: {Condition: HasThree, Value: !Ref B}
"""


def test_conditions_decide_what_exists_and_what_depends_on_what() -> None:
    without = intrinsics.effective(scope(CONDITIONAL))
    assert list(without.resources) == ["A", "C"]
    assert without.needs["C"] == set()
    assert not without.outputs
    assert without.resources["C"]["Properties"] == {"Type": "String", "Value": "none"}
    with_it = intrinsics.effective(scope(CONDITIONAL, {"Three": "true"}))
    assert with_it.needs == {"A": set(), "B": {"A"}, "C": {"B"}}
    assert list(with_it.outputs) == ["O"]


def test_a_reference_to_what_a_condition_leaves_out_is_refused() -> None:
    text = CONDITIONAL.replace("Value: !If [Both, !Ref B, none]", "Value: !Ref B")
    intrinsics.effective(scope(text, {"Three": "true"}))
    with pytest.raises(TemplateError, match=r"Unresolved resource dependencies \[B\] in the Resources block"):
        intrinsics.effective(scope(text))


def test_rules_hold_or_refuse() -> None:
    text = CONDITIONAL.replace("[['true'], !Ref Three]", "[['other'], !Ref Three]")
    intrinsics.effective(scope(text))  # the rule's condition is false
    with pytest.raises(TemplateError, match="must be true"):
        intrinsics.effective(scope(text, {"Three": "true"}))


def test_what_is_unknown_stays_unknown_through_functions() -> None:
    known = Scope({}, {}, {}, ref=lambda name: UNKNOWN, attribute=lambda name, attribute: UNKNOWN)
    for item in ({"Fn::Sub": "${A}"}, {"Fn::Join": ["", ["a", {"Ref": "A"}]]}, {"Fn::Split": [",", {"Ref": "A"}]},
                 {"Fn::Select": [0, {"Ref": "A"}]}, {"Fn::Base64": {"Ref": "A"}}):
        assert intrinsics.resolve(item, known) is UNKNOWN
    assert intrinsics.resolve({"Fn::Select": [0, ["x", {"Ref": "A"}]]}, known) == "x"


@pytest.mark.parametrize(("url", "expected"), [
    ("https://b.s3.us-east-1.amazonaws.com/k/x.yaml", ("b", "k/x.yaml")), ("https://b.c.s3.amazonaws.com/k", ("b.c", "k")),
    ("https://s3.us-east-1.amazonaws.com/b/k/x", ("b", "k/x")), ("https://b.s3-eu-west-1.amazonaws.com/k", ("b", "k")),
    ("http://127.0.0.1:4566/b/k", ("b", "k"))])
def test_template_urls(url: str, expected: tuple[str, str]) -> None:
    assert split_url(url, "http://127.0.0.1:4566") == expected


@pytest.mark.parametrize("url", ["https://example.com/b/k", "http://b.s3.amazonaws.com/k", "https://b.s3.amazonaws.com/", "k.yaml"])
def test_template_urls_that_are_none(url: str) -> None:
    with pytest.raises(TemplateError, match="TemplateURL must be a supported URL"):
        split_url(url, "http://127.0.0.1:4566")


def test_every_template_of_the_project_is_understood() -> None:
    found = sorted((ROOT / "templates").rglob("*.yaml"))
    assert found
    for path in found:
        schemas("us-east-1").check(template.parse(path.read_text()))


@pytest.mark.parametrize(("default", "found"), [("cb", ["us-east-1b", "us-east-1c"]), ("", ["us-east-1a", "us-east-1b", "us-east-1c"])])
def test_the_zones_of_get_azs_are_those_with_a_default_subnet_or_all(default: str, found: list[str]) -> None:
    class Ec2:
        def client(self, service: str, region: str) -> Any:
            return self

        def describe_availability_zones(self) -> dict[str, Any]:
            return {"AvailabilityZones": [{"ZoneName": f"us-east-1{letter}"} for letter in "abc"]}

        def describe_subnets(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:
            assert Filters == [{"Name": "default-for-az", "Values": ["true"]}]
            return {"Subnets": [{"AvailabilityZone": f"us-east-1{letter}"} for letter in default]}

    assert default_zones(Ec2(), "us-east-1") == found
