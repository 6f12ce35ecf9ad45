"""KMS: Key, Alias."""

from __future__ import annotations

import json
from typing import Any

from localaws.cloudformation.resources import Made, Request, resource, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of


@resource("AWS::KMS::Key")
class Key:
    """A key; deleting it schedules its deletion after PendingWindowInDays (30)."""

    def create(self, request: Request) -> Made:
        properties, kms = request.properties, request.client("kms")
        arguments: dict[str, Any] = {"Description": properties.get("Description", ""), "Tags": tag_list(properties, "TagKey", "TagValue"),
                                     "KeyUsage": properties.get("KeyUsage", "ENCRYPT_DECRYPT"),
                                     "KeySpec": properties.get("KeySpec", "SYMMETRIC_DEFAULT")}
        if "KeyPolicy" in properties:
            arguments["Policy"] = json.dumps(properties["KeyPolicy"])
        found = kms.create_key(**arguments)["KeyMetadata"]
        request.claim(found["KeyId"])
        self._switches(request, found["KeyId"])
        return Made(found["KeyId"], {"Arn": found["Arn"], "KeyId": found["KeyId"]})

    def update(self, request: Request) -> Made:
        properties, kms, key = request.properties, request.client("kms"), request.physical_id
        if request.changed("KeyPolicy"):
            kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(properties["KeyPolicy"]))
        if request.changed("Description"):
            kms.update_key_description(KeyId=key, Description=properties.get("Description", ""))
        added, removed = tag_changes(request)
        if added:
            kms.tag_resource(KeyId=key, Tags=[{"TagKey": name, "TagValue": value} for name, value in added.items()])
        if removed:
            kms.untag_resource(KeyId=key, TagKeys=removed)
        self._switches(request, key)
        return Made(key)

    def _switches(self, request: Request, key: str) -> None:
        kms = request.client("kms")
        if request.changed("EnableKeyRotation"):
            on = text_of(request.properties.get("EnableKeyRotation", False)) == "true"
            (kms.enable_key_rotation if on else kms.disable_key_rotation)(KeyId=key)
        if request.changed("Enabled"):
            on = text_of(request.properties.get("Enabled", True)) == "true"
            (kms.enable_key if on else kms.disable_key)(KeyId=key)

    def delete(self, request: Request) -> None:
        kms = request.client("kms")
        found = unless_gone(kms.describe_key, KeyId=request.physical_id)
        if found and found["KeyMetadata"]["KeyState"] != "PendingDeletion":
            kms.schedule_key_deletion(KeyId=request.physical_id,
                                      PendingWindowInDays=int(request.properties.get("PendingWindowInDays", 30)))


@resource("AWS::KMS::Alias")
class Alias:
    """An alias; its physical id is its name."""

    def create(self, request: Request) -> Made:
        name = request.properties["AliasName"]
        request.client("kms").create_alias(AliasName=name, TargetKeyId=request.properties["TargetKeyId"])
        return Made(name)

    def update(self, request: Request) -> Made:
        request.client("kms").update_alias(AliasName=request.physical_id, TargetKeyId=request.properties["TargetKeyId"])
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("kms").delete_alias, AliasName=request.physical_id)
