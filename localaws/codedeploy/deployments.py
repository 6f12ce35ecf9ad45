"""Carries deployments out: makes them, takes them on second by second, and does what follows when they end.

Between the pure engine and the world: observations are made without the lock, decisions with it. What is to be told to others
(events, triggers, lifecycle hooks) goes through an outbox in the store, so that a restart loses nothing.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable
from typing import Any

from localaws.codedeploy import configs, engine
from localaws.codedeploy.driver import AlarmStates, Session, World, WorldError
from localaws.service import Aws, ServiceError, Stores, Tables

log = logging.getLogger("localaws.codedeploy")

ALARM_POLL_SECONDS = 2
"""How often alarms are read while a deployment runs. AWS names no period; stops were seen within about 20 s of an alarm."""
ENDED_POLL_SECONDS = 5
"""How often it is looked whether an instance that is being deployed to was terminated."""
HEARTBEAT_SECONDS = 300
PATIENCE_SECONDS = 300
"""How long a deployment bears calls that fail for no reason of its own (throttled, no answer) before it ends."""
TRANSIENT = ("INTERNAL_ERROR", "THROTTLED")
LAUNCH_CREATORS = ("autoscaling", "autoscalingTermination")
_TRIGGERS = {"START": "DeploymentStart", "SUCCESS": "DeploymentSuccess", "FAILURE": "DeploymentFailure", "STOP": "DeploymentStop"}
_STATES = {"InProgress": "START", "Succeeded": "SUCCESS", "Failed": "FAILURE", "Stopped": "STOP"}

Deployment = dict[str, Any]
Group = dict[str, Any]


class Deployments:
    """The deployments of every account and Region in `stores`, guarded by `lock`."""

    def __init__(self, aws: Aws, stores: Stores, lock: threading.RLock, world: World | Any, chance: random.Random) -> None:
        self._aws, self._stores, self._lock, self._world, self._chance = aws, stores, lock, world, chance

    # Making them.

    def create(self, account: str, region: str, group: Group, revision: dict[str, Any], creator: str,
               **options: Any) -> Deployment:
        """Make a Created deployment of `revision` to `group`; the next pass starts it.

        Options override or add to the record. Raises DeploymentLimitExceededException while the group has one that is not of
        Auto Scaling's making.
        """
        with self._lock:
            tables, now = self._stores.at(account, region), self._aws.clock.now()
            launch = creator in LAUNCH_CREATORS
            other = self.active(tables, group["deploymentGroupId"])
            if other and not launch:
                raise ServiceError("DeploymentLimitExceededException", (
                    f"The Deployment Group '{group['deploymentGroupName']}' is already deploying deployment "
                    f"'{other['deploymentId']}'."))
            config = find_config(tables, options.pop("deploymentConfigName", None) or group["deploymentConfigName"])
            # Neither a launch nor a rollback is stopped by alarms: a rollback runs while they are active (it was seen to on
            # other platforms); for launches nothing is documented, and stopping them would loop.
            watched = (options.get("overrideAlarmConfiguration") or group.get("alarmConfiguration") or {}) \
                if not launch and creator != "codeDeployRollback" else {}
            traffic = (group["deploymentStyle"]["deploymentOption"] == "WITH_TRAFFIC_CONTROL") and creator != "autoscaling"
            last = group.get("lastSuccess")
            deployment: Deployment = {
                "deploymentId": self._new_id(tables), "applicationName": group["applicationName"],
                "deploymentGroupName": group["deploymentGroupName"], "deploymentGroupId": group["deploymentGroupId"],
                "deploymentConfigName": config["deploymentConfigName"], "revision": revision, "creator": creator, "status": "Created",
                "previousRevision": last["revision"] if last else None, "createTime": now, "computePlatform": "Server",
                "ignoreApplicationStopFailures": False, "updateOutdatedInstancesOnly": False,
                "autoRollbackConfiguration": group.get("autoRollbackConfiguration"), "fileExistsBehavior": "DISALLOW",
                "deploymentStyle": group["deploymentStyle"], "loadBalancerInfo": group.get("loadBalancerInfo"),
                # The engine's and our own.
                "minimumHealthyHosts": {"type": "HOST_COUNT", "value": 0} if launch else config["minimumHealthyHosts"],
                "zonalConfig": None if launch else config.get("zonalConfig"),
                "eventNames": engine.event_names(traffic, creator == "autoscalingTermination"),
                "alarms": [alarm["name"] for alarm in watched.get("alarms") or []] if watched.get("enabled") else [],
                "ignorePollAlarmFailure": bool(watched.get("ignorePollAlarmFailure")), "alarmsReadAt": None,
                "serviceRoleArn": group["serviceRoleArn"], "announced": None, "settled": False, "troubleSince": None}
            deployment |= {key: value for key, value in options.items() if value is not None}
            tables["deployments"][deployment["deploymentId"]] = deployment
            if not launch:
                group["lastAttempt"] = deployment["deploymentId"]
            return deployment

    def launching(self, account: str, region: str, asg: str, instance: str, hook: str, token: str, terminating: bool) -> None:
        """Auto Scaling waits at a lifecycle hook: deploy the group's last successful revision, or let it go on.

        A hook whose deployment group is gone gets no answer, and Auto Scaling waits in vain, as on AWS.
        """
        with self._lock:
            tables, now = self._stores.at(account, region), self._aws.clock.now()
            group = next((group for group in tables["groups"].values()
                          if any(hook in (entry.get("hook"), entry.get("terminationHook"))
                                 for entry in group["autoScalingGroups"])), None)
            if group is None:
                log.warning("lifecycle hook %s of %s belongs to no deployment group; nobody will answer it", hook, asg)
                return
            launch = {"group": asg, "hook": hook, "token": token, "instance": instance, "heartbeatAt": now}
            last = group.get("lastSuccess")
            if last is None:
                self._post(tables, {"kind": "hook", "role": group["serviceRoleArn"], "launch": launch, "result": "CONTINUE"})
                return
            self.create(account, region, group, last["revision"], "autoscalingTermination" if terminating else "autoscaling",
                        launch=launch, fileExistsBehavior=last["fileExistsBehavior"],
                        # What is left of the old instance must not keep a new one from coming up.
                        ignoreApplicationStopFailures=terminating)

    def active(self, tables: Tables, group_id: str) -> Deployment | None:
        """The group's running deployment, launches aside."""
        return next((deployment for deployment in tables["deployments"].values()
                     if deployment["deploymentGroupId"] == group_id and deployment["status"] in engine.ACTIVE
                     and deployment["creator"] not in LAUNCH_CREATORS), None)

    # Taking them on.

    def work(self) -> None:
        """One pass over everything that runs. Called about once a second."""
        for account, region in self._stores.scopes():
            tables = self._stores.at(account, region)
            with self._lock:
                running = [deployment for deployment in tables["deployments"].values()
                           if deployment["status"] in engine.ACTIVE or not deployment["settled"]]
            for deployment in running:
                try:
                    self._step(account, region, tables, deployment)
                except Exception:
                    log.exception("deployment %s", deployment["deploymentId"])
            self._send(account, region, tables)

    def settle(self, account: str, region: str, deployment: Deployment) -> None:
        """Record what the engine decided: instances' health, announcements, and at the end the rollback. Under the lock."""
        tables = self._stores.at(account, region)
        group = tables["groups"].get(_group_key(deployment))
        self._settle_targets(tables, deployment)
        if deployment["status"] != deployment["announced"] and deployment["status"] in _STATES:
            deployment["announced"] = deployment["status"]
            self._post(tables, {"kind": "deployment", "deploymentId": deployment["deploymentId"],
                                "state": _STATES[deployment["status"]]})
        if deployment["status"] in engine.ACTIVE or deployment["settled"]:
            return
        deployment["settled"] = True
        if deployment.get("launch"):
            self._post(tables, {"kind": "hook", "role": deployment["serviceRoleArn"], "launch": deployment["launch"], "result": (
                "CONTINUE" if deployment["status"] == "Succeeded" or deployment["creator"] == "autoscalingTermination"
                else "ABANDON")})
        if group is None or group["deploymentGroupId"] != deployment["deploymentGroupId"]:
            return
        if engine.wants_rollback(deployment):
            self._roll_back(account, region, group, deployment)
        elif deployment["status"] == "Succeeded":
            self._succeeded(tables, group, deployment)

    def _succeeded(self, tables: Tables, group: Group, deployment: Deployment) -> None:
        """Remember the revision, and look for instances that came meanwhile and have another."""
        if deployment["creator"] in LAUNCH_CREATORS:
            # Launched while another revision was on its way: by now that may be the group's own.
            waits = [deployment["launch"]["instance"]] if group["lastSuccess"]["revision"] != deployment["revision"] else []
        else:
            group["lastSuccess"] = {key: deployment[key] for key in ("deploymentId", "revision", "fileExistsBehavior")}
            # Also those whose launch is over but which Auto Scaling has not put in service yet.
            waits = [""] + [other["launch"]["instance"] for other in tables["deployments"].values()
                            if other["creator"] == "autoscaling" and other["status"] == "Succeeded"
                            and other["deploymentGroupId"] == deployment["deploymentGroupId"]
                            and other["completeTime"] >= deployment["createTime"]]
        if group.get("outdatedInstancesStrategy") != "IGNORE" and deployment["creator"] != "autoscalingTermination":
            for instance in waits:
                self._post(tables, {"kind": "follow-on", "deploymentId": group["lastSuccess"]["deploymentId"], "instance": instance,
                                    "until": self._aws.clock.now() + PATIENCE_SECONDS})

    def _step(self, account: str, region: str, tables: Tables, deployment: Deployment) -> None:
        try:
            if deployment["status"] in engine.ACTIVE:
                session = self._world.session(deployment["serviceRoleArn"], region)
                with self._lock:
                    if _group_key(deployment) not in tables["groups"]:
                        raise WorldError("DEPLOYMENT_GROUP_MISSING", "The deployment group was deleted while it was deployed to.")
                self._watch_alarms(session, deployment)
                if deployment["status"] == "Created":
                    self._begin(session, tables, deployment)
                self._see_ended(session, deployment)
                self._move_traffic(session, deployment)
                self._beat(session, deployment)
                deployment["troubleSince"] = None
        except WorldError as error:
            with self._lock:
                now = self._aws.clock.now()
                since = deployment["troubleSince"] = deployment["troubleSince"] or now
                if deployment["status"] in engine.ACTIVE and (
                        error.code not in TRANSIENT or now - since >= PATIENCE_SECONDS):
                    engine.fail(deployment, error.code, error.message, now)
        with self._lock:
            engine.advance(deployment, self._aws.clock.now())
            self.settle(account, region, deployment)

    def _watch_alarms(self, session: Session, deployment: Deployment) -> None:
        now, read_at = self._aws.clock.now(), deployment["alarmsReadAt"]
        if not deployment["alarms"] or (read_at is not None and now - read_at < ALARM_POLL_SECONDS):
            return
        deployment["alarmsReadAt"] = now
        try:
            states = session.alarms(deployment["alarms"])
            if states.missing and not deployment["ignorePollAlarmFailure"]:
                # Which code AWS gives here is not documented.
                raise WorldError("CODEDEPLOY_RESOURCE_CANNOT_BE_FOUND", (
                    f"The state of alarms cannot be read: CloudWatch has no metric alarm {', '.join(states.missing)}."))
        except WorldError:
            if not deployment["ignorePollAlarmFailure"]:
                deployment["alarmsReadAt"] = read_at  # ask again at the next pass
                raise
            states = AlarmStates([], [])
        with self._lock:
            if states.active and deployment["status"] in engine.ACTIVE:
                engine.stop_on_alarm(deployment, states.active, self._aws.clock.now())

    def _see_ended(self, session: Session, deployment: Deployment) -> None:
        """Fail what runs on an instance that was terminated. "Because the deployment cannot be completed, it fails."

        Source: CodeDeploy User Guide, "Terminating or rebooting an Amazon EC2 Auto Scaling instance might cause deployments to fail".
        How soon AWS sees it is not written there.
        """
        with self._lock:
            running, now = engine.in_progress(deployment), self._aws.clock.now()
        if not running or now - deployment.get("endedReadAt", 0.0) < ENDED_POLL_SECONDS:
            return
        deployment["endedReadAt"] = now
        ended = session.ended(running)
        with self._lock:
            for instance in ended:
                engine.instance_ended(deployment, instance, now)

    def _begin(self, session: Session, tables: Tables, deployment: Deployment) -> None:
        launch = deployment.get("launch")
        with self._lock:
            group = tables["groups"][_group_key(deployment)]
            names = [entry["name"] for entry in group["autoScalingGroups"]]
        seen = [] if launch else session.instances(names)
        with self._lock:
            hosts = [engine.Host(launch["instance"], "")] if launch else [
                self._host(tables, group, deployment, instance.id, instance.zone) for instance in seen]
            if deployment["status"] == "Created":
                engine.begin(deployment, hosts, self._aws.clock.now(), bool(deployment["updateOutdatedInstancesOnly"]))

    def _host(self, tables: Tables, group: Group, deployment: Deployment, instance: str, zone: str) -> engine.Host:
        known = tables["hosts"].get(f"{group['deploymentGroupId']}/{instance}") or {"healthy": False, "revision": None}
        last, revision = group.get("lastSuccess"), known["revision"]
        rank = 0 if revision is None else 2 if last and revision == last["revision"] else 1
        return engine.Host(instance, zone, known["healthy"], rank, outdated=revision != deployment["revision"])

    def _move_traffic(self, session: Session, deployment: Deployment) -> None:
        with self._lock:
            work = engine.own_work(deployment)
        names = [entry["name"] for entry in (deployment.get("loadBalancerInfo") or {}).get("targetGroupInfoList") or []]
        for instance, event in work:
            succeeded, diagnostics = True, engine.diagnosis(0)
            try:
                if not (session.block if event == "BlockTraffic" else session.allow)(names, instance):
                    continue
            except WorldError as error:
                if error.code != "ELB_INVALID_INSTANCE":
                    raise
                succeeded, diagnostics = False, engine.diagnosis(5, message=error.message)
            with self._lock:
                engine.complete(deployment, instance, event, succeeded, diagnostics, self._aws.clock.now())

    def _beat(self, session: Session, deployment: Deployment) -> None:
        launch, now = deployment.get("launch"), self._aws.clock.now()
        if launch and now - launch["heartbeatAt"] >= HEARTBEAT_SECONDS:
            launch["heartbeatAt"] = now
            session.heartbeat(launch["group"], launch["hook"], launch["token"], launch["instance"])

    # What follows.

    def _settle_targets(self, tables: Tables, deployment: Deployment) -> None:
        for instance, target in (deployment.get("targets") or {}).items():
            if target["status"] == target.get("announced") or target["status"] not in _STATES:
                continue
            target["announced"] = target["status"]
            self._post(tables, {"kind": "instance", "deploymentId": deployment["deploymentId"], "instance": instance,
                                "state": _STATES[target["status"]]})
            key = f"{deployment['deploymentGroupId']}/{instance}"
            if deployment["creator"] == "autoscalingTermination":
                tables["hosts"].pop(key, None)
            elif target["status"] == "Succeeded":
                tables["hosts"][key] = {"healthy": True, "revision": deployment["revision"]}
            elif target["status"] == "Failed":
                tables["hosts"][key] = {"healthy": False, "revision": None}

    def _roll_back(self, account: str, region: str, group: Group, deployment: Deployment) -> None:
        last, name = group.get("lastSuccess"), deployment["deploymentId"]
        if last is None:
            deployment["rollbackInfo"] = {"rollbackMessage": (
                f"Deployment {name} terminated. Automatic rollback is not triggered: the deployment group has no earlier "
                "successful deployment to roll back to.")}
            return
        # The group's own configuration: which one AWS takes for EC2 is not documented.
        back = self.create(account, region, group, last["revision"], "codeDeployRollback",
                           fileExistsBehavior=last["fileExistsBehavior"],
                           ignoreApplicationStopFailures=deployment["ignoreApplicationStopFailures"])
        back["rollbackInfo"] = {"rollbackTriggeringDeploymentId": name, "rollbackMessage": (
            f"Deployment {back['deploymentId']} is triggered to roll back deployment {name}.")}
        deployment["rollbackInfo"] = {"rollbackDeploymentId": back["deploymentId"], "rollbackMessage": (
            f"Deployment {name} terminated. Automatic rollback is triggered with a DeploymentId {back['deploymentId']}.")}
        self._post(self._stores.at(account, region), {"kind": "rollback", "deploymentId": back["deploymentId"]})

    def _post(self, tables: Tables, entry: dict[str, Any]) -> None:
        number = tables["counters"]["outbox"] = tables["counters"].get("outbox", 0) + 1
        tables["outbox"][f"{number:012d}"] = entry

    def _send(self, account: str, region: str, tables: Tables) -> None:
        with self._lock:
            entries = sorted(tables["outbox"].items())
        for key, entry in entries:
            try:
                keep = self._sender(entry["kind"])(account, region, tables, entry)
            except WorldError as error:
                now = self._aws.clock.now()
                log.warning("%s could not be done: %s", entry["kind"], error)
                with self._lock:
                    keep = error.code in TRANSIENT and now - entry.setdefault("since", now) < PATIENCE_SECONDS
            except Exception:
                log.exception("%s could not be done", entry["kind"])
                keep = False
            if not keep:
                with self._lock:
                    tables["outbox"].pop(key, None)

    def _sender(self, kind: str) -> Callable[[str, str, Tables, dict[str, Any]], bool]:
        return {"hook": self._send_hook, "deployment": self._send_deployment, "instance": self._send_instance,
                "rollback": self._send_rollback, "follow-on": self._follow_on}[kind]

    def _send_hook(self, account: str, region: str, tables: Tables, entry: dict[str, Any]) -> bool:
        launch = entry["launch"]
        self._world.session(entry["role"], region).complete_hook(
            launch["group"], launch["hook"], launch["token"], launch["instance"], entry["result"])
        return False

    def _send_deployment(self, account: str, region: str, tables: Tables, entry: dict[str, Any]) -> bool:
        deployment = tables["deployments"][entry["deploymentId"]]
        prefix = f"arn:aws:codedeploy:{region}:{account}"
        self._aws.emit(account, region, "aws.codedeploy", "CodeDeploy Deployment State-change Notification",
                       _detail(deployment, region, entry["state"]), _resources(deployment, prefix))
        self._trigger(account, region, tables, deployment, _TRIGGERS[entry["state"]])
        return False

    def _send_instance(self, account: str, region: str, tables: Tables, entry: dict[str, Any]) -> bool:
        deployment, instance = tables["deployments"][entry["deploymentId"]], entry["instance"]
        self._aws.emit(account, region, "aws.codedeploy", "CodeDeploy Instance State-change Notification",
                       _detail(deployment, region, entry["state"]) | {"instanceId": instance},
                       [f"arn:aws:ec2:{region}:{account}:instance/{instance}",
                        *_resources(deployment, f"arn:aws:codedeploy:{region}:{account}")])
        self._trigger(account, region, tables, deployment, f"Instance{entry['state'].capitalize()}", instance)
        return False

    def _send_rollback(self, account: str, region: str, tables: Tables, entry: dict[str, Any]) -> bool:
        self._trigger(account, region, tables, tables["deployments"][entry["deploymentId"]], "DeploymentRollback")
        return False

    def _trigger(self, account: str, region: str, tables: Tables, deployment: Deployment, event: str, instance: str = "") -> None:
        """Publish to the topics that the group's triggers name for this event. Format: user guide, "JSON data formats"."""
        group = tables["groups"].get(_group_key(deployment)) or {}
        for trigger in group.get("triggerConfigurations") or []:
            if event not in trigger.get("triggerEvents", ()):
                continue
            status = (deployment.get("targets") or {}).get(instance, deployment)["status"].upper()
            message = {"region": region, "accountId": account, "eventTriggerName": trigger["triggerName"],
                       "applicationName": deployment["applicationName"], "deploymentId": deployment["deploymentId"],
                       "deploymentGroupName": deployment["deploymentGroupName"], "createTime": deployment["createTime"],
                       "completeTime": deployment.get("completeTime"), "status": status}
            if instance:
                message |= {"instanceId": f"arn:aws:ec2:{region}:{account}:instance/{instance}", "instanceStatus": status}
            else:
                message |= {"deploymentOverview": json.dumps(engine.overview(deployment)),
                            "errorInformation": json.dumps(deployment.get("errorInformation") or {})}
            subject = f"{status}: AWS CodeDeploy {deployment['deploymentId']} in {region} to {deployment['deploymentGroupName']}"
            self._world.session(group["serviceRoleArn"], region).publish(trigger["triggerTargetArn"], subject, json.dumps(message))

    def _follow_on(self, account: str, region: str, tables: Tables, entry: dict[str, Any]) -> bool:
        """Bring instances up to date that came while the deployment ran. True: not yet, ask again."""
        root = tables["deployments"][entry["deploymentId"]]
        with self._lock:
            group = tables["groups"].get(_group_key(root))
            if group is None or (group.get("lastSuccess") or {}).get("deploymentId") != root["deploymentId"]:
                return False
            names = [item["name"] for item in group["autoScalingGroups"]]
        present = {instance.id for instance in self._world.session(group["serviceRoleArn"], region).instances(names)}
        if entry["instance"] and entry["instance"] not in present:
            return self._aws.clock.now() < float(entry["until"])
        with self._lock:
            known = {instance: tables["hosts"].get(f"{group['deploymentGroupId']}/{instance}") or {} for instance in present}
            new = [instance for instance in present - set(root["targets"]) if known[instance].get("revision") != root["revision"]]
            if not new or self.active(tables, group["deploymentGroupId"]):
                return bool(new)  # after the one that runs
            after = self.create(account, region, group, root["revision"], "CodeDeployAutoUpdate", updateOutdatedInstancesOnly=True,
                                fileExistsBehavior=root["fileExistsBehavior"], relatedDeployments={
                                    "autoUpdateOutdatedInstancesRootDeploymentId": root["deploymentId"]})
            related = root.setdefault("relatedDeployments", {}).setdefault("autoUpdateOutdatedInstancesDeploymentIds", [])
            related.append(after["deploymentId"])
        return False

    def _new_id(self, tables: Tables) -> str:
        while True:
            name = "d-" + "".join(self._chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=9))
            if name not in tables["deployments"]:
                return name


def find_config(tables: Tables, name: str) -> dict[str, Any]:
    """The deployment configuration's record. Raises DeploymentConfigDoesNotExistException."""
    config = tables["configs"].get(name) or configs.predefined(name)
    if config is None:
        raise ServiceError("DeploymentConfigDoesNotExistException", f"No deployment configuration found for name: {name}")
    return config


def _group_key(deployment: Deployment) -> str:
    return f"{deployment['applicationName']}/{deployment['deploymentGroupName']}"


def _detail(deployment: Deployment, region: str, state: str) -> dict[str, Any]:
    return {"region": region, "deploymentId": deployment["deploymentId"], "instanceGroupId": deployment["deploymentGroupId"],
            "deploymentGroup": deployment["deploymentGroupName"], "state": state, "application": deployment["applicationName"]}


def _resources(deployment: Deployment, prefix: str) -> list[str]:
    application, group = deployment["applicationName"], deployment["deploymentGroupName"]
    return [f"{prefix}:deploymentgroup:{application}/{group}", f"{prefix}:application:{application}"]
