"""A small world for the gate's handler: CodePipeline's jobs, CloudWatch in each Region, a ledger in memory, a clock.

The clients are boto3's own. A call is checked against botocore's model (required members, types, and lengths and patterns, which botocore leaves to the
service), then answered by a double that behaves: what was put is there, what was answered cannot be answered again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.validate import validate_parameters
from memory_table import MemoryTable

from configuration import Place, read
from gate import Tools, answer
from ledger import Item, Ledger
from model import Deployment, Group
from places import Document, ScopeDocument

COMMIT, OTHER = "c0ffee" * 6 + "c0ff", "0ddba11" * 5 + "0ddba"
START = 1_700_000_000.0
SECRET = "wJalrXUtnFEMI-not-to-be-logged"
REGIONS = ("us-east-1", "us-west-2", "eu-west-1")


class Refusal(Exception):
    """A double's error, by AWS's name for it."""


def client(service: str, double: Any) -> Any:
    """A boto3 client whose calls a double answers."""
    made = boto3.client(service, region_name="us-east-1", aws_access_key_id="AKIA", aws_secret_access_key="none")

    def given(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["given"] = dict(params)

    def called(model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        within_limits(model.input_shape, context["given"], model.name)
        try:
            told = getattr(double, xform_name(model.name))(**context["given"]) or {}
        except Refusal as error:
            return AWSResponse("", 400, {}, None), {"Error": {"Code": str(error), "Message": "no"}, "ResponseMetadata": {}}
        if model.output_shape is not None:
            validate_parameters(told, model.output_shape)
        return AWSResponse("", 200, {}, None), {**told, "ResponseMetadata": {}}

    made.meta.events.register_first("before-parameter-build.*.*", given)
    made.meta.events.register("before-call.*.*", called)
    return made


def within_limits(shape: Any, value: Any, where: str) -> None:
    """Check lengths and patterns of botocore's model."""
    if shape.type_name == "structure":
        for name, member in value.items():
            within_limits(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        assert len(value) <= shape.metadata.get("max", len(value)), where
        for member in value:
            within_limits(shape.member, member, where)
    elif shape.type_name == "string":
        assert shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)), f"{where}: {len(value)} characters"
        assert re.fullmatch(shape.metadata.get("pattern", ".*"), value, re.DOTALL), f"{where}: {value}"
        assert not shape.enum or value in shape.enum, f"{where}: {value}"
    elif shape.type_name == "integer":
        assert shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value), where


class Jobs:
    """CodePipeline's side of jobs: a job is answered once; with a token, it comes again."""

    def __init__(self) -> None:
        self.state = "InProgress"
        self.token: str | None = None
        self.text = ""
        self.told: list[str] = []
        self.percent: list[int] = []
        self.breaks: list[str] = []
        """Operations whose next call fails, as if the function had died before it."""
        self.inside: dict[str, str] = {}
        """Stages with an execution in them that goes on: {stage: execution id}."""

    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        """Which execution each stage saw last."""
        return {"stageStates": [{"stageName": stage, "latestExecution": {"pipelineExecutionId": execution, "status": "InProgress"}}
                                for stage, execution in self.inside.items()]}

    def _take(self, operation: str) -> None:
        if operation in self.breaks:
            self.breaks.remove(operation)
            raise Refusal("InternalFailure")
        if self.state != "InProgress":
            raise Refusal("InvalidJobStateException")

    def put_job_success_result(self, jobId: str, continuationToken: str | None = None, executionDetails: Any = None) -> None:
        """Done, or to be continued."""
        self._take("success" if continuationToken is None else "continue")
        self.token, self.text = continuationToken, executionDetails["summary"]
        self.told.append(self.text)
        self.percent.append(executionDetails["percentComplete"])
        if continuationToken is None:
            self.state = "Succeeded"

    def put_job_failure_result(self, jobId: str, failureDetails: Any) -> None:
        """Failed."""
        self._take("failure")
        assert failureDetails["type"] == "JobFailed"
        self.state, self.text = "Failed", failureDetails["message"]
        self.told.append(self.text)


