"""`make plan`: a change set shown and thrown away, or the same worked out with read-only rights; over the project's own tree, in process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from planning_place import ROOT, Place

from scripts import deploy, plan
from scripts.core import reads

FIXTURE = Path(__file__).parent / "fixtures" / "project"
GAMMA = ("--env", "gamma")
FLEET = "templates/environment/fleet.yaml"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gamma of the real tree as it is deployed."""
    with pytest.MonkeyPatch.context() as patch:
        return {source: _deploy(Place(tmp_path_factory.mktemp("place"), patch, source)).state() for source in (ROOT,)}


def _deploy(place: Place) -> Place:
    if not (place.root / "app").is_dir():
        place.edit("parameters/local/gamma.yaml", "FleetSize: 2", "FleetSize: 2\nregion_parameters: {us-east-1: {AmiId: ami-0123456789abcdef0}}")
    code, _, errors = place.run(deploy, *GAMMA, "--yes")
    assert code == 0, errors
    return place


@pytest.fixture
def place(deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Gamma of the real tree, deployed."""
    made = Place(tmp_path, monkeypatch)
    made.take_up(deployed[ROOT])
    return made


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Gamma of the small tree, in one Region."""
    return _deploy(Place(tmp_path, monkeypatch, FIXTURE))


def document(place: Place, *argv: str) -> dict[str, Any]:
    code, out, errors = place.run(plan, *GAMMA, "--json", *argv)
    assert code == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def of(found: dict[str, Any], region: str = "us-east-1") -> dict[str, dict[str, Any]]:
    """Entries by path, those of plain resources."""
    return {entry["path"]: entry for stack in found["stacks"] if stack["region"] == region for entry in stack["changes"]
            if entry["type"] != "AWS::CloudFormation::Stack"}


def hows(found: dict[str, Any]) -> set[str]:
    return {stack["how"] for stack in found["stacks"]}


def test_an_empty_account_has_everything_added_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, monkeypatch)
    code, out, _ = place.run(plan, *GAMMA, "--fail-on-replacement")
    assert code == 0 and "4 added (the stack is not there yet)" in out and "sample-release-store does not exist in us-east-1" in out
    assert set(place.aws.called) == {("sts", "GetCallerIdentity"), ("cloudformation", "DescribeStacks")}


def test_an_unchanged_tree_is_no_change_either_way(place: Place) -> None:
    for argv in ((), ("--read-only",)):
        code, out, _ = place.run(plan, *GAMMA, *argv)
        assert code == 0 and out.count(": no change\n") == 4 and "in all: no change" in out


EDITS = [
    ("hosts", "parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3", {"Fleet/Hosts"}),
    ("type", "parameters/gamma.yaml", "InstanceType: t3.small", "InstanceType: t3.large", {"Fleet/Hosts", "Fleet/LaunchTemplate"}),
    ("port", "parameters/gamma.yaml", "AppPort: 8080", "AppPort: 8081", {"Fleet/TargetGroup", "Access/HostIngressFromBalancer"}),
    ("network", "parameters/gamma.yaml", "VpcCidr: 10.20.0.0/16", "VpcCidr: 10.99.0.0/16", {"Network/Vpc", "Network/HostSubnetA", "Fleet/TargetGroup"}),
    ("name", "parameters/gamma.yaml", "EnvironmentName: gamma", "EnvironmentName: gamna", {"Deployment/PortParameter", "FleetAlarms/HighSeverity"}),
    ("canary", "parameters/local/gamma.yaml", "CanaryRateMinutes: 1", "CanaryRateMinutes: 0", {"Canary/Canary", "Canary/CanaryRole"}),
    ("egress", "parameters/local/gamma.yaml", "Egress: public", "Egress: one-nat", {"Network/NatAddressA", "Network/NatGatewayA"}),
    ("resource", FLEET, "Type: AWS::AutoScaling::AutoScalingGroup\n", "Type: AWS::AutoScaling::AutoScalingGroup\n    Metadata: {a: b}\n", {"Fleet/Hosts"}),
    ("hosts' name", FLEET, "      MinSize: ", "      AutoScalingGroupName: mine\n      MinSize: ", {"Fleet/Hosts"}),
    ("store", "templates/release-store.yaml", "Type: AWS::S3::Bucket\n", "Type: AWS::S3::Bucket\n    Metadata: {a: b}\n", {"ArtifactBucket"}),
]


@pytest.mark.parametrize(("file", "find", "to", "expected"), [edit[1:] for edit in EDITS], ids=[edit[0] for edit in EDITS])
def test_what_is_worked_out_is_what_a_change_set_says(place: Place, file: str, find: str, to: str, expected: set[str]) -> None:
    place.edit(file, find, to)
    made, worked_out = document(place), document(place, "--read-only")
    assert hows(made) <= {"change set", "no change"} and hows(worked_out) <= {"worked out", "no change"}
    said, found = of(made), of(worked_out)
    assert expected <= set(said) and set(said) == set(found)
    for path, entry in said.items():
        assert found[path]["action"] == entry["action"], path
        # CloudFormation calls it conditional where a property takes the id of something that is made anew; that id surely is another.
        allowed = {"True", "Conditional"} if entry["replacement"] == "Conditional" else {entry["replacement"]}
        assert found[path]["replacement"] in allowed, path


