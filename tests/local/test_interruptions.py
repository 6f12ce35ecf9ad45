"""What is cut off goes on or recovers: a host killed, a deploy interrupted, the local AWS stopped, and the local AWS killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import projects
import pytest
from projects import Project

from scripts import demo
from scripts.demonstration import environments

ROOT = Path(__file__).resolve().parents[2]
GAMMA = "sample-environment-gamma"
_SECONDS = 600.0


def _until(what: str, look: Callable[[], Any], seconds: float = _SECONDS, pause: float = 0.2) -> Any:
    """Return what `look` returns as soon as it is true; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def _containers(name: str) -> dict[str, str]:
    """Name and state of every container that carries the label of a local AWS."""
    found = docker.from_env().containers.list(all=True, filters={"label": f"handsoff.local={name}"}, ignore_removed=True)
    return {str(container.name): str(container.status) for container in found}


def _hosts(client: Callable[[str], Any]) -> list[str]:
    """The containers of an account's instances that EC2 says are there."""
    reservations = client("ec2").describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}])
    return sorted(f"localaws-{instance['InstanceId']}" for found in reservations["Reservations"] for instance in found["Instances"])


# --- a release that is cut off ----------------------------------------------------------------------------------------


def _gamma(delivery: demo.Demonstration) -> environments.Place:
    return next(place for place in delivery.places if place.environment == "gamma")


def _state(delivery: demo.Demonstration, execution: str, stage: str, action: str = "Deploy1") -> dict[str, Any]:
    """The newest run of an action in an execution, {} before it began."""
    found = delivery.aws.client("codepipeline", delivery.region).list_action_executions(
        pipelineName=delivery.pipeline.name, filter={"pipelineExecutionId": execution})["actionExecutionDetails"]
    return next((dict(one) for one in found if (one["stageName"], one["actionName"]) == (stage, action)), {})


def _push(delivery: demo.Demonstration, message: str) -> tuple[str, str]:
    """Push something new; return the commit and its execution."""
    delivery.repository.write("app/release-note.txt", f"{message} {time.time()}\n")
    commit = delivery.repository.push(message)
    return commit, delivery.pipeline.execution_of(commit, 60)


def _first_host(delivery: demo.Demonstration, execution: str, event: str) -> str:
    """Wait until a host of gamma's deployment is at `event`; return its instance id."""
    client = delivery.aws.client("codedeploy", delivery.region)

    def look() -> str:
        deployment = _state(delivery, execution, "Gamma").get("output", {}).get("executionResult", {}).get("externalExecutionId")
        if not deployment or client.get_deployment(deploymentId=deployment)["deploymentInfo"]["status"] != "InProgress":
            return ""
        ids = client.list_deployment_targets(deploymentId=deployment)["targetIds"]
        for target in client.batch_get_deployment_targets(deploymentId=deployment, targetIds=ids)["deploymentTargets"] if ids else []:
            for one in target["instanceTarget"].get("lifecycleEvents", []):
                if one["lifecycleEventName"] == event and one["status"] == "InProgress":
                    return str(target["instanceTarget"]["targetId"])
        return ""

    return str(_until(f"a host at {event}", look, pause=0.05))


def _runs_everywhere(delivery: demo.Demonstration, commit: str) -> bool:
    return all(found == commit for place in delivery.places for scope in place.groups for found in delivery.commits(place, scope))


@pytest.mark.every
@pytest.mark.usefixtures("calm")
def test_a_host_killed_while_it_is_deployed_to_is_replaced_and_the_next_release_goes_out(delivery: demo.Demonstration, local_aws: Any) -> None:
    place = _gamma(delivery)
    before = delivery.running()
    commit, execution = _push(delivery, "A host dies")
    killed = _first_host(delivery, execution, "BeforeInstall")
    subprocess.run(["docker", "kill", f"localaws-{killed}"], check=True, capture_output=True)
    outcome = delivery.follow(commit, execution)
    assert (outcome.status, outcome.caught_in) == ("Failed", "Gamma"), "one of two hosts is lost, which gamma's minimum does not allow"
    failed, *backs = [one for one in outcome.deployments if one.region == place.region and one.creator != "autoscaling"]
    assert (failed.by, failed.status) == ("user", "Failed")
    assert backs and backs[-1].is_rollback
    # Auto Scaling ends what is left of the host and launches another, on which CodeDeploy installs the last good release.
    group = place.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups["fleet"])["deploymentGroupInfo"]
    (name,) = [one["name"] for one in group["autoScalingGroups"]]

    def replaced() -> bool:
        (found,) = place.client("autoscaling", place.region).describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        ids = [one["InstanceId"] for one in found["Instances"] if one["LifecycleState"] == "InService"]
        return len(ids) == found["DesiredCapacity"] and killed not in ids

    _until("two hosts in service", replaced)
    _until("the last good release on both, and in the other Region", lambda: delivery.running() == before)
    assert f"localaws-{killed}" not in _containers(local_aws.name), "nothing of the killed host is left"
    assert delivery.quiet() == []
    # It counts as bad, whatever its share in that was; the next one goes through.
    commit, execution = _push(delivery, "After a host died")
    assert delivery.follow(commit, execution).status == "Succeeded"
    assert _runs_everywhere(delivery, commit)


