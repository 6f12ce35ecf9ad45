"""The environments' Regions: clients through each one's control role, the environment's document, and what its deployment groups run.

Every call has short timeouts and few retries: a Region that does not answer must not keep the others waiting.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from configuration import Place
from model import IN_FLIGHT, SINGLE_HOST_CREATORS, Deployment, Firing, Group, Location, Rollback
from releases import Releases

CLIENTS = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
DOCUMENT_SECONDS = 300
SESSION_SECONDS = 3600
RENEW_SECONDS = 600
ATTEMPTS = 100
BATCH = 25
PAGES = 5
WINDOWS = (7 * 86400, 90 * 86400)
ENDED = ["Succeeded", "Failed", "Stopped"]
SKEW_SECONDS = 60

UNANSWERED = (BotoCoreError, ClientError)
"""What a Region that does not answer, or refuses, raises."""


class BadDocument(Exception):
    """The environment's document in SSM is not as templates/environment/ writes it."""


@dataclass(frozen=True)
class ScopeDocument:
    """A scope as its environment describes it."""

    group: str
    auto_scaling_group: str
    composite: str
    alarms: tuple[str, ...]
    load_balancer: str
    target_group: str


@dataclass(frozen=True)
class Document:
    """/<service>/<environment>/environment, written by the environment's stack in its Region."""

    region: str
    account: str
    application: str
    endpoint: str
    composite: str
    alarms: tuple[str, ...]
    rollback_configurations: tuple[str, str, str]
    scopes: Mapping[str, ScopeDocument]
    given: Mapping[str, Any]
    """The document as it was read."""


