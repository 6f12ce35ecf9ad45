"""CodeDeploy's operations: shapes as botocore models them, AWS's errors, permissions; and the agent's command service."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from localaws.codedeploy.api import Api
from localaws.codedeploy.signing import Signer
from localaws.codedeploy.simulator import ACCOUNT, REGION, ROLE, Simulation, failing, revision
from localaws.service import Context, ServiceError

PREFIX = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}"
MODEL = botocore.session.get_session().get_service_model("codedeploy")
HOST = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0000"


def check(shape: Any, value: Any, where: str) -> None:
    """Fail where `value` is not of botocore's shape."""
    if value is None:
        return
    if shape.type_name == "structure":
        assert isinstance(value, dict), where
        assert set(value) <= set(shape.members), f"{where}: {set(value) - set(shape.members)}"
        for name, member in shape.members.items():
            check(member, value.get(name), f"{where}.{name}")
    elif shape.type_name == "list":
        for item in value:
            check(shape.member, item, f"{where}[]")
    elif shape.type_name == "string":
        assert isinstance(value, str), f"{where}: {value!r}"
        assert not getattr(shape, "enum", None) or value in shape.enum, f"{where}: {value!r}"
    elif shape.type_name in ("integer", "long"):
        assert isinstance(value, int), f"{where}: {value!r}"
    elif shape.type_name == "boolean":
        assert isinstance(value, bool), f"{where}: {value!r}"
    elif shape.type_name == "timestamp":
        assert isinstance(value, float), f"{where}: {value!r}"


def answers(sim: Simulation, operation: str, **params: Any) -> dict[str, Any]:
    """Call and check the answer against the model."""
    result = sim.call(operation, **params)
    shape = MODEL.operation_model(operation).output_shape
    check(shape, result, operation) if shape else None
    return result


def refused(sim: Simulation, code: str, operation: str, **params: Any) -> str:
    """Call, expect a modelled error, return its message."""
    with pytest.raises(ServiceError) as caught:
        sim.call(operation, **params)
    assert caught.value.code == code
    assert code in {shape.name for shape in MODEL.operation_model(operation).error_shapes}, f"{operation} does not model {code}"
    return caught.value.message


def test_every_answer_has_its_models_shape() -> None:
    sim = Simulation("abc", zonal={"monitorDurationInSeconds": 10}, alarms=("faults",), terminationHookEnabled=True,
                     triggerConfigurations=[{"triggerName": "people", "triggerTargetArn": "arn:topic", "triggerEvents": ["DeploymentFailure"]}])
    sim.ship("good")
    for host in sim.world.hosts.values():
        host.behave = failing("bad", "ValidateService")
    bad = sim.ship("bad", description="a bad one")
    name, back = bad["deploymentId"], bad["rollbackInfo"]["rollbackDeploymentId"]
    app, group = {"applicationName": "app"}, {"applicationName": "app", "deploymentGroupName": "fleet"}
    for operation, params in [
            ("GetApplication", app), ("ListApplications", {}), ("GetDeploymentConfig", {"deploymentConfigName": "config"}),
            ("GetDeploymentConfig", {"deploymentConfigName": "CodeDeployDefault.HalfAtATime"}), ("ListDeploymentConfigs", {}),
            ("GetDeploymentGroup", group), ("ListDeploymentGroups", app), ("ListApplicationRevisions", app),
            ("BatchGetDeploymentGroups", app | {"deploymentGroupNames": ["fleet", "other"]}),
            ("GetApplicationRevision", app | {"revision": revision("bad")}), ("GetDeployment", {"deploymentId": name}),
            ("BatchGetDeployments", {"deploymentIds": [name, back]}), ("ListDeployments", group),
            ("ListDeploymentTargets", {"deploymentId": name}), ("ListDeploymentInstances", {"deploymentId": name}),
            ("BatchGetDeploymentTargets", {"deploymentId": name, "targetIds": ["i-0000", "i-0001"]}),
            ("GetDeploymentTarget", {"deploymentId": name, "targetId": "i-0000"}), ("StopDeployment", {"deploymentId": back}),
            ("ListTagsForResource", {"ResourceArn": f"{PREFIX}:application:app"}), ("DeleteDeploymentGroup", group)]:
        assert answers(sim, operation, **params), operation
    assert json.loads(sim.world.published[0][2])["status"] == "FAILED"
    assert len(sim.world.published) == 1


