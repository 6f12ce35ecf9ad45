"""Releases end to end: what is good goes out, what is bad comes back."""

from __future__ import annotations

import pytest

from scripts import demo
from scripts.demonstration import environments, summary

pytestmark = pytest.mark.usefixtures("calm")

GAMMA = {"gamma/us-east-1/fleet", "gamma/us-west-2/fleet"}
PROD = {"prod/us-east-1/fleet", "prod/us-east-1/onebox", "prod/us-west-2/fleet", "prod/eu-west-1/fleet"}


def test_a_good_release_goes_out_and_one_that_answers_500_comes_back(delivery: demo.Demonstration) -> None:
    result = delivery.releases_under_traffic()
    print("\n".join(demo.story(result)))
    assert summary.faults(result) == []
    good, bad = result["releases"]
    assert bad["caught_in"] == "Gamma"
    assert {one["environment"] for one in bad["deployments"]} == {"gamma"}, "prod never saw it"
    assert {one["creator"] for one in bad["deployments"]} <= {"user", "codeDeployRollback", "reconciler"}
    assert "Faults" in bad["detection"]["alarm"]
    assert result["traffic"]["failed"] == result["traffic"]["failed_while_bad"] > 0
    assert result["running"] == dict.fromkeys(GAMMA | PROD, good["image_digest"])


def test_a_container_that_dies_at_start_fails_validation_on_the_first_host(delivery: demo.Demonstration) -> None:
    assert delivery.quiet() == []
    before = delivery.running()
    delivery.repository.behave(crash_on_start=True)
    outcome = delivery.ship("Dies at start")
    delivery.repository.behave()
    assert (outcome.caught_in, outcome.unsettled) == ("Gamma", ())
    assert outcome.status in ("Failed", "Stopped")
    seen = []
    for place in delivery.places_of("gamma"):
        failed, *backs = [one for one in outcome.deployments if one.region == place.region]
        assert backs[-1].status == "Succeeded"
        client = place.client("codedeploy", place.region)
        targets = client.batch_get_deployment_targets(
            deploymentId=failed.deployment_id,
            targetIds=client.list_deployment_targets(deploymentId=failed.deployment_id)["targetIds"])["deploymentTargets"]
        events = {one["instanceTarget"]["targetId"]: {event["lifecycleEventName"]: event for event in one["instanceTarget"]["lifecycleEvents"]}
                  for one in targets}
        touched = [target for target, of in events.items() if any(event["status"] not in ("Pending", "Skipped") for event in of.values())]
        assert len(touched) <= 1, "only the first host may be out of service"
        # Which Region is first decides: its failure has the reconciler stop the other's deployment, maybe in the middle of this hook.
        if failed.status == "Failed":
            seen.append(events[touched[0]]["ValidateService"])
        else:
            assert failed.status == "Stopped"
    assert {(one["status"], one["diagnostics"]["errorCode"]) for one in seen} == {("Failed", "ScriptFailed")}
    assert delivery.running() == before


def test_a_docker_build_that_fails_stops_at_build_with_the_reason_in_the_logs(delivery: demo.Demonstration) -> None:
    dockerfile = (delivery.here.root / "app" / "Dockerfile").read_text()
    delivery.repository.write("app/Dockerfile", dockerfile + "\nRUN echo this-cannot-be-built && exit 42\n")
    outcome = delivery.ship("Cannot be built")
    delivery.repository.write("app/Dockerfile", dockerfile)
    assert (outcome.status, outcome.caught_in) == ("Failed", "Build")
    assert outcome.deployments == ()
    logs = delivery.aws.client("logs", delivery.region)
    group = environments.outputs(delivery.aws.client, delivery.settings["pipeline"].stack_name, delivery.region)["BuildLogGroupName"]
    events = logs.filter_log_events(logGroupName=group, filterPattern='"this-cannot-be-built"')["events"]
    assert events, "the build's log says why"
