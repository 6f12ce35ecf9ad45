"""Made-up but plausible values of a report: gamma in two Regions, prod in three with a one-box, a good release and one that comes back."""

from __future__ import annotations

import math
import random
from typing import Any

from scripts.reporting.values import (
    Alarm,
    Deployment,
    Environment,
    Hold,
    Host,
    Place,
    Points,
    Release,
    Report,
    Scope,
    Span,
    StageRun,
    Traffic,
)

BEGAN = 1_795_507_200.0  # 2026-11-24 08:00 UTC
GOOD, BAD, OLD = "428b743d98cd1f5b6f0e1a2b3c4d5e6f70818293", "f4370d9bd54166aa0e8f7c6b5a4938271605f4e3", "9c1e77a0b3d25f4e6a7b8c9d0e1f2a3b4c5d6e7f"
MINUTE = 60.0


def _points(since: float, until: float, value: Any, seed: int) -> Points:
    rng = random.Random(seed)
    return tuple((at, max(0.0, value(at, rng))) for at in [since + MINUTE * i for i in range(int((until - since) // MINUTE))])


def deployment(
    number: int, commit: str, created: float, seconds: float, status: str = "Succeeded", by: str = "user", hosts: int = 2, **more: Any
) -> Deployment:
    """A deployment over `hosts` hosts, one after the other; of one that was stopped the first host has it."""
    reached = hosts if status == "Succeeded" else 1
    made = tuple(
        Host(
            f"i-{more.get('place', 0)}{index:03d}",
            "Succeeded" if index < reached else "Skipped",
            created + seconds * (index + 1) / (hosts + 0.5) if index < reached else None,
        )
        for index in range(hosts)
    )
    more.pop("place", None)
    return Deployment(f"d-{number:09X}", status, by, commit, created, created + seconds, hosts=made, **more)


def traffic(since: float, until: float, seed: int, rate: float = 15.0, faulty: tuple[float, float, float] | None = None, onebox: bool = False) -> Traffic:
    """Requests at `rate` a second; `faulty` is (from, until, percent)."""
    requests = _points(since, until, lambda at, rng: rate * 60 * (1 + 0.04 * math.sin(at / 300)) + rng.gauss(0, 6), seed)

    def percent(at: float, rng: random.Random) -> float:
        return faulty[2] * rng.uniform(0.85, 1.1) if faulty and faulty[0] - MINUTE < at < faulty[1] else 0.0

    faults = {"fleet": _points(since, until, percent if not onebox else lambda at, rng: 0.0, seed + 1)}
    by_scope: dict[str, Points] = {"fleet": requests}
    if onebox:
        faults["onebox"] = _points(since, until, percent, seed + 2)
        by_scope = {"fleet": tuple((at, 0.9 * value) for at, value in requests), "onebox": tuple((at, 0.1 * value) for at, value in requests)}
    counted = int(sum(value for _, value in requests))
    failed = sum(value / 100 * dict(by_scope[scope]).get(at, 0) for scope, points in faults.items() for at, value in points)
    return Traffic(
        requests,
        by_scope,
        faults,
        (),
        _points(since, until, lambda at, rng: 0.004 + rng.expovariate(900), seed + 3),
        _points(since, until, lambda at, rng: 0.021 + rng.expovariate(150) + (0.06 if faulty and faulty[0] < at < faulty[1] else 0), seed + 4),
        counted,
        round(failed),
    )


def alarm(label: str, scope: str = "fleet", spans: tuple[Span, ...] = (), state: str = "OK", threshold: float | None = None) -> Alarm:
    return Alarm(f"sample-environment-gamma-FleetAlarms-Z0SM65MR9S56-{label}-WHB0CJRK5RNM", label, scope, state, threshold, spans)


def runs(execution: str, commit: str, stages: list[tuple[str, float, float, str, str]]) -> tuple[StageRun, ...]:
    return tuple(
        StageRun(stage, execution, commit, status, began, ended, "Gate" if message else "", message) for stage, began, ended, status, message in stages
    )


WHY: dict[str, Any] = {
    "schema": 1,
    "environment": "pipeline",
    "about": "execution",
    "subject": "0c55aa10-19ab-4a5b-9a0e-8f6d5c4b3a29",
    "failing": True,
    "cause": "alarm-requests-failed",
    "title": "Requests to prod's one-box failed while 77d0a6ee12c9 ran there",
    "certainty": "certain",
    "where": "us-east-1/onebox",
    "evidence": [
        "OneBox/Gate failed: alarm sample-prod-onebox-high-severity is firing",
        "Faults (percent) was above 1: 21.4 at 08:51, 22.6 at 08:52, 19.8 at 08:53",
        "the fleet beside it, on 428b743d98cd, had 0 percent in the same minutes",
    ],
    "ruled_out": [
        {"cause": "agent-not-running", "why": "the agent ran events on 2 of 2 instances"},
        {"cause": "hook-failed", "why": "no lifecycle event failed"},
    ],
    "fix": [
        "Look at what 77d0a6ee12c9 changed: git show 77d0a6ee12c9",
        "See its faults in the log: aws logs tail /sample/prod/onebox --since 30m --region us-east-1",
        "Push a release that mends it, then open prod: make unblock ENV=prod REASON=…",
    ],
    "document": {
        "title": "Using Amazon CloudWatch alarms",
        "url": "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html",
    },
    "others": [],
    "holds": [],
    "unreadable": [],
    "calls": 21,
}


def story(prod_regions: int = 3) -> Report:
    """An hour: the first release goes out everywhere, the second is caught in gamma and comes back, a third is caught by prod's one-box."""
    t, until = BEGAN, BEGAN + 4200
    third = "77d0a6ee12c94b0fa1b2c3d4e5f60718293a4b5c"
    regions = ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2", "sa-east-1"][:prod_regions]
    first = runs(
        "609f6b06-cd3d-4c93-a328-179b62f38883",
        GOOD,
        [
            ("Source", t + 60, t + 64, "Succeeded", ""),
            ("Build", t + 65, t + 98, "Succeeded", ""),
            ("Gamma", t + 99, t + 270, "Succeeded", ""),
            ("OneBox", t + 271, t + 560, "Succeeded", ""),
            ("Wave1", t + 561, t + 860, "Succeeded", ""),
            ("Wave2", t + 861, t + 1320, "Succeeded", ""),
        ],
    )
    second = runs(
        "f8be57c2-73f1-4443-9854-2082515b99a2",
        BAD,
        [
            ("Source", t + 1980, t + 1984, "Succeeded", ""),
            ("Build", t + 1985, t + 2023, "Succeeded", ""),
            (
                "Gamma",
                t + 2024,
                t + 2190,
                "Failed",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected "
                "deployments have been stopped. Activated alarms: <sample-environment-gamma-FleetAlarms-Z0SM65MR9S56-Faults-WHB0CJRK5RNM>",
            ),
        ],
    )
    last = runs(
        "0c55aa10-19ab-4a5b-9a0e-8f6d5c4b3a29",
        third,
        [
            ("Source", t + 2700, t + 2704, "Succeeded", ""),
            ("Build", t + 2705, t + 2741, "Succeeded", ""),
            ("Gamma", t + 2742, t + 2960, "Succeeded", ""),
            (
                "OneBox",
                t + 2961,
                t + 3320,
                "Failed",
                "Release 77d0a6ee12c9 does not pass. Alarm sample-prod-onebox-high-severity of prod/us-east-1/onebox is firing.",
            ),
        ],
    )
    gamma_places = []
    for index, region in enumerate(["us-east-1", "us-west-2"]):
        fired = Span(t + 2120 + index * 14, t + 2330 + index * 20)
        gamma_places.append(
            Place(
                region,
                (
                    Scope(
                        "fleet",
                        (
                            deployment(16 + index, GOOD, t + 100, 80, place=index),
                            deployment(
                                32 + index,
                                BAD,
                                t + 2025,
                                110 + index * 9,
                                "Stopped",
                                code="ALARM_ACTIVE",
                                message="One or more alarms have been activated.",
                                place=index,
                            ),
                            deployment(48 + index, GOOD, t + 2140 + index * 9, 74, by="codeDeployRollback", place=index),
                            deployment(60 + index, third, t + 2743, 84, place=index),
                            deployment(64 + index, GOOD, t + 3350, 66, by="reconciler", place=index),
                        ),
                    ),
                ),
                (alarm("Faults", spans=(fired,), threshold=1.0), alarm("LatencyP99", threshold=2.0)),
                traffic(t + 240, until, 10 * index, faulty=(t + 2090, t + 2215, 15.0)),
            )
        )
    prod_places = []
    for index, region in enumerate(regions):
        home = index == 0
        fleet = Scope(
            "fleet", (deployment(80 + index, GOOD, t + (562 if home else 862 + index * 11), 118 if home else 130 + index * 17, hosts=3, place=10 + index),)
        )
        scopes = (fleet,)
        if home:
            scopes = (
                Scope(
                    "onebox",
                    (
                        deployment(96, GOOD, t + 273, 92, place=99),
                        deployment(97, third, t + 2975, 96, place=99),
                        deployment(98, GOOD, t + 3330, 71, by="reconciler", place=99),
                    ),
                ),
                fleet,
            )
        spans = (Span(t + 3190, t + 3475),) if home else ()
        prod_places.append(
            Place(
                region,
                scopes,
                (alarm("Faults", "onebox", spans, threshold=1.0), alarm("LatencyP50", "onebox", (Span(t + 3250, t + 3440),) if home else ())),
                traffic(t + 660 + index * 120, until, 100 + index, faulty=(t + 3100, t + 3400, 22.0) if home else None, onebox=home),
            )
        )
    stages = ("Source", "Build", "Gamma", "OneBox", "Wave1", "Wave2")
    return Report(
        "sample",
        "local AWS",
        tuple(regions),
        BEGAN,
        until,
        until + 12,
        "make report SINCE=70m LOCAL=1",
        stages,
        (
            Release("609f6b06-cd3d-4c93-a328-179b62f38883", GOOD, "First release", "Succeeded", t + 60, t + 1320, first),
            Release("f8be57c2-73f1-4443-9854-2082515b99a2", BAD, "Answer some requests with 500", "Failed", t + 1980, t + 2190, second, "gamma: alarm Faults"),
            Release(
                "0c55aa10-19ab-4a5b-9a0e-8f6d5c4b3a29",
                third,
                "Ask the price service twice, to be sure of the price",
                "Failed",
                t + 2700,
                t + 3320,
                last,
                "prod: alarm",
            ),
        ),
        environments=(
            Environment("gamma", tuple(gamma_places), GOOD, GOOD),
            Environment(
                "prod",
                tuple(prod_places),
                GOOD,
                GOOD,
                blocked="Release 77d0a6ee12c9 was taken back: alarm sample-prod-onebox-high-severity",
                holds=(
                    Hold("rollback", Span(t + 3322, t + 3420), "sample prod goes back to 428b743d98cd"),
                    Hold("block", Span(t + 3420, None), "blocked until a person lifts it"),
                ),
            ),
        ),
        why=WHY,
    )