def test_the_group_names_its_last_deployments_and_the_revision_that_new_hosts_get() -> None:
    sim = Simulation("abc")
    good = sim.ship("good")
    for host in sim.world.hosts.values():
        host.behave = failing("bad", "ValidateService")
    bad = sim.ship("bad")
    info = sim.call("GetDeploymentGroup", applicationName="app", deploymentGroupName="fleet")["deploymentGroupInfo"]
    assert info["targetRevision"] == good["revision"]
    assert info["lastSuccessfulDeployment"]["deploymentId"] == good["deploymentId"]
    assert info["lastAttemptedDeployment"]["deploymentId"] == bad["rollbackInfo"]["rollbackDeploymentId"]
    assert bad["previousRevision"] == good["revision"]


def test_missing_things_are_named_in_awss_words() -> None:
    sim = Simulation("a")
    gone = {"applicationName": "nope"}
    assert refused(sim, "ApplicationDoesNotExistException", "GetApplication", **gone) == "No application found for name: nope"
    assert refused(sim, "DeploymentGroupDoesNotExistException", "CreateDeployment", applicationName="app", deploymentGroupName="nope",
                   revision=revision("r")) == "No Deployment Group found for name: nope"
    refused(sim, "DeploymentGroupNameRequiredException", "CreateDeployment", applicationName="app", revision=revision("r"))
    refused(sim, "RevisionRequiredException", "CreateDeployment", applicationName="app", deploymentGroupName="fleet")
    refused(sim, "InvalidRevisionException", "CreateDeployment", applicationName="app", deploymentGroupName="fleet",
            revision={"revisionType": "GitHub", "gitHubLocation": {}})
    refused(sim, "DeploymentConfigDoesNotExistException", "GetDeploymentConfig", deploymentConfigName="nope")
    refused(sim, "DeploymentDoesNotExistException", "GetDeployment", deploymentId="d-XXXXXXXXX")
    refused(sim, "RevisionDoesNotExistException", "GetApplicationRevision", applicationName="app", revision=revision("r"))
    name = sim.ship("r", deploymentConfigName="CodeDeployDefault.AllAtOnce")["deploymentId"]
    refused(sim, "DeploymentTargetDoesNotExistException", "GetDeploymentTarget", deploymentId=name, targetId="i-9999")
    refused(sim, "ApplicationAlreadyExistsException", "CreateApplication", applicationName="app")
    refused(sim, "DeploymentConfigInUseException", "DeleteDeploymentConfig", deploymentConfigName="config")
    refused(sim, "InvalidOperationException", "DeleteDeploymentConfig", deploymentConfigName="CodeDeployDefault.OneAtATime")
    # Deleting what is not there is no error.
    assert sim.call("DeleteApplication", **gone) == {}
    assert sim.call("DeleteDeploymentGroup", applicationName="app", deploymentGroupName="nope") == {"hooksNotCleanedUp": []}


@pytest.mark.parametrize(("change", "code"), [
    ({"autoScalingGroups": ["gone"]}, "InvalidAutoScalingGroupException"),
    ({"deploymentConfigName": "gone"}, "DeploymentConfigDoesNotExistException"),
    ({"alarmConfiguration": {"enabled": True, "alarms": []}}, "InvalidAlarmConfigException"),
    ({"alarmConfiguration": {"enabled": True, "alarms": [{"name": f"a{n}"} for n in range(51)]}}, "AlarmsLimitExceededException"),
    ({"autoRollbackConfiguration": {"enabled": True, "events": []}}, "InvalidAutoRollbackConfigException"),
    ({"loadBalancerInfo": {"elbInfoList": [{"name": "classic"}]}}, "InvalidLoadBalancerInfoException"),
    ({"deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"}}, "InvalidLoadBalancerInfoException"),
    ({"deploymentStyle": {"deploymentType": "BLUE_GREEN"}}, "InvalidDeploymentStyleException"),
    ({"ec2TagFilters": [{"Key": "k", "Type": "KEY_ONLY"}]}, "InvalidEC2TagException"),
    ({"deploymentGroupName": "fleet"}, "DeploymentGroupAlreadyExistsException"),
    ({"applicationName": "gone"}, "ApplicationDoesNotExistException")])
