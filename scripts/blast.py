"""Measure what a bad release costs: once to all hosts at once, without alarms, taken back by hand after a fixed time; once the way it goes here.

Both are the same image and in one run on the local AWS, under the same traffic. Writes build/demo/blast.json and prints the ratio of failed requests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scripts import demo
from scripts.core import world
from scripts.core.clock import duration
from scripts.core.errors import CommandError, WrongUse
from scripts.demonstration import environments
from scripts.demonstration.environments import Place
from scripts.demonstration.traffic import Answer

SWITCH = "SHOW_FAULTS"
"""Faults show only where this setting is: in prod. So that the same release gets past gamma, as the worst ones do."""
_BUILD_SECONDS = 300.0
_DEPLOY_SECONDS = 300.0


@dataclass(frozen=True)
class Cost:
    """Requests to prod while one way was gone, and how many of them failed."""

    seconds: float
    requests: int
    failed: int

    def summary(self) -> dict[str, Any]:
        """As it is written down."""
        return {"seconds": round(self.seconds, 1), "requests": self.requests, "failed": self.failed,
                "failed_percent": round(100 * self.failed / self.requests, 2) if self.requests else None}


def cost(answers: Sequence[Answer], began: float, ended: float) -> Cost:
    """What customers of prod got between two moments (seconds since the epoch)."""
    span = [answer for answer in answers if answer.environment.startswith("prod/") and began <= answer.time <= ended]
    return Cost(ended - began, len(span), sum(answer.failed for answer in span))


def result(all_at_once: Cost, ours: Cost, react: float, percent: int) -> dict[str, Any]:
    """The measurement; `ratio` is how many times more requests failed all at once (None where none failed the other way)."""
    return {"schema": 1, "fault_percent": percent, "manual_rollback_after_seconds": react, "all_at_once": all_at_once.summary(), "ours": ours.summary(),
            "ratio": round(all_at_once.failed / ours.failed, 1) if ours.failed else None}


def main(argv: list[str] | None = None) -> int:
    """Run the measurement. Exit code 0 if ours failed fewer requests, 1 if not."""
    parser = demo.parser("blast", __doc__)
    parser.add_argument("--react", type=float, default=300.0, help="seconds after which a person takes the all-at-once release back (default 300)")
    parser.add_argument("--fault-percent", type=int, default=demo.FAULT_PERCENT, help="percent of answers that are faults (default %(default)s)")
    return world.run(parser, argv, None, run)


def run(options: argparse.Namespace, here: world.World) -> int:
    """See the module's docstring."""
    if not options.local:
        raise WrongUse("the measurement", "it ships a release that fails, which belongs on the local AWS only", "run: make bench-blast")
    demonstration = demo.Demonstration(options, here)
    demonstration.deploy()
    demonstration.begin_traffic()
    demonstration.first_release()
    measured = Blast(demonstration, options.react, options.fault_percent).measure()
    target = here.root / "build" / "demo" / "blast.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    for line in story(measured):
        here.console.line(line)
    here.console.line(f"\nWritten: {target.relative_to(here.root)}")
    if measured["ours"]["failed"] >= measured["all_at_once"]["failed"]:
        raise CommandError("the measurement", "the careful way failed no fewer requests than all at once", f"{target.relative_to(here.root)} has the figures")
    return 0


def story(measured: dict[str, Any]) -> list[str]:
    """The measurement in words."""
    lines = [f"\n== The same bad release twice: {measured['fault_percent']} % of its answers are 500"]
    for name, words in (("all_at_once", f"all at once, no alarms, by hand after {measured['manual_rollback_after_seconds']:g} s"), ("ours", "ours")):
        one = measured[name]
        lines.append(f"{words}: {one['failed']} of {one['requests']} requests to prod failed ({one['failed_percent']} %), over {duration(one['seconds'])}")
    ratio = measured["ratio"]
    return [*lines, "Ratio of failed requests: " + (f"{ratio} to 1" if ratio is not None else f"{measured['all_at_once']['failed']} to none")]


