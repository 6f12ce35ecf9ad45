"""Why a deployment fails: each cause is made to happen through CodeDeploy's own Api, and must be named first."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import botocore.exceptions
import pytest
from deployment_scene import Scene, first, named, saying, ship_bad

from localaws.codedeploy import driver, engine
from localaws.codedeploy.simulator import REGION, ROLE, failing
from localaws.service import ServiceError
from scripts.core import running
from scripts.diagnosis.case import Action, Alarm, Case, Deployment, Event, Target
from scripts.diagnosis.judge import judge

made = pytest.mark.cause


def marked(cause: str, *values: Any, how: str = "made") -> Any:
    """A case of a parametrized test, with the cause that it makes."""
    return pytest.param(cause, *values, marks=pytest.mark.cause(cause, how), id=cause)


# ---- agents and instances


@made("deployment-agent-not-installed", "made")
@pytest.mark.parametrize(("package", "ping", "certainty"), [("Failed", "Online", "certain"), ("none", "none", "likely")])
def test_an_instance_without_an_agent(package: str, ping: str, certainty: str) -> None:
    scene = Scene("abc")
    for host in scene.hosts:
        host.alive = False  # nothing polls
    scene.ssm.packages = dict.fromkeys(scene.world.hosts, package)
    scene.ssm.pings = dict.fromkeys(scene.world.hosts, ping)
    identity = str(scene.sim.ship("one")["deploymentId"])
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-agent-not-installed"
    assert verdict.first and verdict.first.match.certainty == certainty


@made("deployment-agent-not-running", "made")
def test_one_silent_agent_among_others_that_answer() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.hosts[1].alive = False
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-agent-not-running"
    assert verdict.first and "the agent ran events on 1 of 3 instances" in verdict.first.match.evidence
    assert named(verdict) == {"deployment-agent-not-running"}


@made("deployment-agent-not-running", "made")
def test_an_agent_that_stops_in_mid_deployment() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.hosts[0].deaf_to = {"DownloadBundle"}
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-agent-not-running"
    assert "DownloadBundle" in "\n".join(verdict.first.match.evidence if verdict.first else ())


@made("deployment-agent-cut-off", "made")
def test_agents_that_cannot_reach_their_endpoint() -> None:
    scene = Scene("abcd", minimum={"type": "HOST_COUNT", "value": 1})
    scene.sim.ship("one")
    for host in scene.hosts:
        host.deaf_to = {"BeforeBlockTraffic", "ApplicationStop", "DownloadBundle"}  # Systems Manager still reaches them
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-agent-cut-off"
    assert verdict.first and "codedeploy-commands" in "\n".join(verdict.first.match.fix)
    assert "deployment-agent-not-running" not in named(verdict)


@made("deployment-host-unreachable", "made")
def test_a_host_that_nobody_reaches() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    for host in scene.hosts:
        host.alive = False
    scene.ssm.pings = dict.fromkeys(scene.world.hosts, "ConnectionLost")
    assert first(scene.why(str(scene.sim.ship("two")["deploymentId"]))) == "deployment-host-unreachable"


@made("deployment-instance-profile-missing", "made")
def test_an_instance_without_a_profile() -> None:
    scene = Scene("abc")
    for host in scene.hosts:
        host.alive = False
    scene.ec2.profile = False
    assert first(scene.why(str(scene.sim.ship("one")["deploymentId"]))) == "deployment-instance-profile-missing"


@made("deployment-instance-stopped", "made")
def test_a_stopped_instance() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    for host in scene.hosts:
        host.alive = False
    scene.ec2.states = dict.fromkeys(scene.world.hosts, "stopped")
    assert first(scene.why(str(scene.sim.ship("two")["deploymentId"]))) == "deployment-instance-stopped"


@made("deployment-instance-gone", "made")
def test_an_instance_that_is_terminated_in_mid_deployment() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    identity = scene.sim.deploy("two")
    scene.sim.run(10)
    busy = next(target.id for target in scene.read(identity).targets if target.status == "InProgress")
    scene.world.hosts[busy].lifecycle, scene.world.hosts[busy].alive = "Terminated", False
    scene.sim.finish(identity)
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-instance-gone"
    assert busy in (verdict.first.title if verdict.first else "")
    assert verdict.first and verdict.first.match.certainty == "certain"


def ended_at(scene: Scene, identity: str) -> None:
    """EC2 has ended every instance on which this deployment failed by the time that `why` runs."""
    scene.ec2.states = {target.id: "terminated" for target in scene.read(identity).targets if target.status == "Failed"}


@pytest.mark.parametrize(("event", "words", "cause"), [
    ("DownloadBundle", "failed to download s3://bucket/two.zip: AccessDenied: Access Denied", "deployment-bundle-denied"),
    ("Install", "The deployment failed because a specified file already exists at this location: /opt/app.conf", "deployment-file-exists"),
    ("Install", "Permission denied @ dir_s_mkdir - /opt/app", "deployment-event-failed"),
])
def test_what_the_agent_said_counts_where_the_instance_ended_since(event: str, words: str, cause: str) -> None:
    scene = Scene("abc")
    identity = ship_bad(scene, saying(event, message=words))
    ended_at(scene, identity)
    verdict = scene.why(identity)
    assert first(verdict) == cause
    assert "deployment-instance-gone" not in named(verdict)


@pytest.mark.parametrize("words", ["", engine.AGENT_MESSAGE], ids=["nothing", "silent"])
@pytest.mark.parametrize("creator", ["user", "autoscaling"])
def test_an_instance_that_ended_is_likely_why_nothing_was_said_but_not_of_a_launch(words: str, creator: str) -> None:
    """Auto Scaling ends every host whose launch deployment failed: that it is gone says nothing."""
    scene = Scene("abc")
    identity = ship_bad(scene, saying("Install", message=words))
    ended_at(scene, identity)
    case = scene.case(identity)
    verdict = judge(replace(case, deployments=tuple(replace(one, creator=creator) for one in case.deployments)))
    if creator == "user":
        assert first(verdict) == "deployment-instance-gone"
        assert verdict.first and verdict.first.match.certainty == "likely" and "EC2 says terminated" in verdict.first.match.evidence
    else:
        assert "deployment-instance-gone" not in named(verdict)


@made("deployment-events-skipped", "recorded")
def test_every_event_skipped_and_nothing_more_known() -> None:
    """The shape of https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-deployments.html (all lifecycle events skipped)."""
    events = tuple(Event(name, "Skipped") for name in ("ApplicationStop", "DownloadBundle", "BeforeInstall", "Install"))
    case = of(Deployment("d-1", REGION, "app", "fleet", "fleet", "Failed", code="HEALTH_CONSTRAINTS", created=1.0, ended=400.0, targets_total=3,
                         targets=(Target("i-1", "Failed", events=events), Target("i-2", "Skipped", events=events))))
    assert first(judge(case)) == "deployment-events-skipped"


@made("deployment-agent-restarted", "made")
def test_an_agent_that_is_restarted_in_mid_event() -> None:
    scene = Scene()
    words = "Failing in-progress lifecycle event after an agent restart."
    assert first(scene.why(ship_bad(scene, saying("Install", 7, words)))) == "deployment-agent-restarted"


def of(*found: Deployment, **more: Any) -> Case:
    return Case("gamma", "sample", "deployment", 2e9, region=REGION, deployments=found, **more)


# ---- the group


@made("deployment-group-empty", "made")
def test_a_group_without_instances() -> None:
    scene = Scene("abc")
    scene.world.hosts.clear()
    identity = str(scene.sim.ship("one")["deploymentId"])
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-group-empty"
    assert "deployment-no-instances-tagged" not in named(verdict)


@made("deployment-scaling-group-gone", "made")
def test_an_auto_scaling_group_that_is_gone() -> None:
    scene = Scene("abc")
    scene.world.hosts.clear()
    scene.scaling.there = False
    verdict = scene.why(str(scene.sim.ship("one")["deploymentId"]))
    assert first(verdict) == "deployment-scaling-group-gone"
    assert named(verdict) == {"deployment-scaling-group-gone"}


@made("deployment-no-instances-tagged", "recorded")
def test_no_instance_has_the_tags() -> None:
    """Groups by tags are not played by the local AWS: DeploymentGroupInfo.ec2TagSet as the API reference has it."""
    scene = Scene("abc")
    scene.world.hosts.clear()
    identity = str(scene.sim.ship("one")["deploymentId"])
    scene.aws.record("codedeploy", "GetDeploymentGroup", {"deploymentGroupInfo": {
        "applicationName": "app", "deploymentGroupName": "fleet", "autoScalingGroups": [], "ec2TagSet": {"ec2TagSetList": [[
            {"Key": "Name", "Value": "fleet", "Type": "KEY_AND_VALUE"}]]}}})
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-no-instances-tagged"
    assert verdict.first and any("does not deploy" in step for step in verdict.first.match.fix)


@made("deployment-too-few-hosts", "made")
def test_fewer_instances_than_must_stay_healthy() -> None:
    scene = Scene("a", minimum={"type": "HOST_COUNT", "value": 2})
    verdict = scene.why(str(scene.sim.ship("one")["deploymentId"]))
    assert first(verdict) == "deployment-too-few-hosts"
    assert "wants 2 healthy instances" in "\n".join(verdict.first.match.evidence if verdict.first else ())


@made("deployment-no-host-may-be-out", "made")
def test_a_percentage_that_rounds_up_so_that_none_may_be_out() -> None:
    scene = Scene("abcdefghij", minimum={"type": "FLEET_PERCENT", "value": 50})
    scene.sim.ship("one")
    scene.sim.call("CreateDeploymentConfig", deploymentConfigName="strict", minimumHealthyHosts={"type": "FLEET_PERCENT", "value": 95})
    verdict = scene.why(str(scene.sim.ship("two", deploymentConfigName="strict")["deploymentId"]))
    assert first(verdict) == "deployment-no-host-may-be-out"
    assert verdict.first and "95 % of 10 is 9.5, rounded up 10" in "\n".join(verdict.first.match.evidence)


def test_nine_of_ten_is_no_such_case() -> None:
    scene = Scene("abcdefghij", minimum={"type": "FLEET_PERCENT", "value": 90})
    scene.sim.ship("one", deploymentConfigName="CodeDeployDefault.AllAtOnce")
    verdict = scene.why(str(ship_bad(scene, failing("two", "Install"))))
    assert "deployment-no-host-may-be-out" not in named(verdict)
    assert first(verdict) == "deployment-hook-failed"


@made("deployment-health-constraints", "made")
def test_the_catch_all_says_what_is_known_and_no_more() -> None:
    scene = Scene("abc", minimum={"type": "FLEET_PERCENT", "value": 66})
    identity = ship_bad(scene, failing("two", "Install"))
    case = scene.case(identity)
    unread = replace(case, deployments=tuple(replace(one, targets=()) for one in case.deployments))
    verdict = judge(unread)
    assert first(verdict) == "deployment-health-constraints"
    assert "deployment-health-constraints" not in named(judge(case)), "a sign of its own explains it"


# ---- traffic


@made("deployment-health-check-misconfigured", "made")
@pytest.mark.parametrize("reason", [
    ("Target.Timeout", "Request timed out"), ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [404]"),
    ("Target.FailedHealthChecks", "Health checks failed")], ids=lambda one: one[0])
def test_a_target_that_never_becomes_healthy(reason: tuple[str, str]) -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.health_seconds = 1e6
    scene.elb.check = {"HealthCheckPath": "/healthz"}
    scene.elb.reasons = dict.fromkeys(scene.world.hosts, reason)
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-health-check-misconfigured"
    assert verdict.first and verdict.first.match.certainty == "certain"
    evidence = "\n".join(verdict.first.match.evidence)
    assert reason[0] in evidence and "/healthz" in evidence and "ValidateService succeeded" in evidence


@made("deployment-block-traffic-stuck", "made")
def test_a_target_that_never_drains() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.drain_seconds = 3700.0
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-block-traffic-stuck"
    assert "waits 3700 s" in "\n".join(verdict.first.match.evidence if verdict.first else ())


def client_error(code: str, message: str, operation: str) -> botocore.exceptions.ClientError:
    return botocore.exceptions.ClientError({"Error": {"Code": code, "Message": message}}, operation)


@made("deployment-balancer-instance", "made")
def test_a_target_group_that_does_not_take_the_instance() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.denied["allow"] = driver._call_error(ROLE, "elbv2", client_error(
        "InvalidTarget", "The following targets are not in a running state and cannot be registered: 'i-0000'", "RegisterTargets"))
    assert first(scene.why(str(scene.sim.ship("two")["deploymentId"]))) == "deployment-balancer-instance"


@made("deployment-balancer-invalid", "made")
def test_a_target_group_that_is_gone() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.denied["block"] = driver._call_error(ROLE, "elbv2", client_error(
        "TargetGroupNotFound", "One or more target groups not found", "DescribeTargetGroups"))
    scene.aws.record("elbv2", "DescribeTargetGroups", {"TargetGroups": []})
    assert first(scene.why(str(scene.sim.ship("two")["deploymentId"]))) == "deployment-balancer-invalid"


# ---- the service's own codes


@made("deployment-role-missing", "made")
def test_a_service_role_that_is_gone() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.denied["assume"] = driver._assume_error(ROLE, Exception("NoSuchEntity: The role with name codedeploy cannot be found."))
    scene.aws.record("iam", "GetRole", ServiceError("NoSuchEntity", "The role with name codedeploy cannot be found.", 404))
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-role-missing"
    assert "IAM has no role codedeploy" in (verdict.first.match.evidence if verdict.first else ())


@made("deployment-role-permission", "made")
@pytest.mark.parametrize(("method", "service", "action", "operation"), [
    ("instances", "ec2", "ec2:DescribeInstances", "DescribeInstances"),
    ("instances", "autoscaling", "autoscaling:DescribeAutoScalingGroups", "DescribeAutoScalingGroups"),
    ("block", "elbv2", "elasticloadbalancing:DeregisterTargets", "DeregisterTargets")])
def test_a_service_role_that_lacks_a_permission(method: str, service: str, action: str, operation: str) -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.denied[method] = driver._call_error(ROLE, service, client_error(
        "AccessDenied", f"User: {ROLE} is not authorized to perform: {action} because no identity-based policy allows the {action} action", operation))
    scene.aws.record("iam", "GetRole", {"Role": {"Path": "/", "RoleName": "codedeploy", "RoleId": "AROA", "Arn": ROLE, "CreateDate": 1.6e9}})
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-role-permission"
    assert verdict.first and verdict.first.title == f"CodeDeploy's service role lacks {action}"
    assert "deployment-role-missing" not in named(verdict)


@pytest.mark.parametrize(("cause", "code"), [
    marked("deployment-throttled", "THROTTLED"),
    marked("deployment-internal-error", "INTERNAL_ERROR"),
    marked("deployment-revision-missing", "REVISION_MISSING", how="recorded"),
    marked("deployment-revision-invalid", "INVALID_REVISION", how="recorded"),
    marked("deployment-quota", "RESOURCE_LIMIT_EXCEEDED", how="recorded"),
    marked("deployment-agent-issue", "AGENT_ISSUE", how="recorded"),
    marked("deployment-failed-otherwise", "NO_EC2_SUBSCRIPTION", how="recorded"),
])
def test_a_code_of_the_service(cause: str, code: str) -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    scene.world.denied["instances"] = driver.WorldError(code, "Rate exceeded" if code == "THROTTLED" else f"{code} in the service's words")
    identity = str(scene.sim.ship("two")["deploymentId"])
    verdict = scene.why(identity)
    assert scene.read(identity).code == code
    assert named(verdict) - {"deployment-failed-otherwise"} == {cause} - {"deployment-failed-otherwise"}
    assert first(verdict) == cause


@made("deployment-timed-out", "made")
def test_a_deployment_that_takes_longer_than_half_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEPLOYMENT_SECONDS", 600)  # twelve hours of virtual time would last twenty seconds of the machine's
    scene = Scene("abc", zonal={"firstZoneMonitorDurationInSeconds": 700})
    verdict = scene.why(str(scene.sim.ship("one")["deploymentId"]))
    assert first(verdict) == "deployment-timed-out"


@made("deployment-group-gone", "made")
def test_a_group_that_is_deleted_in_mid_deployment() -> None:
    scene = Scene("abc")
    identity = scene.sim.deploy("one")
    scene.sim.run(5)
    scene.sim.call("DeleteDeploymentGroup", applicationName="app", deploymentGroupName="fleet")
    scene.sim.finish(identity)
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-group-gone"
    assert "it is not there now" in (verdict.first.match.evidence if verdict.first else ())


@made("deployment-concurrent", "made")
def test_another_deployment_is_under_way() -> None:
    """The pipeline's action fails with CreateDeployment's own refusal."""
    scene = Scene("abc")
    running = scene.sim.deploy("one")
    scene.sim.run(3)
    with pytest.raises(ServiceError) as refused:
        scene.sim.deploy("two")
    action = Action("Gamma", "Deploy-us-east-1", "Failed", "CodeDeploy", REGION, "gamma", code="JobFailed", message=refused.value.message, started=5.0)
    verdict = judge(Case("gamma", "sample", "execution", 9.0, region=REGION, actions=(action,)))
    assert first(verdict) == "deployment-concurrent"
    assert running in (verdict.first.title if verdict.first else "")
    nameless = replace(action, message="Deployment Group is already deploying deployment ...")  # as CodePipeline's guide has it
    assert first(judge(Case("gamma", "sample", "execution", 9.0, region=REGION, actions=(nameless,)))) == "deployment-concurrent"


# ---- stops and alarms


@made("deployment-stopped-by-hand", "made")
def test_a_deployment_that_somebody_stops() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    identity = scene.sim.deploy("two")
    scene.sim.run(8)
    scene.sim.call("StopDeployment", deploymentId=identity)
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-stopped-by-hand"
    assert named(verdict) == {"deployment-stopped-by-hand"}, "events that were given up are no failures"


@pytest.mark.parametrize("known", ["log", "release"])
def test_a_deployment_that_the_rollback_function_stopped_was_not_stopped_by_hand(known: str) -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    identity = scene.sim.deploy("two")
    scene.sim.run(8)
    scene.sim.call("StopDeployment", deploymentId=identity)
    case = scene.case(identity)
    entry = {"kind": "stop", "text": f"stopped deployment {identity} of bbbbbbbbbbbb to prod/us-east-1/fleet"}
    told = replace(case, log=(entry,)) if known == "log" else replace(case, release={"bad": {"reason": "an alarm", "at": case.deployments[0].created + 1}})
    assert "deployment-stopped-by-hand" not in named(judge(told))
    assert "deployment-stopped-by-hand" in named(judge(replace(case, release={"bad": None})))


@made("deployment-stopped-by-alarm", "made")
@pytest.mark.parametrize("before", [True, False])
def test_an_alarm_that_could_not_be_read(before: bool) -> None:
    scene = Scene("abc", alarms=("p99-high",))
    scene.sim.ship("one")
    scene.world.alarm_states["p99-high"] = "ALARM" if before else "OK"
    identity = scene.sim.deploy("two")
    scene.sim.run(10)
    scene.world.alarm_states["p99-high"] = "ALARM"
    scene.sim.finish(identity)
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-stopped-by-alarm"
    assert "p99-high" in (verdict.first.title if verdict.first else "")
    assert ("active already" in "\n".join(verdict.first.match.evidence if verdict.first else ())) is before


@pytest.mark.parametrize("before", [True, False])
def test_an_alarm_that_was_read_is_named_by_what_it_saw(before: bool) -> None:
    scene = Scene("abc", alarms=("p99-high",))
    scene.sim.ship("one")
    fired = scene.clock.now() - 60 if before else scene.clock.now() + 8
    scene.world.alarm_states["p99-high"] = "ALARM" if before else "OK"
    identity = scene.sim.deploy("two")
    scene.sim.run(10)
    scene.world.alarm_states["p99-high"] = "ALARM"
    scene.sim.finish(identity)
    alarm = Alarm("p99-high", REGION, state="ALARM", since=fired, fired=(fired,), states=((0.0, "OK"), (fired, "ALARM")), metrics=(("App", "Latency"),))
    verdict = scene.why(identity, alarms=(alarm,))
    assert first(verdict) == ("alarm-active-before" if before else "alarm-fired")
    assert "deployment-stopped-by-alarm" not in named(verdict)


@made("deployment-alarm-unreadable", "made")
def test_an_alarm_that_codedeploy_cannot_find() -> None:
    scene = Scene("abc", alarms=("p99-high",))
    scene.sim.ship("one")
    del scene.world.alarm_states["p99-high"]
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-alarm-unreadable"
    missing = scene.why(verdict.first.match.evidence[0].split()[0] if verdict.first else "", alarms=(Alarm("p99-high", REGION, exists=False),))
    assert first(missing) == "alarm-missing"


# ---- two faults at once


def test_of_two_hosts_with_different_faults_the_earlier_is_first() -> None:
    scene = Scene("abcdef", minimum={"type": "HOST_COUNT", "value": 3})
    scene.sim.ship("one", deploymentConfigName="CodeDeployDefault.AllAtOnce")
    early = saying("BeforeInstall", 1, "Script does not exist at specified location: hooks/gone.sh", script="hooks/gone.sh")
    late = saying("ValidateService", 4, "Script at specified location: hooks/v.sh failed with exit code 1", "[stderr]no", "hooks/v.sh")
    for number, host in enumerate(scene.hosts):
        host.behave = late if number % 2 == 0 else early
    verdict = scene.why(str(scene.sim.ship("two")["deploymentId"]))
    assert first(verdict) == "deployment-hook-missing"
    assert [one.cause.id for one in verdict.others] == ["deployment-hook-failed"]


def test_of_a_hook_and_an_alarm_that_follows_the_hook_is_first() -> None:
    scene = Scene("abcdef", minimum={"type": "HOST_COUNT", "value": 1}, alarms=("p99-high",))
    scene.sim.ship("one", deploymentConfigName="CodeDeployDefault.AllAtOnce")
    scene.hosts[0].behave = failing("two", "BeforeInstall")
    for host in scene.hosts[1:]:
        host.behave = lambda event, bundle: (60.0, True, {"error_code": 0, "script_name": "", "message": "Succeeded", "log": ""})
    identity = scene.sim.deploy("two")
    scene.sim.run(40)
    scene.world.alarm_states["p99-high"] = "ALARM"
    fired = scene.clock.now()
    scene.sim.finish(identity)
    alarm = Alarm("p99-high", REGION, state="ALARM", since=fired, fired=(fired,), states=((0.0, "OK"), (fired, "ALARM")), metrics=(("App", "Latency"),))
    verdict = scene.why(identity, alarms=(alarm,))
    assert first(verdict) == "deployment-hook-failed"
    assert [one.cause.id for one in verdict.others] == ["alarm-fired"]


# ---- scaling


@made("deployment-scale-out-meanwhile", "made")
def test_a_scale_out_in_mid_deployment() -> None:
    scene = Scene("abc", outdatedInstancesStrategy="IGNORE")
    scene.sim.ship("one")
    identity = scene.sim.deploy("two")
    scene.sim.run(10)
    scene.sim.launch("a")
    scene.sim.finish(identity)
    scene.sim.run(120)
    assert sorted({host.installed or "" for host in scene.hosts}) == ["one", "two"]
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-scale-out-meanwhile"
    assert verdict.first and verdict.first.match.certainty == "likely"


def test_a_scale_out_that_codedeploy_brings_up_to_date() -> None:
    scene = Scene("abc")
    scene.sim.ship("one")
    identity = scene.sim.deploy("two")
    scene.sim.run(10)
    scene.sim.launch("a")
    scene.sim.finish(identity)
    scene.sim.run(300)
    assert {host.installed for host in scene.hosts} == {"two"}
    assert scene.why(identity).first is None


@made("deployment-launches-abandoned", "made")
def test_a_release_that_does_not_come_up_on_new_instances() -> None:
    scene = Scene("abc")
    identity = str(scene.sim.ship("one")["deploymentId"])
    new = scene.sim.launch("a")
    new.behave = failing("one", "ApplicationStart")
    scene.sim.run(120)
    assert new.lifecycle == "Terminated"
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-launches-abandoned"
    assert verdict.first and verdict.first.match.certainty == "certain"


@made("deployment-launch-hook-left-over", "made")
def test_a_hook_that_a_deleted_group_left() -> None:
    """With Auto Scaling's own Api: the launch waits at a hook that nobody answers, until its heartbeat times out."""
    from test_localaws_autoscaling_api import FakeAws, InlineApi

    scene = Scene("abc")
    identity = str(scene.sim.ship("one")["deploymentId"])
    outside = FakeAws()
    api = InlineApi(outside)  # type: ignore[arg-type]
    scene.aws.services["autoscaling"] = api
    client = scene.aws.client("autoscaling", REGION)
    client.create_auto_scaling_group(AutoScalingGroupName="asg", MinSize=0, MaxSize=4, DesiredCapacity=0, VPCZoneIdentifier="subnet-a",
                                     LaunchTemplate={"LaunchTemplateId": "lt-1"})
    left = f"CodeDeploy-managed-automatic-launch-deployment-hook-blue-{uuid.uuid4()}"
    client.put_lifecycle_hook(AutoScalingGroupName="asg", LifecycleHookName=left, LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
                              HeartbeatTimeout=60, DefaultResult="ABANDON", NotificationMetadata=str(uuid.uuid4()))
    client.set_desired_capacity(AutoScalingGroupName="asg", DesiredCapacity=1)
    outside.clock.advance(scene.clock.now() - outside.clock.now())
    api.turn()
    outside.clock.advance(61)
    api.turn()
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-launch-hook-left-over"
    assert verdict.first and verdict.first.match.certainty == "certain"
    assert "Heartbeat Timeout" in "\n".join(verdict.first.match.evidence) and left in verdict.first.match.fix[0]