def test_a_group_that_aws_would_refuse(change: dict[str, Any], code: str) -> None:
    sim = Simulation("a")
    hooks = dict(sim.world.hooks)
    refused(sim, code, "CreateDeploymentGroup", **{
        "applicationName": "app", "deploymentGroupName": "other", "serviceRoleArn": ROLE, "autoScalingGroups": ["asg"]} | change)
    assert sim.world.hooks == hooks, "a refused group left a hook behind"
    assert sim.call("ListDeploymentGroups", applicationName="app")["deploymentGroups"] == ["fleet"]


def test_a_role_that_may_not_make_hooks_is_refused_with_awss_code() -> None:
    sim = Simulation("a")
    for method, code in (("put_hook", "AUTO_SCALING_IAM_ROLE_PERMISSIONS"), ("assume", "IAM_ROLE_PERMISSIONS")):
        sim.world.denied = {method: code}
        refused(sim, "InvalidRoleException", "CreateDeploymentGroup", applicationName="app", deploymentGroupName="other",
                serviceRoleArn=ROLE, autoScalingGroups=["asg"])


def test_hooks_follow_the_groups_auto_scaling_groups() -> None:
    sim = Simulation("a")
    (hook,) = sim.world.hooks
    assert hook.startswith("CodeDeploy-managed-automatic-launch-deployment-hook-fleet-")
    update = {"applicationName": "app", "currentDeploymentGroupName": "fleet"}
    sim.call("UpdateDeploymentGroup", **update, terminationHookEnabled=True, deploymentConfigName="CodeDeployDefault.HalfAtATime")
    assert {transition for _, transition in sim.world.hooks.values()} == {
        "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"}
    sim.call("UpdateDeploymentGroup", **update, terminationHookEnabled=False)
    assert set(sim.world.hooks) == {hook}
    info = sim.call("GetDeploymentGroup", applicationName="app", deploymentGroupName="fleet")["deploymentGroupInfo"]
    assert info["autoScalingGroups"] == [{"name": "asg", "hook": hook}]
    assert info["deploymentConfigName"] == "CodeDeployDefault.HalfAtATime"
    assert info["alarmConfiguration"] is not None
    sim.world.denied["delete_hook"] = "AUTO_SCALING_IAM_ROLE_PERMISSIONS"
    assert sim.call("DeleteDeploymentGroup", applicationName="app", deploymentGroupName="fleet") == {
        "hooksNotCleanedUp": [{"name": "asg", "hook": hook}]}


def test_permissions_name_the_resource_types_of_the_service_authorization_reference() -> None:
    sim = Simulation("a")
    group = {"applicationName": "app", "deploymentGroupName": "fleet"}

    def asked(operation: str, **params: Any) -> list[Any]:
        return [tuple(one[:2]) for one in sim.api.permissions(operation, params, sim.ctx)]
    fleet = f"{PREFIX}:deploymentgroup:app/fleet"
    assert asked("CreateDeployment", **group, revision=revision("new")) == [
        ("codedeploy:CreateDeployment", fleet), ("codedeploy:GetDeploymentConfig", f"{PREFIX}:deploymentconfig:config"),
        ("codedeploy:RegisterApplicationRevision", f"{PREFIX}:application:app")]
    sim.call("RegisterApplicationRevision", applicationName="app", revision=revision("new"))
    assert asked("CreateDeployment", **group, revision=revision("new"), overrideAlarmConfiguration={"enabled": False})[2:] == [
        ("codedeploy:UpdateDeploymentGroup", fleet)]
    assert asked("UpdateDeploymentGroup", applicationName="app", currentDeploymentGroupName="fleet") == [
        ("codedeploy:UpdateDeploymentGroup", fleet)]
    assert asked("GetDeployment", deploymentId=sim.deploy("r")) == [("codedeploy:GetDeployment", fleet)]
    assert asked("StopDeployment", deploymentId="d-X") == [("codedeploy:StopDeployment", "*")]
    assert asked("GetDeploymentConfig", deploymentConfigName="c") == [("codedeploy:GetDeploymentConfig", f"{PREFIX}:deploymentconfig:c")]
    assert asked("RegisterApplicationRevision", applicationName="app") == [("codedeploy:RegisterApplicationRevision", f"{PREFIX}:application:app")]
    (create,) = sim.api.permissions("CreateApplication", {"applicationName": "x", "tags": [{"Key": "k", "Value": "v"}]}, sim.ctx)
    assert create == ("codedeploy:CreateApplication", f"{PREFIX}:application:x", {"aws:RequestTag/k": "v", "aws:TagKeys": ["k"]})


