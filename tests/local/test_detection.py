"""Each kind of bad release is caught at the earliest stage that can see it, by the alarm that is for it, and comes back everywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import disturb
import pytest
import shipping

from scripts import demo

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]


@pytest.mark.parametrize(("switches", "alarm"), [
    pytest.param({"latency_ms": 900}, "LatencyP50", id="slow for half of the requests"),
    pytest.param({"unhealthy_after_seconds": 15}, "UnhealthyHosts", id="hosts that turn unhealthy"),
    pytest.param({"die_every_seconds": 20}, None, id="a container that dies now and then"),
    pytest.param({"wrong_greeting": True}, "Canary", id="wrong for the canary while requests look fine"),
])
def test_gamma_catches_it(delivery: demo.Demonstration, switches: dict[str, Any], alarm: str | None) -> None:
    shipped = shipping.ship(delivery, f"Bad by {', '.join(switches)}", **switches)
    # Not by whom: an alarm that fires when one Region is deployed and another is not yet is the reconciler's to see, not CodeDeploy's.
    shipping.came_back(delivery, shipped, "Gamma", alarm, status=None)
    assert shipped.fired, shipped.report()


def test_gamma_catches_one_that_burns_its_hosts(delivery: demo.Demonstration) -> None:
    """All hosts here share this machine's processors, so no release can have 80 % of what each host believes to have: the threshold is lower.

    From the gate on, that is: bringing a release to a host takes some of its processors too.
    """
    @contextlib.contextmanager
    def lowered() -> Iterator[None]:
        with contextlib.ExitStack() as all_of_them:
            for place in delivery.places_of("gamma"):
                all_of_them.enter_context(disturb.threshold(place, "-Cpu-", 8.0))
            yield

    with disturb.At(lowered(), "Gamma", "Gate") as at_the_gate:
        shipped = shipping.ship(delivery, "Bad by burning processors", at_action=at_the_gate, cpu_percent=30)
    shipping.came_back(delivery, shipped, "Gamma", "-Cpu-", "reconciler")


@pytest.mark.timeout(2400)
def test_requests_that_drop_to_nothing_in_prod_take_a_release_back(delivery: demo.Demonstration, deployed_with: Any) -> None:
    """Gamma has no customers to lose: prod's first stage is the first that can see it. Off by default, since most services sleep at night."""
    home = disturb.place_of(delivery, "prod", delivery.region)
    deployed_with("prod", TrafficFloor="30")

    def gone(stage: str, action: str, status: str) -> None:
        if (stage, action, status) == ("OneBox", "Deploy1", "Succeeded"):
            delivery.traffic.pause(home.name)
        if stage == "OneBox" and status == "Failed":
            delivery.traffic.resume()

    shipped = shipping.ship(delivery, "Nobody comes any more", at_action=gone)
    shipping.came_back(delivery, shipped, "OneBox", "TrafficDropped", "reconciler")


def test_what_only_the_one_box_shows_is_caught_there_and_few_customers_see_it(delivery: demo.Demonstration) -> None:
    home = disturb.place_of(delivery, "prod", delivery.region)
    with disturb.setting([home], delivery.settings["prod"].service, "onebox", "SHOW_FAULTS"):
        shipped = shipping.ship(delivery, "Bad in the one-box only", fault_percent=30, fault_only_if_env="SHOW_FAULTS")
    shipping.came_back(delivery, shipped, "OneBox", "Faults", status=None)
    assert {one.scope for one in shipped.outcome.in_environment("prod")} == {"onebox"}, "no fleet ever saw it"
    assert not any(answer.failed for answer in shipped.answers if answer.environment != home.name)
    # Of all that prod was asked between the first bad host entering service and the last leaving.
    prod = [answer for answer in shipped.answers if answer.environment.startswith("prod/")]
    bad = [answer.time for answer in prod if answer.release == shipped.outcome.commit]
    span = [answer for answer in prod if min(bad) <= answer.time <= max(bad)]
    failed = sum(answer.failed for answer in span)
    assert 0 < failed < len(span) / 100, f"{failed} of {len(span)} failed"
    assert not any(answer.failed and answer.release is None for answer in prod), "the balancer itself failed nobody"