# ---- the Lambda platform, in AWS's documented shape (the local AWS does not play it)


def recorded_lambda(scene: Scene, event: str, status: str, weights: dict[str, float]) -> None:
    """https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_LambdaTarget.html and Lambda's API_GetAlias."""
    at = scene.clock.now()
    scene.aws.record("codedeploy", "GetDeployment", {"deploymentInfo": {
        "applicationName": "app", "deploymentGroupName": "live", "deploymentId": "d-LAMBDA", "status": status, "computePlatform": "Lambda",
        "deploymentConfigName": "CodeDeployDefault.LambdaCanary10Percent5Minutes", "createTime": at, "completeTime": at + 60, "creator": "user",
        "errorInformation": {"code": "HOOK_EXECUTION_FAILURE" if event else "MANUAL_STOP", "message": "The deployment failed." if event else "Stopped."}}})
    scene.aws.record("codedeploy", "GetDeploymentConfig", {"deploymentConfigInfo": {"deploymentConfigName": "c", "computePlatform": "Lambda"}})
    scene.aws.record("codedeploy", "GetDeploymentGroup", {"deploymentGroupInfo": {"applicationName": "app", "deploymentGroupName": "live"}})
    scene.aws.record("codedeploy", "ListDeploymentTargets", {"targetIds": ["app:live"]})
    events = [{"lifecycleEventName": name, "status": "Failed" if name == event else "Succeeded", "startTime": at, "endTime": at + 9}
              for name in ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic")]
    scene.aws.record("codedeploy", "BatchGetDeploymentTargets", {"deploymentTargets": [{"deploymentTargetType": "LambdaTarget", "lambdaTarget": {
        "deploymentId": "d-LAMBDA", "targetId": "app:live", "status": "Failed" if event else "Succeeded", "lifecycleEvents": events, "lambdaFunctionInfo": {
            "functionName": "app", "functionAlias": "live", "currentVersion": "3", "targetVersion": "4", "targetVersionWeight": 0.1}}}]})
    scene.aws.record("lambda", "GetAlias", {"Name": "live", "FunctionVersion": "3", "RoutingConfig": {"AdditionalVersionWeights": weights}})


@made("deployment-lambda-hook-failed", "recorded")
@pytest.mark.parametrize(("event", "which"), [("BeforeAllowTraffic", "pre-traffic"), ("AfterAllowTraffic", "post-traffic")])
def test_a_traffic_hook_of_a_lambda_deployment(event: str, which: str) -> None:
    scene = Scene("abc")
    recorded_lambda(scene, event, "Failed", {})
    verdict = scene.why("d-LAMBDA")
    assert first(verdict) == "deployment-lambda-hook-failed"
    assert verdict.first and verdict.first.title == f"The {which} hook failed"
    assert "deployment-lambda-alias-split" not in named(verdict)


@made("deployment-lambda-alias-split", "recorded")
def test_an_alias_that_points_at_two_versions() -> None:
    scene = Scene("abc")
    recorded_lambda(scene, "", "Stopped", {"4": 0.1})
    verdict = scene.why("d-LAMBDA")
    assert "version 3: 90%, version 4: 10%" in "\n".join(line for one in ([verdict.first] if verdict.first else []) + list(verdict.others)
                                                         for line in one.match.evidence)
    assert first(verdict) == "deployment-lambda-alias-split"


# ---- what was read, and what was not


def test_a_deployment_that_has_not_begun_runs_on_no_instance() -> None:
    scene = Scene("abc")
    identity = scene.sim.deploy("one")
    scene.aws.record("codedeploy", "ListDeploymentTargets", ServiceError("DeploymentNotStartedException", f"The deployment {identity} has not started."))
    group = running.group(scene.aws, REGION, "fleet", "app", "fleet", running.Bundles())
    assert group.deployment_id == identity and group.instances == ()
    scene.aws.record("codedeploy", "ListDeploymentTargets", ServiceError("InvalidDeploymentIdException", "other"))
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidDeploymentId"):
        running.group(scene.aws, REGION, "fleet", "app", "fleet", running.Bundles())


def test_what_may_not_be_read_is_named_and_the_cause_found_all_the_same() -> None:
    scene = Scene("abc")
    identity = ship_bad(scene, failing("two", "Install"))
    scene.aws.denied = {"s3:GetObject", "ec2:DescribeInstances", "autoscaling:*", "codedeploy:GetDeploymentConfig", "codedeploy:ListDeployments"}
    verdict = scene.why(identity)
    assert first(verdict) == "deployment-hook-failed"
    assert {one.permission for one in scene.calls.unreadable} == {"s3:GetObject", "ec2:DescribeInstances", "autoscaling:DescribeAutoScalingGroups",
                                                                  "codedeploy:GetDeploymentConfig", "codedeploy:ListDeployments"}


def test_what_is_ruled_out_is_said_with_numbers() -> None:
    scene = Scene("abc")
    verdict = scene.why(ship_bad(scene, failing("two", "Install")))
    ruled_out = dict(verdict.ruled_out)
    assert ruled_out["deployment-agent-not-installed"].startswith("the agent ran events on 1 of 3 instances")
    assert "s3://bucket/two is there" in ruled_out["deployment-revision-missing"]


def test_a_deployment_that_goes_well_has_no_cause() -> None:
    scene = Scene("abc")
    assert scene.why(str(scene.sim.ship("one")["deploymentId"])).first is None


