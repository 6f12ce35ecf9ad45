"""What becomes of resources, worked out from two templates: cases."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.core import changes, documents, templates
from scripts.core.changes import Change
from scripts.core.stacks import Stack
from scripts.planning import compare, shown
from scripts.planning.compare import Compared
from scripts.planning.deployed import Deployed
from scripts.planning.schemas import schemas
from scripts.planning.shown import Section
from scripts.planning.values import FRESH, UNKNOWN, Scope, Token, tokens

PSEUDO = {"AWS::Region": "us-east-1", "AWS::AccountId": "111122223333", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}


def parse(text: str) -> Any:
    return documents.parse(text, "a template", documents.TemplateLoader)


def stood(text: str, parameters: dict[str, str] | None = None, outputs: dict[str, str] | None = None, children: dict[str, Deployed] | None = None) -> Deployed:
    document = parse(text)
    stack = Stack("arn:stack/s", "s", "CREATE_COMPLETE", "", parameters or {}, outputs or {}, {}, None)
    return Deployed(stack, document, {name: f"{name}-id" for name in document["Resources"]}, children or {})


def compared(old: str, new: str, before: dict[str, str] | None = None, after: dict[str, Any] | None = None) -> Compared:
    return compare.compare(stood(old, before), parse(new), after or before or {}, PSEUDO, lambda url: None, schemas("us-east-1"))


def words(found: Compared) -> list[str]:
    return [f"{change.logical_id}: {' '.join(changes.describe(change))}" for change in found.changes]


QUEUE = "Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {%s}\n"
TABLE = "Resources:\n  Table:\n    Type: AWS::DynamoDB::Table\n    DeletionPolicy: %s\n    UpdateReplacePolicy: %s\n    Properties: {TableName: %s}\n"


@pytest.mark.parametrize(("old", "new", "said"), [
    ("DelaySeconds: 1", "DelaySeconds: '1'", []),
    ("DelaySeconds: 1", "DelaySeconds: 2", ["Queue: ~ changed (DelaySeconds)"]),
    ("QueueName: a", "QueueName: b", ["Queue: ! REPLACED because of QueueName (QueueName)"]),
    ("QueueName: !Sub 'a-${AWS::Region}'", "QueueName: a-us-east-1", []),
    ("QueueName: !Join ['-', [a, b]]", "QueueName: !Select [1, !Split [',', 'x,a-b']]", []),
    ("QueueName: !If [Never, a, !Ref AWS::NoValue]", "", []),
])
def test_a_changed_property(old: str, new: str, said: list[str]) -> None:
    condition = "Conditions: {Never: !Equals [a, b]}\n"
    assert words(compared(condition + QUEUE % old, condition + QUEUE % new)) == said


def test_the_policies_say_what_is_kept() -> None:
    kept = compared(TABLE % ("Retain", "Retain", "a"), TABLE % ("Retain", "Retain", "b"))
    assert words(kept) == ["Table: ! REPLACED because of TableName, the old one is kept in the account (TableName)"]
    assert kept.changes[0].loss == "the new table is empty"  # Kept or not: what reads it finds nothing.
    assert words(compared(TABLE % ("Retain", "Delete", "a"), TABLE % ("Retain", "Retain", "b"))) == ["Table: ! REPLACED because of TableName (TableName)"]
    for policy, loss in (("Retain", ""), ("RetainExceptOnCreate", ""), ("Delete", "its items are gone")):
        gone = compared(TABLE % (policy, "Delete", "a"), QUEUE % "DelaySeconds: 1")
        assert {change.logical_id: change.loss for change in gone.changes} == {"Queue": "", "Table": loss}


NAMED = """
Parameters: {Name: {Type: String}}
Conditions: {HasName: !Not [!Equals [!Ref Name, '']]}
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Condition: HasName
    Properties: {QueueName: !Ref Name}
  Policy:
    Type: AWS::SQS::QueuePolicy
    Condition: HasName
    Properties: {Queues: [!Ref Queue], PolicyDocument: {Resource: !GetAtt Queue.Arn}}
  Named:
    Type: AWS::SSM::Parameter
    Condition: HasName
    Properties: {Name: !GetAtt Queue.QueueName, Value: x, Type: String}
"""


def test_what_uses_a_replaced_resource_changes_with_it() -> None:
    found = {change.logical_id: change for change in compared(NAMED, NAMED, {"Name": "a"}, {"Name": "b"}).changes}
    assert [found[name].replacement for name in ("Queue", "Policy", "Named")] == ["True", "False", "True"]


def test_a_condition_takes_resources_away_and_an_unknown_one_does_not() -> None:
    assert words(compared(NAMED, NAMED, {"Name": "a"}, {"Name": ""})) == ["Queue: - removed", "Policy: - removed", "Named: - removed"]
    unsure = {change.logical_id: change.replacement for change in compared(NAMED, NAMED, {"Name": "a"}, {"Name": UNKNOWN}).changes}
    assert unsure == {"Queue": "Conditional", "Policy": "False", "Named": "Conditional"}


GROUP = """
Resources:
  Hosts:
    Type: AWS::AutoScaling::AutoScalingGroup
    UpdatePolicy: {%s}
    Properties: {MinSize: 1, MaxSize: 1, VPCZoneIdentifier: [%s]}
