"""What the sampler of the end-to-end cases makes of what it sees."""

from __future__ import annotations

from tests.local import sampler
from tests.local.sampler import Host, Sample

HOSTS = [Host("i-1", "prod", "us-east-1", "us-east-1a", "fleet"), Host("i-2", "prod", "us-east-1", "us-east-1b", "fleet"),
         Host("i-3", "prod", "us-east-1", "us-east-1c", "fleet"), Host("i-4", "prod", "us-east-1", "us-east-1a", "onebox"),
         Host("i-5", "prod", "us-west-2", "us-west-2b", "fleet")]
ALL = frozenset(host.instance for host in HOSTS)
MINIMUM = {("prod", "fleet"): 0.0, ("prod", "onebox"): 0.0}


def test_hosts_of_one_zone_may_be_out_together_and_those_of_another_region_too() -> None:
    samples = [Sample(1.0, ALL - {"i-1", "i-4", "i-5"}, ALL), Sample(1.2, ALL, ALL - {"i-2"})]
    assert sampler.zones_out_together(samples, HOSTS) == []
    assert sampler.ever_out(samples, HOSTS) == {"i-1", "i-2", "i-4", "i-5"}


def test_two_zones_of_a_region_out_at_once_are_seen_however_they_are_out() -> None:
    samples = [Sample(1.0, ALL - {"i-1"}, ALL - {"i-2"})]
    assert sampler.zones_out_together(samples, HOSTS) == ["1.0: prod/us-east-1 has hosts of us-east-1a and us-east-1b out"]


def test_the_share_is_that_of_the_group_rounded_as_codedeploy_rounds() -> None:
    one_out, two_out = Sample(1.0, ALL - {"i-1"}, ALL), Sample(1.2, ALL - {"i-1", "i-2"}, ALL)
    minimum = MINIMUM | {("prod", "fleet"): 66.0}
    (west,) = [host for host in HOSTS if host.region == "us-west-2"]
    assert sampler.too_many_out([one_out], HOSTS, minimum) == []
    assert sampler.too_many_out([two_out], HOSTS, minimum) == ["1.2: prod/us-east-1/fleet has 2 of 3 out, at most 1 may be"]
    assert sampler.too_many_out([Sample(1.0, frozenset(), ALL)], [west], minimum) == ["1.0: prod/us-west-2/fleet has 1 of 1 out, at most 0 may be"]


def test_a_pause_in_looking_is_told() -> None:
    samples = [Sample(1.0, ALL, ALL), Sample(1.2, ALL, ALL), Sample(3.2, ALL, ALL)]
    assert sampler.blind_spots(samples, 1.0) == ["nothing seen from 1.2 for 2.0 s"]


def test_a_balancers_own_words_are_understood() -> None:
    said = ("# pxname,svname,qcur,status,weight\nlistener-80,FRONTEND,,OPEN,\nfleet.1,i-1_8080,0,no check,1\nfleet.1,i-2_8080,0,MAINT,1\n"
            "fleet.1,i-3_8080,0,UP,1\nfleet.1,BACKEND,0,UP,2\n")
    assert sampler.serving(said) == {"i-1", "i-3"}
