"""CodePipeline: the operations, and the loop that carries out what the engine decides."""

from __future__ import annotations

import copy
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from localaws.codeconnections.git import FULL_NAME, Commit
from localaws.codepipeline import artifacts, engine, jobs, structure, triggers, views
from localaws.codepipeline.actions import ACTIONS
from localaws.codepipeline.actions.base import Job, Work
from localaws.codepipeline.engine import Effect, EngineError, Event, Observation, Record, Start
from localaws.service import Aws, Clients, Context, Service, ServiceError, Stores, log

PRINCIPAL = "codepipeline.amazonaws.com"
TICK_SECONDS = 1.0
STOP_SECONDS = 20.0
STAGE_OPERATIONS = ("RetryStageExecution", "EnableStageTransition", "DisableStageTransition")
JOB_OPERATIONS = ("PutJobSuccessResult", "PutJobFailureResult")
"""Operations that the Service Authorization Reference gives no resource type."""
KEPT_JOBS = 5000
_REASON = re.compile(r"[a-zA-Z0-9!@ \(\)\.\*\?\-]+")
Scope = tuple[str, str]


class Api(Service):
    """Operations on pipelines, executions, stages, answers of jobs, and tags; conditions, rollback and webhooks are not served."""

    name = "codepipeline"
    iam = "codepipeline"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self.stores = Stores()
        self._busy: set[str] = set()
        self._outbox: list[tuple[str, str, str, dict[str, Any], list[str]]] = []
        self._publishing = threading.Lock()
        self._stopping = False

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """Pipelines and, for some, their stages (Service Authorization Reference, AWS CodePipeline)."""
        if operation in JOB_OPERATIONS:
            return [(f"{self.iam}:{operation}", "*")]
        name = params.get("pipelineName") or params.get("name") or params.get("pipeline", {}).get("name")
        resource = params.get("resourceArn") or (self._arn(ctx, name) if name else "*")
        if operation in STAGE_OPERATIONS:
            resource = f"{resource}/{params['stageName']}"
        needed = [(f"{self.iam}:{operation}", resource)]
        if operation == "CreatePipeline" and params.get("tags"):
            needed.append((f"{self.iam}:TagResource", resource))
        return needed

    # Pipelines

    def create_pipeline(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make a pipeline and start its first execution."""
        declaration = self._checked(ctx, params["pipeline"])
        name = declaration["name"]
        with self.lock:
            pipelines = self.stores[ctx]["pipelines"]
            if name in pipelines:
                raise ServiceError("PipelineNameInUseException", f"A pipeline with the name '{name}' already exists in account '{ctx.account}'")
            pipeline = engine.new_pipeline(declaration, self._arn(ctx, name), self.aws.clock.now())
            pipeline["tags"] = list(params.get("tags", []))
            pipeline["hears"] = self._available(declaration)
            pipelines[name] = pipeline
            answer = copy.deepcopy(engine.structure_of(pipeline))
        self._repositories_of(declaration)
        self._change(ctx, name, lambda p, now: engine.start(
            p, str(uuid.uuid4()), {"triggerType": "CreatePipeline", "triggerDetail": ctx.principal_arn}, now))
        return {"pipeline": answer, "tags": params.get("tags", [])}

    def update_pipeline(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Replace a pipeline's structure; the version goes up by one. No execution is started."""
        declaration = self._checked(ctx, params["pipeline"])
        self._change(ctx, declaration["name"], lambda p, now: engine.update(p, declaration, now))
        self._repositories_of(declaration)
        with self.lock:
            self._pipeline(ctx, declaration["name"])["hears"] = self._available(declaration)
            return {"pipeline": copy.deepcopy(engine.structure_of(self._pipeline(ctx, declaration["name"])))}

    def get_pipeline(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Return a version of the structure."""
        with self.lock:
            pipeline = self._pipeline(ctx, params["name"])
            version = params.get("version", pipeline["version"])
            if str(version) not in pipeline["structures"]:
                raise ServiceError("PipelineVersionNotFoundException", f"Pipeline '{params['name']}' does not have a version {version}")
            return {"pipeline": copy.deepcopy(engine.structure_of(pipeline, version)), "metadata": {
                "pipelineArn": pipeline["arn"], "created": pipeline["created"], "updated": pipeline["updated"]}}

    def delete_pipeline(self, ctx: Context, params: dict[str, Any]) -> None:
        """Forget a pipeline and its executions; what its actions began outside goes on. A name that is not there is no error."""
        with self.lock:
            self.stores[ctx]["pipelines"].pop(params["name"], None)

    def list_pipelines(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List the pipelines by name."""
        with self.lock:
            found = [views.pipeline_summary(p) for _, p in sorted(self.stores[ctx]["pipelines"].items())]
        return _page("pipelines", found, params, 1000)

    def get_pipeline_state(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Say how each stage and action stands."""
        with self.lock:
            return copy.deepcopy(views.pipeline_state(self._pipeline(ctx, params["name"])))

    # Executions

    def start_pipeline_execution(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Start an execution with the newest revisions, or with those asked for."""
        token = params.get("clientRequestToken")
        with self.lock:
            pipeline = self._pipeline(ctx, params["name"])
            if token and token in pipeline.setdefault("tokens", {}):
                return {"pipelineExecutionId": pipeline["tokens"][token]}
            declared = engine.structure_of(pipeline)
        variables = {v["name"]: v["value"] for v in params.get("variables", [])}
        unknown = set(variables) - {v["name"] for v in declared.get("variables", [])}
        if unknown:
            raise ServiceError("ValidationException", f"The pipeline does not declare the variables {', '.join(sorted(unknown))}")
        missing = {v["name"] for v in declared.get("variables", []) if "defaultValue" not in v} - set(variables)
        if missing:
            raise ServiceError("ValidationException", f"Values are missing for the variables {', '.join(sorted(missing))}")
        revisions: dict[str, str] = {}
        for override in params.get("sourceRevisions", []):
            if override["revisionType"] != "COMMIT_ID" or override["actionName"] not in {a["name"] for a in triggers.source_actions(declared)}:
                raise ServiceError("ValidationException", f"Source revision override of {override['actionName']} is not valid: the local AWS "
                                   "takes COMMIT_ID for CodeStarSourceConnection actions")
            revisions[override["actionName"]] = override["revisionValue"]
        identity = str(uuid.uuid4())
        trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": ctx.principal_arn}
        self._change(ctx, params["name"], lambda p, now: engine.start(p, identity, trigger, now, variables=variables,
                                                                      source_revisions=revisions))
        if token:
            with self.lock:
                pipeline["tokens"][token] = identity
        return {"pipelineExecutionId": identity}

    def stop_pipeline_execution(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Stop an execution: wait for its running actions, or abandon them."""
        self._change(ctx, params["pipelineName"], lambda p, now: engine.stop(
            p, params["pipelineExecutionId"], params.get("abandon", False), params.get("reason"), now))
        return {"pipelineExecutionId": params["pipelineExecutionId"]}

    def retry_stage_execution(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Run a failed stage's failed or all actions again in the same execution."""
        self._change(ctx, params["pipelineName"], lambda p, now: engine.retry(
            p, params["stageName"], params["pipelineExecutionId"], params["retryMode"], now))
        return {"pipelineExecutionId": params["pipelineExecutionId"]}

    def get_pipeline_execution(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Describe one execution."""
        with self.lock:
            pipeline = self._pipeline(ctx, params["pipelineName"])
            execution = self._execution(pipeline, params["pipelineExecutionId"])
            return {"pipelineExecution": copy.deepcopy(views.execution_detail(pipeline, execution))}

    def list_pipeline_executions(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List executions, newest first; of those that succeeded in a stage if that is asked for."""
        wanted = params.get("filter", {}).get("succeededInStage", {}).get("stageName")
        with self.lock:
            pipeline = self._pipeline(ctx, params["pipelineName"])
            found = [copy.deepcopy(views.execution_summary(pipeline, pipeline["executions"][i])) for i in reversed(pipeline["order"])
                     if wanted is None or pipeline["executions"][i]["stages"].get(wanted, {}).get("status") == "Succeeded"]
        return _page("pipelineExecutionSummaries", found, params, 100)

    def list_action_executions(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List action executions, newest first, of all or of one execution; only its latest attempts if that is asked for."""
        latest = params.get("filter", {}).get("latestInPipelineExecution", {})
        wanted = params.get("filter", {}).get("pipelineExecutionId") or latest.get("pipelineExecutionId")
        with self.lock:
            pipeline = self._pipeline(ctx, params["pipelineName"])
            if wanted:
                self._execution(pipeline, wanted)
            found = [copy.deepcopy(views.action_execution(pipeline, pipeline["executions"][i], action)) for i in reversed(pipeline["order"])
                     if wanted in (None, i) for action in reversed(pipeline["executions"][i]["actions"])
                     if latest.get("startTimeRange") != "Latest" or action["current"]]
        return _page("actionExecutionDetails", found, params, 100)

    # Jobs of functions

    def put_job_success_result(self, ctx: Context, params: dict[str, Any]) -> None:
        """A function says that its job is done, or with a continuation token that it goes on. Only the pipeline's account may."""
        self._answered(ctx, params["jobId"], lambda action, declaration, now: jobs.succeeded(
            action, params, action["job"].get("outputs") or {}, now))

    def put_job_failure_result(self, ctx: Context, params: dict[str, Any]) -> None:
        """A function says that its job has failed, and why."""
        self._answered(ctx, params["jobId"], lambda action, declaration, now: jobs.failed_job(action, params))

    # Transitions and tags

    def enable_stage_transition(self, ctx: Context, params: dict[str, Any]) -> None:
        """Open a transition; what waited behind it goes on."""
        self._change(ctx, params["pipelineName"], lambda p, now: engine.set_transition(
            p, params["stageName"], params["transitionType"], True, ctx.principal_arn, None, now))

    def disable_stage_transition(self, ctx: Context, params: dict[str, Any]) -> None:
        """Close a transition: executions wait before it."""
        if not (_REASON.fullmatch(params["reason"]) and len(params["reason"]) <= 300):
            raise ServiceError("ValidationException", (
                f"1 validation error detected: Value '{params['reason']}' at 'reason' failed to satisfy constraint: Member must satisfy regular "
                f"expression pattern: {_REASON.pattern}, and have length less than or equal to 300"))
        self._change(ctx, params["pipelineName"], lambda p, now: engine.set_transition(
            p, params["stageName"], params["transitionType"], False, ctx.principal_arn, params["reason"], now))

    def tag_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Add or replace tags."""
        with self.lock:
            pipeline = self._by_arn(ctx, params["resourceArn"])
            tags = {tag["key"]: tag["value"] for tag in [*pipeline["tags"], *params["tags"]]}
            pipeline["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
        return {}

    def untag_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Take tags away."""
        with self.lock:
            pipeline = self._by_arn(ctx, params["resourceArn"])
            pipeline["tags"] = [tag for tag in pipeline["tags"] if tag["key"] not in params["tagKeys"]]
        return {}

    def list_tags_for_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List a pipeline's tags."""
        with self.lock:
            return _page("tags", list(self._by_arn(ctx, params["resourceArn"])["tags"]), params, 100)

    # What other services of the local AWS tell and ask in process

    def on_push(self, repository: str, branch: str, commit: Commit, changed: list[str]) -> None:
        """Start the pipelines that a push to a repository's branch triggers, through connections that are AVAILABLE.

        And were so when the pipeline was made or last changed: one that was given a PENDING connection "is not triggered" (AWS CodePipeline User Guide,
        doc_source/action-reference-CodestarConnectionSource.md of awsdocs/aws-codepipeline-user-guide).
        """
        for account, region in self.stores.scopes():
            with self.lock:
                declared = {name: (engine.structure_of(p), p.get("hears")) for name, p in self.stores.at(account, region)["pipelines"].items()}
            for name, (declaration, hears) in declared.items():
                source = triggers.triggered_by(declaration, repository, branch, changed)
                if source is None:
                    continue
                action = next(a for a in triggers.source_actions(declaration) if a["name"] == source)
                connections: Any = self.aws.services["codeconnections"]
                connection = connections.find(action["configuration"]["ConnectionArn"])
                if connection is None or connection["ConnectionStatus"] != "AVAILABLE":
                    continue
                # A state that an older local AWS left does not say.
                if hears is not None and connection["ConnectionArn"] not in hears:
                    log.info("%s does not hear of the push: its connection was not AVAILABLE when it was made or last changed", name)
                    continue
                detail = {"providerType": connection["ProviderType"], "fullRepositoryName": repository, "branchName": branch,
                          "commitId": commit.id, "commitMessage": commit.message, "authorDisplayName": commit.author,
                          "authorEmail": commit.email, "authorDate": commit.date}
                trigger = {"triggerType": "WebhookV2", "triggerDetail": json.dumps(detail)}
                self._in(account, region, name, lambda p, now, s=source, t=trigger: engine.start(  # type: ignore[misc]
                    p, str(uuid.uuid4()), t, now, source_revisions={s: commit.id}))

    def repositories(self, connection_arn: str) -> list[str]:
        """The repositories that pipelines read through a connection."""
        with self.lock:
            return sorted({action["configuration"]["FullRepositoryId"] for scope in self.stores.scopes()
                           for pipeline in self.stores.at(*scope)["pipelines"].values()
                           for action in triggers.source_actions(engine.structure_of(pipeline))
                           if action["configuration"]["ConnectionArn"] == connection_arn})

    def source_of(self, account: str, region: str, execution_id: str) -> tuple[str, str | None] | None:
        """The pipeline of an execution and its source revision: sessions of a pipeline's role are named after the execution."""
        with self.lock:
            for name, pipeline in self.stores.at(account, region)["pipelines"].items():
                if execution := pipeline["executions"].get(execution_id):
                    return name, next((r["revisionId"] for r in execution["revisions"]), None)
        return None

    # Background

    def start(self) -> None:
        """Look about each second at what runs, what was started elsewhere, and what time brings."""
        self.aws.every(TICK_SECONDS, "codepipeline", self.tick)

    def stop(self) -> None:
        """Let actions that are just being started finish their start, so that the next start knows their ids."""
        self._stopping = True
        deadline = time.monotonic() + STOP_SECONDS
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.05)

    def tick(self) -> None:
        """Advance every pipeline, start what a stopped local AWS had not, and poll what runs."""
        for account, region in self.stores.scopes():
            with self.lock:
                pipelines = list(self.stores.at(account, region)["pipelines"].items())
            for name, pipeline in pipelines:
                with self.lock:
                    if not pipeline["active"]:
                        continue
                self._in(account, region, name, engine.advance)
                with self.lock:
                    running = [(e["id"], a["id"], a["external_id"]) for e, a in engine.in_progress(pipeline) if a["id"] not in self._busy]
                for execution_id, action_id, external_id in running:
                    if external_id is None:
                        self._begin((account, region), name, Start(execution_id, action_id))
                    else:
                        self._work((account, region), name, execution_id, action_id, poll=True)

    def dump(self) -> Any:
        """Pipelines with all their executions: running actions are polled again by their external ids after the next start."""
        with self.lock:
            return copy.deepcopy(self.stores.dump())

    def load(self, state: Any) -> None:
        """Take up dumped state. Functions that were being called when the local AWS stopped are called again."""
        self.stores.load(state)
        for scope in self.stores.scopes():
            for pipeline in self.stores.at(*scope)["pipelines"].values():
                for _, action in engine.in_progress(pipeline):
                    jobs.lost(action)

    def _change(self, ctx: Context, name: str, step: Callable[[Record, float], list[Effect]]) -> None:
        """Apply a step of the engine that a caller asked for; EngineError becomes AWS's exception."""
        with self.lock:
            self._pipeline(ctx, name)
        self._in(ctx.account, ctx.region, name, step)

    def _in(self, account: str, region: str, name: str, step: Callable[[Record, float], list[Effect]]) -> None:
        """Apply a step of the engine and carry out its effects."""
        with self.lock:
            pipeline = self.stores.at(account, region)["pipelines"].get(name)
            if pipeline is None:
                return
            try:
                effects = step(pipeline, self.aws.clock.now())
            except EngineError as error:
                raise ServiceError(error.code, str(error)) from None
            for effect in effects:
                if isinstance(effect, Event):
                    self._outbox.append((account, region, *views.event(pipeline, effect), [pipeline["arn"]]))
        for effect in effects:
            if isinstance(effect, Start):
                self._begin((account, region), name, effect)
        self._publish()

    def _publish(self) -> None:
        """Send the events that wait. One thread at a time, so that they arrive in order."""
        with self._publishing:
            while True:
                with self.lock:
                    if not self._outbox:
                        return
                    account, region, detail_type, detail, resources = self._outbox.pop(0)
                try:
                    self.aws.emit(account, region, "aws.codepipeline", detail_type, detail, resources)
                except Exception:
                    log.exception("event %s of %s was not delivered", detail_type, resources)

    def _begin(self, scope: Scope, name: str, start: Start) -> None:
        """Start an action on a thread of its own."""
        if self._stopping:
            return
        with self.lock:
            if start.action_execution_id in self._busy:
                return
            self._busy.add(start.action_execution_id)

        def work() -> None:
            try:
                self._work(scope, name, start.execution_id, start.action_execution_id, poll=False)
            finally:
                with self.lock:
                    self._busy.discard(start.action_execution_id)

        self.aws.spawn(f"codepipeline {name}", work)

    def _answered(self, ctx: Context, job_id: str, take: Callable[[Record, Record, float], Observation]) -> None:
        """Find the action of a job, and take its function's answer."""
        with self.lock:
            name, execution_id, action_id = self.stores[ctx]["jobs"].get(job_id) or ("", "", "")
            pipeline = self.stores[ctx]["pipelines"].get(name)
            execution = pipeline["executions"].get(execution_id) if pipeline else None
            action = next((a for a in execution["actions"] if a["id"] == action_id), None) if execution else None
            try:
                jobs.check_open(action, job_id)
                assert pipeline and execution and action
                now = self.aws.clock.now()
                seen = take(action, engine.structure_of(pipeline, execution["version"]), now)
            except jobs.JobError as error:
                raise ServiceError(error.code, str(error)) from None
            self._in(ctx.account, ctx.region, name, lambda p, now: engine.observe(p, execution_id, action_id, seen, now))

    def _dispatch(self, scope: Scope, declaration: Record, execution: Record, action: Record) -> str:
        """What a running action that works by jobs needs now: `call`, `wait` or `expired`. A call gets a job that its function can answer."""
        now = self.aws.clock.now()
        what = jobs.due(action, now)
        if what == "call":
            identity = jobs.dispatch(action, now)
            declared = _declared(declaration, action)
            bucket = _store(declaration, action["region"])["location"]
            action["job"]["outputs"] = {a["name"]: {"bucket": bucket, "key": artifacts.new_key(declaration["name"], a["name"])}
                                        for a in declared.get("outputArtifacts", [])}
            table = self.stores.at(*scope)["jobs"]
            table[identity] = [declaration["name"], execution["id"], action["id"]]
            while len(table) > KEPT_JOBS:
                del table[next(iter(table))]
        return what

    def _work(self, scope: Scope, name: str, execution_id: str, action_id: str, poll: bool) -> None:
        """Start or poll an action, and tell the engine."""
        with self.lock:
            pipeline = self.stores.at(*scope)["pipelines"].get(name)
            found = [(e, a) for e, a in engine.in_progress(pipeline) if a["id"] == action_id] if pipeline else []
            if not pipeline or not found:
                return
            declaration = engine.structure_of(pipeline, found[0][0]["version"])
            if found[0][1]["type"]["provider"] in jobs.PROVIDERS:
                what = self._dispatch(scope, declaration, *found[0])
                if what == "wait":
                    return
                poll = what == "expired"
            execution, action = copy.deepcopy(found[0])
        try:
            carried = ACTIONS[action["type"]["provider"]]
            if poll and action.get("job"):
                seen = jobs.no_answer(action)
            else:
                work, copied = self._prepare(scope, declaration, execution, action, poll)
                seen = carried.poll(work) if poll else replace(carried.start(work), inputs=copied)
        except Exception as error:
            if poll and not artifacts.denied(error):
                log.exception("%s: %s cannot be polled; it is tried again", name, action["name"])
                return
            if not artifacts.denied(error):
                log.exception("%s: %s cannot be started", name, action["name"])
            seen = engine.failed("PermissionError" if artifacts.denied(error) else "JobFailed", artifacts.message_of(error))
        self._in(*scope, name, lambda p, now: engine.observe(p, execution_id, action_id, seen, now))

    def _prepare(self, scope: Scope, declaration: Record, execution: Record, action: Record,
                 poll: bool) -> tuple[Work, dict[str, dict[str, str]]]:
        """What an action is given, and the copies of its input artifacts that were made for its Region before it starts.

        The pipeline's role copies, and assumes the action's own role where it has one.
        """
        region = action["region"]
        store = _store(declaration, region)
        key = (store.get("encryptionKey") or {}).get("id")
        clients: Clients = self.aws.as_role(declaration["roleArn"], PRINCIPAL, execution["id"])
        copied: dict[str, dict[str, str]] = {}
        for name, place in action["inputs"].items() if not poll else ():
            if place["bucket"] != store["location"]:
                copied[name] = self._replicate(clients, declaration, name, place, region)
        inputs = {**action["inputs"], **copied}
        if action["role"]:
            clients = self.aws.assume(clients, action["role"], execution["id"])
        job = action.get("job") and Job(action["job"]["id"], action["job"]["token"], action["job"]["outputs"])

        def credentials() -> dict[str, Any]:
            policy = artifacts.reading(inputs, job.outputs if job else {}, key)
            return self.aws.as_role(declaration["roleArn"], PRINCIPAL, execution["id"], policy).credentials()

        work = Work(
            self.aws, scope[0], region, declaration["name"], execution["id"], action["id"], action["name"], action["resolved"], clients,
            store["location"], key, inputs, tuple(a["name"] for a in _declared(declaration, action).get("outputArtifacts", [])),
            execution["source_revisions"].get(action["name"]), action["external_id"], job or None, credentials)
        return work, copied

    def _replicate(self, clients: Clients, declaration: Record, name: str, place: Record, region: str) -> dict[str, str]:
        """Copy an artifact into the store of a Region. Raises ServiceError that names artifact and reason."""
        home = next((r for r, s in (declaration.get("artifactStores") or {}).items() if s["location"] == place["bucket"]), region)
        store = _store(declaration, region)
        try:
            return artifacts.copy(clients, (home, place), region, store["location"], artifacts.new_key(declaration["name"], name),
                                  (store.get("encryptionKey") or {}).get("id"))
        except ClientError as error:
            raise ServiceError("AccessDenied" if artifacts.denied(error) else "JobFailed",
                               f"Failed replicating '{name}': {artifacts.message_of(error)}") from error

    # Helpers

    def _checked(self, ctx: Context, given: dict[str, Any]) -> Record:
        """A declaration as it is kept, with AWS's defaults, or AWS's refusal."""
        structure.check(given, ctx.region)
        declaration: Record = copy.deepcopy(given)
        declaration.pop("version", None)
        declaration.setdefault("pipelineType", "V1")
        declaration.setdefault("executionMode", "SUPERSEDED")
        for stage in declaration["stages"]:
            for action in stage["actions"]:
                action.setdefault("runOrder", 1)
                for key, default in (("configuration", {}), ("inputArtifacts", []), ("outputArtifacts", [])):
                    action.setdefault(key, copy.copy(default))
        self.aws.check_pass_role(ctx, declaration["roleArn"], PRINCIPAL)
        for action in triggers.source_actions(declaration):
            if not FULL_NAME.fullmatch(action["configuration"]["FullRepositoryId"]):
                raise ServiceError("InvalidActionDeclarationException", (
                    f"FullRepositoryId '{action['configuration']['FullRepositoryId']}' in action '{action['name']}' is not owner/name"))
            self._check_pass_connection(ctx, action["configuration"]["ConnectionArn"])
        try:
            clients = self.aws.as_role(declaration["roleArn"], PRINCIPAL, "CreatePipeline")
        except ServiceError as error:
            raise ServiceError("InvalidStructureException", (
                f"CodePipeline is not authorized to perform AssumeRole on role {declaration['roleArn']}")) from error
        for role in sorted({a["roleArn"] for s in declaration["stages"] for a in s["actions"] if a.get("roleArn")}):
            try:
                self.aws.assume(clients, role, "CreatePipeline")
            except ServiceError as error:
                raise ServiceError("InvalidStructureException", (
                    f"{declaration['roleArn']} is not authorized to perform AssumeRole on role {role}")) from error
        return declaration

    def _check_pass_connection(self, ctx: Context, connection_arn: str) -> None:
        """Raise unless the caller may hand the connection to CodePipeline; the service's new and old prefix are both taken."""
        try:
            self.aws.authorize(ctx, "codeconnections:PassConnection", connection_arn, {"codeconnections:PassedToService": PRINCIPAL})
        except ServiceError:
            self.aws.authorize(ctx, "codestar-connections:PassConnection", connection_arn,
                               {"codestar-connections:PassedToService": PRINCIPAL})

    def _available(self, declaration: Record) -> list[str]:
        """The connections of a declaration that are AVAILABLE now: through these pushes will be heard."""
        connections: Any = self.aws.services["codeconnections"]
        found = [connections.find(action["configuration"]["ConnectionArn"]) for action in triggers.source_actions(declaration)]
        return [one["ConnectionArn"] for one in found if one and one["ConnectionStatus"] == "AVAILABLE"]

    def _repositories_of(self, declaration: Record) -> None:
        """A provider has the repositories that a pipeline names; here they come into being now, so that there is something to push to."""
        connections: Any = self.aws.services.get("codeconnections")
        for action in triggers.source_actions(declaration):
            if connections:
                connections.repository(action["configuration"]["FullRepositoryId"])

    def _arn(self, ctx: Context, name: str) -> str:
        return f"arn:aws:codepipeline:{ctx.region}:{ctx.account}:{name}"

    def _pipeline(self, ctx: Context, name: str) -> Record:
        found: Record | None = self.stores[ctx]["pipelines"].get(name)
        if found is None:
            raise ServiceError("PipelineNotFoundException", f"Account '{ctx.account}' does not have a pipeline with name '{name}'")
        return found

    def _by_arn(self, ctx: Context, arn: str) -> Record:
        if not arn.startswith(self._arn(ctx, "")):
            raise ServiceError("InvalidArnException", f"{arn} is not the ARN of a pipeline in {ctx.region}")
        found: Record | None = self.stores[ctx]["pipelines"].get(arn.rsplit(":", 1)[1])
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"The resource {arn} was not found")
        return found

    def _execution(self, pipeline: Record, execution_id: str) -> Record:
        found: Record | None = pipeline["executions"].get(execution_id)
        if found is None:
            raise ServiceError("PipelineExecutionNotFoundException",
                               f"Pipeline '{pipeline['name']}' does not have an execution with id '{execution_id}'")
        return found


def _declared(declaration: Record, action: Record) -> Record:
    """The declaration of an action execution's action."""
    found: Record = next(a for s in declaration["stages"] if s["name"] == action["stage"] for a in s["actions"] if a["name"] == action["name"])
    return found


def _store(declaration: Record, region: str) -> Record:
    """The artifact store of a Region."""
    found: Record = declaration.get("artifactStore") or declaration["artifactStores"][region]
    return found


def _page(member: str, found: list[Any], params: dict[str, Any], most: int) -> dict[str, Any]:
    """One page of a list; the token is the index at which the next one begins."""
    token = params.get("nextToken", "0")
    if not token.isdigit():
        raise ServiceError("InvalidNextTokenException", "The next token is not valid")
    begin = int(token)
    end = begin + min(params.get("maxResults") or most, most)
    return {member: found[begin:end], **({"nextToken": str(end)} if end < len(found) else {})}
