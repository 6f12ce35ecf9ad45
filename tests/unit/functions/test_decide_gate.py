"""The gate's decisions, as a table: a release that may pass, and everything that must keep it from passing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from decide_gate import Alarm, Decision, Facts, Memory, Order, Watch, decide, lookback, needed_regions, requests_from, span
from model import Deployment, Group

COMMIT, OTHER = "c0ffee" * 6 + "c0ff", "0ddba11" * 5 + "0ddba"
BEGAN = 1_000_020.0
ORDER = Order("prod", "Wave2", "fleet", ("us-west-2", "eu-west-1"), COMMIT, "e-1", bake=3600, settle=180, limit=7200, requests=100, final=False)
BAKED = BEGAN + 3600 + 180
ENDED = BEGAN - 30


def deployment(commit: str | None = COMMIT, **changed: Any) -> Deployment:
    """A deployment that ended well just before the bake."""
    return replace(Deployment("d-1", "Succeeded", commit, created=ENDED - 600, ended=ENDED), **changed)


def group(region: str, scope: str = "fleet", **changed: Any) -> Group:
    """A group that runs the release."""
    return replace(Group("prod", region, scope, "app", f"{scope}-group", last_attempted=deployment(), last_successful=deployment()), **changed)


def alarm(name: str, composite: bool = False, **changed: Any) -> Alarm:
    """An alarm that has nothing to say."""
    return replace(Alarm(name, composite, "OK", "notBreaching"), **changed)


def watch(region: str, scope: str, **changed: Any) -> Watch:
    """The alarms of a place: a composite and two metric alarms, all of them quiet."""
    part = scope or "all"
    names = (f"{part}-composite", f"{part}-faults", f"{part}-latency")
    return replace(Watch(region, scope, names, (alarm(names[0], composite=True), alarm(names[1]), alarm(names[2]))), **changed)


def facts(**changed: Any) -> Facts:
    """All is well in both Regions, at the end of the bake."""
    regions = ("us-west-2", "eu-west-1")
    good = Facts(now=BAKED, groups=tuple(group(region) for region in regions),
                 watches=tuple(watch(region, scope) for region in regions for scope in ("", "fleet")),
                 requests={f"{region}/fleet": 100 for region in regions})
    return replace(good, **changed)


def with_group(**changed: Any) -> Facts:
    """All is well, but for something of eu-west-1's group."""
    return facts(groups=(group("us-west-2"), group("eu-west-1", **changed)))


def with_alarm(name: str, scope: str = "fleet", region: str = "eu-west-1", **changed: Any) -> Facts:
    """All is well, but for one alarm."""
    return facts(watches=tuple(
        replace(each, alarms=tuple(replace(found, **changed) if found.name == name else found for found in each.alarms))
        if (each.region, each.scope) == (region, scope) else each for each in facts().watches))


def with_watch(scope: str, change: Callable[[Watch], Watch]) -> Facts:
    """All is well, but for the alarms of one place of eu-west-1."""
    return facts(watches=tuple(change(each) if (each.region, each.scope) == ("eu-west-1", scope) else each for each in facts().watches))


@dataclass(frozen=True)
class Case:
    """A row: facts in, outcome and reason out; `says` is what the words must hold."""

    name: str
    facts: Facts
    outcome: str
    reason: str
    says: tuple[str, ...] = ()
    order: Order = ORDER
    memory: Memory = field(default_factory=lambda: Memory(BEGAN))


def newer(status: str, commit: str | None = OTHER, **changed: Any) -> Deployment:
    """A deployment after the release's own."""
    return deployment(commit, **{"id": "d-2", "status": status, "created": BEGAN + 60, "ended": BEGAN + 90, **changed})


FINAL = replace(ORDER, final=True)
HOME = (group("us-east-1"), group("us-east-1", "onebox"))
HOME_WATCHES = tuple(watch("us-east-1", scope) for scope in ("", "fleet", "onebox"))
EVERYWHERE = facts(groups=(*facts().groups, *HOME), watches=(*facts().watches, *HOME_WATCHES))
WAVE1 = replace(ORDER, stage="Wave1", regions=("us-east-1",))
AT_HOME = facts(groups=HOME, watches=HOME_WATCHES, requests={"us-east-1/fleet": 100})
SILENT = {"eu-west-1": "EndpointConnectionError: no route"}

