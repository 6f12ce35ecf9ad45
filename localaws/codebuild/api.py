"""CodeBuild: projects and builds."""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from localaws.codebuild import engine
from localaws.codebuild.driver import Run
from localaws.service import Aws, Context, Service, ServiceError, Stores

PRINCIPAL = "codebuild.amazonaws.com"
RUNNING_BUILDS = 2
"""Builds that run at once on this machine; more wait in QUEUED."""
INTERNAL = ("artifacts_wanted", "logsConfig", "outcome", "token", "role_session")
PROJECT_MEMBERS = frozenset({
    "name", "description", "source", "sourceVersion", "artifacts", "cache", "environment", "serviceRole", "timeoutInMinutes",
    "queuedTimeoutInMinutes", "encryptionKey", "tags", "logsConfig", "concurrentBuildLimit", "badgeEnabled"})
START_MEMBERS = frozenset({
    "projectName", "sourceVersion", "sourceTypeOverride", "sourceLocationOverride", "buildspecOverride", "artifactsOverride",
    "environmentVariablesOverride", "environmentTypeOverride", "imageOverride", "computeTypeOverride", "serviceRoleOverride",
    "privilegedModeOverride", "timeoutInMinutesOverride", "queuedTimeoutInMinutesOverride", "encryptionKeyOverride",
    "logsConfigOverride", "idempotencyToken"})


