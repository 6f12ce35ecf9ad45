"""Beta: left alone unless the pipeline names it; then functional tests there keep a release from gamma."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import projects
import pytest
import shipping
import yaml
from services import Service, gone_afterwards, project

from scripts import deploy, destroy

SLOT = {f"Beta1{output}": f"${{beta.{output}}}" for output in ("Region", "ApplicationName", "FleetDeploymentGroupName", "DeployRoleArn", "EndpointUrl")}


@pytest.fixture
def service(local_aws: Any, tmp_path: Path) -> Iterator[Service]:
    account = projects.new_account()
    root = project(tmp_path / "project", account, local_aws.environ, "local/with-beta")
    projects.overlay(root, "beta", {"ToolsAccountId": account})
    yield from gone_afterwards(Service(root, local_aws, account))


def _make(service: Service, *arguments: str) -> None:
    """`make deploy`, or what else is named, with LOCAL=1 YES=1."""
    command, environment = arguments
    code = {"deploy": deploy.main, "destroy": destroy.main}[command](["--env", environment, "--local", "--yes"], service.here)
    assert code == 0, f"{command} {environment} ended with {code}"


def _stages(service: Service) -> list[str]:
    pipeline = service.aws.client("codepipeline", service.region).get_pipeline(name=service.pipeline.name)["pipeline"]
    return [stage["name"] for stage in pipeline["stages"]]


def _status(service: Service, execution: str, stage: str) -> list[tuple[str, str]]:
    return [(one["actionName"], one["status"]) for one in service.pipeline.actions(execution) if one["stageName"] == stage]


@pytest.mark.every
@pytest.mark.timeout(1800)
def test_beta_is_optional_and_keeps_what_fails_its_tests_from_gamma(service: Service) -> None:
    # Its file is there, its stack is not, and nobody misses it.
    service.deploy()
    assert "Beta" not in _stages(service)
    _make(service, "deploy", "beta")
    before = yaml.safe_load((service.here.root / "parameters" / "pipeline.yaml").read_text())["parameters"]
    assert {name: before[name] for name in SLOT} == dict.fromkeys(SLOT, "")
    projects.overlay(service.here.root, "pipeline", SLOT)
    _make(service, "deploy", "pipeline")
    assert _stages(service)[1:4] == ["Build", "Beta", "Gamma"]

    # One that answers wrong: its unit tests are as wrong, and only a caller sees it.
    right = (service.repository.folder / "app" / "integration_tests" / "test_service.py").read_text()
    service.repository.write("app/integration_tests/test_service.py", right.replace('(200, "hello")', '(200, "good day")'))
    outcome = service.release(service.change())
    assert (outcome.status, outcome.caught_in, outcome.unsettled) == ("Failed", "Beta", ())
    assert _status(service, outcome.execution_id, "Beta") == [("Deploy1", "Succeeded"), ("Tests", "Failed")]
    assert outcome.deployments == (), "gamma and prod never saw it"
    # And one that is right goes on to gamma.
    service.repository.write("app/integration_tests/test_service.py", right)
    commit = service.change()
    execution = service.pipeline.execution_of(commit, 60)
    shipping.until("gamma's deployment", lambda: ("Deploy1", "Succeeded") in _status(service, execution, "Gamma"), 240, 1)
    assert _status(service, execution, "Beta") == [("Deploy1", "Succeeded"), ("Tests", "Succeeded")]
    service.aws.client("codepipeline", service.region).stop_pipeline_execution(
        pipelineName=service.pipeline.name, pipelineExecutionId=execution, abandon=True, reason="seen enough")

    # Without it again: the slot first, then the stack.
    projects.overlay(service.here.root, "pipeline", dict.fromkeys(SLOT, ""))
    shipping.until("no deployment", lambda: not [one for one in service.pipeline.deployments(0) if one.completed is None], 240, 1)
    _make(service, "deploy", "pipeline")
    assert "Beta" not in _stages(service)
    _make(service, "destroy", "beta")
    stacks = service.infrastructure()["stacks"]
    assert not any("-environment-beta" in name for name in stacks)
    assert any("-environment-gamma" in name for name in stacks)
