"""The operations of CodeDeploy, for EC2 instances in Auto Scaling groups, in place, from bundles in S3."""

from __future__ import annotations

import copy
import random
import re
import uuid
from collections.abc import Iterable
from typing import Any

from localaws.codedeploy import configs, engine, records
from localaws.codedeploy.commands import Commands
from localaws.codedeploy.deployments import Deployments, find_config
from localaws.codedeploy.driver import LAUNCHING, PRINCIPAL, TERMINATING, Session, World, WorldError
from localaws.codedeploy.signing import Signer
from localaws.service import Aws, Context, Service, ServiceError, Stores

_LAUNCH_HOOK = "CodeDeploy-managed-automatic-launch-deployment-hook"
_TERMINATION_HOOK = "CodeDeploy-managed-automatic-termination-deployment-hook"
_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,100}")
_ANY = ("ListApplications", "ListDeploymentConfigs", "StopDeployment", "ListDeploymentTargets", "BatchGetDeploymentTargets",
        "GetDeploymentTarget")
"""Operations that the Service Authorization Reference gives no resource type."""

Params = dict[str, Any]


class Api(Service):
    """CodeDeploy. `world`, `chance` and `signer` are replaced in simulations."""

    name = "codedeploy"
    iam = "codedeploy"

    def __init__(self, aws: Aws, world: Any = None, chance: random.Random | None = None, signer: Any = None) -> None:
        super().__init__(aws)
        self._stores = Stores()
        self._world = world or World(aws)
        self._deployments = Deployments(aws, self._stores, self.lock, self._world, chance or random.SystemRandom())
        self._commands = Commands(aws, self._stores, self.lock, self._deployments, signer or Signer(aws.state_dir / "codedeploy"))

    # What the server and other services call.

    def handle_command(self, operation: str, params: Params, ctx: Context) -> dict[str, Any]:
        """Serve an operation of CodeDeployCommandService_v20141006 to an agent."""
        return self._commands.handle(operation, params, ctx)

    def on_instance_launching(self, account: str, region: str, group_name: str, instance_id: str, hook_name: str, token: str) -> None:
        """Auto Scaling group `group_name` holds a new instance at our launch hook; it gets CONTINUE or ABANDON later."""
        self._deployments.launching(account, region, group_name, instance_id, hook_name, token, terminating=False)

    def on_instance_terminating(self, account: str, region: str, group_name: str, instance_id: str, hook_name: str, token: str) -> None:
        """Auto Scaling group `group_name` holds an instance at our termination hook; it gets CONTINUE later."""
        self._deployments.launching(account, region, group_name, instance_id, hook_name, token, terminating=True)

    def work(self) -> None:
        """One pass over all running deployments."""
        self._deployments.work()

    def start(self) -> None:
        self.aws.every(1.0, "codedeploy", self.work)

    def dump(self) -> Any:
        with self.lock:
            return copy.deepcopy(self._stores.dump())

    def load(self, state: Any) -> None:
        self._stores.load(state)

    # Who may.

    def absent_after(self, seconds: float) -> None:
        """Take an agent for absent after so many seconds instead of AWS's five minutes (`/_localaws/codedeploy/absent-after/<seconds>`)."""
        engine.START_SECONDS = seconds

    def permissions(self, operation: str, params: Params, ctx: Context) -> Iterable[tuple[str, str] | tuple[str, str, dict[str, Any]]]:
        action, prefix = f"codedeploy:{operation}", f"arn:aws:codedeploy:{ctx.region}:{ctx.account}"
        application = params.get("applicationName") or ""
        group = params.get("deploymentGroupName") or params.get("currentDeploymentGroupName") or ""
        group_arn = f"{prefix}:deploymentgroup:{application}/{group}"
        tags = {tag["Key"]: tag.get("Value") for tag in params.get("tags") or params.get("Tags") or [] if "Key" in tag}
        keys = {f"aws:RequestTag/{key}": value for key, value in tags.items()} | ({"aws:TagKeys": sorted(tags)} if tags else {})
        if operation in _ANY:
            return [(action, "*")]
        if operation in ("TagResource", "UntagResource", "ListTagsForResource"):
            if params.get("TagKeys"):
                keys = {"aws:TagKeys": sorted(params["TagKeys"])}
            return [(action, params.get("ResourceArn") or "*", keys)]
        if operation.endswith("DeploymentConfig"):
            return [(action, f"{prefix}:deploymentconfig:{params.get('deploymentConfigName')}")]
        if operation == "CreateDeployment":
            return self._deployment_permissions(params, ctx, prefix, group_arn)
        if operation == "BatchGetDeploymentGroups":
            return [(action, f"{prefix}:deploymentgroup:{application}/{name}") for name in params.get("deploymentGroupNames") or []]
        if operation.endswith("DeploymentGroup"):
            return [(action, group_arn, keys)]
        if operation == "ListDeployments":
            return [(action, group_arn if group else f"{prefix}:deploymentgroup:{application or '*'}/*")]
        if operation in ("GetDeployment", "BatchGetDeployments", "ListDeploymentInstances"):
            names = params.get("deploymentIds") or [params.get("deploymentId")]
            with self.lock:
                known = [self._stores[ctx]["deployments"][name] for name in names if name in self._stores[ctx]["deployments"]]
            return sorted({(action, f"{prefix}:deploymentgroup:{one['applicationName']}/{one['deploymentGroupName']}") for one in known})
        return [(action, f"{prefix}:application:{application}", keys)]

    def _deployment_permissions(self, params: Params, ctx: Context, prefix: str, group_arn: str) -> list[tuple[str, str]]:
        """CreateDeployment also asks for the configuration, an unregistered revision, and for what overriding alarms changes."""
        needed = [("codedeploy:CreateDeployment", group_arn)]
        with self.lock:
            group = self._stores[ctx]["groups"].get(f"{params.get('applicationName')}/{params.get('deploymentGroupName')}")
            application = self._stores[ctx]["applications"].get(params.get("applicationName") or "") or {}
        config = params.get("deploymentConfigName") or (group or {}).get("deploymentConfigName")
        if config:
            needed.append(("codedeploy:GetDeploymentConfig", f"{prefix}:deploymentconfig:{config}"))
        if application and params.get("revision"):
            key = records.revision_key(records.check_revision(params["revision"]))
            if key not in application["revisions"]:
                needed.append(("codedeploy:RegisterApplicationRevision", f"{prefix}:application:{params['applicationName']}"))
        if params.get("overrideAlarmConfiguration"):
            needed.append(("codedeploy:UpdateDeploymentGroup", group_arn))
        return needed

    # Applications.

    def create_application(self, ctx: Context, params: Params) -> dict[str, Any]:
        name = _checked(params["applicationName"], "InvalidApplicationNameException", "application")
        if params.get("computePlatform", "Server") != "Server":
            raise ServiceError("InvalidComputePlatformException", "This local AWS has the compute platform Server only.")
        with self.lock:
            tables = self._stores[ctx]
            if name in tables["applications"]:
                raise ServiceError("ApplicationAlreadyExistsException", f"An application with the specified name {name} already exists.")
            tables["applications"][name] = {
                "applicationId": str(uuid.uuid4()), "applicationName": name, "createTime": self.aws.clock.now(), "revisions": {}}
            _set_tags(tables["tags"], f"{_prefix(ctx)}:application:{name}", params.get("tags"))
            return {"applicationId": tables["applications"][name]["applicationId"]}

    def get_application(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            application = self._application(ctx, params)
            return {"application": {"linkedToGitHub": False, "computePlatform": "Server"} | {
                key: application[key] for key in ("applicationId", "applicationName", "createTime")}}

    def list_applications(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            names, token = records.page(sorted(self._stores[ctx]["applications"]), params.get("nextToken"))
        return {"applications": names, "nextToken": token}

    def delete_application(self, ctx: Context, params: Params) -> dict[str, Any]:
        """Also deletes its deployment groups. An application that is not there is no error."""
        name = params["applicationName"]
        with self.lock:
            groups = [group for group in self._stores[ctx]["groups"].values() if group["applicationName"] == name]
        for group in groups:
            self._remove_group(ctx, group)
        with self.lock:
            self._stores[ctx]["applications"].pop(name, None)
            self._stores[ctx]["tags"].pop(f"{_prefix(ctx)}:application:{name}", None)
        return {}

    # Deployment configurations.

    def create_deployment_config(self, ctx: Context, params: Params) -> dict[str, Any]:
        configs.check(params)
        name = _checked(params["deploymentConfigName"], "InvalidDeploymentConfigNameException", "deployment configuration")
        with self.lock:
            table = self._stores[ctx]["configs"]
            if name in table:
                raise ServiceError("DeploymentConfigAlreadyExistsException", f"Deployment config already exists with the name: {name}")
            table[name] = {"deploymentConfigId": str(uuid.uuid4()), "deploymentConfigName": name, "computePlatform": "Server",
                           "createTime": self.aws.clock.now(), "minimumHealthyHosts": params["minimumHealthyHosts"],
                           "zonalConfig": params.get("zonalConfig")}
            return {"deploymentConfigId": table[name]["deploymentConfigId"]}

    def get_deployment_config(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            return {"deploymentConfigInfo": dict(find_config(self._stores[ctx], params["deploymentConfigName"]))}

    def list_deployment_configs(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            names, token = records.page(sorted([*configs.PREDEFINED, *self._stores[ctx]["configs"]]), params.get("nextToken"))
        return {"deploymentConfigsList": names, "nextToken": token}

    def delete_deployment_config(self, ctx: Context, params: Params) -> dict[str, Any]:
        name = params["deploymentConfigName"]
        if name in configs.PREDEFINED:
            raise ServiceError("InvalidOperationException", "A predefined deployment configuration cannot be deleted.")
        with self.lock:
            if any(group["deploymentConfigName"] == name for group in self._stores[ctx]["groups"].values()):
                raise ServiceError("DeploymentConfigInUseException", f"The deployment configuration {name} is still in use.")
            self._stores[ctx]["configs"].pop(name, None)
        return {}

    # Deployment groups.

    def create_deployment_group(self, ctx: Context, params: Params) -> dict[str, Any]:
        application = params["applicationName"]
        name = _checked(params["deploymentGroupName"], "InvalidDeploymentGroupNameException", "deployment group")
        group: dict[str, Any] = {key: params[key] for key in records.GROUP_KEYS if params.get(key) is not None}
        group.setdefault("deploymentConfigName", "CodeDeployDefault.OneAtATime")
        group.setdefault("outdatedInstancesStrategy", "UPDATE")
        group["deploymentStyle"] = {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"} | (
            params.get("deploymentStyle") or {})
        records.check_group(params | group)
        with self.lock:
            self._application(ctx, params)
            find_config(self._stores[ctx], group["deploymentConfigName"])
            if f"{application}/{name}" in self._stores[ctx]["groups"]:
                raise ServiceError("DeploymentGroupAlreadyExistsException", f"Deployment group already exists with the name: {name}")
        group |= {"applicationName": application, "deploymentGroupName": name, "deploymentGroupId": str(uuid.uuid4()),
                  "autoScalingGroups": []}
        session = self._session(ctx, group["serviceRoleArn"], check_pass=True)
        with self.lock:  # known before its hooks are made: a launch may come at once
            self._stores[ctx]["groups"][f"{application}/{name}"] = group
        try:
            self._set_hooks(session, group, params.get("autoScalingGroups") or [])
        except ServiceError:
            self._remove_group(ctx, group)
            raise
        with self.lock:
            _set_tags(self._stores[ctx]["tags"], f"{_prefix(ctx)}:deploymentgroup:{application}/{name}", params.get("tags"))
        return {"deploymentGroupId": group["deploymentGroupId"]}

    def update_deployment_group(self, ctx: Context, params: Params) -> dict[str, Any]:
        """What is given replaces what was there. Auto Scaling groups keep or get a hook; those that leave lose theirs."""
        with self.lock:
            old = self._group(ctx, params["applicationName"], params["currentDeploymentGroupName"])
            group = copy.deepcopy(old)
        group |= {key: params[key] for key in records.GROUP_KEYS if params.get(key) is not None and key != "deploymentStyle"}
        group["deploymentStyle"] = old["deploymentStyle"] | (params.get("deploymentStyle") or {})
        records.check_group(params | group)
        name = params.get("newDeploymentGroupName") or group["deploymentGroupName"]
        key = f"{group['applicationName']}/{_checked(name, 'InvalidDeploymentGroupNameException', 'deployment group')}"
        with self.lock:
            find_config(self._stores[ctx], group["deploymentConfigName"])
            if name != old["deploymentGroupName"] and key in self._stores[ctx]["groups"]:
                raise ServiceError("DeploymentGroupAlreadyExistsException", f"Deployment group already exists with the name: {name}")
        session = self._session(ctx, group["serviceRoleArn"], check_pass=bool(params.get("serviceRoleArn")))
        names = params.get("autoScalingGroups")
        left = self._set_hooks(session, group, [entry["name"] for entry in old["autoScalingGroups"]] if names is None else names)
        with self.lock:
            tables = self._stores[ctx]
            current = tables["groups"].pop(f"{old['applicationName']}/{old['deploymentGroupName']}", old)
            # The same dict, so that what a deployment recorded on it meanwhile is kept.
            current.update({item: group[item] for item in (*records.GROUP_KEYS, "autoScalingGroups") if item in group},
                           deploymentGroupName=name)
            tables["groups"][key] = current
            tags = tables["tags"].pop(f"{_prefix(ctx)}:deploymentgroup:{old['applicationName']}/{old['deploymentGroupName']}", None)
            _set_tags(tables["tags"], f"{_prefix(ctx)}:deploymentgroup:{key}", [{"Key": k, "Value": v} for k, v in (tags or {}).items()])
        return {"hooksNotCleanedUp": left}

    def get_deployment_group(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            group = self._group(ctx, params["applicationName"], params["deploymentGroupName"])
            return {"deploymentGroupInfo": copy.deepcopy(records.group_info(group, self._stores[ctx]["deployments"]))}

    def batch_get_deployment_groups(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            self._application(ctx, params)
            names = params["deploymentGroupNames"]
            groups = [self._stores[ctx]["groups"].get(f"{params['applicationName']}/{name}") for name in names]
            missing = [name for name, group in zip(names, groups, strict=False) if group is None]
            answer: dict[str, Any] = {"deploymentGroupsInfo": copy.deepcopy(
                [records.group_info(group, self._stores[ctx]["deployments"]) for group in groups if group])}
        return answer | ({"errorMessage": f"No Deployment Group found for name: {', '.join(missing)}"} if missing else {})

    def list_deployment_groups(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            self._application(ctx, params)
            names = sorted(group["deploymentGroupName"] for group in self._stores[ctx]["groups"].values()
                           if group["applicationName"] == params["applicationName"])
        some, token = records.page(names, params.get("nextToken"))
        return {"applicationName": params["applicationName"], "deploymentGroups": some, "nextToken": token}

    def delete_deployment_group(self, ctx: Context, params: Params) -> dict[str, Any]:
        """A group that is not there is no error. Hooks that could not be removed are named."""
        with self.lock:
            group = self._stores[ctx]["groups"].get(f"{params['applicationName']}/{params['deploymentGroupName']}")
        return {"hooksNotCleanedUp": self._remove_group(ctx, group) if group else []}

    # Revisions.

    def register_application_revision(self, ctx: Context, params: Params) -> dict[str, Any]:
        revision = records.check_revision(params.get("revision"))
        with self.lock:
            self._register(self._application(ctx, params), revision, params.get("description"))
        return {}

    def get_application_revision(self, ctx: Context, params: Params) -> dict[str, Any]:
        revision = records.check_revision(params.get("revision"))
        with self.lock:
            known = self._application(ctx, params)["revisions"].get(records.revision_key(revision))
            if known is None:
                raise ServiceError("RevisionDoesNotExistException", f"No revision found for application: {params['applicationName']}")
            return {"applicationName": params["applicationName"], "revision": revision, "revisionInfo": copy.deepcopy(known["info"])}

    def list_application_revisions(self, ctx: Context, params: Params) -> dict[str, Any]:
        order = {"firstUsedTime": "firstUsedTime", "lastUsedTime": "lastUsedTime"}.get(params.get("sortBy") or "", "registerTime")
        with self.lock:
            known = list(self._application(ctx, params)["revisions"].values())
        bucket, prefix = params.get("s3Bucket"), params.get("s3KeyPrefix") or ""
        known = [one for one in known if (not bucket or one["revision"]["s3Location"]["bucket"] == bucket)
                 and one["revision"]["s3Location"]["key"].startswith(prefix)]
        if params.get("deployed") in ("include", "exclude"):
            known = [one for one in known if bool(one["info"].get("deploymentGroups")) == (params["deployed"] == "include")]
        known.sort(key=lambda one: one["info"].get(order) or 0.0, reverse=params.get("sortOrder") != "ascending")
        return {"revisions": [one["revision"] for one in known]}

    # Deployments.

    def create_deployment(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            application = self._application(ctx, params)
            if not params.get("deploymentGroupName"):
                raise ServiceError("DeploymentGroupNameRequiredException", "The deployment group name was not specified.")
            group = self._group(ctx, params["applicationName"], params["deploymentGroupName"])
            if params.get("targetInstances"):
                raise ServiceError("InvalidTargetInstancesException", "Target instances are for blue/green deployments only.")
            revision = records.check_revision(params.get("revision"))
            records.check_mode(params)
            records.check_rollback(params.get("autoRollbackConfiguration"))
            records.check_alarms(params.get("overrideAlarmConfiguration"))
            options = {key: params.get(key) for key in (
                "deploymentConfigName", "description", "ignoreApplicationStopFailures", "autoRollbackConfiguration",
                "updateOutdatedInstancesOnly", "fileExistsBehavior", "overrideAlarmConfiguration")}
            deployment = self._deployments.create(ctx.account, ctx.region, group, revision, "user", **options)
            info = self._register(application, revision, None)
            info["firstUsedTime"] = info.get("firstUsedTime") or deployment["createTime"]
            info["lastUsedTime"] = deployment["createTime"]
            info["deploymentGroups"] = sorted({*(info.get("deploymentGroups") or []), group["deploymentGroupName"]})
            return {"deploymentId": deployment["deploymentId"]}

    def get_deployment(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            return {"deploymentInfo": copy.deepcopy(records.deployment_info(self._deployment(ctx, params["deploymentId"])))}

    def batch_get_deployments(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            table = self._stores[ctx]["deployments"]
            return {"deploymentsInfo": copy.deepcopy(
                [records.deployment_info(table[name]) for name in params["deploymentIds"] if name in table])}

    def list_deployments(self, ctx: Context, params: Params) -> dict[str, Any]:
        """Newest first."""
        application, group = params.get("applicationName"), params.get("deploymentGroupName")
        if group and not application:
            raise ServiceError("ApplicationNameRequiredException", "The application name was not specified.")
        span, statuses = params.get("createTimeRange") or {}, params.get("includeOnlyStatuses")
        with self.lock:
            if application:
                self._application(ctx, params)
            if group:
                self._group(ctx, application or "", group)
            names = [name for name, one in reversed(self._stores[ctx]["deployments"].items())
                     if (not application or one["applicationName"] == application)
                     and (not group or one["deploymentGroupName"] == group) and (not statuses or one["status"] in statuses)
                     and (span.get("start") or 0) <= one["createTime"] <= (span.get("end") or float("inf"))]
        some, token = records.page(names, params.get("nextToken"))
        return {"deployments": some, "nextToken": token}

    def stop_deployment(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            deployment = self._deployment(ctx, params["deploymentId"])
            if deployment["status"] not in engine.ACTIVE:
                raise ServiceError("DeploymentAlreadyCompletedException", (
                    f"Deployment {deployment['deploymentId']} is already in the state {deployment['status']}."))
            engine.stop_on_request(deployment, self.aws.clock.now(), params.get("autoRollbackEnabled"))
            self._deployments.settle(ctx.account, ctx.region, deployment)
        return {"status": "Succeeded", "statusMessage": "No more commands will be scheduled for execution in the deployment instances"}

    def list_deployment_targets(self, ctx: Context, params: Params) -> dict[str, Any]:
        filters = params.get("targetFilters") or {}
        if unknown := set(filters) - {"TargetStatus", "ServerInstanceLabel"}:
            raise ServiceError("InvalidTargetFilterNameException", f"There is no target filter {', '.join(sorted(unknown))}.")
        with self.lock:
            targets = self._started(ctx, params["deploymentId"])["targets"]
            names = [name for name, target in targets.items() if target["status"] in filters.get("TargetStatus", (target["status"],))]
        some, token = records.page(names, params.get("nextToken"))
        return {"targetIds": some, "nextToken": token}

    def list_deployment_instances(self, ctx: Context, params: Params) -> dict[str, Any]:
        statuses = params.get("instanceStatusFilter")
        with self.lock:
            targets = self._started(ctx, params["deploymentId"])["targets"]
            names = [name for name, target in targets.items() if not statuses or target["status"] in statuses]
        some, token = records.page(names, params.get("nextToken"))
        return {"instancesList": some, "nextToken": token}

    def batch_get_deployment_targets(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            deployment = self._started(ctx, params["deploymentId"])
            return {"deploymentTargets": [self._target(ctx, deployment, name) for name in params["targetIds"]]}

    def get_deployment_target(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            return {"deploymentTarget": self._target(ctx, self._started(ctx, params["deploymentId"]), params["targetId"])}

    # Tags.

    def tag_resource(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            _set_tags(self._stores[ctx]["tags"], self._taggable(ctx, params["ResourceArn"]), params["Tags"])
        return {}

    def untag_resource(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            tags = self._stores[ctx]["tags"].get(self._taggable(ctx, params["ResourceArn"]), {})
            for key in params["TagKeys"]:
                tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, ctx: Context, params: Params) -> dict[str, Any]:
        with self.lock:
            tags = self._stores[ctx]["tags"].get(self._taggable(ctx, params["ResourceArn"]), {})
            return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}

    # Shared.

    def _application(self, ctx: Context, params: Params) -> dict[str, Any]:
        name = params.get("applicationName") or ""
        if name not in self._stores[ctx]["applications"]:
            raise ServiceError("ApplicationDoesNotExistException", f"No application found for name: {name}")
        application: dict[str, Any] = self._stores[ctx]["applications"][name]
        return application

    def _group(self, ctx: Context, application: str, name: str) -> dict[str, Any]:
        self._application(ctx, {"applicationName": application})
        group: dict[str, Any] | None = self._stores[ctx]["groups"].get(f"{application}/{name}")
        if group is None:
            raise ServiceError("DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {name}")
        return group

    def _deployment(self, ctx: Context, name: str) -> dict[str, Any]:
        deployment: dict[str, Any] | None = self._stores[ctx]["deployments"].get(name)
        if deployment is None:
            raise ServiceError("DeploymentDoesNotExistException", f"The deployment {name} could not be found")
        return deployment

    def _started(self, ctx: Context, name: str) -> dict[str, Any]:
        deployment = self._deployment(ctx, name)
        if deployment.get("targets") is None:
            raise ServiceError("DeploymentNotStartedException", f"The deployment {name} has not started.")
        return deployment

    def _target(self, ctx: Context, deployment: dict[str, Any], name: str) -> dict[str, Any]:
        instance = name.rpartition("/")[2]
        if instance not in deployment["targets"]:
            raise ServiceError("DeploymentTargetDoesNotExistException", (
                f"The target {name} does not exist in the deployment {deployment['deploymentId']}."))
        return copy.deepcopy(records.target_info(deployment, instance, ctx.account, ctx.region))

    def _register(self, application: dict[str, Any], revision: dict[str, Any], description: str | None) -> dict[str, Any]:
        entry: dict[str, dict[str, Any]] = application["revisions"].setdefault(
            records.revision_key(revision), {"revision": revision, "info": {"registerTime": self.aws.clock.now()}})
        if description is not None:
            entry["info"]["description"] = description
        return entry["info"]

    def _session(self, ctx: Context, role: str, check_pass: bool) -> Session:
        """The service role's session. Raises InvalidRoleException where CodeDeploy may not assume it."""
        if check_pass:
            self.aws.check_pass_role(ctx, role, PRINCIPAL)
        try:
            return self._world.session(role, ctx.region)
        except WorldError as error:
            raise ServiceError("InvalidRoleException", error.message) from error

    def _set_hooks(self, session: Session, group: dict[str, Any], names: list[str]) -> list[dict[str, str]]:
        """Give each named Auto Scaling group our hooks, and take them from the others; return those that stayed."""
        try:
            if missing := session.missing_groups(names):
                raise ServiceError("InvalidAutoScalingGroupException", f"The Auto Scaling group {', '.join(missing)} does not exist.")
            before = {entry["name"]: dict(entry) for entry in group["autoScalingGroups"]}
            group["autoScalingGroups"] = []
            for name in dict.fromkeys(names):
                entry = {"name": name} | before.get(name, {})
                suffix = f"{group['deploymentGroupName']}-{uuid.uuid4()}"
                group["autoScalingGroups"].append(entry)
                if "hook" not in entry:
                    entry["hook"] = f"{_LAUNCH_HOOK}-{suffix}"
                    session.put_hook(name, entry["hook"], LAUNCHING, group["deploymentGroupId"])
                if group.get("terminationHookEnabled") and "terminationHook" not in entry:
                    entry["terminationHook"] = f"{_TERMINATION_HOOK}-{suffix}"
                    session.put_hook(name, entry["terminationHook"], TERMINATING, group["deploymentGroupId"])
                if not group.get("terminationHookEnabled") and "terminationHook" in entry:
                    session.delete_hook(name, entry.pop("terminationHook"))
        except WorldError as error:
            code = "InvalidRoleException" if "ROLE" in error.code else "InvalidAutoScalingGroupException"
            raise ServiceError(code, error.message) from error
        return _remove_hooks(session, [entry for name, entry in before.items() if name not in names])

    def _remove_group(self, ctx: Context, group: dict[str, Any]) -> list[dict[str, str]]:
        try:
            left = _remove_hooks(self._world.session(group["serviceRoleArn"], ctx.region), group["autoScalingGroups"])
        except WorldError:
            left = list(group["autoScalingGroups"])
        with self.lock:
            tables, key = self._stores[ctx], f"{group['applicationName']}/{group['deploymentGroupName']}"
            tables["groups"].pop(key, None)
            tables["tags"].pop(f"{_prefix(ctx)}:deploymentgroup:{key}", None)
            for host in [host for host in tables["hosts"] if host.startswith(f"{group['deploymentGroupId']}/")]:
                del tables["hosts"][host]
        return left

    def _taggable(self, ctx: Context, arn: str) -> str:
        prefix = _prefix(ctx)
        kind, _, name = arn.removeprefix(f"{prefix}:").partition(":")
        if not arn.startswith(f"{prefix}:"):
            raise ServiceError("InvalidArnException", f"The ARN {arn} is not valid.")
        if kind == "application":
            self._application(ctx, {"applicationName": name})
        elif kind == "deploymentgroup":
            self._group(ctx, name.partition("/")[0], name.partition("/")[2])
        else:
            raise ServiceError("ArnNotSupportedException", f"The ARN {arn} does not name an application or a deployment group.")
        return arn


def _remove_hooks(session: Session, entries: list[dict[str, str]]) -> list[dict[str, str]]:
    left = []
    for entry in entries:
        try:
            for hook in (entry.get("hook"), entry.get("terminationHook")):
                if hook:
                    session.delete_hook(entry["name"], hook)
        except WorldError:
            left.append(dict(entry))
    return left


def _prefix(ctx: Context) -> str:
    return f"arn:aws:codedeploy:{ctx.region}:{ctx.account}"


def _checked(name: str, code: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise ServiceError(code, f"The {what} name {name!r} is not valid.")
    return name


def _set_tags(table: dict[str, Any], arn: str, tags: list[dict[str, str]] | None) -> None:
    if tags:
        table.setdefault(arn, {}).update({tag["Key"]: tag.get("Value") or "" for tag in tags})