"""


@pytest.mark.parametrize(("policy", "replacement"), [
    ("AutoScalingReplacingUpdate: {WillReplace: true}", "True"), ("AutoScalingRollingUpdate: {MaxBatchSize: 1}", "False")])
def test_hosts_are_replaced_as_their_update_policy_says(policy: str, replacement: str) -> None:
    found = compared(GROUP % (policy, "subnet-1"), GROUP % (policy, "subnet-2")).changes
    assert [change.replacement for change in found] == [replacement]
    assert bool(found[0].loss) is (replacement == "True")


CHILD = """
Parameters: {Size: {Type: Number, Default: 1}, Name: {Type: String, Default: n}}
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Ref Size, QueueName: !Ref Name}}
Outputs: {Arn: {Value: !GetAtt Queue.Arn}, Name: {Value: !Ref Name}, Fixed: {Value: x}}
"""
PARENT = """
Parameters: {Size: {Type: Number}, Name: {Type: String}}
Resources:
  Inner: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: inner, Parameters: {Size: !Ref Size, Name: !Ref Name}}}
  Other: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: !GetAtt Inner.Outputs.Arn, Name: !GetAtt Inner.Outputs.Name}}
  Third: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: !GetAtt Inner.Outputs.Fixed}}
"""


def nested(**after: str) -> dict[str, str]:
    child = stood(CHILD, {"Size": "1", "Name": "n"}, {"Arn": "arn:q", "Name": "n", "Fixed": "x"})
    found = compare.compare(stood(PARENT, {"Size": "1", "Name": "n"}, children={"Inner": child}), parse(PARENT), {"Size": "1", "Name": "n", **after},
                            PSEUDO, {"inner": parse(CHILD)}.get, schemas("us-east-1"))
    return {path: change.replacement for path, change in changes.flatten(found.changes)}


def test_a_nested_stack_changes_what_uses_its_changed_outputs_and_nothing_else() -> None:
    assert nested() == {}
    assert nested(Size="2") == {"Inner": "False", "Inner/Queue": "False"}
    assert nested(Name="m") == {"Inner": "False", "Inner/Queue": "True", "Other": "True"}


def test_what_cannot_be_known_is_a_note() -> None:
    other = compared(QUEUE % "DelaySeconds: 1", "Resources:\n  Queue:\n    Type: AWS::SNS::Topic\n")
    assert "which CloudFormation refuses" in other.notes[0]
    custom = "Resources:\n  Mine:\n    Type: Custom::Mine\n    Properties: {A: %s}\n"
    found = compared(custom % "1", custom % "2")
    assert words(found) == ["Mine: ~ changed (A)"] and "is not known here" in found.notes[0]
    assert "has a transform" in compared("Transform: AWS::Serverless-2016-10-31\n" + QUEUE % "", QUEUE % "").notes[0]
    outside = compared(QUEUE % "", "Resources:\n  In: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'https://x/y'}}\n")
    assert "is not looked into" in outside.notes[0]


def test_expressions() -> None:
    document = parse("Mappings: {M: {a: {b: [1, 2]}}}\nResources: {R: {Type: AWS::SQS::Queue}}")
    specs = templates.parameter_specs(parse("Parameters: {L: {Type: CommaDelimitedList}, S: {Type: 'AWS::SSM::Parameter::Value<String>'}, U: {Type: String}}"))
    scope = Scope(document, specs, {"L": "a, b", "S": "/name"}, PSEUDO, lambda name: FRESH, lambda name, attribute: Token(f"{name}.{attribute}"))

    def value(text: str) -> Any:
        return scope.value(parse(f"x: {text}")["x"])

    assert value("!Ref L") == ["a", "b"] and value("!FindInMap [M, a, b]") == ["1", "2"] and value("!FindInMap [M, a, c]") is UNKNOWN
    assert value("!Sub '${!A}-${AWS::Region}'") == "${A}-us-east-1" and value("!Sub ['${X}', {X: y}]") == "y"
    assert value("!Sub '${R.Arn}'") == value("!Sub '${R.Arn}'") != value("!Sub '${R.Url}'")
    assert value("!Sub '${R}-x'") is FRESH and value("!Join [',', [!Ref U]]") is UNKNOWN and tokens(value("!Ref S")) == {Token("the parameter /name")}
    assert value("!Select [5, [a]]") is UNKNOWN and value("!Split [',', 'a,b']") == ["a", "b"]
    assert value("!If [Unheard, a, a]") == "a" and value("!If [Unheard, a, b]") is UNKNOWN


def test_a_bucket_that_may_be_replaced_is_no_loss_but_is_counted() -> None:
    maybe = Change("Bucket", "AWS::S3::Bucket", "Modify", "Conditional", ("BucketName",), "", "", perhaps=("BucketName",))
    section = Section("s", "us-east-1", shown.WORKED_OUT, changes=(maybe,))
    assert shown.level(maybe) == "yellow" and not section.losses and shown.summary([section]).endswith("nothing is lost, 1 may be")
    assert changes.describe(maybe) == ("~", "changed, may be replaced because of BucketName (BucketName)")


def test_a_cell_cannot_break_its_table() -> None:
    odd = Change("A|B", "Custom::X", "Modify", "False", (), "", "")
    line = shown.markdown("gamma", [Section("s", "us-east-1", shown.CHANGE_SET, changes=(odd,))]).splitlines()[-1]
    assert "A\\|B" in line