class Places:
    """Clients and observations by place. Keep one over the function's life: sessions, documents and bundles are cached in it.

    `session` makes boto3 clients of the function's own role; `now` is the clock.
    """

    def __init__(self, service: str, now: Callable[[], float], session: Any = None, releases: Releases | None = None) -> None:
        self._service, self._now = service, now
        self._own = session or boto3.Session()
        self.releases = releases or Releases()
        self._sessions: dict[str, tuple[float, Any]] = {}
        self._clients: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._documents: dict[Place, tuple[float, Document]] = {}
        self._making = threading.RLock()  # places are asked at once, and sessions make one client at a time

    def client(self, place: Place, service: str) -> Any:
        """A boto3 client in the place's Region with its control role. Raises UNANSWERED."""
        with self._making:
            session = self._session(place.control_role_arn)
            key = (place.control_role_arn, place.region, service)
            known = self._clients.get(key)
            if known is None or known[0] is not session:
                known = (session, session.client(service, region_name=place.region, config=CLIENTS))
                self._clients[key] = known
            return known[1]

    def document(self, place: Place) -> Document:
        """The environment's document, at most DOCUMENT_SECONDS old. Raises UNANSWERED, BadDocument."""
        known = self._documents.get(place)
        if known is None or known[0] < self._now() - DOCUMENT_SECONDS:
            name = f"/{self._service}/{place.environment}/environment"
            text = self.client(place, "ssm").get_parameter(Name=name)["Parameter"]["Value"]
            known = (self._now(), read_document(text, f"{name} in {place.region}"))
            self._documents[place] = known
        return known[1]

    def groups(self, place: Place, rollback: Rollback | None = None) -> tuple[Group, ...]:
        """The place's deployment groups with what is in flight, last attempted and last successful.

        With a rollback that is going on: also that rollback's own deployments at their end. Raises UNANSWERED, BadDocument.
        """
        document = self.document(place)
        return tuple(self._group(place, document, scope, rollback) for scope in document.scopes)

    def deployment(self, place: Place, deployment_id: str) -> Deployment:
        """One deployment, with its commit. Raises UNANSWERED."""
        info = self.client(place, "codedeploy").get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        return self._deployment(place, info)

    def failed_targets(self, place: Place, deployment_id: str) -> tuple[str, ...]:
        """The hosts (instance ids) on which a deployment did not succeed. Raises UNANSWERED."""
        codedeploy = self.client(place, "codedeploy")
        ids = codedeploy.list_deployment_targets(deploymentId=deployment_id)["targetIds"]
        failed: list[str] = []
        for start in range(0, len(ids), BATCH):
            targets = codedeploy.batch_get_deployment_targets(deploymentId=deployment_id, targetIds=ids[start:start + BATCH])["deploymentTargets"]
            failed += [t["instanceTarget"]["targetId"] for t in targets if t.get("instanceTarget", {}).get("status") not in (None, "Succeeded")]
        return tuple(failed)

    def create(self, place: Place, group: Group, location: Location, configuration: str, description: str) -> str | None:
        """Begin a rollback's deployment; its id, or None if the group has another in flight. Raises UNANSWERED.

        Neither alarms nor CodeDeploy's own rollback may undo it, a broken ApplicationStop may not hold it up, and files that are there are overwritten.
        """
        codedeploy = self.client(place, "codedeploy")
        revision = {key: value for key, value in location.items() if value}
        try:
            answer = codedeploy.create_deployment(
                applicationName=group.application, deploymentGroupName=group.name, revision={"revisionType": "S3", "s3Location": revision},
                deploymentConfigName=configuration, description=description, ignoreApplicationStopFailures=True, fileExistsBehavior="OVERWRITE",
                autoRollbackConfiguration={"enabled": False}, overrideAlarmConfiguration={"enabled": False})
        except codedeploy.exceptions.DeploymentLimitExceededException:
            return None
        return str(answer["deploymentId"])

    def stop(self, place: Place, deployment_id: str) -> bool:
        """Stop a deployment without CodeDeploy's own rollback; False if it is at its end. Raises UNANSWERED."""
        codedeploy = self.client(place, "codedeploy")
        try:
            codedeploy.stop_deployment(deploymentId=deployment_id, autoRollbackEnabled=False)
        except (codedeploy.exceptions.DeploymentAlreadyCompletedException, codedeploy.exceptions.DeploymentDoesNotExistException):
            return False
        return True

    def arm(self, place: Place, armed: bool) -> None:
        """Publish the metric that arms the environment's alarms in the place. Raises UNANSWERED."""
        dimensions = [{"Name": "Service", "Value": self._service}, {"Name": "Environment", "Value": place.environment}]
        self.client(place, "cloudwatch").put_metric_data(
            Namespace="Handsoff", MetricData=[{"MetricName": "Armed", "Dimensions": dimensions, "Value": 1.0 if armed else 0.0}])

    def firing(self, place: Place) -> tuple[Firing, ...]:
        """The environment's alarms, composites included, that are in ALARM. Raises UNANSWERED."""
        answer = self.client(place, "cloudwatch").describe_alarms(
            AlarmNamePrefix=f"{self._service}-{place.environment}-", AlarmTypes=["MetricAlarm", "CompositeAlarm"], StateValue="ALARM", MaxRecords=100)
        return tuple(Firing(alarm["AlarmName"], kind == "CompositeAlarms", _since(alarm))
                     for kind in ("MetricAlarms", "CompositeAlarms") for alarm in answer.get(kind, []))

    def revision_in_history(self, place: Place, group: Group, commit: str) -> Location | None:
        """A release's bundle from the group's own successful deployments, if it is among the newest and still there. Raises UNANSWERED."""
        for info in islice(self._history(place, group.application, group.name, ["Succeeded"]), BATCH):
            try:
                found = self._deployment(place, info)
            except ClientError:
                continue  # S3 says "access denied" of a bundle that expired: who may not list may not know
            if found.commit == commit:
                return found.location
        return None

    # One group

    def _group(self, place: Place, document: Document, scope: str, rollback: Rollback | None) -> Group:
        name = document.scopes[scope].group
        info = self.client(place, "codedeploy").get_deployment_group(
            applicationName=document.application, deploymentGroupName=name)["deploymentGroupInfo"]
        running, _ = self._newest(place, document.application, name, list(IN_FLIGHT))
        in_flight = tuple(self._deployment(place, info) for info in running)
        attempts: tuple[Deployment, ...] = ()
        if rollback:
            ended, _ = self._newest(place, document.application, name, ENDED, rollback.began - SKEW_SECONDS)
            attempts = tuple(self._deployment(place, info) for info in ended[:ATTEMPTS]
                             if info.get("description", "").startswith(f"handsoff rollback {rollback.id} "))
        return Group(
            environment=place.environment, region=place.region, scope=scope, application=document.application, name=name,
            in_flight=in_flight, last_attempted=self._last_attempted(place, document.application, name, info),
            last_successful=self._named(place, info.get("lastSuccessfulDeployment")), attempts=attempts,
            configurations=document.rollback_configurations)

    def _named(self, place: Place, brief: Mapping[str, Any] | None) -> Deployment | None:
        return self.deployment(place, brief["deploymentId"]) if brief else None

    def _last_attempted(self, place: Place, application: str, group: str, info: Mapping[str, Any]) -> Deployment | None:
        """The last deployment over the whole group that is at its end."""
        attempted = self._named(place, info.get("lastAttemptedDeployment"))
        if attempted is None or (attempted.whole and not attempted.in_flight):
            return attempted
        whole = (info for info in self._history(place, application, group, ENDED) if info.get("creator") not in SINGLE_HOST_CREATORS)
        return next((self._deployment(place, info) for info in whole), None)

    def _history(self, place: Place, application: str, group: str, statuses: list[str]) -> Iterator[Any]:
        """The same as _newest, on and on: what is older is asked for when it is wanted, so that a long history of launches is not read each minute."""
        now, before = self._now(), None
        for seconds in (*WINDOWS, None):
            since = None if seconds is None else now - seconds
            infos, all_of_them = self._newest(place, application, group, statuses, since, before)
            yield from infos
            if not all_of_them:
                return  # what is older would come in the place of what was not read
            before = since

    def _newest(self, place: Place, application: str, group: str, statuses: list[str], since: float | None = None,
                before: float | None = None) -> tuple[list[Any], bool]:
        """CodeDeploy's word on a group's deployments in these states, newest first; and whether PAGES held all. Their bundles may be gone.

        In which order they are listed is documented nowhere, so they are sorted before anybody takes the first.
        Source: https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ListDeployments.html.
        """
        codedeploy = self.client(place, "codedeploy")
        span = {name: datetime.fromtimestamp(moment, UTC) for name, moment in (("start", since), ("end", before)) if moment is not None}
        wanted: dict[str, Any] = {"applicationName": application, "deploymentGroupName": group, "includeOnlyStatuses": statuses}
        if span:
            wanted["createTimeRange"] = span
        ids: list[str] = []
        for _ in range(PAGES):
            page = codedeploy.list_deployments(**wanted)
            ids += page["deployments"]
            wanted["nextToken"] = page.get("nextToken")
            if not wanted["nextToken"]:
                break
        infos: list[Any] = []
        for start in range(0, len(ids), BATCH):
            infos += codedeploy.batch_get_deployments(deploymentIds=ids[start:start + BATCH])["deploymentsInfo"]
        return sorted(infos, key=lambda info: info["createTime"], reverse=True), not wanted["nextToken"]

    def _deployment(self, place: Place, info: Mapping[str, Any]) -> Deployment:
        location = info.get("revision", {}).get("s3Location")
        error = info.get("errorInformation") or {}
        ended = info.get("completeTime")
        return Deployment(
            id=info["deploymentId"], status=info["status"], commit=self.releases.commit(self.client(place, "s3"), location) if location else None,
            location=location, configuration=info.get("deploymentConfigName", ""), description=info.get("description", ""),
            creator=info.get("creator", "user"), error=error.get("code"), message=error.get("message", ""),
            created=info["createTime"].timestamp(), ended=ended.timestamp() if ended else None,
            hosts=sum((info.get("deploymentOverview") or {}).values()))

    def _session(self, role_arn: str) -> Any:
        known = self._sessions.get(role_arn)
        if known is None or known[0] < self._now() + RENEW_SECONDS:
            assumed = self._own.client("sts", config=CLIENTS).assume_role(
                RoleArn=role_arn, RoleSessionName=f"{self._service}-control"[:64], DurationSeconds=SESSION_SECONDS)["Credentials"]
            session = boto3.Session(aws_access_key_id=assumed["AccessKeyId"], aws_secret_access_key=assumed["SecretAccessKey"],
                                    aws_session_token=assumed["SessionToken"])
            known = (assumed["Expiration"].timestamp(), session)
            self._sessions[role_arn] = known
        return known[1]


def _since(alarm: Mapping[str, Any]) -> float:
    moment = alarm.get("StateTransitionedTimestamp") or alarm.get("StateUpdatedTimestamp")
    return float(moment.timestamp()) if moment else 0.0


def read_document(text: str, where: str) -> Document:
    """A document from its JSON text. Raises BadDocument naming where it is and what is wrong."""
    try:
        given = json.loads(text)
        third, half, everything = given["rollbackConfigs"]
        scopes = {
            name: ScopeDocument(scope["group"], scope["autoScalingGroup"], scope["composite"], tuple(scope["alarms"]), scope["loadBalancer"],
                                scope["targetGroup"])
            for name, scope in given["scopes"].items()}
        return Document(given["region"], given["account"], given["application"], given["endpoint"], given["composite"], tuple(given["alarms"]),
                        (third, half, everything), scopes, given)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadDocument(f"{where} is not an environment's document ({error!r}); deploy the environment's stack again") from error
