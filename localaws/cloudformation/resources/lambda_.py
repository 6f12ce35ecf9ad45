"""Lambda: Function, Permission."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, served, tag_changes, tags_of, unless_gone
from localaws.cloudformation.template import text_of

_CODE = ("S3Bucket", "S3Key", "S3ObjectVersion")
_CONFIGURATION = ("Runtime", "Handler", "Role", "Description", "Timeout", "MemorySize", "Environment", "LoggingConfig", "EphemeralStorage")
_APART = ("Code", "Tags", "ReservedConcurrentExecutions", "Architectures")
_DEFAULTS: dict[str, Any] = {"Description": "", "Timeout": 3, "MemorySize": 128, "Environment": {}, "EphemeralStorage": {"Size": 512}}
_WAIT_SECONDS = 120.0


@resource("AWS::Lambda::Function")
class Function:
    """A function whose code is a zip in S3. It counts as made when its state is Active."""

    def create(self, request: Request) -> Made:
        client, properties = request.client("lambda"), request.properties
        self._check(properties)
        name = request.given("FunctionName", 64)
        arguments = fit(client, "create_function", {**properties, "FunctionName": name}, drop=["ReservedConcurrentExecutions", "Tags"])
        arn = client.create_function(**{**arguments, "Tags": tags_of(properties)})["FunctionArn"]
        request.claim(name)
        self._settle(request, name)
        self._concurrency(request, name)
        return Made(name, {"Arn": arn})

    def update(self, request: Request) -> Made:
        client, name = request.client("lambda"), request.physical_id
        self._check(request.properties)
        arn = client.get_function_configuration(FunctionName=name)["FunctionArn"]
        if request.changed(*_CONFIGURATION):
            wanted = {key: request.properties.get(key, _DEFAULTS.get(key)) for key in _CONFIGURATION}
            if wanted["LoggingConfig"] is None and "LoggingConfig" in request.before:
                wanted["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
            client.update_function_configuration(**fit(client, "update_function_configuration", {
                "FunctionName": name, **{key: value for key, value in wanted.items() if value is not None}}))
            self._settle(request, name)
        if request.changed("Code", "Architectures"):
            client.update_function_code(**fit(client, "update_function_code", {
                "FunctionName": name, **request.properties["Code"],
                **{key: request.properties[key] for key in ("Architectures",) if key in request.properties}}))
            self._settle(request, name)
        self._concurrency(request, name)
        added, removed = tag_changes(request)
        if added:
            client.tag_resource(Resource=arn, Tags=added)
        if removed:
            client.untag_resource(Resource=arn, TagKeys=removed)
        return Made(name, {"Arn": arn})

    @staticmethod
    def _check(properties: dict[str, Any]) -> None:
        served(properties, {"FunctionName", *_CONFIGURATION, *_APART})
        served(properties["Code"], set(_CODE), "Code.")
        if not {"S3Bucket", "S3Key"} <= properties["Code"].keys():
            raise Failed("The local AWS takes a function's code from S3: S3Bucket and S3Key")

    @staticmethod
    def _settle(request: Request, name: str) -> None:
        def ready() -> bool:
            found = request.client("lambda").get_function_configuration(FunctionName=name)
            if "Failed" in (found.get("State"), found.get("LastUpdateStatus")):
                raise Failed(found.get("LastUpdateStatusReason") or found.get("StateReason") or "The function failed")
            return bool(found.get("State") == "Active" and found.get("LastUpdateStatus") == "Successful")

        request.wait(ready, _WAIT_SECONDS, f"The function {name} did not become Active", every=0.2)

    @staticmethod
    def _concurrency(request: Request, name: str) -> None:
        if not request.changed("ReservedConcurrentExecutions"):
            return
        client, count = request.client("lambda"), request.properties.get("ReservedConcurrentExecutions")
        if count is None:
            client.delete_function_concurrency(FunctionName=name)
        else:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(text_of(count)))

    def delete(self, request: Request) -> None:
        unless_gone(request.client("lambda").delete_function, FunctionName=request.physical_id)


@resource("AWS::Lambda::Permission")
class Permission:
    """One statement of a function's policy; its physical id is the statement's id. Every property is create-only."""

    def create(self, request: Request) -> Made:
        client, properties = request.client("lambda"), request.properties
        served(properties, {"FunctionName", "Action", "Principal", "SourceArn", "SourceAccount"})
        identity = request.name(100)
        client.add_permission(**fit(client, "add_permission", {**properties, "StatementId": identity}))
        return Made(identity, {"Id": identity})

    def update(self, request: Request) -> Made:
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("lambda").remove_permission, FunctionName=request.properties["FunctionName"],
                    StatementId=request.physical_id)