@pytest.mark.every
@pytest.mark.usefixtures("calm")
def test_a_release_goes_on_after_stops_in_its_build_and_in_its_deployment(delivery: demo.Demonstration, local_aws: Any) -> None:
    before = delivery.running()
    commit, execution = _push(delivery, "The local AWS stops")
    _until("the build's container", lambda: any("codebuild-" in name for name in _containers(local_aws.name)), pause=0.1)
    local_aws.control("stop")
    stopped = _containers(local_aws.name)
    assert not any("codebuild-" in name for name in stopped), "no build is left behind"
    assert set(stopped.values()) <= {"exited"}
    local_aws.control("start")
    assert _containers(local_aws.name).keys() >= stopped.keys(), "the hosts come back"
    host = _first_host(delivery, execution, "AfterInstall")
    local_aws.control("stop")
    local_aws.control("start")
    outcome = delivery.follow(commit, execution)
    if outcome.status == "Failed":
        # The agent says so when it died during a script, as AWS's does; then the release comes back, and the next one is another.
        assert (outcome.caught_in, outcome.unsettled) == ("Gamma", ())
        assert delivery.running() == before
        client = delivery.aws.client("codedeploy", delivery.region)
        (failed,) = [one for one in outcome.deployments if one.region == delivery.region and one.by == "user"]
        (target,) = client.batch_get_deployment_targets(deploymentId=failed.deployment_id, targetIds=[host])["deploymentTargets"]
        messages = [one["diagnostics"]["message"] for one in target["instanceTarget"]["lifecycleEvents"] if one["status"] == "Failed"]
        assert messages == ["Failing in-progress lifecycle event after an agent restart."]
        assert delivery.quiet() == []
        commit, execution = _push(delivery, "After the local AWS stopped")
        outcome = delivery.follow(commit, execution)
    assert outcome.status == "Succeeded"
    assert _runs_everywhere(delivery, commit)


# --- a deploy of the templates that is cut off ------------------------------------------------------------------------