def test_every_served_operation_is_one_of_the_model() -> None:
    known = {"_" + "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_") for name in MODEL.operation_names}
    helpers = {"absent_after", "handle_command", "on_instance_launching", "on_instance_terminating", "work", "start", "stop", "dump", "load", "permissions"}
    served = {name for name in vars(Api) if not name.startswith("_") and callable(getattr(Api, name))} - helpers
    assert served
    assert not {f"_{name}" for name in served} - known


def test_tags() -> None:
    sim = Simulation("a")
    arn = f"{PREFIX}:deploymentgroup:app/fleet"
    sim.call("TagResource", ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sim.call("UntagResource", ResourceArn=arn, TagKeys=["a"])
    assert sim.call("ListTagsForResource", ResourceArn=arn) == {"Tags": [{"Key": "b", "Value": "2"}]}
    refused(sim, "InvalidArnException", "ListTagsForResource", ResourceArn="arn:aws:s3:::x")


def test_lists_filter_page_and_begin_with_the_newest() -> None:
    sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0}, traffic=False)
    names = [sim.ship(f"r{number}")["deploymentId"] for number in range(103)]
    first = sim.call("ListDeployments", applicationName="app", deploymentGroupName="fleet")
    rest = sim.call("ListDeployments", applicationName="app", deploymentGroupName="fleet", nextToken=first["nextToken"])
    assert first["deployments"] + rest["deployments"] == names[::-1]
    assert rest["nextToken"] is None
    assert sim.call("ListDeployments", includeOnlyStatuses=["Failed"])["deployments"] == []
    assert all(len(name) == 11 and name.startswith("d-") and name[2:].isalnum() and name.isascii() and name[2:].upper() == name[2:]
               for name in names)
    refused(sim, "InvalidNextTokenException", "ListDeployments", nextToken="x")


# The agent's side.

def call(sim: Simulation, instance: str, operation: str, **params: Any) -> dict[str, Any]:
    return sim.agent_call(sim.world.hosts[instance], operation, **params)