@pytest.mark.parametrize(("file", "find", "to", "name"), [
    ("parameters/gamma.yaml", "Scheme: internet-facing", "Scheme: internal", "Scheme"),
    ("parameters/gamma.yaml", "VpcCidr: 10.20.0.0/16", "VpcCidr: 10.40.0.0/16", "VpcCidr"),
])
def test_what_cannot_be_changed_is_told_and_refused_before_anything_is_begun(place: Place, file: str, find: str, to: str, name: str) -> None:
    place.edit("parameters/local/gamma.yaml", "CanaryRateMinutes: 1", "CanaryRateMinutes: 0")
    place.edit(file, find, to)
    for argv in ((), ("--read-only",)):
        (note,) = [note for stack in document(place, *argv)["stacks"] for note in stack["notes"] if "a deploy refuses this" in note and "us-east-1" in note]
        assert f"{name}: it is '{to.split(': ')[1]}', and sample-environment-gamma in us-east-1 was made with '{find.split(': ')[1]}'" in note
        assert "Next: write" in note and "make destroy ENV=gamma" in note
    place.aws.called.clear()
    place.aws.record("codedeploy", "ListDeployments", {"deployments": []})
    place.aws.record("cloudwatch", "DescribeAlarms", {"CompositeAlarms": []})
    code, out, errors = place.run(deploy, *GAMMA, "--yes")
    assert code == 2 and "sample-environment-gamma cannot be changed like this" in errors and f"gamma.yaml: {name}\n" in errors, out + errors
    assert not {"CreateChangeSet", "PutObject"} & {operation for _, operation in place.aws.called}
    place.edit(file, to, find)
    assert place.run(deploy, *GAMMA, "--yes")[0] == 0