class Blast:
    """The two ways, one after the other."""

    def __init__(self, demonstration: demo.Demonstration, react: float, percent: int) -> None:
        self.demonstration, self.react, self.percent = demonstration, react, percent
        self.prod = demonstration.places_of("prod")
        self.service = demonstration.settings["prod"].service

    def measure(self) -> dict[str, Any]:
        """Build one bad release, bring it out both ways, and return what each cost."""
        one = self.demonstration
        with self._shown(), self._held():
            one.say(f"\n== git push: a release of which {self.percent} % of the answers are 500, in prod only")
            one.repository.behave(fault_percent=self.percent, fault_only_if_env=SWITCH)
            commit = one.repository.push("Bad in prod only")
            one.repository.behave()
            execution = one.pipeline.execution_of(commit, 60)
            bundle = self._built(execution)
            with self._unwatched():
                blast = self._all_at_once(bundle)
        one.say("\n== The same release through the pipeline")
        with self._shown():
            began = time.time()
            outcome = one.follow(commit, execution)
        if outcome.status == "Succeeded" or outcome.unsettled:
            raise CommandError("the bad release", f"it is {outcome.status}; {'; '.join(outcome.unsettled)}", "make status ENV=prod LOCAL=1")
        ended = max((each.completed or 0.0 for each in outcome.deployments), default=time.time())
        ours = cost(one.answers(began), began, ended)
        one.control.ask("unblock", "prod", reason="the measurement is over", by="scripts.blast")
        return result(blast, ours, self.react, self.percent)

    def _all_at_once(self, bundle: dict[str, str]) -> Cost:
        """Bring the bundle to every host of prod, and back after the time that a person takes."""
        one = self.demonstration
        quiet = one.quiet()
        if quiet:
            raise CommandError("the measurement", f"alarms fire before it begins: {', '.join(quiet)}", "make status ENV=prod LOCAL=1")
        before = [(place, scope, _revision(place, scope)) for place in self.prod for scope in place.groups]
        one.say("\n== All hosts of prod at once, no alarms")
        began = time.time()
        self._deploy([(place, scope, {**bundle, "bucket": revision["bucket"]}) for place, scope, revision in before], bundle)
        one.say(f"  a person notices, and takes it back after {self.react:g} s")
        one.here.clock.sleep(max(0.0, began + self.react - time.time()))
        self._deploy(before)
        ended = time.time()
        return cost(one.answers(began), began, ended)

    def _deploy(self, revisions: Sequence[tuple[Place, str, dict[str, str]]], copied: dict[str, str] | None = None) -> None:
        """Deploy to all groups at once and wait; `copied` is the home bucket's object that each Region's bucket needs first."""
        begun = []
        for place, scope, location in revisions:
            if copied and location["bucket"] != copied["bucket"]:
                body = self.demonstration.aws.client("s3", self.demonstration.region).get_object(Bucket=copied["bucket"], Key=copied["key"])["Body"].read()
                self.demonstration.aws.client("s3", place.region).put_object(Bucket=location["bucket"], Key=location["key"], Body=body)
                location = {key: location[key] for key in ("bucket", "key", "bundleType")}
            codedeploy = place.client("codedeploy", place.region)
            begun.append((codedeploy, codedeploy.create_deployment(
                applicationName=place.application, deploymentGroupName=place.groups[scope], deploymentConfigName="CodeDeployDefault.AllAtOnce",
                revision={"revisionType": "S3", "s3Location": location}, description="all at once, for a measurement",
                autoRollbackConfiguration={"enabled": False}, overrideAlarmConfiguration={"enabled": False}, ignoreApplicationStopFailures=True,
                fileExistsBehavior="OVERWRITE")["deploymentId"]))
        deadline = self.demonstration.here.clock.seconds() + _DEPLOY_SECONDS
        for codedeploy, deployment in begun:
            while (info := codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"])["status"] not in ("Succeeded", "Failed", "Stopped"):
                if self.demonstration.here.clock.seconds() > deadline:
                    raise CommandError(f"deployment {deployment}", f"it is {info['status']} after {duration(_DEPLOY_SECONDS)}")
                self.demonstration.here.clock.sleep(1)
            if info["status"] != "Succeeded":
                raise CommandError(f"deployment {deployment}", f"it is {info['status']}: {info.get('errorInformation')}")

    def _built(self, execution: str) -> dict[str, str]:
        """Wait for the execution's bundle; return its s3Location in the home Region's store."""
        deadline = self.demonstration.here.clock.seconds() + _BUILD_SECONDS
        while self.demonstration.here.clock.seconds() < deadline:
            for action in self.demonstration.pipeline.actions(execution):
                if action["stageName"] == "Build" and action["status"] == "Failed":
                    raise CommandError("the build of the bad release", "it failed", "make status ENV=pipeline LOCAL=1")
                if action["stageName"] == "Build" and action["status"] == "Succeeded":
                    where = action["output"]["outputArtifacts"][0]["s3location"]
                    return {"bucket": where["bucket"], "key": where["key"], "bundleType": "zip"}
            self.demonstration.here.clock.sleep(1)
        raise CommandError("the build of the bad release", f"it was not over within {duration(_BUILD_SECONDS)}")

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold executions before gamma."""
        codepipeline, name = self.demonstration.aws.client("codepipeline", self.demonstration.region), self.demonstration.pipeline.name
        codepipeline.disable_stage_transition(pipelineName=name, stageName="Gamma", transitionType="Inbound", reason="a measurement")
        try:
            yield
        finally:
            codepipeline.enable_stage_transition(pipelineName=name, stageName="Gamma", transitionType="Inbound")

    @contextlib.contextmanager
    def _unwatched(self) -> Iterator[None]:
        """Without anything that would take a release back: what starts the rollback function is off."""
        one = self.demonstration
        events = one.aws.client("events", one.region)
        stack = one.settings["pipeline"].stack_name
        rules = [rule.rpartition("|")[2] for rule in environments.resources(one.client_of("pipeline"), stack, one.region, "AWS::Events::Rule")]
        for rule in rules:
            events.disable_rule(Name=rule)
        try:
            yield
        finally:
            for rule in rules:
                events.enable_rule(Name=rule)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Let the faults show in prod, with each host's next deployment."""
        path = f"/{self.service}/prod/app/{SWITCH}"
        for place in self.prod:
            place.client("ssm", place.region).put_parameter(Name=path, Value="1", Type="String", Overwrite=True)
        try:
            yield
        finally:
            for place in self.prod:
                place.client("ssm", place.region).delete_parameter(Name=path)


def _revision(place: Place, scope: str) -> dict[str, str]:
    """The s3Location of what a group runs."""
    info = place.client("codedeploy", place.region).get_deployment_group(
        applicationName=place.application, deploymentGroupName=place.groups[scope])["deploymentGroupInfo"]
    return dict(info["targetRevision"]["s3Location"])


if __name__ == "__main__":
    sys.exit(main())