class Watching:
    """CloudWatch in a Region: alarms with a history, and requests by target group."""

    def __init__(self, now: Callable[[], float], names: Mapping[str, bool]) -> None:
        self.now = now
        self.alarms: dict[str, dict[str, Any]] = {name: {"composite": composite, "state": "OK", "changed": START - 9000} for name, composite in names.items()}
        self.history: list[dict[str, Any]] = []
        self.requests: list[tuple[float, str, float]] = []
        """(minute, target group, how many)."""
        self.refuses: str | None = None
        self.history_asked = 0
        self.incomplete = False

    def set(self, name: str, state: str, at: float | None = None) -> None:
        """An alarm changes state."""
        at, alarm = self.now() if at is None else at, self.alarms[name]
        told = json.dumps({"version": "1.0", "oldState": {"stateValue": alarm["state"]}, "newState": {"stateValue": state}})
        self.history.append({"AlarmName": name, "AlarmType": _kind(alarm), "Timestamp": _moment(at), "HistoryItemType": "StateUpdate",
                             "HistorySummary": f"Alarm updated from {alarm['state']} to {state}", "HistoryData": told})
        alarm.update(state=state, changed=at)

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str] = ["MetricAlarm"], **_: Any) -> dict[str, Any]:  # noqa: B006
        """Only the kinds that were asked for."""
        self._refuse()
        found = [(name, alarm) for name, alarm in self.alarms.items() if name in AlarmNames and _kind(alarm) in AlarmTypes]
        told: dict[str, list[Any]] = {"MetricAlarms": [], "CompositeAlarms": []}
        for name, alarm in found:
            told[f"{_kind(alarm)}s"].append({"AlarmName": name, "StateValue": alarm["state"], "StateTransitionedTimestamp": _moment(alarm["changed"]),
                                             **({} if alarm["composite"] else {"TreatMissingData": "notBreaching"}), **alarm.get("told", {})})
        return told

    def describe_alarm_history(self, AlarmName: str, HistoryItemType: str, StartDate: Any, AlarmTypes: list[str] = ["MetricAlarm"],  # noqa: B006
                               ScanBy: str = "TimestampDescending", NextToken: str = "0") -> dict[str, Any]:
        """One item a page, so that pages are followed."""
        self._refuse()
        self.history_asked += 1
        items = sorted((item for item in self.history if item["AlarmName"] == AlarmName and item["AlarmType"] in AlarmTypes
                        and item["Timestamp"].timestamp() >= StartDate.timestamp()), key=lambda item: item["Timestamp"],
                       reverse=ScanBy == "TimestampDescending")
        page = int(NextToken)
        return {"AlarmHistoryItems": items[page:page + 1], **({"NextToken": str(page + 1)} if page + 1 < len(items) else {})}

    def get_metric_data(self, MetricDataQueries: list[Any], StartTime: Any, EndTime: Any) -> dict[str, Any]:
        """Sums of whole minutes from StartTime, rounded down, to EndTime, which is not within."""
        self._refuse()
        first, end, results = StartTime.timestamp() // 60 * 60, EndTime.timestamp(), []
        assert first < end
        for query in MetricDataQueries:
            stat = query["MetricStat"]
            assert (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"]) == ("AWS/ApplicationELB", "RequestCount")
            assert (stat["Stat"], stat["Period"]) == ("Sum", 60)
            target = {each["Name"]: each["Value"] for each in stat["Metric"]["Dimensions"]}["TargetGroup"]
            values = [count for minute, to, count in self.requests if to == target and first <= minute < end]
            results.append({"Id": query["Id"], "Timestamps": [_moment(first)] * len(values), "Values": values,
                            "StatusCode": "InternalError" if self.incomplete else "Complete"})
        return {"MetricDataResults": results}

    def _refuse(self) -> None:
        if self.refuses:
            raise Refusal(self.refuses)


class Invocations:
    """Lambda, as far as it is called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.refuses: str | None = None

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        """Note the call."""
        if self.refuses:
            raise Refusal(self.refuses)
        self.calls.append({"name": FunctionName, "type": InvocationType, **json.loads(Payload)})
        return {"StatusCode": 202}


class LedgerTable(MemoryTable):
    """The ledger's table; `broken` makes it fail, `on_get` is called with each id that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.on_get: Callable[[str], None] = lambda identity: None

    def get(self, identity: str, at: str) -> Item | None:
        """An item."""
        self._answer()
        self.on_get(identity)
        return super().get(identity, at)

    def put(self, item: Item, version: int | None) -> None:
        """Conditional on the version."""
        self._answer()
        super().put(item, version)

    def _answer(self) -> None:
        if self.broken:
            raise TimeoutError("no route to the table")


@dataclass
class Region:
    """What a Region shows."""

    document: Document
    watching: Watching
    groups: list[Group]
    broken: Exception | None = None


def alarms_of(region: str, scopes: tuple[str, ...]) -> dict[str, bool]:
    """Names of a Region's alarms, and whether each is a composite."""
    names = {"s-prod-high-severity": True, "s-prod-canary": False}
    for scope in scopes:
        names |= {f"s-prod-{scope}-high-severity": True, f"s-prod-{scope}-faults": False, f"s-prod-{scope}-latency": False}
    return names


@dataclass
class World:
    """A service in prod: one-box and fleet at home, fleets in two more Regions, all of them given the release a minute ago."""

    time: float = START
    jobs: Jobs = field(default_factory=Jobs)
    invocations: Invocations = field(default_factory=Invocations)
    table: LedgerTable = field(default_factory=LedgerTable)
    regions: dict[str, Region] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.codepipeline = client("codepipeline", self.jobs)
        self.functions = client("lambda", self.invocations)
        self.ledger = Ledger(self.table, now=self.now, sleep=lambda seconds: None)
        for region in REGIONS:
            scopes = ("fleet", "onebox") if region == "us-east-1" else ("fleet",)
            document = Document(region, "111111111111", "app", "http://x", "s-prod-high-severity", ("s-prod-canary",), ("third", "half", "all"), {
                scope: ScopeDocument(f"{scope}-group", f"{scope}-asg", f"s-prod-{scope}-high-severity", (f"s-prod-{scope}-faults", f"s-prod-{scope}-latency"),
                                     f"app/{region}/1", f"targetgroup/{region}-{scope}/1") for scope in scopes}, {})
            self.regions[region] = Region(document, Watching(self.now, alarms_of(region, scopes)), [self.group(region, scope) for scope in scopes])
        self.clients = {region: client("cloudwatch", here.watching) for region, here in self.regions.items()}

    def now(self) -> float:
        """The clock."""
        return self.time

    @staticmethod
    def group(region: str, scope: str, commit: str = COMMIT) -> Group:
        """A group whose last deployment brought a release."""
        location = {"bucket": f"artifacts-{region}", "key": f"{commit}.zip", "bundleType": "zip"}
        last = Deployment(f"d-{region}-{scope}", "Succeeded", commit, location, created=START - 600, ended=START - 60)
        return Group("prod", region, scope, "app", f"{scope}-group", last_attempted=last, last_successful=last)

    # What `places.Places` answers

    def document(self, place: Place) -> Document:
        """The environment's document."""
        if (broken := self.regions[place.region].broken) is not None:
            raise broken
        return self.regions[place.region].document

    def groups(self, place: Place) -> tuple[Group, ...]:
        """The groups."""
        return tuple(self.regions[place.region].groups)

    def client(self, place: Place, service: str) -> Any:
        """CloudWatch's client."""
        assert service == "cloudwatch"
        return self.clients[place.region]

    # What tests do

    def tools(self, **changed: Any) -> Tools:
        """What the handler works with."""
        configuration = read({"SERVICE": "s", "PIPELINE": "s", "LEDGER_TABLE": "t", "TOPIC_ARN": "arn", "STAGES": "OneBox=prod Wave1=prod Wave2=prod",
                              "PLACES": ";".join(f"prod {region} arn:role" for region in REGIONS), "BLOCKS": "prod", "ENTRY_STAGE": "OneBox", **self.variables})
        return replace(Tools(configuration, self.ledger, self, self.codepipeline, self.functions, "the-rollback-function", self.now), **changed)

    def event(self, parameters: Mapping[str, Any] | str) -> dict[str, Any]:
        """The event of the job as it stands."""
        text = parameters if isinstance(parameters, str) else json.dumps(parameters)
        data: dict[str, Any] = {"actionConfiguration": {"configuration": {"FunctionName": "gate", "UserParameters": text}},
                                "artifactCredentials": {"secretAccessKey": SECRET}}
        if self.jobs.token is not None:
            data["continuationToken"] = self.jobs.token
        return {"CodePipeline.job": {"id": "12345678-1234-1234-1234-123456789012", "accountId": "111111111111", "data": data}}

    def call(self, parameters: Mapping[str, Any] | str) -> None:
        """One call."""
        answer(self.event(parameters), self.tools())

    def run(self, parameters: Mapping[str, Any], during: Mapping[float, Callable[[], Any]] | None = None, step: float = 30) -> float:
        """Call until the job has ended, every `step` seconds; `during` maps seconds to what happens then. Returns how many seconds it took."""
        begun, events = self.time, dict(during or {})
        for _ in range(5000):
            for at in sorted(at for at in events if begun + at <= self.time):
                events.pop(at)()
            self.call(parameters)
            if self.jobs.state != "InProgress":
                return self.time - begun
            self.time += step
        raise AssertionError(f"no end: {self.jobs.text}")

    def callers(self, minutes: int = 600, count: float = 60) -> World:
        """Every target group is called, every minute."""
        for region, here in self.regions.items():
            first = self.time // 60 * 60
            here.watching.requests += [(first + 60 * minute, f"targetgroup/{region}-{scope}/1", count)
                                       for minute in range(minutes) for scope in here.document.scopes]
        return self

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the ledger's log."""
        return [entry for entry in self.ledger.newest_log("prod") if entry["kind"] == kind]


def _kind(alarm: Mapping[str, Any]) -> str:
    return "CompositeAlarm" if alarm["composite"] else "MetricAlarm"


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
