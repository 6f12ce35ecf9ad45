"""Zone by zone: what an independent sampler sees of a release that goes through every Region."""

from __future__ import annotations

from typing import Any

import docker
import pytest
import shipping
from sampler import Host, Sampler, blind_spots, ever_out, too_many_out, zones_out_together

from scripts import demo
from scripts.demonstration import environments

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]


def hosts_of(delivery: demo.Demonstration) -> list[Host]:
    """Every host of every environment, as EC2 and Auto Scaling know them."""
    return [Host(found["InstanceId"], place.environment, place.region, found["Placement"]["AvailabilityZone"], scope)
            for place in delivery.places for scope in place.groups for found in environments.hosts(place, scope)]


def minimum(delivery: demo.Demonstration) -> dict[tuple[str, str], float]:
    """Percent of each scope's hosts that keep serving; of the one-box's two, one."""
    found = {(place.environment, scope): 50.0 for place in delivery.places for scope in place.groups if scope == "onebox"}
    return found | {(name, "fleet"): float(delivery.settings[name].parameters["MinimumHealthyPercent"]) for name in demo.ENVIRONMENTS}


def test_no_two_zones_and_no_more_than_the_share_are_out_at_once_and_no_customer_notices(delivery: demo.Demonstration, local_aws: Any) -> None:
    hosts = hosts_of(delivery)
    with Sampler(docker.from_env(), local_aws.name, hosts, delivery.settings["prod"].service) as watching:
        shipped = shipping.ship(delivery, "Watched through every zone")
    shipping.went_out(delivery, shipped)
    samples = watching.samples
    assert {host.instance for host in hosts_of(delivery)} == {host.instance for host in hosts}, "no host was replaced meanwhile"
    assert ever_out(samples, hosts) == {host.instance for host in hosts}, "each host was out once: the sampler sees"
    assert blind_spots(samples, 5.0) == [], "each host is out for longer than that"
    assert zones_out_together(samples, hosts) == []
    assert too_many_out(samples, hosts, minimum(delivery)) == []
    # A 5xx that names no release is the balancer's own.
    onebox = [one for one in shipped.outcome.deployments if one.scope == "onebox"]
    home = f"prod/{delivery.region}"
    own = [answer for answer in shipped.answers if answer.environment == home and answer.release is None
           and onebox[0].created <= answer.time <= (onebox[0].completed or 0)]
    assert own == []
