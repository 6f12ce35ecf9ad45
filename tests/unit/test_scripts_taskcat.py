"""What `make taskcat` reads of .taskcat.yml and of taskcat's report, and what it removes afterwards."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts import taskcat
from scripts.core import leftovers, tested, world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.errors import CommandError

ROOT = Path(__file__).resolve().parents[2]
SINCE = datetime(2026, 1, 2, tzinfo=UTC)
PAGE = """<html><body><table><tr><td class="text-left">header</td></tr>
<tr><td class="test-info"><h3>one</h3></td><td class="text-left">us-east-1</td><td class="text-left">tCaT-x-one-1</td>
<td class=test-green>CREATE_COMPLETE</td><td class="text-left"><a href="a.txt">View Logs </a></td></tr>
<tr class= test-footer><td colspan=5></td></tr>
<tr><td class="test-info"><h3>two</h3></td><td class="text-left">us-west-2</td><td class="text-left">tCaT-x-two-2</td>
<td class=test-red>CREATE_FAILED</td><td class="text-left"><a href="b.txt">View Logs </a></td></tr></table></body></html>"""


def summary(name: str, status: str, day: int = 3, root: str = "", kept: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"StackId": f"id-{name}", "StackName": name, "StackStatus": status, "CreationTime": datetime(2026, 1, day, tzinfo=UTC)}
    return found | ({"RootId": f"id-{root}", "ParentId": f"id-{root}"} if root else {})


class Account:
    """The few calls of `leftovers`: what is there, and what was deleted. `stuck` are stacks that cannot be deleted, `refused` other things."""

    def __init__(self, summaries: list[dict[str, Any]], resources: dict[str, list[dict[str, Any]]] | None = None) -> None:
        self.summaries, self.held, self.deleted = summaries, resources or {}, list[str]()
        self.stuck: set[str] = set()
        self.refused: dict[str, str] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}

    def client(self, service: str, region: str) -> Account:
        return self

    def get_paginator(self, name: str) -> Any:
        pages = {
            "list_stacks": lambda **_: [{"StackSummaries": self.summaries}],
            "describe_stack_events": lambda StackName: [{"StackEvents": self.events.get(StackName, [])}],
            "list_object_versions": lambda **_: [{"Versions": [{"Key": "k", "VersionId": "v"}]}, {"DeleteMarkers": [{"Key": "k", "VersionId": "w"}]}],
            "describe_log_groups": lambda logGroupNamePrefix: [{"logGroups": [{"logGroupName": f"{logGroupNamePrefix}1"}]}],
        }[name]
        return type("Pages", (), {"paginate": staticmethod(pages)})

    def list_stack_resources(self, StackName: str) -> dict[str, Any]:
        return {"StackResourceSummaries": self.held.get(StackName, [])}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        one = next(each for each in self.summaries if each["StackId"] == StackName)
        return {"Stacks": [{**one, "StackStatusReason": "it is held"}]}

    def delete_stack(self, StackName: str) -> None:
        one = next(each for each in self.summaries if each["StackId"] == StackName)
        one["StackStatus"] = "DELETE_FAILED" if one["StackName"] in self.stuck else "DELETE_COMPLETE"
        self._delete(one["StackName"])

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> None:
        self.deleted += [f"{Bucket}/{item['Key']}@{item['VersionId']}" for item in Delete["Objects"]]

    def _delete(self, name: str) -> None:
        if name in self.refused:
            raise ClientError({"Error": {"Code": self.refused[name], "Message": "no"}}, "Delete")
        self.deleted.append(name)

    def delete_bucket(self, Bucket: str) -> None:
        self._delete(Bucket)

    def delete_table(self, TableName: str) -> None:
        self._delete(TableName)

    def delete_repository(self, repositoryName: str, force: bool) -> None:
        self._delete(repositoryName)

    def schedule_key_deletion(self, KeyId: str, PendingWindowInDays: int) -> None:
        self._delete(KeyId)

    def delete_log_group(self, logGroupName: str) -> None:
        self._delete(logGroupName)


def remove(account: Account) -> list[str]:
    return leftovers.remove(account, "us-east-1", "x", SINCE, RealClock(), lambda line: None)  # type: ignore[arg-type]


def resource(kind: str, name: str, status: str = "DELETE_SKIPPED") -> dict[str, Any]:
    return {"ResourceType": kind, "PhysicalResourceId": name, "LogicalResourceId": "L", "ResourceStatus": status}


def test_only_stacks_of_the_project_and_the_run_are_found() -> None:
    account = Account([
        summary("tCaT-x-a-1", "DELETE_COMPLETE"), summary("tCaT-x-a-1-Child-1", "DELETE_COMPLETE", root="tCaT-x-a-1"),
        summary("tCaT-y-a-1", "CREATE_COMPLETE"), summary("tCaT-x-b-0", "CREATE_COMPLETE", day=1), summary("sample-gamma", "CREATE_COMPLETE"),
        summary("tCaT-x-c-Child", "CREATE_COMPLETE", root="sample-gamma"),
    ])
    assert [one["StackName"] for one in leftovers.of_project(account, "x", SINCE)] == ["tCaT-x-a-1", "tCaT-x-a-1-Child-1"]


def test_stacks_and_what_they_keep_are_removed() -> None:
    kept = [resource("AWS::S3::Bucket", "bucket"), resource("AWS::KMS::Key", "key"), resource("AWS::ECR::Repository", "images"),
            resource("AWS::Logs::LogGroup", "logs"), resource("AWS::DynamoDB::Table", "table"), resource("AWS::IAM::Role", "role", "DELETE_COMPLETE"),
            resource("AWS::Synthetics::Canary", "canary", "DELETE_COMPLETE")]
    account = Account([summary("tCaT-x-a-1", "CREATE_COMPLETE")], {"id-tCaT-x-a-1": kept})
    assert remove(account) == []
    assert sorted(account.deleted) == sorted([
        "tCaT-x-a-1", "bucket/k@v", "bucket/k@w", "bucket", "key", "images", "logs", "table", "/aws/lambda/cwsyn-canary-1"])


def test_what_stays_is_named_with_the_reason() -> None:
    account = Account([summary("tCaT-x-a-1", "CREATE_COMPLETE"), summary("tCaT-x-b-1", "DELETE_COMPLETE")],
                      {"id-tCaT-x-b-1": [resource("AWS::S3::Bucket", "bucket"), resource("AWS::KMS::Key", "key"), resource("AWS::EFS::FileSystem", "fs")]})
    account.stuck, account.refused = {"tCaT-x-a-1"}, {"bucket": "AccessDenied", "key": "KMSInvalidStateException"}
    left = remove(account)
    assert [line.partition(":")[0] for line in left] == ["stack tCaT-x-a-1 in us-east-1", "AWS", "AWS"]
    assert "it is held" in left[0] and "AccessDenied" in left[1] and "AWS::EFS::FileSystem fs" in left[2]


def test_a_failure_is_told_once_and_oldest_first() -> None:
    def event(name: str, reason: str, status: str = "CREATE_FAILED") -> dict[str, Any]:
        return {"LogicalResourceId": name, "ResourceType": "AWS::S3::Bucket", "ResourceStatus": status, "ResourceStatusReason": reason}

    account = Account([])
    account.events["id"] = [event("root", "The following resource(s) failed to create: [Bucket]. "), event("Other", "Resource creation cancelled"),
                            event("Nested", "Embedded stack x was not successfully created"), event("Bucket", "no"), event("First", "well", "CREATE_COMPLETE")]
    assert leftovers.failures(account, "id") == ["Bucket (AWS::S3::Bucket): no"]


def test_the_report_is_read() -> None:
    assert taskcat.rows(PAGE) == [
        taskcat.Row("one", "us-east-1", "tCaT-x-one-1", "CREATE_COMPLETE"), taskcat.Row("two", "us-west-2", "tCaT-x-two-2", "CREATE_FAILED")]
    assert taskcat.rows("<html></html>") == []


@pytest.fixture
def here(tmp_path: Path) -> tuple[world.World, io.StringIO]:
    out = io.StringIO()
    return world.World(tmp_path, {}, Console(out, out, live=False), RealClock(), lambda local, environ: Account([])), out  # type: ignore[arg-type,return-value]


def judge(here: tuple[world.World, io.StringIO], page: str | None, code: int = 0, left: int = 0) -> int:
    plan = tested.Plan("x", (tested.Case("one", "t", ("us-east-1",), {}),))
    if page is not None:
        (here[0].root / taskcat.REPORT).mkdir(parents=True)
        (here[0].root / taskcat.REPORT / "index.html").write_text(page, encoding="utf-8")
    return taskcat._judge(here[0], plan, [], code, ["Bucket: no"], left)


def test_a_run_is_good_when_every_stack_was_made_and_nothing_is_left(here: tuple[world.World, io.StringIO]) -> None:
    assert judge(here, PAGE) == 0


@pytest.mark.parametrize(("page", "code", "left", "words"), [
    (PAGE.replace("CREATE_COMPLETE", "CREATE_FAILED"), 0, 0, "one in us-east-1 did not reach"), (None, 0, 0, "did not reach"),
    (PAGE.replace("us-east-1", "us-east-2"), 0, 0, "did not reach"), (PAGE, 1, 0, "taskcat ended with 1"), (PAGE, 0, 2, "2 things are still there"),
])
def test_anything_else_fails_with_the_cause(here: tuple[world.World, io.StringIO], page: str | None, code: int, left: int, words: str) -> None:
    with pytest.raises(CommandError) as error:
        judge(here, page, code, left)
    assert words in str(error.value) and "Bucket: no" in str(error.value) and error.value.exit_code == 1


def test_the_file_says_which_copies_are_wanted() -> None:
    plan = tested.load(ROOT)
    assert {(copy.environment, copy.region) for copy in plan.copies} == {
        ("gamma", "us-east-1"), ("gamma", "us-west-2"), ("pipeline", "us-east-1"), ("pipeline", "us-west-2")}
    assert tested.regions_of(ROOT, "pipeline") == ("us-east-1", "us-west-2") and tested.regions_of(ROOT, "prod") == ()
    assert all(len(case.regions) >= 1 for case in plan.cases) and plan.project == "handsoff"


def test_without_the_file_nothing_more_is_packaged(tmp_path: Path) -> None:
    assert tested.load(tmp_path) == tested.Plan("", ()) and tested.regions_of(tmp_path, "gamma") == ()


def test_an_unknown_test_and_a_missing_file_are_wrong_use(here: tuple[world.World, io.StringIO]) -> None:
    assert taskcat.main([], here[0]) == 2
    (here[0].root / tested.FILE).write_text("project: {name: x}\ntests: {one: {template: t}}\n", encoding="utf-8")
    assert taskcat.main(["--tests", "two"], here[0]) == 2 and "no test two" in here[1].getvalue()
    assert taskcat.main([], here[0]) == 1 and "taskcat is not installed" in here[1].getvalue()
