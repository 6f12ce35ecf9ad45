"""The operations of CloudWatch Synthetics that are served: canaries in Python, on a rate.

Groups, dry runs, blueprints, layers, several browsers, replicas, cron schedules and retries are refused by name.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from localaws import guards
from localaws.service import Context, Service, ServiceError, Stores
from localaws.synthetics import driver, engine

log = logging.getLogger("localaws.synthetics")

NAMESPACE = "CloudWatchSynthetics"
TICK_SECONDS = 1.0
_LAMBDA, _SYNTHETICS = "lambda.amazonaws.com", "synthetics.amazonaws.com"
_NAME = re.compile(r"[0-9a-z_-]{1,255}")
_KEPT = ("ArtifactS3Location", "ExecutionRoleArn", "Schedule", "RunConfig", "RuntimeVersion", "SuccessRetentionPeriodInDays",
         "FailureRetentionPeriodInDays", "VpcConfig", "ProvisionedResourceCleanup", "ArtifactConfig")
_UNSERVED = ("ResourcesToReplicateTags", "BrowserConfigs", "AddReplicaLocations", "RemoveReplicaLocations", "KmsKeyArn", "VisualReference",
             "VisualReferences", "DryRunId")
_RUNTIMES = ("syn-python-selenium-14.0",)
_UNSERVED_CODE = ("ZipFile", "BlueprintTypes", "Dependencies")


class Api(Service):
    """See the module. State: the table `canaries` by name (see `engine.Canary`), each with `description` (what GetCanary answers of
    its configuration), `environment`, `handler`, `code` (id of the zip below the state folder) and `tags`.
    """

    name = "synthetics"
    iam = "synthetics"

    def __init__(self, aws: Any) -> None:
        super().__init__(aws)
        self.stores = Stores()
        self.runner = driver.Runner(aws)

    # -- IAM, life ---------------------------------------------------------------------------------------------------------

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """Source: Service Authorization Reference, "Amazon CloudWatch Synthetics": creating and listing know no resource."""
        action = f"synthetics:{operation}"
        if operation in ("TagResource", "UntagResource", "ListTagsForResource"):
            return [(action, params["ResourceArn"])]
        if operation == "CreateCanary":
            return [(action, "*"), *([("synthetics:TagResource", _arn(ctx, params["Name"]))] if params.get("Tags") else [])]
        return [(action, _arn(ctx, params["Name"]) if "Name" in params else "*")]

    def start(self) -> None:
        """Begin to run what is due."""
        self.aws.every(TICK_SECONDS, "canaries", self.tick)

    def stop(self) -> None:
        """Remove the container; what ran is run again by the next start."""
        self.runner.forget()

    def dump(self) -> Any:
        """See `Service.dump`."""
        with self.lock:
            return self.stores.dump()

    def load(self, state: Any) -> None:
        """See `Service.load`."""
        self.stores.load(state)
        for account, region in self.stores.scopes():
            for canary in self.stores.at(account, region)["canaries"].values():
                engine.cut_off(canary, self.aws.clock.now())

    # -- canaries ----------------------------------------------------------------------------------------------------------

    def create_canary(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """CreateCanary: the caller must be allowed to pass the role, to read the code, and to make the function and layer behind it."""
        name = params["Name"]
        if not _NAME.fullmatch(name):
            raise _invalid(f"Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9a-z_\\-]+$")
        with self.lock:
            if name in self.stores[ctx]["canaries"]:
                raise _invalid(f"Canary with name {name} already exists.")
        identity, now = str(uuid.uuid4()), self.aws.clock.now()
        canary: dict[str, Any] = {
            "id": identity, "name": name, "state": "READY", "seconds": 0, "next_at": None, "busy": False, "started_at": None, "stopped_at": None,
            "created_at": now, "changed_at": now, "runs": [], "tags": dict(params.get("Tags") or {}), "environment": {},
            "description": {"SuccessRetentionPeriodInDays": 31, "FailureRetentionPeriodInDays": 31, "ProvisionedResourceCleanup": "OFF"}}
        for action, kind in (("CreateFunction", "function"), ("PublishLayerVersion", "layer")):
            self.aws.authorize(ctx, f"lambda:{action}", f"arn:aws:lambda:{ctx.region}:{ctx.account}:{kind}:{_function(canary)}")
        self._configure(ctx, canary, params)
        with self.lock:
            self.stores[ctx]["canaries"][name] = canary
            return {"Canary": self._described(ctx, canary)}

    def update_canary(self, ctx: Context, params: dict[str, Any]) -> None:
        """UpdateCanary: from the next run on."""
        with self.lock:
            canary = dict(self._canary(ctx, params["Name"]))
        function = f"arn:aws:lambda:{ctx.region}:{ctx.account}:function:{_function(canary)}"
        self.aws.authorize(ctx, "lambda:UpdateFunctionConfiguration", function)
        before = canary["seconds"]
        self._configure(ctx, canary, params)
        with self.lock:
            current = self._canary(ctx, params["Name"])
            current |= {key: canary[key] for key in ("description", "environment", "seconds", "handler", "code")}
            current["changed_at"] = self.aws.clock.now()
            if current["state"] == "RUNNING" and before != current["seconds"]:
                current["next_at"] = self.aws.clock.now()

    def _configure(self, ctx: Context, canary: dict[str, Any], params: dict[str, Any]) -> None:
        """Check the parameters of a new or changed canary and put them into its record."""
        code, schedule, run = params.get("Code") or {}, params.get("Schedule") or {}, params.get("RunConfig") or {}
        for holder, names in ((params, _UNSERVED), (code, _UNSERVED_CODE)):
            for name in names:
                if holder.get(name):
                    raise _invalid(f"{name} is not served by the local AWS")
        if schedule.get("RetryConfig", {}).get("MaxRetries") or schedule.get("DurationInSeconds") or run.get("ActiveTracing"):
            raise _invalid("Retries, a duration of the schedule and active tracing are not served by the local AWS")
        if not params.get("RuntimeVersion", "syn-python").startswith("syn-python"):
            raise _invalid(f"The local AWS runs canaries in Python only, not {params['RuntimeVersion']}")
        if schedule:
            try:
                canary["seconds"] = engine.seconds_of(schedule["Expression"])
            except engine.ScheduleError as error:
                raise _invalid(str(error)) from error
        if not params.get("ArtifactS3Location", "s3://").startswith("s3://"):
            raise _invalid(f"Invalid artifact location: {params['ArtifactS3Location']}")
        if role := params.get("ExecutionRoleArn"):
            self.aws.check_pass_role(ctx, role, _SYNTHETICS)
            try:
                guards.execution_role(self.aws, ctx, role, "canary")
            except ServiceError as error:
                raise _invalid(error.message) from error
        timeout = run.get("TimeoutInSeconds")
        if timeout and canary["seconds"] and timeout > canary["seconds"]:
            raise _invalid("The run's timeout must not be longer than the schedule's rate")
        if code:
            canary |= {"handler": code["Handler"], "code": self._kept(ctx, canary, code)}
        if "EnvironmentVariables" in run:
            canary["environment"] = dict(run["EnvironmentVariables"])
        canary["description"] = canary["description"] | {key: params[key] for key in _KEPT if key in params}
        canary["description"]["RunConfig"] = {key: value for key, value in canary["description"].get("RunConfig", {}).items()
                                              if key != "EnvironmentVariables"}

    def _kept(self, ctx: Context, canary: dict[str, Any], code: dict[str, Any]) -> str:
        """Keep the code's zip, read in the caller's name; return its id."""
        if not code.get("S3Bucket") or not code.get("S3Key"):
            raise _invalid("The local AWS takes a canary's code from S3: S3Bucket and S3Key")
        try:
            data = guards.code_object(self.aws, ctx, code["S3Bucket"], code["S3Key"], code.get("S3Version"))
        except ServiceError as error:
            raise _invalid(error.message) from error
        identity = f"{canary['id'][:8]}-{hashlib.sha256(data).hexdigest()[:16]}"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{identity}.zip").write_bytes(data)
        return identity

    @property
    def _folder(self) -> Path:
        return Path(self.aws.state_dir) / "canaries"

    def get_canary(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetCanary."""
        with self.lock:
            return {"Canary": self._described(ctx, self._canary(ctx, params["Name"]))}

    def describe_canaries(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeCanaries."""
        with self.lock:
            found = [self._described(ctx, canary) for name, canary in sorted(self.stores[ctx]["canaries"].items())
                     if name in (params.get("Names") or [name])]
        return _page(found, "Canaries", params, 20)

    def get_canary_runs(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """GetCanaryRuns: newest first."""
        if params.get("DryRunId") or params.get("RunType", "CANARY_RUN") != "CANARY_RUN":
            raise _invalid("Dry runs are not served by the local AWS")
        with self.lock:
            name = params["Name"]
            found = [_run(name, run) for run in self._canary(ctx, name)["runs"]]
        return _page(found, "CanaryRuns", params, 100)

    def describe_runtime_versions(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeRuntimeVersions: the newest of Python's; a canary here runs with whichever it names."""
        return _page([{"VersionName": name, "Description": "Python"} for name in _RUNTIMES], "RuntimeVersions", params, 100)

    def describe_canaries_last_run(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeCanariesLastRun."""
        with self.lock:
            found = [{"CanaryName": name, "LastRun": _run(name, canary["runs"][0])}
                     for name, canary in sorted(self.stores[ctx]["canaries"].items()) if canary["runs"] and name in (params.get("Names") or [name])]
        return _page(found, "CanariesLastRun", params, 100)

    def start_canary(self, ctx: Context, params: dict[str, Any]) -> None:
        """StartCanary."""
        with self.lock, _conflicts():
            engine.start(self._canary(ctx, params["Name"]), self.aws.clock.now())

    def stop_canary(self, ctx: Context, params: dict[str, Any]) -> None:
        """StopCanary."""
        with self.lock, _conflicts():
            engine.stop(self._canary(ctx, params["Name"]), self.aws.clock.now())

    def delete_canary(self, ctx: Context, params: dict[str, Any]) -> None:
        """DeleteCanary: its logs and artifacts stay."""
        with self.lock, _conflicts():
            canary = self._canary(ctx, params["Name"])
            engine.check_deletable(canary)
        if canary["description"]["ProvisionedResourceCleanup"] == "AUTOMATIC" or params.get("DeleteLambda"):
            self.aws.authorize(ctx, "lambda:DeleteFunction", f"arn:aws:lambda:{ctx.region}:{ctx.account}:function:{_function(canary)}")
        with self.lock:
            self.stores[ctx]["canaries"].pop(params["Name"], None)
        for file in self._folder.glob(f"{canary['id'][:8]}-*.zip"):
            file.unlink(missing_ok=True)

    # -- tags --------------------------------------------------------------------------------------------------------------

    def tag_resource(self, ctx: Context, params: dict[str, Any]) -> None:
        """TagResource (canaries)."""
        with self.lock:
            self._tagged(ctx, params["ResourceArn"])["tags"].update(params["Tags"])

    def untag_resource(self, ctx: Context, params: dict[str, Any]) -> None:
        """UntagResource."""
        with self.lock:
            for key in params["TagKeys"]:
                self._tagged(ctx, params["ResourceArn"])["tags"].pop(key, None)

    def list_tags_for_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        with self.lock:
            return {"Tags": dict(self._tagged(ctx, params["ResourceArn"])["tags"])}

    def _tagged(self, ctx: Context, arn: str) -> dict[str, Any]:
        found = self.stores[ctx]["canaries"].get(arn.rpartition(":canary:")[2])
        if found is None:
            raise ServiceError("NotFoundException", f"{arn} does not exist", 404)
        return found  # type: ignore[no-any-return]

    # -- records -----------------------------------------------------------------------------------------------------------

    def _canary(self, ctx: Context, name: str) -> dict[str, Any]:
        found = self.stores[ctx]["canaries"].get(name)
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"Canary not found: {name}", 404)
        return found  # type: ignore[no-any-return]

    def _described(self, ctx: Context, canary: dict[str, Any]) -> dict[str, Any]:
        function = f"arn:aws:lambda:{ctx.region}:{ctx.account}:function:{_function(canary)}:1"
        layer = f"arn:aws:lambda:{ctx.region}:{ctx.account}:layer:{_function(canary)}:1"
        times = {"Created": "created_at", "LastModified": "changed_at", "LastStarted": "started_at", "LastStopped": "stopped_at"}
        vpc = {"VpcConfig": {"VpcId": "", **canary["description"]["VpcConfig"]}} if "VpcConfig" in canary["description"] else {}
        return {**canary["description"], **vpc, "Id": canary["id"], "Name": canary["name"], "EngineArn": function, "Tags": dict(canary["tags"]),
                "Code": {"Handler": canary["handler"], "SourceLocationArn": layer},
                "ArtifactS3Location": canary["description"]["ArtifactS3Location"].removeprefix("s3://"),
                "Status": {"State": canary["state"]}, "Timeline": {key: canary[name] for key, name in times.items() if canary[name]}}

    # -- runs --------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Begin every run that is due, each on a thread of its own."""
        now = self.aws.clock.now()
        for account, region in self.stores.scopes():
            ctx = Context(account, region, "", "")
            with self.lock:
                for name, canary in self.stores[ctx]["canaries"].items():
                    if engine.due(canary, now):
                        run_id = str(uuid.uuid4())
                        engine.begin(canary, run_id, now)
                        self.aws.spawn(f"canary {name}", functools.partial(self._run, ctx, name, run_id))

    def _run(self, ctx: Context, name: str, run_id: str) -> None:
        with self.lock:
            canary = self._canary(ctx, name)
            began, handler, code_id, variables = self.aws.clock.now(), canary["handler"], canary["code"], dict(canary["environment"])
            role, timeout = canary["description"]["ExecutionRoleArn"], canary["description"].get("RunConfig", {}).get("TimeoutInSeconds")
            seconds, target = canary["seconds"], canary["description"]["ArtifactS3Location"]
        location, outcome = "", engine.Outcome("EXECUTION_FAILURE", "the local AWS could not run it", 0.0, "")
        try:
            # Lambda's time limit is what AWS gives where none is given, and never longer than the rate.
            limit = float(timeout or min(seconds or 840, 840))
            clients = self.aws.as_role(role, _LAMBDA, _function(canary)[:64])
            given = {**clients.environment(ctx.region), **variables, "AWS_LAMBDA_FUNCTION_NAME": _function(canary)}
            given.pop("AWS_ENDPOINT_URL", None)  # inside of the container AWS has its real names
            outcome = self.runner.run(code_id, (self._folder / f"{code_id}.zip").read_bytes(), handler, given, limit)
            location = self._leave(clients, ctx, canary, target, outcome, began)
        except (ServiceError, OSError) as error:
            outcome = engine.Outcome("EXECUTION_FAILURE", str(error), self.aws.clock.now() - began, "")
            log.warning("canary %s: %s", name, error)
        finally:
            with self.lock:
                engine.end(canary, run_id, outcome, location, self.aws.clock.now())
        log.info("canary %s in %s: %s %s", name, ctx.region, "failed" if outcome.code else "passed", outcome.reason)

    def _leave(self, clients: Any, ctx: Context, canary: dict[str, Any], target: str, outcome: engine.Outcome, began: float) -> str:
        """Publish metrics, log and artifacts of a run as its role, as far as that may; return where the artifacts are."""
        name = canary["name"]
        dimensions = [{"Name": "CanaryName", "Value": name}]
        data = [{"MetricName": metric, "Value": value, "Unit": unit, "Dimensions": dimensions} for metric, value, unit in engine.metrics(outcome)]
        self._try(name, "metrics", lambda: clients.client("cloudwatch", ctx.region).put_metric_data(Namespace=NAMESPACE, MetricData=data))
        self._try(name, "log", lambda: self._write_log(clients.client("logs", ctx.region), canary, outcome))
        at = datetime.fromtimestamp(began, UTC)
        bucket, _, prefix = target.removeprefix("s3://").partition("/")
        folder = "/".join(part for part in (prefix.strip("/"), "canary", ctx.region, name, f"{at:%Y/%m/%d/%H}",
                                            f"{at:%M-%S}-{at.microsecond // 1000:03d}") if part)
        self._try(name, "artifacts", lambda: clients.client("s3", ctx.region).put_object(
            Bucket=bucket, Key=f"{folder}/{at:%Y-%m-%dT%H-%M-%S}-log.txt", Body=(outcome.log or outcome.reason).encode()))
        return f"{bucket}/{folder}"

    def _write_log(self, logs: Any, canary: dict[str, Any], outcome: engine.Outcome) -> None:
        group, stream = f"/aws/lambda/{_function(canary)}", f"{datetime.fromtimestamp(self.aws.clock.now(), UTC):%Y/%m/%d}/[1]{uuid.uuid4().hex}"
        try:
            logs.create_log_group(logGroupName=group)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        lines = [line for line in (outcome.log + "\n" + outcome.reason).splitlines() if line.strip()]
        now = int(self.aws.clock.now() * 1000)
        logs.put_log_events(logGroupName=group, logStreamName=stream,
                            logEvents=[{"timestamp": now, "message": line} for line in lines or ["passed"]])

    def _try(self, name: str, what: str, work: Any) -> None:
        try:
            work()
        except ClientError as error:
            log.warning("canary %s: its role may not leave %s: %s", name, what, error)


@contextlib.contextmanager
def _conflicts() -> Iterator[None]:
    """Turn what a canary's state does not allow into the API's error."""
    try:
        yield
    except engine.StateError as error:
        raise ServiceError("ConflictException", str(error), 409) from error


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def _arn(ctx: Context, name: str) -> str:
    return f"arn:aws:synthetics:{ctx.region}:{ctx.account}:canary:{name}"


def _function(canary: dict[str, Any]) -> str:
    """The name of the function that stands behind a canary on AWS; its log group goes by it, with the first 21 characters of the canary's (DeleteCanary)."""
    return f"cwsyn-{canary['name'][:21]}-{canary['id']}"


def _run(name: str, run: dict[str, Any]) -> dict[str, Any]:
    status = {"State": run["state"], **({"TestResult": run["state"]} if run["state"] != "RUNNING" else {})}
    if "reason" in run:
        status |= {"StateReason": run["reason"], "StateReasonCode": run["code"]}
    timeline = {"Started": run["started"], **({"Completed": run["completed"], "MetricTimestampForRunAndRetries": run["completed"]}
                                              if "completed" in run else {})}
    return {"Id": run["id"], "Name": name, "Status": status, "Timeline": timeline,
            **({"ArtifactS3Location": run["location"]} if run.get("location") else {})}


def _page(found: list[dict[str, Any]], member: str, params: dict[str, Any], most: int) -> dict[str, Any]:
    """Return one page; the token is the index of the next item."""
    token, size = params.get("NextToken") or "0", int(params.get("MaxResults") or most)
    if not token.isdigit():
        raise _invalid("Invalid NextToken")
    start = int(token)
    page: dict[str, Any] = {member: found[start:start + size]}
    if len(found) > start + size:
        page["NextToken"] = str(start + size)
    return page
