"""State Manager's operations: CreateAssociation, DescribeAssociation, UpdateAssociation, DeleteAssociation, ListAssociations,
DescribeInstanceAssociationsStatus; DescribeInstanceInformation of the instances that it manages; ListDocumentVersions of the agent's package.

An association of AWS-ConfigureAWSPackage with AWSCodeDeployAgent installs our agent on each instance that its targets mean, once per version,
provided the instance's role may reach Systems Manager. Source:
https://docs.aws.amazon.com/systems-manager/latest/userguide/state-manager-about.html
"""

from __future__ import annotations

import concurrent.futures
import logging
import uuid
from collections.abc import Iterable
from typing import Any

from localaws.ec2.api import Api as Ec2
from localaws.hosts.api import Hosts
from localaws.service import Aws, Context, Service, ServiceError, Stores
from localaws.ssm import engine

log = logging.getLogger("localaws")

POLL_SECONDS = 1.0
AGENT_ACTION = "ssm:UpdateInstanceInformation"
"""Without it SSM Agent cannot register the instance, and no association ever runs on it."""
_OTHER = ("DocumentVersion", "ScheduleExpression", "MaxErrors", "MaxConcurrency", "ComplianceSeverity", "ApplyOnlyAtCronInterval")


class Api(Service):
    """Associations."""

    name = "ssm"
    iam = "ssm"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self._stores = Stores()

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str] | tuple[str, str, dict[str, Any]]]:
        """Associations are reached by their own ARN, and documents by theirs where one is named."""
        association = f"arn:aws:ssm:{ctx.region}:{ctx.account}:association/{params.get('AssociationId', '*')}"
        document = f"arn:aws:ssm:{ctx.region}::document/{params.get('Name', '*')}"
        if operation == "DescribeInstanceAssociationsStatus":
            return [(f"ssm:{operation}", f"arn:aws:ec2:{ctx.region}:{ctx.account}:instance/{params.get('InstanceId', '*')}")]
        if operation in ("CreateAssociation", "ListDocumentVersions"):
            return [(f"ssm:{operation}", document)]
        if operation == "UpdateAssociation":
            return [("ssm:UpdateAssociation", association), *([("ssm:UpdateAssociation", document)] if params.get("Name") else [])]
        return [(f"ssm:{operation}", "*" if operation in ("ListAssociations", "DescribeInstanceInformation") else association)]

    def create_association(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make an association; it runs at once on what it means, and on each such instance that comes later."""
        if params.get("InstanceId"):
            raise ServiceError("InvalidTarget", "The local AWS's associations take Targets, not InstanceId.")
        if params.get("ScheduleExpression"):
            raise ServiceError("InvalidSchedule", "The local AWS runs associations without a schedule only.")
        self._check(params["Name"], params.get("Parameters") or {}, params.get("Targets") or [])
        now = self.aws.clock.now()
        record = {"AssociationId": str(uuid.uuid4()), "Name": params["Name"], "AssociationName": params.get("AssociationName", ""),
                  "Parameters": params.get("Parameters") or {}, "Targets": params["Targets"], "Version": 1, "Created": now, "Updated": now,
                  "Other": {name: params[name] for name in _OTHER if name in params}, "Executions": {}}
        with self.lock:
            self._stores[ctx]["associations"][record["AssociationId"]] = record
            return {"AssociationDescription": _describe(record)}

    def describe_association(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell one association."""
        with self.lock:
            return {"AssociationDescription": _describe(self._record(ctx, params))}

    def update_association(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make a new version; it runs again on every instance meant."""
        with self.lock:
            record = self._record(ctx, params)
            changed: dict[str, Any] = {name: params[name] for name in ("Parameters", "Targets", "AssociationName", "Name") if name in params}
            self._check(changed.get("Name", record["Name"]), changed.get("Parameters", record["Parameters"]),
                        changed.get("Targets", record["Targets"]))
            record |= changed
            record.update(Version=record["Version"] + 1, Updated=self.aws.clock.now())
            record["Other"].update({name: params[name] for name in _OTHER if name in params})
            return {"AssociationDescription": _describe(record)}

    def delete_association(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Remove an association; what it installed stays."""
        with self.lock:
            record = self._record(ctx, params)
            del self._stores[ctx]["associations"][record["AssociationId"]]
        return {}

    def list_associations(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell all associations, or those that pass the filters (AssociationName, AssociationId, Name)."""
        with self.lock:
            records = [record for record in self._stores[ctx]["associations"].values()
                       if all(record.get(entry["key"]) == entry["value"] for entry in params.get("AssociationFilterList") or [])]
            names = ("Name", "AssociationId", "AssociationVersion", "Targets", "Overview", "AssociationName", "LastExecutionDate")
            return {"Associations": [{name: value for name, value in _describe(record).items() if name in names} for record in records]}

    def list_document_versions(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell the versions of the agent's package; whichever is asked for, the same agent of ours is installed."""
        if params["Name"] != engine.PACKAGE:
            raise ServiceError("InvalidDocument", f"The local AWS knows no document {params['Name']}.")
        return {"DocumentVersions": [
            {"Name": engine.PACKAGE, "DocumentVersion": str(number), "VersionName": version, "IsDefaultVersion": version == engine.VERSIONS[-1],
             "DocumentFormat": "JSON", "Status": "Active"} for number, version in enumerate(engine.VERSIONS, 1)]}

    def describe_instance_information(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell the managed instances: those that run and whose role lets SSM Agent register them; all, or those of the filter InstanceIds."""
        wanted: set[str] | None = None
        for entry in [*(params.get("Filters") or []), *(params.get("InstanceInformationFilterList") or [])]:
            key, values = entry.get("Key") or entry.get("key"), entry.get("Values") or entry.get("valueSet") or []
            if key != "InstanceIds":
                raise ServiceError("InvalidInstanceInformationFilterValue", f"The local AWS filters managed instances by InstanceIds, not {key}.")
            wanted = set(values) if wanted is None else wanted & set(values)
        now = self.aws.clock.now()
        return {"InstanceInformationList": [
            {"InstanceId": one, "PingStatus": "Online", "LastPingDateTime": now, "PlatformType": "Linux", "ResourceType": "EC2Instance"}
            for one in self._managed(ctx) if wanted is None or one in wanted]}

    def describe_instance_associations_status(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Tell what became of each association that means an instance."""
        instance = params["InstanceId"]
        if instance not in self._managed(ctx):
            raise ServiceError("InvalidInstanceId", f"Instances [[{instance}]] not in a valid state for account {ctx.account}")
        told = []
        with self.lock:
            for record in self._stores[ctx]["associations"].values():
                execution = record["Executions"].get(instance)
                if execution is not None:
                    told.append({"AssociationId": record["AssociationId"], "AssociationName": record["AssociationName"], "Name": record["Name"],
                                 "AssociationVersion": str(execution["Version"]), "InstanceId": instance, "ExecutionDate": execution["Time"],
                                 "Status": execution["Status"], "DetailedStatus": execution["Status"], "ExecutionSummary": execution["Detail"][:512]})
        return {"InstanceAssociationStatusInfos": told}

    def _managed(self, ctx: Context) -> list[str]:
        """Running instances that SSM Agent can register."""
        ec2, hosts = self.aws.services.get("ec2"), self.aws.services.get("hosts")
        if ec2 is None or hosts is None:
            return []
        return [one["InstanceId"] for one in ec2.records(ctx.account, ctx.region) if one["State"] == "running" and hosts.may(one["InstanceId"], AGENT_ACTION)]

    def start(self) -> None:
        """Look each second for instances on which an association is to run."""
        self.aws.every(POLL_SECONDS, "ssm-associations", self._run_due)

    def dump(self) -> Any:
        """The associations."""
        with self.lock:
            return self._stores.dump()

    def load(self, state: Any) -> None:
        """Take up the associations of the last run."""
        self._stores.load(state)

    def _check(self, name: str, parameters: dict[str, list[str]], targets: list[dict[str, Any]]) -> None:
        try:
            engine.check(name, parameters, targets)
        except engine.InvalidAssociation as error:
            raise ServiceError(error.code, str(error)) from error

    def _record(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        found = self._stores[ctx]["associations"].get(params.get("AssociationId", ""))
        if found is None:
            raise ServiceError("AssociationDoesNotExist", "The specified association does not exist.")
        return found  # type: ignore[no-any-return]

    def _run_due(self) -> None:
        """Run what is due, several hosts at once."""
        ec2 = self.aws.services.get("ec2")
        if not isinstance(ec2, Ec2):
            return
        work: list[tuple[dict[str, Any], str]] = []
        for account, region in self._stores.scopes():
            instances = ec2.records(account, region)
            with self.lock:
                for record in self._stores.at(account, region)["associations"].values():
                    work += [(record, instance_id) for instance_id in engine.due(record, instances, self.aws.clock.now())]
        if work:
            with concurrent.futures.ThreadPoolExecutor(4, "ssm") as pool:
                list(pool.map(lambda item: self._run(*item), work))

    def _run(self, record: dict[str, Any], instance_id: str) -> None:
        """Install the agent on one instance and note how it went."""
        hosts = self.aws.services["hosts"]
        assert isinstance(hosts, Hosts)
        version = record["Version"]
        if not hosts.may(instance_id, AGENT_ACTION):
            status, detail = "Pending", f"the instance's role does not allow {AGENT_ACTION}: it is not a managed instance"
        else:
            try:
                code, output = hosts.install_agent(instance_id)
                status, detail = ("Success", "") if code == 0 else ("Failed", output[-500:])
            except Exception as error:  # the host may be gone by now
                status, detail = "Failed", str(error)
        if status != "Success":
            log.warning("association %s on %s: %s: %s", record["AssociationName"], instance_id, status, detail)
        with self.lock:
            attempts = record["Executions"].get(instance_id, {}).get("Attempts", 0) + 1
            record["Executions"][instance_id] = {"Version": version, "Status": status, "Detail": detail, "Time": self.aws.clock.now(),
                                                 "Attempts": attempts}


def _describe(record: dict[str, Any]) -> dict[str, Any]:
    """Return an AssociationDescription."""
    times = [execution["Time"] for execution in record["Executions"].values()]
    good = [execution["Time"] for execution in record["Executions"].values() if execution["Status"] == "Success"]
    shown = {"AssociationId": record["AssociationId"], "Name": record["Name"], "AssociationVersion": str(record["Version"]),
             "Date": record["Created"], "LastUpdateAssociationDate": record["Updated"], "Parameters": record["Parameters"],
             "Targets": record["Targets"], "Overview": engine.overview(record), "DocumentVersion": "$DEFAULT", **record["Other"]}
    if record["AssociationName"]:
        shown["AssociationName"] = record["AssociationName"]
    if times:
        shown["LastExecutionDate"] = max(times)
    if good:
        shown["LastSuccessfulExecutionDate"] = max(good)
    return shown
