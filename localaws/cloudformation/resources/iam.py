"""IAM: Role, InstanceProfile, Policy, ManagedPolicy."""

from __future__ import annotations

import json
from typing import Any

from localaws.cloudformation.resources import Made, Request, resource, tag_changes, tag_list, unless_gone


def _policies(properties: dict[str, Any]) -> dict[str, str]:
    return {policy["PolicyName"]: json.dumps(policy["PolicyDocument"]) for policy in properties.get("Policies") or []}


@resource("AWS::IAM::Role")
class Role:
    """A role with its inline and attached policies."""

    def create(self, request: Request) -> Made:
        iam, properties = request.client("iam"), request.properties
        name = request.given("RoleName", 64)
        arguments: dict[str, Any] = {"AssumeRolePolicyDocument": json.dumps(properties["AssumeRolePolicyDocument"]),
                                     "Tags": tag_list(properties), "Path": properties.get("Path", "/")}
        for key in ("Description", "PermissionsBoundary"):
            if key in properties:
                arguments[key] = properties[key]
        if "MaxSessionDuration" in properties:
            arguments["MaxSessionDuration"] = int(properties["MaxSessionDuration"])
        found = iam.create_role(RoleName=name, **arguments)["Role"]
        request.claim(name)
        self._policies(request, name)
        return Made(name, {"Arn": found["Arn"], "RoleId": found["RoleId"]})

    def update(self, request: Request) -> Made:
        iam, name, properties = request.client("iam"), request.physical_id, request.properties
        if request.changed("AssumeRolePolicyDocument"):
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(properties["AssumeRolePolicyDocument"]))
        if request.changed("Description", "MaxSessionDuration"):
            iam.update_role(RoleName=name, Description=properties.get("Description", ""),
                            MaxSessionDuration=int(properties.get("MaxSessionDuration", 3600)))
        if request.changed("PermissionsBoundary"):
            if "PermissionsBoundary" in properties:
                iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=properties["PermissionsBoundary"])
            else:
                iam.delete_role_permissions_boundary(RoleName=name)
        self._policies(request, name)
        added, removed = tag_changes(request)
        if added:
            iam.tag_role(RoleName=name, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            iam.untag_role(RoleName=name, TagKeys=removed)
        return Made(name)

    def _policies(self, request: Request, name: str) -> None:
        iam = request.client("iam")
        old, new = _policies(request.before), _policies(request.properties)
        for policy, document in new.items():
            if old.get(policy) != document:
                iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)
        for policy in old:
            if policy not in new:
                unless_gone(iam.delete_role_policy, RoleName=name, PolicyName=policy)
        attached, wanted = request.before.get("ManagedPolicyArns") or [], request.properties.get("ManagedPolicyArns") or []
        for arn in wanted:
            if arn not in attached:
                iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in attached:
            if arn not in wanted:
                unless_gone(iam.detach_role_policy, RoleName=name, PolicyArn=arn)

    def delete(self, request: Request) -> None:
        iam, name = request.client("iam"), request.physical_id
        for policy in _policies(request.properties):
            unless_gone(iam.delete_role_policy, RoleName=name, PolicyName=policy)
        for arn in request.properties.get("ManagedPolicyArns") or []:
            unless_gone(iam.detach_role_policy, RoleName=name, PolicyArn=arn)
        unless_gone(iam.delete_role, RoleName=name)


@resource("AWS::IAM::InstanceProfile")
class InstanceProfile:
    """An instance profile with its role."""

    def create(self, request: Request) -> Made:
        iam, name = request.client("iam"), request.given("InstanceProfileName", 128)
        found = iam.create_instance_profile(InstanceProfileName=name, Path=request.properties.get("Path", "/"))["InstanceProfile"]
        request.claim(name)
        for role in request.properties["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        return Made(name, {"Arn": found["Arn"]})

    def update(self, request: Request) -> Made:
        iam, name = request.client("iam"), request.physical_id
        for role in request.before.get("Roles") or []:
            if role not in request.properties["Roles"]:
                unless_gone(iam.remove_role_from_instance_profile, InstanceProfileName=name, RoleName=role)
        for role in request.properties["Roles"]:
            if role not in (request.before.get("Roles") or []):
                iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        return Made(name)

    def delete(self, request: Request) -> None:
        iam, name = request.client("iam"), request.physical_id
        found = unless_gone(iam.get_instance_profile, InstanceProfileName=name)
        for role in found["InstanceProfile"]["Roles"] if found else []:
            unless_gone(iam.remove_role_from_instance_profile, InstanceProfileName=name, RoleName=role["RoleName"])
        unless_gone(iam.delete_instance_profile, InstanceProfileName=name)


@resource("AWS::IAM::Policy")
class Policy:
    """An inline policy of roles."""

    def create(self, request: Request) -> Made:
        self._put(request)
        return Made(request.name(128))

    def update(self, request: Request) -> Made:
        self._put(request)
        self._drop(request, [role for role in request.before.get("Roles") or []
                             if role not in (request.properties.get("Roles") or []) or request.changed("PolicyName")])
        return Made(request.physical_id)

    def _put(self, request: Request) -> None:
        for role in request.properties.get("Roles") or []:
            request.client("iam").put_role_policy(RoleName=role, PolicyName=request.properties["PolicyName"],
                                                  PolicyDocument=json.dumps(request.properties["PolicyDocument"]))

    def _drop(self, request: Request, roles: list[str]) -> None:
        for role in roles:
            unless_gone(request.client("iam").delete_role_policy, RoleName=role, PolicyName=request.before["PolicyName"])

    def delete(self, request: Request) -> None:
        for role in request.properties.get("Roles") or []:
            unless_gone(request.client("iam").delete_role_policy, RoleName=role, PolicyName=request.properties["PolicyName"])


@resource("AWS::IAM::ManagedPolicy")
class ManagedPolicy:
    """A customer managed policy, attached to the roles that it names."""

    def create(self, request: Request) -> Made:
        iam, properties = request.client("iam"), request.properties
        found = iam.create_policy(PolicyName=request.given("ManagedPolicyName", 128), Path=properties.get("Path", "/"),
                                  Description=properties.get("Description", ""),
                                  PolicyDocument=json.dumps(properties["PolicyDocument"]))["Policy"]
        request.claim(found["Arn"])
        for role in properties.get("Roles") or []:
            iam.attach_role_policy(RoleName=role, PolicyArn=found["Arn"])
        return Made(found["Arn"], {"PolicyArn": found["Arn"], "PolicyId": found["PolicyId"]})

    def update(self, request: Request) -> Made:
        iam, arn = request.client("iam"), request.physical_id
        if request.changed("PolicyDocument"):
            versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
            if len(versions) >= 5:
                oldest = min((version for version in versions if not version["IsDefaultVersion"]), key=lambda item: item["CreateDate"])
                iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(request.properties["PolicyDocument"]), SetAsDefault=True)
        old, new = request.before.get("Roles") or [], request.properties.get("Roles") or []
        for role in [role for role in new if role not in old]:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        for role in [role for role in old if role not in new]:
            unless_gone(iam.detach_role_policy, RoleName=role, PolicyArn=arn)
        return Made(arn)

    def delete(self, request: Request) -> None:
        iam, arn = request.client("iam"), request.physical_id
        for role in request.properties.get("Roles") or []:
            unless_gone(iam.detach_role_policy, RoleName=role, PolicyArn=arn)
        versions = unless_gone(iam.list_policy_versions, PolicyArn=arn)
        for version in versions["Versions"] if versions else []:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        unless_gone(iam.delete_policy, PolicyArn=arn)