CASES = [
    # What passes
    Case("all is well", facts(), "pass", "passed", ("Baked 60 min", "us-west-2 100")),
    Case("at the limit, and all is well", facts(now=BEGAN + 7200), "pass", "passed"),
    Case("no minimum is set, and nobody called", facts(requests={}), "pass", "passed", ("Warning", "no minimum"), replace(ORDER, requests=0)),
    Case("frozen by hand: what bakes goes on baking", facts(frozen="a holiday, by ana"), "pass", "passed", ("frozen by hand (a holiday, by ana)",)),
    Case("the last wave, and every group of the environment runs it", EVERYWHERE, "pass", "passed", order=FINAL),
    Case("cut off after it was made last good; an alarm since", replace(with_alarm("fleet-faults", state="ALARM"), decided=True), "pass", "decided"),
    Case("an alarm on p99 never had samples enough", with_alarm("fleet-latency", state="INSUFFICIENT_DATA", few_ignored=True), "pass", "passed"),
    Case("an alarm that keeps its state on missing data", with_alarm("fleet-latency", state="INSUFFICIENT_DATA", missing="ignore"), "pass", "passed"),
    Case("a failed deployment before the release's own", with_group(last_attempted=newer("Failed", created=ENDED - 900)), "pass", "passed"),
    Case("the newest success is a host that Auto Scaling launched",
         with_group(last_successful=deployment(id="d-9", creator="autoscaling", ended=BEGAN + 600)), "pass", "passed"),
    Case("an alarm fires where the release is not yet", replace(AT_HOME, groups=(group("us-east-1", "onebox"), group(
        "us-east-1", last_successful=deployment(OTHER))), watches=(watch("us-east-1", ""), watch("us-east-1", "onebox"), replace(
            watch("us-east-1", "fleet"), alarms=(alarm("fleet-composite", True, state="ALARM"),))), requests={"us-east-1/onebox": 100}),
         "pass", "passed", order=replace(WAVE1, stage="OneBox", scope="onebox")),
    # The ledger's word
    Case("marked bad", facts(bad="faults in Wave1"), "fail", "bad", ("marked bad (faults in Wave1)", "new commit")),
    Case("marked bad outweighs cut off", facts(bad="faults", decided=True), "fail", "bad"),
    Case("blocked by a rollback", facts(blocked="Wave1 failed"), "fail", "blocked", ("blocked by a rollback (Wave1 failed)", "Lift the block")),
    Case("blocked outweighs cut off", facts(blocked="Wave1 failed", decided=True), "fail", "blocked"),
    Case("a rollback of another release is under way", facts(going_back="to 123"), "wait", "going-back"),
    Case("… for too long", facts(going_back="to 123", now=BEGAN + 7200), "fail", "going-back", ("Not proven within 2 h 00 min",)),
    Case("the ledger cannot be read", facts(unread={"The ledger": "Timeout"}), "wait", "unread", ("The ledger could not be read: Timeout",)),
    Case("… for too long", facts(unread={"The ledger": "Timeout"}, now=BEGAN + 7200), "fail", "unread"),
    Case("… but an alarm fires", replace(with_alarm("fleet-faults", state="ALARM"), unread={"The ledger": "Timeout"}), "fail", "firing"),
    # What runs
    Case("taken back: the gate is retried after a rollback", with_group(last_successful=deployment(OTHER)), "fail", "other-release",
         ("prod/eu-west-1/fleet runs release 0ddba11", "not c0ffee")),
    Case("taken back, and no time has passed", replace(with_group(last_successful=deployment(OTHER)), now=BEGAN), "fail", "other-release"),
    Case("never deployed", with_group(last_successful=None, last_attempted=None), "fail", "not-deployed", ("prod/eu-west-1/fleet",)),
    Case("no such group", facts(groups=(group("us-west-2"),)), "fail", "no-group", ("prod/eu-west-1/fleet",)),
    Case("another release is on its way in", with_group(in_flight=(newer("InProgress", ended=None),)), "fail", "replaced", ("0ddba11", "d-2")),
    Case("a newer deployment failed", with_group(last_attempted=newer("Failed")), "fail", "failed-deployment", ("d-2", "failed")),
    Case("a deployment of the same second failed", with_group(last_attempted=newer("Failed", created=ENDED - 600)), "fail", "failed-deployment"),
    Case("a newer deployment of the release was stopped", with_group(last_attempted=newer("Stopped", COMMIT)), "fail", "failed-deployment", ("stopped",)),
    Case("a host is being launched", with_group(in_flight=(newer("InProgress", creator="autoscaling", ended=None),)), "wait", "in-flight", ("autoscaling",)),
    Case("the release is deployed once more", with_group(in_flight=(newer("Queued", COMMIT, ended=None),)), "wait", "in-flight"),
    Case("who knows what is on its way in", with_group(in_flight=(newer("Created", None, ended=None),)), "wait", "in-flight"),
    Case("… and it never ends", replace(with_group(in_flight=(newer("Created", None),)), now=BEGAN + 7200), "fail", "in-flight", ("d-2",)),
    Case("who knows what runs", with_group(last_successful=deployment(None)), "wait", "unknown-release"),
    Case("… for too long", replace(with_group(last_successful=deployment(None)), now=BEGAN + 7200), "fail", "unknown-release"),
    Case("the last wave, and one-box runs another", replace(EVERYWHERE, groups=(*facts().groups, HOME[0], group(
        "us-east-1", "onebox", last_successful=deployment(OTHER)))), "fail", "other-release", ("prod/us-east-1/onebox",), FINAL),
    # Alarms
    Case("an alarm fires", with_alarm("fleet-faults", state="ALARM"), "fail", "firing", ("fleet-faults of prod/eu-west-1/fleet is firing",)),
    Case("an alarm fires at the start, since before the stage", replace(with_alarm("fleet-faults", state="ALARM"), now=BEGAN), "fail", "firing"),
    Case("a composite fires", with_alarm("fleet-composite", state="ALARM"), "fail", "firing", ("fleet-composite",)),
    Case("the environment's own alarm fires", with_alarm("all-faults", "", state="ALARM"), "fail", "firing", ("all-faults of prod/eu-west-1 is",)),
    Case("an alarm fired in the bake, and is quiet again", with_alarm("fleet-latency", fired=BEGAN + 60), "fail", "fired", ("fleet-latency", "UTC")),
    Case("a composite fired", with_alarm("all-composite", "", fired=BEGAN + 60), "fail", "fired", ("all-composite",)),
    Case("an alarm fires where an earlier wave left the release", replace(AT_HOME, watches=(*HOME_WATCHES[:2], replace(
        HOME_WATCHES[2], alarms=(alarm("onebox-composite", True, state="ALARM"), *HOME_WATCHES[2].alarms[1:])))), "fail", "firing",
         ("onebox-composite of prod/us-east-1/onebox",), WAVE1),
    Case("a time bomb goes off at home in the last wave's bake", replace(EVERYWHERE, watches=(*facts().watches, replace(
        HOME_WATCHES[0], alarms=(alarm("all-composite", True, fired=BEGAN + 5), *HOME_WATCHES[0].alarms[1:])), *HOME_WATCHES[1:])), "fail", "fired",
         ("all-composite of prod/us-east-1",), FINAL),
    Case("a metric alarm does not exist", with_watch("fleet", lambda each: replace(each, alarms=each.alarms[:2])), "fail", "missing-alarm", ("fleet-latency",)),
    Case("a composite does not exist", with_watch("", lambda each: replace(each, alarms=each.alarms[1:])), "fail", "missing-alarm", ("all-composite",)),
    Case("a place names no alarm", with_watch("fleet", lambda each: replace(each, expected=(), alarms=())), "fail", "missing-alarm", ("names no alarm",)),
    Case("a place was not looked at", facts(watches=facts().watches[:3]), "fail", "missing-alarm", ("prod/eu-west-1/fleet",)),
    Case("a composite has no data", with_alarm("fleet-composite", state="INSUFFICIENT_DATA"), "wait", "no-data", ("fleet-composite", "judged nothing")),
    Case("… for too long", replace(with_alarm("fleet-composite", state="INSUFFICIENT_DATA"), now=BEGAN + 7200), "fail", "no-data", ("fleet-composite",)),
    Case("a metric is not there", with_alarm("fleet-latency", state="INSUFFICIENT_DATA", missing="missing"), "wait", "no-data", ("fleet-latency",)),
    Case("an alarm was only just made", with_alarm("fleet-latency", state="INSUFFICIENT_DATA"), "wait", "no-data"),
    Case("no metric alarm has data, though each may lack it", with_watch("fleet", lambda each: replace(each, alarms=(each.alarms[0], *(
        replace(found, state="INSUFFICIENT_DATA", missing="ignore") for found in each.alarms[1:])))), "wait", "no-data", ("No metric alarm",)),
    # Regions that do not answer
    Case("a Region is silent", facts(groups=(group("us-west-2"),), watches=facts().watches[:2], silent=SILENT), "wait", "silent", ("eu-west-1", "no route")),
    Case("… and was a while ago", facts(groups=(group("us-west-2"),), silent=SILENT), "wait", "silent", memory=Memory(BEGAN, {"eu-west-1": BAKED - 299})),
    Case("… for five minutes", facts(groups=(group("us-west-2"),), silent=SILENT), "fail", "silent-too-long", ("eu-west-1 has not answered for 5 min",),
         memory=Memory(BEGAN, {"eu-west-1": BAKED - 300})),
    Case("… for the whole of a short limit", facts(groups=(group("us-west-2"),), silent=SILENT, now=BEGAN + 90), "fail", "silent-too-long",
         order=replace(ORDER, bake=60, settle=10, limit=80), memory=Memory(BEGAN, {"eu-west-1": BEGAN + 10})),
    Case("one Region is silent, in the other an alarm fires", replace(with_alarm("fleet-faults", region="us-west-2", state="ALARM"), silent=SILENT,
                                                                      groups=(group("us-west-2"),)), "fail", "firing", ("us-west-2",)),
    # Time and requests
    Case("the bake begins", facts(now=BEGAN, requests={}), "wait", "baking", ("Baking: 0 s of 60 min",)),
    Case("the bake is not over", facts(now=BEGAN + 3599), "wait", "baking"),
    Case("the bake has just ended", facts(now=BEGAN + 3600), "wait", "settling"),
    Case("the bake is over, alarms still judge its end", facts(now=BAKED - 1), "wait", "settling", ("last minutes",)),
    Case("too few requests", facts(requests={"us-west-2/fleet": 100, "eu-west-1/fleet": 99}), "wait", "requests", ("eu-west-1/fleet had 99 of the 100",)),
    Case("no requests", facts(requests={}), "wait", "requests", ("had 0 of the 100",)),
    Case("too few requests to the very end", facts(requests={"us-west-2/fleet": 7, "eu-west-1/fleet": 100}, now=BEGAN + 7200), "fail", "requests",
         ("Not proven within 2 h 00 min", "us-west-2/fleet had 7 of the 100")),
    Case("requests of another scope do not count", facts(requests={"us-west-2/fleet": 100, "eu-west-1/onebox": 500}), "wait", "requests"),
    Case("a limit that the bake does not fit into", facts(now=BEGAN), "fail", "misconfigured", order=replace(ORDER, limit=3780)),
    Case("a limit of over 24 hours", facts(now=BEGAN), "fail", "misconfigured", ("24 hours",), replace(ORDER, limit=90_000)),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{index}: {case.name}" for index, case in enumerate(CASES)])
def test_decision(case: Case) -> None:
    decision = decide(case.order, case.memory, case.facts)
    assert (decision.outcome, decision.reason) == (case.outcome, case.reason), decision.text
    for word in case.says:
        assert word in " ".join([decision.text, *decision.warnings])


def test_every_reason_has_a_row() -> None:
    named = {"passed", "decided", "bad", "blocked", "going-back", "unread", "other-release", "not-deployed", "no-group", "replaced", "failed-deployment",
             "in-flight", "unknown-release", "firing", "fired", "missing-alarm", "no-data", "silent", "silent-too-long", "baking", "settling", "requests",
             "misconfigured"}
    assert {case.reason for case in CASES} == named


def test_nothing_but_these_rows_passes() -> None:
    """Each reason to fail or wait, laid over facts that would pass, keeps them from passing whatever the time is."""
    for case in CASES:
        if case.outcome != "pass" and case.reason not in ("baking", "settling", "misconfigured", "requests"):
            for now in (BEGAN, BAKED, BEGAN + 7200, BEGAN + 50_000):
                assert decide(case.order, case.memory, replace(case.facts, now=now)).outcome != "pass", case.name


def test_a_failure_names_alarm_and_region() -> None:
    decision = decide(ORDER, Memory(BEGAN), with_alarm("fleet-faults", state="ALARM"))
    assert (decision.alarm, decision.region) == ("fleet-faults", "eu-west-1")


def test_a_region_that_answers_again_begins_anew() -> None:
    silent = facts(now=BEGAN + 60, groups=(group("us-west-2"),), silent=SILENT)
    first = decide(ORDER, Memory(BEGAN), silent)
    assert first.memory.silent == {"eu-west-1": BEGAN + 60}
    again = decide(ORDER, decide(ORDER, first.memory, facts(now=BEGAN + 120)).memory, replace(silent, now=BEGAN + 390))
    assert again.outcome == "wait" and again.memory.silent == {"eu-west-1": BEGAN + 390}
    longer = decide(ORDER, first.memory, replace(silent, now=BEGAN + 360))
    assert (longer.outcome, longer.region) == ("fail", "eu-west-1")


def test_alarms_count_from_the_deployments_end_and_a_launched_host_does_not_move_that() -> None:
    first = decide(ORDER, Memory(BEGAN), facts(now=BEGAN)).memory
    assert first.since == {f"{region}/{scope}": ENDED for region in ("us-west-2", "eu-west-1") for scope in ("fleet", "")}
    launched = with_group(last_successful=deployment(id="d-9", creator="autoscaling", ended=BEGAN + 600))
    assert decide(ORDER, first, launched).memory.since == first.since
    assert lookback(ORDER, Memory(BEGAN), launched.groups)["eu-west-1/fleet"] == BEGAN


def test_alarms_of_the_environment_count_from_the_earliest_deployment_in_the_region() -> None:
    early = group("us-east-1", "onebox", last_successful=deployment(ended=ENDED - 4000))
    since = lookback(WAVE1, Memory(BEGAN), (HOME[0], early))
    assert since == {"us-east-1/fleet": ENDED, "us-east-1/onebox": ENDED - 4000, "us-east-1/": ENDED - 4000}


def test_the_end_of_another_releases_deployment_says_nothing() -> None:
    taken_back = group("us-east-1", last_successful=deployment(OTHER, ended=ENDED - 9000))
    unended = group("us-east-1", "onebox", last_successful=deployment(ended=None))
    assert set(lookback(WAVE1, Memory(BEGAN), (taken_back, unended)).values()) == {BEGAN}


def test_the_last_wave_needs_every_region() -> None:
    everywhere = ("us-east-1", "us-west-2", "eu-west-1")
    assert needed_regions(ORDER, everywhere) == ("us-west-2", "eu-west-1")
    assert set(needed_regions(FINAL, everywhere)) == set(everywhere)


@pytest.mark.parametrize(("began", "first"), [(120.0, 120.0), (121.0, 180.0), (179.9, 180.0)])
def test_requests_count_from_the_first_whole_minute(began: float, first: float) -> None:
    assert requests_from(Memory(began)) == first


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7100, "118 min"), (7200, "2 h 00 min"), (43_500, "12 h 05 min")])
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_progress_is_told_and_never_whole_before_the_end() -> None:
    def told(now: float) -> Decision:
        return decide(ORDER, Memory(BEGAN), facts(now=now, requests={}))

    assert [told(BEGAN + after).percent for after in (-5, 0, 1890, 3780, 7000)] == [0, 0, 50, 99, 99]
    assert decide(ORDER, Memory(BEGAN), facts()).percent == 100
