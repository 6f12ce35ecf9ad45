"""Releases end to end: what is good goes out, what is bad comes back."""

from __future__ import annotations

import pytest

from scripts import demo
from scripts.demonstration import summary


def test_a_good_release_goes_out_and_one_that_answers_500_comes_back(delivery: demo.Demonstration) -> None:
    result = delivery.releases_under_traffic()
    assert summary.faults(result) == []
    good, bad = result["releases"]
    assert bad["caught_in"] == "Gamma"
    assert [one["creator"] for one in bad["deployments"]] == ["user", "codeDeployRollback"]
    assert "Faults" in bad["detection"]["alarm"]
    assert result["traffic"]["failed"] == result["traffic"]["failed_while_bad"] > 0
    assert set(result["running"]) == {"gamma/us-east-1/fleet", "prod/us-east-1/fleet", "prod/us-east-1/onebox"}
    assert set(result["running"].values()) == {good["image_digest"]}


def test_a_container_that_dies_at_start_fails_validation_on_the_first_host(delivery: demo.Demonstration) -> None:
    before = {place.environment: delivery.commits(place, "fleet") for place in delivery.places}
    delivery.repository.behave(crash_on_start=True)
    outcome = delivery.ship("Dies at start")
    delivery.repository.behave()
    assert (outcome.status, outcome.caught_in) == ("Failed", "Gamma")
    failed, back = outcome.deployments
    assert back.status == "Succeeded"
    client = delivery.aws.client("codedeploy", failed.region)
    targets = client.batch_get_deployment_targets(
        deploymentId=failed.deployment_id,
        targetIds=client.list_deployment_targets(deploymentId=failed.deployment_id)["targetIds"])["deploymentTargets"]
    events = {one["instanceTarget"]["targetId"]: {event["lifecycleEventName"]: event for event in one["instanceTarget"]["lifecycleEvents"]}
              for one in targets}
    touched = [target for target, of in events.items() if any(event["status"] != "Pending" and event["status"] != "Skipped" for event in of.values())]
    assert len(touched) == 1, "only the first host may be out of service"
    validate = events[touched[0]]["ValidateService"]
    assert validate["status"] == "Failed"
    assert validate["diagnostics"]["errorCode"] == "ScriptFailed"
    assert {place.environment: delivery.commits(place, "fleet") for place in delivery.places} == before


def test_a_docker_build_that_fails_stops_at_build_with_the_reason_in_the_logs(delivery: demo.Demonstration) -> None:
    dockerfile = (delivery.here.root / "app" / "Dockerfile").read_text()
    delivery.repository.write("app/Dockerfile", dockerfile + "\nRUN echo this-cannot-be-built && exit 42\n")
    outcome = delivery.ship("Cannot be built")
    delivery.repository.write("app/Dockerfile", dockerfile)
    assert (outcome.status, outcome.caught_in) == ("Failed", "Build")
    assert outcome.deployments == ()
    logs = delivery.aws.client("logs", delivery.region)
    group = demo.environments.outputs(delivery.aws.client, delivery.settings["pipeline"].stack_name, delivery.region)["BuildLogGroupName"]
    events = logs.filter_log_events(logGroupName=group, filterPattern='"this-cannot-be-built"')["events"]
    assert events, "the build's log says why"


@pytest.mark.every
def test_a_release_that_is_bad_only_in_one_box_is_caught_there(delivery: demo.Demonstration) -> None:
    ssm = delivery.aws.client("ssm", delivery.region)
    service = delivery.settings["prod"].service
    ssm.put_parameter(Name=f"/{service}/prod/onebox/SHOW_FAULTS", Value="1", Type="String", Overwrite=True)
    try:
        delivery.repository.behave(fault_percent=60, fault_only_if_env="SHOW_FAULTS")
        traffic = demo.Traffic(40.0)
        for place in delivery.places:
            traffic.start(f"{place.environment}/{place.region}", place.url)
        outcome = delivery.ship("Bad in one-box only")
        answers = traffic.stop()
    finally:
        ssm.delete_parameter(Name=f"/{service}/prod/onebox/SHOW_FAULTS")
        delivery.repository.behave()
    assert (outcome.status, outcome.caught_in) == ("Failed", "OneBox")
    assert [one.status for one in outcome.rollbacks] == ["Succeeded"]
    groups = {one.group for one in outcome.deployments}
    prod = next(place for place in delivery.places if place.environment == "prod")
    assert prod.groups["fleet"] not in groups, "the fleet never saw it"
    assert not any(answer.failed for answer in answers if answer.environment.startswith("gamma"))
    assert outcome.commit not in delivery.commits(prod, "onebox") + delivery.commits(prod, "fleet")