def test_change_sets_are_deleted_again(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    def left() -> int:
        return sum(len(place.cloudformation.stores.at("000000000000", region)["change_sets"]) for region in ("us-east-1", "us-west-2"))
    before = left()
    assert hows(document(place)) == {"change set", "no change"}
    operations = [operation for service, operation in place.aws.called if service == "cloudformation"]
    assert left() == before and operations.count("CreateChangeSet") == operations.count("DeleteChangeSet") == 2


READ_ONLY = {"s3:PutObject", "s3:GetObject"} | {f"cloudformation:{name}*" for name in ("Create", "Delete", "Execute", "Update")}


def test_with_read_only_rights_it_is_worked_out_and_says_so(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    place.aws.denied = READ_ONLY
    code, out, _ = place.run(plan, *GAMMA)
    assert code == 0 and re.search(r"~  Hosts +AWS::AutoScaling::AutoScalingGroup +changed", out)
    assert "worked out from the deployed templates and the registry's schemas, not by CloudFormation" in out
    assert "note: no change set could be made: access denied: s3:PutObject" in out


def test_without_the_right_to_make_change_sets_alone_it_says_that(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    place.aws.denied = {"cloudformation:CreateChangeSet"}
    assert "access denied: cloudformation:CreateChangeSet" in str(document(place)["stacks"][-1]["notes"])


def test_read_only_calls_what_is_declared_and_nothing_else(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    place.aws.denied = READ_ONLY
    assert hows(document(place, "--read-only")) == {"worked out", "no change"}
    called = {f"{service}:{operation}" for service, operation in place.aws.called} - {"sts:GetCallerIdentity"}
    assert called == set(reads.PLAN) - set(reads.NAME)


def test_a_missing_read_is_an_error_that_names_it(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    place.aws.denied = {"cloudformation:ListStackResources"}
    code, _, errors = place.run(plan, *GAMMA, "--read-only")
    assert code == 1 and "Access denied: cloudformation:ListStackResources" in errors


def test_a_change_set_that_may_not_be_deleted_is_told(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    place.aws.denied = {"cloudformation:DeleteChangeSet"}
    notes = str(document(place)["stacks"])
    assert "is left behind: access denied: cloudformation:DeleteChangeSet" in notes


@pytest.mark.parametrize("argv", [(), ("--read-only",)], ids=["change set", "worked out"])
def test_a_replaced_group_of_hosts_is_a_loss(place: Place, argv: tuple[str, ...]) -> None:
    place.edit(FLEET, "      MinSize: ", "      AutoScalingGroupName: mine\n      MinSize: ")
    code, out, _ = place.run(plan, *GAMMA, *argv)
    assert code == 0 and "REPLACED because of AutoScalingGroupName" in out
    assert "LOST: Fleet/Hosts (AWS::AutoScaling::AutoScalingGroup) is replaced: its hosts come up without a release until one is deployed" in out
    assert "the same as in us-east-1" in out and "2 that hold something are lost" in out
    assert place.run(plan, *GAMMA, "--fail-on-replacement", *argv)[0] == 1
    entry = of(document(place, *argv))["Fleet/Hosts"]
    assert entry["level"] == "red" and entry["recreating"] == ["AutoScalingGroupName"]


def test_a_changed_fleet_passes_where_a_replaced_one_fails(place: Place) -> None:
    place.edit("parameters/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    assert place.run(plan, *GAMMA, "--fail-on-replacement")[0] == 0


@pytest.mark.parametrize("argv", [(), ("--read-only",)], ids=["change set", "worked out"])
@pytest.mark.parametrize(("policy", "word", "lost"), [("RetainExceptOnCreate", "removed, kept in the account", False), ("Delete", "removed", True)])
def test_a_removed_bucket_is_lost_unless_its_policy_keeps_it(small: Place, policy: str, word: str, lost: bool, argv: tuple[str, ...]) -> None:
    small.edit("templates/release-store.yaml", "DeletionPolicy: RetainExceptOnCreate", f"DeletionPolicy: {policy}\n    Metadata: {{a: b}}")
    assert small.run(deploy, *GAMMA, "--yes")[0] == 0
    path = small.root / "templates" / "release-store.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"  ArtifactBucket:.*?\n\n", "  Topic:\n    Type: AWS::SNS::Topic\n\n", before, flags=re.S).replace(
        "!Ref ArtifactBucket", "!GetAtt Topic.TopicName"), encoding="utf-8")
    code, out, errors = small.run(plan, *GAMMA, "--fail-on-replacement", *argv)
    assert code == int(lost), errors
    assert re.search(rf"- +ArtifactBucket +AWS::S3::Bucket +{word}\n", out) and ("LOST: ArtifactBucket" in out) is lost
    assert ("1 that holds something is lost" in out) is lost
    assert "+  Topic" in out


@pytest.mark.parametrize("argv", [(), ("--read-only",)], ids=["change set", "worked out"])
def test_a_removed_nested_stack_shows_what_goes_with_it(small: Place, argv: tuple[str, ...]) -> None:
    path = small.root / "templates" / "environment.yaml"
    path.write_text(re.sub(r"  Second:.*?\n\n", "", path.read_text(encoding="utf-8"), flags=re.S), encoding="utf-8")
    entry = of(document(small, *argv))["Second/Topic"]
    assert entry["action"] == "Remove" and entry["level"] == "yellow" and entry["physical_id"]


def test_a_stack_under_operation_is_worked_out(small: Place) -> None:
    small.edit("parameters/local/gamma.yaml", "FleetSize: 2", "FleetSize: 3")
    record = next(item for item in small.cloudformation.stores.at("000000000000", "us-east-1")["stacks"].values()
                  if item["StackName"] == "sample-environment-gamma")
    record["status"] = "UPDATE_IN_PROGRESS"
    found = document(small)
    assert set(of(found)) == {"Inner/Topic"} and "the stack is UPDATE_IN_PROGRESS" in str(found["stacks"][-1]["notes"])


def test_markdown_is_a_table_with_losses_in_red(place: Place) -> None:
    place.edit(FLEET, "      MinSize: ", "      AutoScalingGroupName: mine\n      MinSize: ")
    code, out, errors = place.run(plan, *GAMMA, "--markdown")
    assert code == 0 and out.startswith("### Plan of `gamma`: ") and "Target:" in errors
    rows = [line for line in out.splitlines() if line.startswith("| 🔴")]
    assert len(rows) == 1 and rows[0].count("|") == 6 and "**REPLACED because of AutoScalingGroupName" in rows[0]


def test_a_terminal_gets_colours_and_a_pipe_none(place: Place) -> None:
    from scripts.planning import shown
    from scripts.planning.shown import Section

    place.edit(FLEET, "      MinSize: ", "      AutoScalingGroupName: mine\n      MinSize: ")
    assert "\033" not in place.run(plan, *GAMMA)[1]
    from scripts.core.changes import Change

    lost = Section("s", "us-east-1", shown.CHANGE_SET, changes=(Change("Table", "AWS::DynamoDB::Table", "Modify", "True", (), "", ""),))
    assert any(line.startswith("\033[31m") for line in shown.text([lost], False, True))


def test_wrong_use_is_2(place: Place) -> None:
    assert place.run(plan, "--env", "nowhere")[0] == 2
    assert plan.main(["--env", "gamma", "--json", "--markdown"], None) == 2
    place.aws.account = "999988887777"
    assert place.run(plan, *GAMMA)[0] == 2


def test_the_project_is_what_these_tests_edit() -> None:
    for _, file, find, _, _ in EDITS:
        assert (ROOT / file).read_text(encoding="utf-8").count(find) == 1, f"{file} has changed: correct the test's edit {find!r}"
