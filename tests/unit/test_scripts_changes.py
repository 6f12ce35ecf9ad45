"""The table of a change set, and what it warns of."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from scripts_fakes import refusal

from scripts.core import changes, changesets
from scripts.core.changes import Change

STACK = "AWS::CloudFormation::Stack"


def change(
    logical_id: str, kind: str, action: str, replacement: str = "False", children: tuple[Change, ...] | None = None, **more: object
) -> Change:
    fields = {"properties": (), "policy": "", "physical_id": "", **more}
    return Change(logical_id, kind, action, replacement, children=children, **fields)  # type: ignore[arg-type]


TREE = (
    change("Alarms", STACK, "Modify", children=()),
    change(
        "Fleet",
        STACK,
        "Modify",
        children=(
            change("Group", "AWS::AutoScaling::AutoScalingGroup", "Modify", "True", properties=("AvailabilityZones",)),
            change("Role", "AWS::IAM::Role", "Modify", "Conditional", properties=("Policies", "Tags")),
            change("Old", "AWS::SNS::Topic", "Remove"),
        ),
    ),
    change("Topic", "AWS::SNS::Topic", "Add"),
)


def test_counts_leave_nested_stacks_themselves_out() -> None:
    assert changes.count(TREE) == changes.Counts(added=1, changed=1, replaced=1, removed=1)
    assert str(changes.count(())) == "nothing inside changes"
    assert str(changes.count(TREE)) == "1 added, 1 changed, 1 replaced, 1 removed"


def test_the_table_shows_each_change_once_under_its_stack() -> None:
    text = changes.render(TREE)
    lines = [line.split() for line in text.splitlines()]
    assert ["Fleet:"] in lines
    assert ["!", "Group", "AWS::AutoScaling::AutoScalingGroup", "REPLACED", "(AvailabilityZones)"] in lines
    assert ["~", "Role", "AWS::IAM::Role", "changed,", "may", "be", "replaced", "(Policies,", "Tags)"] in lines
    assert ["-", "Old", "AWS::SNS::Topic", "removed"] in lines
    assert ["~", "Alarms", STACK, "nothing", "inside", "changes"] in lines
    assert text.count("Fleet") == 1


def test_a_new_stack_is_one_line_unless_verbose() -> None:
    many = tuple(change(f"Topic{number}", "AWS::SNS::Topic", "Add") for number in range(5))
    tree = (change("Inner", STACK, "Add", children=many),)
    assert changes.render(tree) == "  Inner: + 5 added: SNS::Topic"
    assert changes.render(tree, verbose=True).count("AWS::SNS::Topic") == 5
    assert changes.resource_total(tree) == 6


def test_costly_replacements_are_warned_of() -> None:
    assert changes.warnings(TREE) == [
        "Fleet/Group (AWS::AutoScaling::AutoScalingGroup) is replaced: its hosts come up without a release until one is deployed"
    ]
    kept = change("Bucket", "AWS::S3::Bucket", "Remove", policy="Retain")
    lost = change("Bucket", "AWS::S3::Bucket", "Remove", policy="Delete")
    assert changes.warnings([kept]) == []
    assert len(changes.warnings([lost])) == 1
    assert "kept in the account" in changes.render([kept])


def test_a_description_is_read() -> None:
    read = changes.from_description(
        {
            "Action": "Modify",
            "LogicalResourceId": "Group",
            "ResourceType": "T",
            "Replacement": "True",
            "Details": [
                {"Target": {"Attribute": "Properties", "Name": "A"}},
                {"Target": {"Attribute": "Tags"}},
                {"Target": {"Attribute": "Properties", "Name": "A"}},
            ],
        },
        None,
    )
    assert read.replaces and read.properties == ("A", "Tags") and read.children is None


INNER = "arn:aws:cloudformation:us-east-1:000000000000:stack/root-Inner/1"


class Hierarchy:
    """Change sets by id, as DescribeChangeSet gives them; the root's in two pages. `policed`: to a caller whose policy names stacks."""

    def __init__(self, policed: bool = False) -> None:
        self.policed = policed

    def describe_change_set(self, ChangeSetName: str, StackName: str = "", NextToken: str = "") -> dict[str, object]:
        if self.policed and not StackName:
            message = f"not authorized to perform: cloudformation:DescribeChangeSet on resource: {ChangeSetName}"
            raise refusal("AccessDenied", message, "DescribeChangeSet")
        if StackName and StackName != {"root": "the-root", "inner": INNER}.get(ChangeSetName):
            raise refusal("ChangeSetNotFound", f"ChangeSet [{ChangeSetName}] does not exist", "DescribeChangeSet")

        def row(logical_id: str, **more: str) -> dict[str, object]:
            return {
                "ResourceChange": {
                    "Action": "Modify",
                    "LogicalResourceId": logical_id,
                    "ResourceType": STACK if more else "AWS::SNS::Topic",
                    **more,
                }
            }

        if ChangeSetName == "root" and not NextToken:
            return {
                "Status": "FAILED",
                "StatusReason": "Nested change set inner was not successfully created: Currently in FAILED.",
                "Changes": [row("A")],
                "NextToken": "2",
            }
        if ChangeSetName == "root":
            return {"Status": "FAILED", "Changes": [row("Inner", ChangeSetId="inner", PhysicalResourceId=INNER), row("Same", ChangeSetId="same")]}
        if ChangeSetName == "inner":
            return {"Status": "FAILED", "StatusReason": "Parameter Size must be a number", "Changes": []}
        return {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes.", "Changes": []}


def test_the_reasons_of_nested_change_sets_are_found() -> None:
    described = changesets.describe(Hierarchy(), "root", "the-root")
    assert [item["ResourceChange"]["LogicalResourceId"] for item in described["Changes"]] == ["A", "Inner", "Same"]
    assert changesets.nested_reasons(Hierarchy(), described) == [
        "Inner: Parameter Size must be a number",
        "Same: The submitted information didn't contain changes.",
    ]
    read = changesets._read(Hierarchy(), described)
    assert [one.children for one in read] == [None, (), ()]


def test_a_caller_whose_policy_names_stacks_sees_every_change_set_whose_stack_is_known() -> None:
    policed = Hierarchy(policed=True)
    described = changesets.describe(policed, "root", "the-root")
    # "Same" is only going to be made, and has no name: it stays closed, and nothing fails for that.
    assert [one.children for one in changesets._read(policed, described)] == [None, (), None]
    assert changesets.nested_reasons(policed, described) == ["Inner: Parameter Size must be a number"]


@pytest.mark.parametrize(("parameters", "reason", "sure"), [
    # Network has the root's own values alone: there is no third zone, whatever exists once the stacks do.
    ({"VpcCidr": "10.0.0.0/16", "AvailabilityZoneCount": "3"}, "Template error: Fn::Select  cannot select nonexistent value at index 2", True),
    # Deployment has a list of another stack's, of which there is one stand-in.
    ({"VpcCidr": "10.0.0.0/16", "FleetAlarmNames": "{{IntrinsicFunction:x}}"}, "Template error: Fn::Select cannot select nonexistent value at index 1", False),
    ({}, "Template error: Fn::Select cannot select nonexistent value at index 1", False),
    ({"AvailabilityZoneCount": "3"}, "Parameter x failed to satisfy constraint", False),
])
def test_a_selection_that_can_never_be_made_is_no_limit_of_the_preview(parameters: dict[str, str], reason: str, sure: bool) -> None:
    class Selecting(Hierarchy):
        def describe_change_set(self, ChangeSetName: str, StackName: str = "", NextToken: str = "") -> dict[str, object]:
            found = super().describe_change_set(ChangeSetName, StackName, NextToken)
            if ChangeSetName == "inner":
                found |= {"StatusReason": reason, "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]}
            return found

    described = changesets.describe(Selecting(), "root", "the-root")
    assert changesets._selects_what_is_not_there(Selecting(), described, frozenset({"10.0.0.0/16", "3", "sample"})) is sure


def test_a_nested_change_set_that_may_not_be_read_at_all_is_an_error() -> None:
    class Denied(Hierarchy):
        def describe_change_set(self, ChangeSetName: str, StackName: str = "", NextToken: str = "") -> dict[str, object]:
            if ChangeSetName == "inner":
                raise refusal("AccessDenied", "not authorized to perform: cloudformation:DescribeChangeSet on resource: x", "DescribeChangeSet")
            return super().describe_change_set(ChangeSetName, StackName, NextToken)

    described = changesets.describe(Denied(), "root", "the-root")
    with pytest.raises(ClientError, match="DescribeChangeSet"):
        changesets._read(Denied(), described)


def test_an_empty_change_set_is_told_from_a_failed_one() -> None:
    assert changesets.is_empty(
        "FAILED", "The submitted information didn't contain changes. Submit different information to create a change set."
    )
    assert changesets.is_empty("FAILED", "No updates are to be performed.")
    assert not changesets.is_empty("FAILED", "Parameter X must have a value")
    assert not changesets.is_empty("CREATE_COMPLETE", "")
