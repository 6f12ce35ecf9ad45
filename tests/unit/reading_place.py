"""A service in five Regions as AWS would tell of it, behind botocore's own clients (tests/unit/inprocess.py): for the commands that only read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inprocess import InProcess
from scripts_fakes import FakeClock, Recorder, a_world
from test_scripts_ledger import FakeTable

from localaws.service import ServiceError
from scripts.core.world import World

ACCOUNT = "111122223333"
NOW = 1767225600.0
"""When the clock of these tests begins: 2026-01-01 00:00 UTC."""
HOUR, DAY = 3600.0, 86_400.0
GAMMA, PROD = ("us-east-1", "us-west-2"), ("us-east-1", "us-west-2", "eu-west-1")
OLD, GOOD, BAD, NEW = "0" * 40, "a" * 40, "b" * 40, "c" * 40
DIGEST = f"sha256:{'d' * 64}"
SECRET = "AKIA" + "Q" * 16
"""What no command may print; AWS's messages here hold it."""


class Aws(InProcess):
    """As above, and Regions that fail in all services but STS, and the answers that a client of one Region gives."""

    def __init__(self) -> None:
        super().__init__(account=ACCOUNT, principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/someone")
        self.dead: set[str] = set()
        self.regional: dict[tuple[str, str, str], Any] = {}
        self.local = False  # the target's line then names the account

    def _serve(self, service: str, operation: str, params: dict[str, Any], ctx: Any) -> dict[str, Any]:
        if ctx.region in self.dead and service != "sts":
            raise ServiceError("InternalFailure", "The request processing has failed because of an unknown error.", 500)
        answer = super()._serve(service, operation, params, ctx)
        return {**answer, **self.regional.get((service, operation, ctx.region), {})}


class Place:
    """Gamma in two Regions and prod in three; GOOD is last good of both and runs everywhere; BAD was taken back from prod's one-box a day ago."""

    def __init__(self, folder: Path) -> None:
        self.aws, self.table, self.clock, self.recorder = Aws(), FakeTable(), FakeClock(), Recorder()
        self.root = folder
        self.environ: dict[str, str] = {}
        for name, regions in (("gamma", GAMMA), ("prod", PROD), ("pipeline", ("us-east-1",))):
            kind = "pipeline" if name == "pipeline" else "environment"
            _write(folder, name, f"template: {kind}\naccount: '{ACCOUNT}'\nregions: [{', '.join(regions)}]\nneeds: [release-store]\n"
                                 "parameters: {ServiceName: sample}\n")
        self.deployments: dict[str, dict[str, Any]] = {}
        self.last: dict[str, tuple[str, str]] = {}
        self.gone: set[str] = set()
        self.executions: list[dict[str, Any]] = []
        self.actions: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        for name in ("prod-fleet", "prod-onebox", "gamma-fleet"):
            self.deploy(name, f"d-{name}", GOOD, ended=NOW - 3 * HOUR)
        self._ledger()
        self._record()
        history_of(self)

    def deploy(self, group: str, identity: str, commit: str, status: str = "Succeeded", ended: float | None = None, **more: Any) -> None:
        """A group's newest deployment, in every Region."""
        key = f"sample/Release/{commit[:7]}"
        self.aws.buckets.put("the-bucket", key, bundle(commit))
        self.deployments[identity] = {
            "deploymentId": identity, "status": status, "creator": "user", "createTime": (ended or NOW) - 600.0,
            "revision": {"revisionType": "S3", "s3Location": {"bucket": "the-bucket", "key": key, "bundleType": "zip", "version": "1"}},
            **({"completeTime": ended} if ended else {}), **more}
        good = identity if status == "Succeeded" else self.last.get(group, ("", ""))[0]
        self.last[group] = (good, identity)

    def never_deployed(self, group: str) -> None:
        """A group with hosts that no release has reached."""
        self.last[group] = ("", "")

    def world(self, recorder: Recorder | None = None) -> World:
        """What a command runs in."""
        here = a_world(self.root, self.aws, recorder or self.recorder, self.clock)
        return World(here.root, self.environ, here.console, here.clock, here.open_aws)

    def run(self, command: Any, *options: str, environment: str = "prod") -> str:
        """A command's output; it must succeed. Each run has a console of its own."""
        self.recorder = Recorder()
        assert command.main(["--env", environment, *options], self.world()) == 0, self.recorder.errors
        return self.recorder.text

    def _ledger(self) -> None:
        for name in ("gamma", "prod"):
            self.table.add(f"environment#{name}", name=name, desired=GOOD, last_good=GOOD, last_good_at=int(NOW - 3 * HOUR), goods=[GOOD, OLD],
                           blocked=None, rollback=None, override=None, version=3)
        self.table.release(OLD, int(NOW - 9 * DAY), bad=None, passed={"Gamma": int(NOW - 9 * DAY)}, revisions={})
        self.table.release(BAD, int(NOW - DAY), passed={"Gamma": int(NOW - DAY)}, revisions={},
                           bad={"reason": f"OneBox/Gate failed: alarm Faults fires; key {SECRET}", "where": "prod: OneBox/Gate", "at": int(NOW - DAY + 810)})
        location = {"bucket": "the-bucket", "key": f"sample/Release/{GOOD[:7]}", "bundleType": "zip"}
        passed = {stage: int(NOW - 3 * HOUR) for stage in ("Gamma", "OneBox", "Wave1")}
        self.table.release(GOOD, int(NOW - 4 * HOUR), bad=None, passed=passed, revisions={"prod/us-east-1/fleet": location})
        self.log(NOW - DAY + 811, "rollback", f"{BAD[:12]} is marked bad; every deployment group of prod goes back to {OLD[:12]}.", bad=BAD, to=OLD)
        self.log(NOW - DAY + 1011, "done", f"Every deployment group of prod runs {OLD[:12]} again.", to=OLD)
        self.log(NOW - DAY + 7200, "unblock", "someone lifted the block of prod: found it", by="someone", reason="found it")

    def log(self, at: float, kind: str, text: str, environment: str = "prod", **details: Any) -> None:
        """An entry of an environment's log."""
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.table.add(f"log#{environment}", f"{stamp}-abcdef", kind=kind, text=text, **details)

    def _record(self) -> None:
        record = self.aws.record
        record("cloudformation", "DescribeStacks", self._stack)
        record("codedeploy", "GetDeploymentGroup", self._group)
        record("codedeploy", "GetDeployment", lambda given: {"deploymentInfo": self.deployments[given["deploymentId"]]})
        record("codedeploy", "ListDeploymentTargets", lambda given: {"targetIds": ["i-1", "i-2"]})
        record("codedeploy", "BatchGetDeploymentTargets", self._targets)
        record("autoscaling", "DescribeAutoScalingGroups", self._hosts)
        record("cloudwatch", "DescribeAlarms", self._alarms)
        record("codepipeline", "GetPipelineState", lambda given: {"pipelineName": "sample", "stageStates": self.states})
        record("codepipeline", "ListPipelineExecutions", lambda given: _page("pipelineExecutionSummaries", self.executions, given))
        record("codepipeline", "ListActionExecutions", lambda given: _page("actionExecutionDetails", self.actions, given))
        record("codepipeline", "GetPipeline", lambda given: {"pipeline": declaration()})
        record("dynamodb", "GetItem", lambda given: self.table.get_item(**given))
        record("dynamodb", "Query", lambda given: self.table.query(**given))
        record("dynamodb", "BatchGetItem", lambda given: self.table.batch_get_item(**given))
        record("iam", "ListAccountAliases", {"AccountAliases": [], "IsTruncated": False})

    def _stack(self, given: dict[str, Any]) -> Mapping[str, Any]:
        name = given["StackName"]
        outputs: dict[str, str] = {}
        if name == "sample-pipeline":
            outputs = {"PipelineName": "sample", "LedgerTableName": "the-table"}
        elif name.startswith("sample-environment-"):
            environment = name.rpartition("-")[2]
            outputs = {"ApplicationName": f"sample-{environment}", "FleetDeploymentGroupName": f"{environment}-fleet", "EndpointUrl": "http://x.example",
                       "FleetCompositeAlarmName": f"{name}-fleet-high-severity"}
            if environment == "prod":
                outputs["OneBoxDeploymentGroupName"] = "prod-onebox"
        parameters = {"WindowDays": "MON TUE", "WindowHours": "08-15"} if name == "sample-pipeline" else {}
        return {"Stacks": [{
            "StackName": name, "StackId": f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{name}/1", "StackStatus": "UPDATE_COMPLETE",
            "CreationTime": NOW - 30 * DAY, "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]}]}

    def _group(self, given: dict[str, Any]) -> Mapping[str, Any]:
        name = given["deploymentGroupName"]
        if name in self.gone:
            raise ServiceError("DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {name}", 400)
        good, last = self.last[name]
        info: dict[str, Any] = {"deploymentGroupName": name, "applicationName": given["applicationName"],
                                "autoScalingGroups": [{"name": f"{name}-hosts", "hook": "a-hook"}]}
        for key, identity in (("lastSuccessfulDeployment", good), ("lastAttemptedDeployment", last)):
            if identity:
                of = self.deployments[identity]
                info[key] = {"deploymentId": identity, "status": of["status"], "createTime": of["createTime"],
                             **({"endTime": of["completeTime"]} if "completeTime" in of else {})}
        return {"deploymentGroupInfo": info}

    def _targets(self, given: dict[str, Any]) -> Mapping[str, Any]:
        status = {"Succeeded": "Succeeded", "InProgress": "InProgress"}.get(self.deployments[given["deploymentId"]]["status"], "Failed")
        return {"deploymentTargets": [{"deploymentTargetType": "InstanceTarget", "instanceTarget": {
            "targetId": one, "deploymentId": given["deploymentId"], "status": status, "lastUpdatedAt": NOW - 3 * HOUR}} for one in given["targetIds"]]}

    def _hosts(self, given: dict[str, Any]) -> Mapping[str, Any]:
        """Two hosts in each Auto Scaling group, the second still coming up."""
        return {"AutoScalingGroups": [{
            "AutoScalingGroupName": name, "MinSize": 2, "MaxSize": 2, "DesiredCapacity": 2, "DefaultCooldown": 300, "HealthCheckType": "EC2",
            "AvailabilityZones": ["us-east-1a"], "CreatedTime": NOW - 30 * DAY,
            "Instances": [{"InstanceId": one, "AvailabilityZone": "us-east-1a", "LifecycleState": state, "HealthStatus": "Healthy",
                           "ProtectedFromScaleIn": False} for one, state in (("i-8", "InService"), ("i-9", "Pending:Wait"))]}
            for name in given["AutoScalingGroupNames"]]}

    def _alarms(self, given: dict[str, Any]) -> Mapping[str, Any]:
        composite = {"AlarmName": (given.get("AlarmNames") or [""])[0], "StateValue": "OK", "StateReason": "all quiet", "StateUpdatedTimestamp": NOW - DAY}
        metric = {"AlarmName": f"{given.get('AlarmNamePrefix')}Faults", "StateValue": "OK", "StateUpdatedTimestamp": NOW - DAY}
        return {"CompositeAlarms": [composite], "MetricAlarms": []} if given.get("AlarmNames") else {"CompositeAlarms": [], "MetricAlarms": [metric]}


def _write(folder: Path, name: str, text: str) -> None:
    (folder / "parameters").mkdir(exist_ok=True)
    (folder / "parameters" / f"{name}.yaml").write_text(text)


def bundle(commit: str) -> bytes:
    """A revision's archive, as far as anyone looks into it."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("release.json", json.dumps({"commit": commit, "digest": DIGEST}))
    return held.getvalue()


def declaration() -> dict[str, Any]:
    """The pipeline's structure, as far as anyone reads it: two waves in prod."""
    def action(name: str, category: str, provider: str, **configuration: str) -> dict[str, Any]:
        return {"name": name, "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"}, "configuration": configuration}

    def gate(name: str, environment: str) -> dict[str, Any]:
        return action(name, "Invoke", "Lambda", FunctionName="gate", UserParameters=json.dumps({"do": name.lower(), "environment": environment}))

    def prod(stage: str) -> dict[str, Any]:
        return {"name": stage, "actions": [gate("Enter", "prod"), action("Deploy1", "Deploy", "CodeDeploy"), gate("Gate", "prod")]}

    return {"name": "sample", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline", "version": 1, "stages": [
        {"name": "Source", "actions": [action("Source", "Source", "CodeStarSourceConnection")]},
        {"name": "Build", "actions": [action("Build", "Build", "CodeBuild")]},
        {"name": "Gamma", "actions": [action("Deploy1", "Deploy", "CodeDeploy"), gate("Gate", "gamma")]},
        prod("OneBox"), prod("Wave1")]}


def execution(identity: str, commit: str, started: float, status: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A PipelineExecutionSummary."""
    summary = json.dumps({"ProviderType": "GitHub", "CommitMessage": message})
    revisions = [{"actionName": "Source", "revisionId": commit, "revisionSummary": summary}] if commit else []
    return {"pipelineExecutionId": identity, "status": status, "startTime": started, "lastUpdateTime": started + 5400, "sourceRevisions": revisions,
            "trigger": {"triggerType": "WebhookV2", "triggerDetail": "{}"}, **more}


def action(of: str, stage: str, name: str, started: float, seconds: float, status: str = "Succeeded", message: str = "",
           variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An ActionExecutionDetail."""
    declared = next(one for one in declaration()["stages"] if one["name"] == stage)
    kind = next(one for one in declared["actions"] if one["name"] == name)
    external = {"externalExecutionId": f"x-{of}-{stage}-{name}"} if kind["actionTypeId"]["category"] == "Deploy" else {}
    result = {**external, **({"errorDetails": {"code": "JobFailed", "message": message}} if message else {})}
    return {"pipelineExecutionId": of, "actionExecutionId": f"{of}-{stage}-{name}-{int(started)}", "stageName": stage, "actionName": name, "status": status,
            "startTime": started, "lastUpdateTime": started + seconds,
            "input": {"actionTypeId": kind["actionTypeId"], "configuration": kind["configuration"]},
            "output": {"executionResult": result, "outputVariables": dict(variables or {})}}


def way(of: str, begun: float, until: str, failed: str = "", message: str = "", committed: str = "") -> list[dict[str, Any]]:
    """The actions of an execution up to the stage `until`, two minutes each; the last is `failed` if that says so."""
    found: list[dict[str, Any]] = []
    at = begun
    for stage in declaration()["stages"]:
        for declared in stage["actions"]:
            over = stage["name"] == until and declared["name"] == (failed or stage["actions"][-1]["name"])
            status = "Failed" if over and failed else "Succeeded"
            variables = {"AuthorDate": committed, "AuthorDisplayName": "An Author"} if stage["name"] == "Source" and committed else None
            found.append(action(of, stage["name"], declared["name"], at, 110, status, message if status == "Failed" else "", variables))
            at += 120
            if over:
                return found[::-1]
    raise AssertionError(until)


def history_of(place: Place) -> None:
    """Five executions, newest first: under way, good, bad in prod, refused, and one whose build failed."""
    place.executions = [
        execution("e-5", NEW, NOW - 600, "InProgress", "Newer answers\n\nlong text"),
        execution("e-4", GOOD, NOW - 4 * HOUR, "Succeeded", "Better answers"),
        execution("e-3", BAD, NOW - DAY, "Failed", "Wrong answers"),
        execution("e-2", "e" * 40, NOW - 2 * DAY, "Failed", "Not in the freeze"),
        execution("e-1", "f" * 40, NOW - 3 * DAY, "Failed", "Does not compile"),
        execution("e-0", OLD, NOW - 9 * DAY, "Succeeded", "The first"),
    ]
    place.actions = [
        action("e-5", "Gamma", "Deploy1", NOW - 360, 10, "InProgress"),
        action("e-5", "Build", "Build", NOW - 480, 110),
        action("e-5", "Source", "Source", NOW - 600, 110),
        *way("e-4", NOW - 4 * HOUR, "Wave1", committed="2025-12-31T19:00:00Z"),
        *way("e-3", NOW - DAY, "OneBox", "Gate", f"alarm Faults fires; key {SECRET}", committed="2025-12-30T23:00:00Z"),
        *way("e-2", NOW - 2 * DAY, "OneBox", "Enter", "prod is frozen by hand"),
        *way("e-1", NOW - 3 * DAY, "Build", "Build", "exit status 1"),
        *way("e-0", NOW - 9 * DAY, "Wave1"),
    ]
    place.states = [{
        "stageName": stage["name"], "inboundTransitionState": {"enabled": True},
        "actionStates": [{"actionName": "x", "latestExecution": {"status": "Succeeded", "lastStatusChange": NOW - 2 * HOUR}}],
        "latestExecution": {"pipelineExecutionId": "e-4", "status": "Succeeded"}} for stage in declaration()["stages"]]


def _page(key: str, items: list[dict[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    start, most = int(given.get("nextToken") or 0), int(given.get("maxResults") or 100)
    more = {"nextToken": str(start + most)} if start + most < len(items) else {}
    return {key: items[start : start + most], **more}