class Api(Service):
    """Operations on projects and builds; batches, reports, webhooks, fleets and sandboxes are not served."""

    name = "codebuild"
    iam = "codebuild"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self.stores = Stores()
        self._runs: dict[str, Run] = {}
        self._slots = threading.Semaphore(RUNNING_BUILDS)

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """Every resource is a project, of builds too (Service Authorization Reference, AWS CodeBuild)."""
        if operation in ("BatchGetBuilds", "StopBuild"):
            names = [identity.rsplit("/", 1)[-1].split(":")[0] for identity in params.get("ids") or [params["id"]]]
        elif operation == "BatchGetProjects":
            names = [name.rsplit("/", 1)[-1] for name in params["names"]]
        else:
            names = [params.get("projectName") or params.get("name") or ""]
        return [(f"{self.iam}:{operation}", self._project_arn(ctx, name) if name else "*") for name in sorted(set(names))]

    # Projects

    def create_project(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make a project."""
        project = self._checked(ctx, params)
        with self.lock:
            projects = self.stores[ctx]["projects"]
            if project["name"] in projects:
                raise ServiceError("ResourceAlreadyExistsException", f"Project already exists: {self._project_arn(ctx, project['name'])}")
            now = self.aws.clock.now()
            project.update(arn=self._project_arn(ctx, project["name"]), created=now, lastModified=now, projectVisibility="PRIVATE")
            projects[project["name"]] = project
            return {"project": copy.deepcopy(project)}

    def update_project(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Change what is given of a project."""
        with self.lock:
            current = copy.deepcopy(self._project(ctx, params["name"]))
        given = {key: value for key, value in current.items() if key in PROJECT_MEMBERS}
        project = self._checked(ctx, {**given, **params})
        with self.lock:
            kept = {key: current[key] for key in ("arn", "created", "projectVisibility")}
            self.stores[ctx]["projects"][project["name"]] = {**project, **kept, "lastModified": self.aws.clock.now()}
            return {"project": copy.deepcopy(self.stores[ctx]["projects"][project["name"]])}

    def batch_get_projects(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Describe projects by name or ARN."""
        with self.lock:
            projects = self.stores[ctx]["projects"]
            names = {given: given.rsplit("/", 1)[-1] for given in params["names"]}
            return {"projects": [copy.deepcopy(projects[name]) for name in names.values() if name in projects],
                    "projectsNotFound": [given for given, name in names.items() if name not in projects]}

    def delete_project(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Delete a project; a name that is not there is no error. What runs is stopped. Its builds can be read all the same (API reference)."""
        name = params["name"].rsplit("/", 1)[-1]
        with self.lock:
            self.stores[ctx]["projects"].pop(name, None)
            runs = [run for run in self._runs.values() if run.record["projectName"] == name]
        for run in runs:
            run.stop()
        return {}

    def list_projects(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List project names."""
        key = {"CREATED_TIME": "created", "LAST_MODIFIED_TIME": "lastModified"}.get(params.get("sortBy", "NAME"), "name")
        with self.lock:
            found = sorted(self.stores[ctx]["projects"].values(), key=lambda p: p[key], reverse=params.get("sortOrder") == "DESCENDING")
        return _page("projects", [project["name"] for project in found], params)

    # Builds

    def start_build(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Start a build."""
        _only(params, START_MEMBERS, "StartBuild")
        token = params.get("idempotencyToken")
        with self.lock:
            project: dict[str, Any] = copy.deepcopy(self._project(ctx, params["projectName"].rsplit("/", 1)[-1]))
            known = next((b for b in self.stores[ctx]["builds"].values() if token and b.get("token") == token), None)
            if known:
                return {"build": _shape(known)}
        if params.get("serviceRoleOverride"):
            self.aws.check_pass_role(ctx, params["serviceRoleOverride"], PRINCIPAL)
        self._assume(params.get("serviceRoleOverride") or project["serviceRole"])
        kind = params.get("sourceTypeOverride", project["source"]["type"])
        if kind == "CODEPIPELINE" and not params.get("sourceVersion", "").startswith("arn:aws:s3:::"):
            raise ServiceError("InvalidInputException", "Project source type CODEPIPELINE is started by a pipeline: sourceVersion must be the "
                               "ARN of an S3 object")
        initiator, revision = self._initiator(ctx)
        with self.lock:
            builds = self.stores[ctx]["builds"]
            number = 1 + max((b["buildNumber"] for b in builds.values() if b["projectName"] == project["name"]), default=0)
            arn = f"arn:aws:codebuild:{ctx.region}:{ctx.account}:build/{project['name']}:{uuid.uuid4()}"
            build = engine.new_build(project, params, arn, number, initiator, self.aws.clock.now())
            build["token"] = token
            if revision:
                build["resolvedSourceVersion"] = revision
            builds[build["id"]] = build
            answer = _shape(build)
        self._launch(ctx.account, ctx.region, build)
        return {"build": answer}

    def stop_build(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Stop a build; one that has ended stays as it ended."""
        identity = params["id"].split(":build/")[-1]
        with self.lock:
            build = self.stores[ctx]["builds"].get(identity)
            if build is None:
                raise ServiceError("ResourceNotFoundException", f"Build {params['id']} not found")
            run = self._runs.get(identity)
        if run:
            run.stop()
        with self.lock:
            return {"build": _shape(build)}

    def batch_get_builds(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Describe builds by id or ARN."""
        with self.lock:
            builds = self.stores[ctx]["builds"]
            ids = {given: given.split(":build/")[-1] for given in params["ids"]}
            return {"builds": [_shape(builds[i]) for i in ids.values() if i in builds],
                    "buildsNotFound": [given for given, i in ids.items() if i not in builds]}

    def list_builds_for_project(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List a project's build ids, newest first unless ASCENDING is asked for."""
        with self.lock:
            self._project(ctx, params["projectName"])
            found = sorted((b for b in self.stores[ctx]["builds"].values() if b["projectName"] == params["projectName"]),
                           key=lambda b: b["buildNumber"], reverse=params.get("sortOrder", "DESCENDING") == "DESCENDING")
        return _page("ids", [build["id"] for build in found], params)

    # Background

    def start(self) -> None:
        """Begin anew the builds that a stopped local AWS left half done."""
        for account, region in self.stores.scopes():
            with self.lock:
                left = [b for b in self.stores.at(account, region)["builds"].values() if not b["buildComplete"] and b["id"] not in self._runs]
                for build in left:
                    engine.again(build, self.aws.clock.now())
            for build in left:
                self._launch(account, region, build)

    def stop(self) -> None:
        """End the containers of running builds; their records stay in progress for the next start."""
        with self.lock:
            runs = list(self._runs.values())
        for run in runs:
            run.stop(suspend=True)
        deadline = time.monotonic() + 20
        while self._runs and time.monotonic() < deadline:
            time.sleep(0.05)

    def dump(self) -> Any:
        """Projects and builds."""
        with self.lock:
            return copy.deepcopy(self.stores.dump())

    def load(self, state: Any) -> None:
        """Take up dumped state."""
        self.stores.load(state)

    def _launch(self, account: str, region: str, build: engine.Record) -> None:
        def changed(record: engine.Record) -> None:
            with self.lock:
                detail = engine.event_detail(record)
            self.aws.emit(account, region, "aws.codebuild", "CodeBuild Build State Change", detail, [record["arn"]])

        run = Run(self.aws, account, region, build, self.lock, self._slots, changed)
        with self.lock:
            self._runs[build["id"]] = run

        def work() -> None:
            try:
                changed(build)
                run.run()
            finally:
                with self.lock:
                    self._runs.pop(build["id"], None)

        self.aws.spawn(f"build {build['id']}", work)

    # Helpers

    def _checked(self, ctx: Context, given: dict[str, Any]) -> engine.Record:
        """A project as it is kept, with AWS's defaults, or a refusal."""
        _only(given, PROJECT_MEMBERS, "projects")
        project = copy.deepcopy(given)
        source, wanted = project["source"]["type"], project["artifacts"]["type"]
        if (source == "CODEPIPELINE") != (wanted == "CODEPIPELINE"):
            raise ServiceError("InvalidInputException",
                               "Invalid project source and artifacts: if one is of type CODEPIPELINE, the other must be too")
        if source not in ("CODEPIPELINE", "NO_SOURCE") or wanted not in ("CODEPIPELINE", "NO_ARTIFACTS"):
            raise ServiceError("InvalidInputException", f"The local AWS serves sources CODEPIPELINE and NO_SOURCE, not {source}/{wanted}")
        if source == "NO_SOURCE" and not project["source"].get("buildspec"):
            raise ServiceError("InvalidInputException", "The build specification is required for source type NO_SOURCE")
        if project["environment"]["type"] != "LINUX_CONTAINER":
            raise ServiceError("InvalidInputException", f"The local AWS serves LINUX_CONTAINER, not {project['environment']['type']}")
        project.setdefault("timeoutInMinutes", 60)
        project.setdefault("queuedTimeoutInMinutes", 480)
        project.setdefault("encryptionKey", f"arn:aws:kms:{ctx.region}:{ctx.account}:alias/aws/s3")
        project.setdefault("cache", {"type": "NO_CACHE"})
        if not project["serviceRole"].startswith("arn:"):
            project["serviceRole"] = f"arn:aws:iam::{ctx.account}:role/{project['serviceRole']}"
        self.aws.check_pass_role(ctx, project["serviceRole"], PRINCIPAL)
        self._assume(project["serviceRole"])
        return project

    def _assume(self, role: str) -> None:
        try:
            self.aws.as_role(role, PRINCIPAL, "AWSCodeBuild")
        except ServiceError as error:
            raise ServiceError("InvalidInputException", (
                "CodeBuild is not authorized to perform: sts:AssumeRole on service role. Please verify that: 1) The provided service role "
                "exists, 2) The role name is case-sensitive and matches exactly, and 3) The role has the necessary trust policy "
                f"configured. ({error.message})")) from error

    def _initiator(self, ctx: Context) -> tuple[str, str | None]:
        """Who started a build, as AWS names it, and the source revision that a pipeline knows."""
        parts = ctx.principal_arn.rsplit(":", 1)[-1].split("/")
        pipelines: Any = self.aws.services.get("codepipeline")
        found = pipelines.source_of(ctx.account, ctx.region, parts[-1]) if pipelines else None
        if found:
            return f"codepipeline/{found[0]}", found[1]
        return "/".join(parts[1:]) or parts[0], None

    def _project_arn(self, ctx: Context, name: str) -> str:
        return f"arn:aws:codebuild:{ctx.region}:{ctx.account}:project/{name}"

    def _project(self, ctx: Context, name: str) -> engine.Record:
        found: engine.Record | None = self.stores[ctx]["projects"].get(name)
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"Project cannot be found: {self._project_arn(ctx, name)}")
        return found


def _only(given: dict[str, Any], served: frozenset[str], what: str) -> None:
    """Refuse by name what is not served, unless it is empty."""
    for key in sorted(set(given) - served):
        if given[key]:
            raise ServiceError("InvalidInputException", f"The local AWS does not serve {key} of {what}")


def _shape(build: engine.Record) -> dict[str, Any]:
    return {key: copy.deepcopy(value) for key, value in build.items() if key not in INTERNAL and value is not None}


def _page(member: str, found: list[str], params: dict[str, Any]) -> dict[str, Any]:
    begin = int(params.get("nextToken") or 0)
    return {member: found[begin:begin + 100], **({"nextToken": str(begin + 100)} if begin + 100 < len(found) else {})}
