"""What a gate lets through and what not: it vouches for what it has seen, and takes nothing that it cannot see for good news."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import disturb
import pytest
import shipping

from scripts import demo

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]

WEST = "us-west-2"


def _said(delivery: demo.Demonstration, shipped: shipping.Shipped, stage: str, action: str = "Gate") -> str:
    """What a stage's gate said at its end."""
    runs = [one for one in delivery.pipeline.actions(shipped.outcome.execution_id) if (one["stageName"], one["actionName"]) == (stage, action)]
    return str(runs[-1]["output"]["executionResult"].get("errorDetails", {}).get("message", ""))


def test_what_shows_after_codedeploy_called_it_successful_is_caught_by_the_one_boxs_gate(delivery: demo.Demonstration, deployed_with: Any) -> None:
    """And then: the gate, tried again, does not bless what runs now; the same release, started again, is refused even when prod is open."""
    deployed_with("pipeline", OneBoxBakeSeconds="90")  # long enough for the bomb on any machine: on a busy one a deployment alone takes a minute
    home = disturb.place_of(delivery, "prod", delivery.region)
    with disturb.setting([home], delivery.settings["prod"].service, "onebox", "SHOW_FAULTS"):
        shipped = shipping.ship(delivery, "Bad in the one-box, later", fault_percent=60, fault_after_seconds=75, fault_only_if_env="SHOW_FAULTS")
    shipping.came_back(delivery, shipped, "OneBox", "Faults", "reconciler")
    deployed = [one for one in shipped.outcome.in_environment("prod") if not one.is_rollback]
    assert [(one.scope, one.status) for one in deployed] == [("onebox", "Succeeded")], "CodeDeploy was content"
    assert delivery.control.record("prod")["blocked"], "a rollback blocks prod"
    delivery.control.ask("unblock", "prod", reason="the case goes on", by="a test")
    # The gate once more: it is not this release that runs, and the release is marked bad.
    execution, commit = shipped.outcome.execution_id, shipped.outcome.commit
    codepipeline = delivery.aws.client("codepipeline", delivery.region)
    codepipeline.retry_stage_execution(pipelineName=delivery.pipeline.name, stageName="OneBox", pipelineExecutionId=execution, retryMode="FAILED_ACTIONS")
    shipping.until("the retried gate", lambda: delivery.pipeline.status(execution) == "InProgress", 30)
    again = delivery.follow(commit, execution)
    assert (again.status, again.caught_in, again.unsettled) == ("Failed", "OneBox", ())
    assert commit[:12] in _said(delivery, shipped, "OneBox")
    assert delivery.running() == shipped.before
    # The same commit from the start.
    assert delivery.quiet() == []
    started = codepipeline.start_pipeline_execution(name=delivery.pipeline.name)["pipelineExecutionId"]
    refused = delivery.follow(commit, started)
    assert refused.status in ("Failed", "Stopped")
    assert not refused.in_environment("prod")
    assert refused.unsettled == ()
    assert delivery.running() == shipped.before


def test_a_missing_alarm_fails_it(delivery: demo.Demonstration) -> None:
    name = f"{delivery.settings['gamma'].service}-gamma-high-severity"
    with disturb.At(disturb.missing(disturb.place_of(delivery, "gamma", WEST), name), "Gamma", "Gate") as gone:
        shipped = shipping.ship(delivery, "An alarm is gone", at_action=gone)
    shipping.came_back(delivery, shipped, "Gamma", by="reconciler")
    assert f"Alarm {name} of gamma/{WEST} does not exist" in _said(delivery, shipped, "Gamma")


def test_a_region_that_does_not_answer_fails_it(delivery: demo.Demonstration) -> None:
    """It waits for an answer as long as it may (five minutes at most), and then says which Region was silent."""
    gamma = delivery.client_of("gamma")
    role = disturb.role_name(demo.environments.outputs(gamma, delivery.settings["gamma"].stack_name, WEST)["ControlRoleArn"])
    with disturb.At(disturb.denied(gamma("iam", WEST), role), "Gamma", "Gate") as silent:
        shipped = shipping.ship(delivery, "A Region is silent", at_action=silent)
    shipping.came_back(delivery, shipped, "Gamma", by="reconciler")
    assert f"{WEST} has not answered" in _said(delivery, shipped, "Gamma")


def test_an_alarm_that_fires_since_before_the_deployment_fails_it(delivery: demo.Demonstration) -> None:
    """The fleet's, which the one-box's deployment does not watch: only the gate vouches for all of the Region."""
    home = disturb.place_of(delivery, "prod", delivery.region)

    @contextlib.contextmanager
    def burning_unseen() -> Iterator[None]:
        """Until the gate has failed the reconciler is kept from looking: it may see the alarm first, and stop the release before there is a gate."""
        with disturb.rules_off(delivery, schedule_too=True), disturb.firing(home):
            yield

    with disturb.At(burning_unseen(), "OneBox", "Enter", "Succeeded") as burning:
        shipped = shipping.ship(delivery, "The fleet burns while the one-box is deployed to", at_action=burning)
    assert burning.entered
    shipping.came_back(delivery, shipped, "OneBox", "-Faults-", "reconciler")
    assert "-high-severity of prod/us-east-1" in _said(delivery, shipped, "OneBox")


def test_a_gate_without_requests_waits_and_then_fails_saying_so(delivery: demo.Demonstration) -> None:
    limit = float(delivery.settings["pipeline"].parameters["GateLimitSeconds"])
    home = disturb.place_of(delivery, "prod", delivery.region)

    def nobody(stage: str, action: str, status: str) -> None:
        if (stage, action) == ("OneBox", "Enter") and status != "Failed":  # it may be over between two looks
            delivery.traffic.pause(home.name)
        if stage == "OneBox" and status == "Failed":
            delivery.traffic.resume()

    shipped = shipping.ship(delivery, "Nobody asks for it", at_action=nobody)
    shipping.came_back(delivery, shipped, "OneBox", by="reconciler")
    said = _said(delivery, shipped, "OneBox")
    assert "Not proven within" in said and "of the" in said and "requests" in said
    (gate,) = [one for one in delivery.pipeline.actions(shipped.outcome.execution_id) if (one["stageName"], one["actionName"]) == ("OneBox", "Gate")]
    assert (gate["lastUpdateTime"] - gate["startTime"]).total_seconds() >= limit, "it waited as long as it might"


@pytest.mark.timeout(2700)
def test_a_second_release_waits_at_the_door_until_the_first_is_through(delivery: demo.Demonstration) -> None:
    """Or it would be put on the one-box while the first bakes in the waves, whose gates would then take both back."""
    second: list[str] = []

    def push(stage: str, action: str, status: str) -> None:
        if (stage, action, status) == ("OneBox", "Enter", "Succeeded"):
            delivery.repository.write("app/release-note.txt", "the second")
            second.append(delivery.repository.push("The second"))

    first = shipping.ship(delivery, "The first", at_action=push)
    (commit,) = second
    execution = delivery.pipeline.execution_of(commit, 60)
    assert first.outcome.status == "Succeeded", first.report()
    inside = [one for one in delivery.pipeline.actions(execution) if one["stageName"] in ("OneBox", "Wave1", "Wave2")]
    assert not inside, "it is still before the door"
    assert delivery.follow(commit, execution).status == "Succeeded"
    assert not delivery.control.record("prod")["blocked"]
