"""DynamoDB: Table."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, served, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of

_SERVED = {"TableName", "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput", "GlobalSecondaryIndexes",
           "LocalSecondaryIndexes", "SSESpecification", "DeletionProtectionEnabled", "TableClass", "PointInTimeRecoverySpecification",
           "TimeToLiveSpecification", "Tags"}
_APART = ("PointInTimeRecoverySpecification", "TimeToLiveSpecification")
_FIXED = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "LocalSecondaryIndexes")
_CHANGES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("BillingMode", "ProvisionedThroughput"), {"BillingMode": "PROVISIONED"}),
    (("DeletionProtectionEnabled",), {"DeletionProtectionEnabled": False}),
    (("SSESpecification",), {"SSESpecification": {"Enabled": False}}),
    (("TableClass",), {"TableClass": "STANDARD"}),
)
"""What UpdateTable changes, one call each, with what a property that was taken away means."""
_WAIT_SECONDS = 120.0


@resource("AWS::DynamoDB::Table")
class Table:
    """A table; its keys and indexes stay as they were made."""

    def create(self, request: Request) -> Made:
        client, properties = request.client("dynamodb"), request.properties
        served(properties, _SERVED)
        name = request.given("TableName", 255)
        found = client.create_table(**fit(client, "create_table", {**self._own(properties), "TableName": name, "Tags": tag_list(properties)}))
        request.claim(name)
        self._settle(request, name)
        self._recovery(request, name)
        self._expiry(request, name)
        return Made(name, {"Arn": found["TableDescription"]["TableArn"]})

    def update(self, request: Request) -> Made:
        client, properties, name = request.client("dynamodb"), request.properties, request.physical_id
        served(properties, _SERVED)
        if request.changed(*_FIXED):
            raise Failed(f"The local AWS does not change a table's {', '.join(_FIXED)}: give the resource another logical id")
        own = self._own(properties)
        for change, defaults in _CHANGES:
            if request.changed(*change):
                wanted = {**defaults, **{key: own[key] for key in change if key in own}}
                client.update_table(**fit(client, "update_table", {"TableName": name, **wanted}))
                self._settle(request, name)
        self._recovery(request, name)
        self._expiry(request, name)
        arn = f"arn:aws:dynamodb:{request.region}:{request.account}:table/{name}"
        added, removed = tag_changes(request)
        if added:
            client.tag_resource(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            client.untag_resource(ResourceArn=arn, TagKeys=removed)
        return Made(name)

    @staticmethod
    def _own(properties: dict[str, Any]) -> dict[str, Any]:
        """Return what CreateTable and UpdateTable take; CloudFormation's SSEEnabled is the API's Enabled."""
        own = {key: value for key, value in properties.items() if key not in (*_APART, "Tags")}
        if "SSESpecification" in own:
            own["SSESpecification"] = {"Enabled" if key == "SSEEnabled" else key: value for key, value in own["SSESpecification"].items()}
        return own

    @staticmethod
    def _settle(request: Request, name: str) -> None:
        request.wait(lambda: request.client("dynamodb").describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE", _WAIT_SECONDS,
                     f"The table {name} did not become ACTIVE", every=0.2)

    @staticmethod
    def _recovery(request: Request, name: str) -> None:
        if request.changed("PointInTimeRecoverySpecification"):
            client = request.client("dynamodb")
            wanted = request.properties.get("PointInTimeRecoverySpecification") or {"PointInTimeRecoveryEnabled": False}
            client.update_continuous_backups(**fit(client, "update_continuous_backups", {
                "TableName": name, "PointInTimeRecoverySpecification": wanted}))

    @staticmethod
    def _expiry(request: Request, name: str) -> None:
        if request.changed("TimeToLiveSpecification"):
            client = request.client("dynamodb")
            wanted = request.properties.get("TimeToLiveSpecification") or {**request.before["TimeToLiveSpecification"], "Enabled": False}
            client.update_time_to_live(**fit(client, "update_time_to_live", {"TableName": name, "TimeToLiveSpecification": wanted}))

    def delete(self, request: Request) -> None:
        client, name = request.client("dynamodb"), request.physical_id
        if text_of(request.properties.get("DeletionProtectionEnabled", False)) == "true" and not request.undoing:
            raise Failed(f"Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first. ({name})")
        unless_gone(client.delete_table, TableName=name)
        request.wait(lambda: unless_gone(client.describe_table, TableName=name) is None, _WAIT_SECONDS, f"The table {name} is not gone", every=0.2)