@pytest.fixture
def project(local_aws: Any, tmp_path: Path) -> Iterator[Project]:
    """A copy of the project, its scripts too, and an empty account; what it deployed is destroyed afterwards."""
    one = projects.copy(tmp_path / "project", local_aws.environ, projects.new_account())
    shutil.copytree(ROOT / "scripts", one.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    yield one
    one.run("destroy", "all")


def _begin(project: Project) -> subprocess.Popen[str]:
    """`make deploy ENV=gamma LOCAL=1 YES=1` as a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "scripts.deploy", "--env", "gamma", "--local", "--yes"], cwd=project.root,
                            env=project.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _resource(project: Project, logical: str, stack: str = GAMMA) -> str:
    """The status of a resource, '' where there is none."""
    described = [one for one in project.stacks().values() if one["StackName"] == stack]
    if not described:
        return ""
    found = project.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    return next((str(one["ResourceStatus"]) for one in found if one["LogicalResourceId"] == logical), "")


def _healthy(project: Project) -> None:
    """Gamma is whole, and has two hosts and no more."""
    assert {one["StackStatus"] for one in project.stacks().values()} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    (group,) = project.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [one["LifecycleState"] for one in group["Instances"]] == ["InService"] * 2
    assert group["SuspendedProcesses"] == [], "what an update suspends is resumed"
    assert sorted(f"localaws-{one['InstanceId']}" for one in group["Instances"]) == _hosts(project.client), "no host beside the group's"


@pytest.mark.every
def test_an_interrupted_deploy_is_gone_on_with(project: Project) -> None:
    process = _begin(project)
    _until("the fleet being made", lambda: _resource(project, "Fleet") == "CREATE_IN_PROGRESS")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert "Interrupted. What AWS has begun goes on by itself" in said
    assert "Traceback" not in said
    done = project.run("deploy", "gamma")
    assert done.code == 0, done.text
    assert "an operation is under way; waiting for it" in done.out
    _healthy(project)


@pytest.mark.every
def test_a_deploy_interrupted_before_it_executes_leaves_nothing_in_the_way(project: Project) -> None:
    process = _begin(project)
    _until("the review", lambda: any(one["StackStatus"] == "REVIEW_IN_PROGRESS" for one in project.stacks().values()), pause=0.0)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    done = project.run("deploy", "gamma")
    assert done.code == 0, done.text
    _healthy(project)


def _stop_now(local_aws: Any) -> None:
    """`python -m localaws stop`, whose signal does not wait for that command to be loaded: what is to be cut off is soon over."""
    os.kill(int((local_aws.state / "pid").read_text()), signal.SIGTERM)
    local_aws.control("stop")


@pytest.mark.every
def test_a_stop_in_the_middle_of_a_create_and_of_an_update(project: Project, local_aws: Any) -> None:
    process = _begin(project)
    _until("the fleet being made", lambda: _resource(project, "Fleet") == "CREATE_IN_PROGRESS")
    _stop_now(local_aws)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    local_aws.control("start")
    assert project.stacks()[GAMMA]["StackStatus"] == "CREATE_FAILED"
    assert project.stacks()[GAMMA]["StackStatusReason"] == "The local AWS was stopped during this operation"
    done = project.run("deploy", "gamma")
    assert done.code == 0, done.text
    assert "deleting it and creating it again" in done.out
    _healthy(project)
    # Another size of host replaces them one by one.
    old = _hosts(project.client)
    project.edit("parameters/gamma.yaml", "InstanceType: t3.small", "InstanceType: t3.medium")
    process = _begin(project)
    fleet = str(project.child("Fleet")["StackName"])
    _until("hosts being replaced", lambda: _resource(project, "Hosts", fleet) == "UPDATE_IN_PROGRESS")
    _stop_now(local_aws)
    process.communicate(timeout=120)
    assert process.returncode == 1
    local_aws.control("start")
    assert project.stacks()[GAMMA]["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    done = project.run("deploy", "gamma")
    assert done.code == 0, done.text
    _healthy(project)
    kinds = {instance["InstanceType"] for found in project.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"] for instance in found["Instances"]}
    assert kinds == {"t3.medium"}
    assert not set(old) & set(_hosts(project.client))


# --- the local AWS itself killed --------------------------------------------------------------------------------------


class Another:
    """A local AWS of its own, which may be killed."""

    def __init__(self, state: Path, port: int) -> None:
        self.state, self.port, self.name = state, port, f"handsoff-killed-{port}"

    def control(self, command: str) -> str:
        """Run `python -m localaws …` and return what it prints; AssertionError if it fails."""
        done = subprocess.run([sys.executable, "-m", "localaws", command, "--state", str(self.state), "--port", str(self.port), "--name", self.name],
                              cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def environ(self) -> dict[str, str]:
        """What points a client at it."""
        exports = (line.removeprefix("export ").split("=", 1) for line in self.control("env").splitlines() if line.startswith("export "))
        return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | dict(exports)

    def kill(self) -> None:
        """`kill -9` its process, once all that it served has been looked at: a kill takes along what has not."""
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_localaws/answers", timeout=60).close()
        pid = int((self.state / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        _until("its end", lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text(), 10)


@pytest.fixture
def another(local_aws: Any, tmp_path: Path) -> Iterator[Another]:
    """It, started; removed afterwards."""
    one = Another(tmp_path / "state", local_aws.port + 40)
    one.control("start")
    try:
        yield one
    finally:
        one.control("reset")


@pytest.mark.every
def test_after_a_kill_the_next_start_says_so_and_begins_with_nothing(another: Another, tmp_path: Path) -> None:
    project = projects.copy(tmp_path / "project", another.environ(), "000000000000")
    shutil.copytree(ROOT / "scripts", project.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    process = _begin(project)
    _until("hosts", lambda: len(_hosts(project.client)) == 2)
    _until("their containers", lambda: sum("localaws-i-" in name for name in _containers(another.name)) == 2)
    another.kill()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in said
    left = _containers(another.name)
    assert left, "a kill leaves the hosts: that is what the next start is to clear"
    assert "not running" in subprocess.run(
        [sys.executable, "-m", "localaws", "status", "--state", str(another.state), "--port", str(another.port), "--name", another.name],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60).stdout
    said = another.control("start")
    assert "it was killed, not stopped; its state is lost" in said
    assert all(f"removed container {name}" in said for name in left)
    assert not _containers(another.name).keys() & left.keys()
    volumes = docker.from_env().volumes.list(filters={"label": f"handsoff.local={another.name}"})
    assert volumes == [], "nor do their volumes stay"
    assert project.stacks() == {}
    done = project.run("deploy", "gamma")
    assert done.code == 0, done.text
    _healthy(project)
    another.kill()
    another.control("reset")
    assert _containers(another.name) == {}
    assert docker.from_env().networks.list(filters={"label": f"handsoff.local={another.name}"}) == []