def test_a_command_is_handed_out_until_it_is_acknowledged_and_only_to_its_host() -> None:
    sim = Simulation("ab", minimum={"type": "HOST_COUNT", "value": 0}, traffic=False)
    sim.deploy("r1")
    sim.api.work()
    assert call(sim, "i-0000", "PollHostCommand", HostIdentifier=HOST)["HostCommand"]["CommandName"] == "ApplicationStop"
    command = call(sim, "i-0000", "PollHostCommand", HostIdentifier=HOST)["HostCommand"]
    assert command["HostIdentifier"] == HOST
    assert set(command) == {
        "HostCommandIdentifier", "HostIdentifier", "DeploymentExecutionId", "CommandName", "Nonce"}
    acknowledged = {"HostCommandIdentifier": command["HostCommandIdentifier"], "Diagnostics": {"Format": "JSON", "Payload": "{}"}}
    assert call(sim, "i-0000", "PutHostCommandAcknowledgement", **acknowledged) == {"CommandStatus": "InProgress"}
    assert call(sim, "i-0000", "PollHostCommand", HostIdentifier=HOST) == {}
    for operation, params in (("PollHostCommand", {"HostIdentifier": HOST}), ("PutHostCommandAcknowledgement", acknowledged),
                              ("GetDeploymentSpecification", {"HostIdentifier": HOST, "DeploymentExecutionId": "x"})):
        with pytest.raises(ServiceError, match="AccessDeniedException"):
            call(sim, "i-0001", operation, **params)
    user = Context(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:user/i-0000", "key")
    with pytest.raises(ServiceError, match="AccessDeniedException"):
        sim.api.handle_command("PollHostCommand", {"HostIdentifier": HOST}, user)
    for wrong in ("", "!", base64.b64encode(b"d-X").decode()):
        with pytest.raises(ServiceError, match="ClientException"):
            call(sim, "i-0000", "PutHostCommandComplete", HostCommandIdentifier=wrong)
    with pytest.raises(ServiceError, match=r"UnknownOperationException.*PostHostCommandUpdate"):
        call(sim, "i-0000", "PostHostCommandUpdate")


@pytest.mark.parametrize(("code", "name"), [(0, "Success"), (1, "ScriptMissing"), (2, "ScriptNotExecutable"), (3, "ScriptTimedOut"),
                                            (4, "ScriptFailed"), (5, "UnknownError"), (6, "UnknownError"), (7, "UnknownError")])
def test_the_agents_codes_and_only_its_first_word(code: int, name: str) -> None:
    sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0}, traffic=False)
    deployment = sim.deploy("r1")
    sim.api.work()
    command = call(sim, "i-0000", "PollHostCommand", HostIdentifier=HOST)["HostCommand"]
    told = {"error_code": code, "script_name": "s", "message": "m", "log": "x" * 5000}
    for payload in (json.dumps(told), json.dumps({"error_code": 5, "message": "second"})):
        call(sim, "i-0000", "PutHostCommandComplete", HostCommandIdentifier=command["HostCommandIdentifier"],
             CommandStatus="Succeeded" if code == 0 else "Failed", Diagnostics={"Format": "JSON", "Payload": payload})
    event = sim.events_of(deployment, "i-0000")["ApplicationStop"]
    assert event["diagnostics"] == {"errorCode": name, "scriptName": "s", "message": "m", "logTail": "x" * 4096}
    assert event["status"] == ("Succeeded" if code == 0 else "Failed")
    assert call(sim, "i-0000", "PutHostCommandAcknowledgement", HostCommandIdentifier=command["HostCommandIdentifier"])[
        "CommandStatus"] == event["status"]


def test_the_specification_is_signed_json_with_all_that_the_agent_reads(tmp_path: Path) -> None:
    sim = Simulation("a", minimum={"type": "HOST_COUNT", "value": 0})
    sim.api._commands._signer = Signer(tmp_path / "signing")
    location = revision("r1")["s3Location"] | {"version": "v7", "eTag": "e"}
    sim.call("CreateDeployment", applicationName="app", deploymentGroupName="fleet", fileExistsBehavior="OVERWRITE",
             revision={"revisionType": "S3", "s3Location": location})
    sim.api.work()
    command = call(sim, "i-0000", "PollHostCommand", HostIdentifier=HOST)["HostCommand"]
    answer = call(sim, "i-0000", "GetDeploymentSpecification", HostIdentifier=HOST, DeploymentExecutionId=command["DeploymentExecutionId"])
    assert answer["DeploymentSystem"] == "CodeDeploy"
    envelope = answer["DeploymentSpecification"]["GenericEnvelope"]
    assert envelope["Format"] == "PKCS7/JSON"
    assert envelope["Payload"].startswith("-----BEGIN PKCS7-----")
    verify = subprocess.run(["openssl", "smime", "-verify", "-noverify", "-inform", "PEM"], input=envelope["Payload"].encode(),
                            capture_output=True, check=True)
    specification = json.loads(verify.stdout)
    assert specification["Revision"] == {"RevisionType": "S3", "S3Revision": {
        "Bucket": "bucket", "Key": "r1", "BundleType": "zip", "Version": "v7", "ETag": "e"}}
    assert specification["AgentActionOverrides"] == {"AgentOverrides": {"FileExistsBehavior": "OVERWRITE"}}
    assert {"DeploymentId", "DeploymentGroupId", "DeploymentGroupName", "ApplicationName", "DeploymentCreator"} <= set(specification)
