"""Ship a good release, then a bad one, and watch the bad one come back: the whole path on the local AWS.

Deploys gamma and prod in all their Regions and the pipeline from this project's own templates, pushes a release that goes through every stage
while customers send requests to every Region, and then one that answers some requests with 500. Writes build/demo/summary.json, and
build/report.html to look at. Run it again at any time: what is deployed already is only updated.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts import deploy, report, why
from scripts.core import accounts, settings, world
from scripts.core.clock import duration
from scripts.core.console import Console
from scripts.core.errors import CommandError, WrongUse
from scripts.demonstration import environments, summary
from scripts.demonstration.control import Control, Refused
from scripts.demonstration.delivery import Outcome, Pipeline
from scripts.demonstration.repository import Repository
from scripts.demonstration.traffic import Answer, Traffic

ENVIRONMENTS = ("gamma", "prod")
FAULT_PERCENT = 30
_RELEASE_SECONDS = 1500.0
_TAKE_UP_SECONDS = 60.0
_QUIET_SECONDS = 180.0
_OPEN_SECONDS = 65.0  # customers come when the minute is over in which there still was nobody to answer the canary
_CALM_SECONDS = 10.0  # traffic that goes on after the rollback, so that "nothing failed after it" says something


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration. Exit code 0 if everything was as promised, 1 if not."""
    return world.run(parser("demo", __doc__), argv, None, run)


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The arguments of a command that plays on the local AWS."""
    made = world.parser(name, text, environment=None)
    made.add_argument("--remote", required=True, help="where the repositories behind the connection stand; the service's is <remote>/<owner>/<name>.git")
    made.add_argument("--complete-connection", metavar="COMMAND", default="", help="does what a person does in the console with a PENDING connection")
    made.add_argument("--addresses", metavar="URL", default="", help="where each balancer's DNS name answers, as JSON")
    made.add_argument("--rate", type=float, default=15.0, help="requests per second to each Region of each environment (default 15)")
    return made


def run(options: argparse.Namespace, here: world.World) -> int:
    """See the module's docstring."""
    if not options.local:
        raise WrongUse("the demonstration", "it ships a release that fails, which belongs on the local AWS only", "run: make demo")
    began = time.time()
    demonstration = Demonstration(options, here)
    demonstration.deploy()
    shipping = time.time()
    result = demonstration.releases_under_traffic()
    target = here.root / "build" / "demo" / "summary.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for line in story(result):
        here.console.line(line)
    # Of this run's releases; where it fails it says so itself, and the demonstration is none the worse.
    here.console.line("\n== make report LOCAL=1")
    reported = report.main(["--local", "--since", f"{math.ceil((time.time() - shipping) / 60)}m"], here) == 0
    faults = summary.faults(result)
    if faults:
        raise CommandError("the demonstration", "it did not go as promised:\n  " + "\n  ".join(faults), f"{target.relative_to(here.root)} has the whole of it")
    here.console.line(f"\nWritten: {target.relative_to(here.root)}{f' and {report.TARGET}' if reported else ''}, after {duration(time.time() - began)}. "
                      "The local AWS stays up: make status ENV=prod LOCAL=1, make local-down.")
    return 0


class Demonstration:
    """The demonstration's steps over one set of clients. The end-to-end cases use it as a person uses the commands."""

    def __init__(self, options: argparse.Namespace, here: world.World) -> None:
        self.options, self.here = options, here
        self.say: Callable[[str], None] = here.console.line
        self.aws = here.open_aws(True, here.environ)
        self.settings = {name: settings.load(here.root, name, True) for name in (*ENVIRONMENTS, "pipeline")}
        self.region = self.settings["pipeline"].regions[0]
        remote, name = Path(options.remote).resolve(), self.settings["pipeline"].parameters["RepositoryId"]
        # Beside the remote: each repository of each local AWS has a working copy of its own.
        self.repository = Repository(remote.parent / "working-copies" / name, str(remote / f"{name}.git"))
        self.traffic = Traffic(options.rate)
        self._entered: accounts.Accounts | None = None
        self.pipeline: Pipeline
        self.control: Control
        self.places: list[environments.Place] = []
        self.first: Outcome | None = None
        """The release that was the first on these hosts, where there was none yet."""

    # -- what stands ---------------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        """Deploy every environment and the pipeline, as `make deploy` does; that refuses while an alarm fires, as one may after an earlier run."""
        self.quiet()
        for name in (*ENVIRONMENTS, "pipeline"):
            self.say(f"\n== make deploy ENV={name} LOCAL=1")
            if name == "pipeline" and self.options.complete_connection:
                threading.Thread(target=self._complete_connection, name="person", daemon=True).start()
            code = deploy.main(["--env", name, "--local", "--yes"], self.here)
            if code:
                raise CommandError(f"deploying {name}", f"it ended with code {code}", "see above")
        self.find()

    def find(self) -> None:
        """Ask the stacks where everything is."""
        addresses = self._addresses()
        self.places = []
        for name in ENVIRONMENTS:
            one = self.settings[name]
            client = self.client_of(name)
            for region in one.regions:
                self.places.append(environments.place(name, region, environments.outputs(client, one.stack_name, region), addresses, client))
        of = environments.outputs(self.aws.client, self.settings["pipeline"].stack_name, self.region)
        self.pipeline = Pipeline(of["PipelineName"], self.region, self.aws.client, self.here.clock, self.say, self.places)
        self.control = Control(self.aws.client("lambda", self.region), of["RollbackFunctionName"])
        self.repository.begin(self.here.root)
        self.repository.behave()

    def client_of(self, environment: str) -> Callable[[str, str], Any]:
        """boto3 clients of the account that an environment lives in."""
        self._entered = self._entered or accounts.open_accounts(self.aws, (self.region,), self.settings.values())
        return self._entered.of(self.settings[environment]).client

    def _addresses(self) -> dict[str, str]:
        if not self.options.addresses:
            return {}
        with environments.open_directly(self.options.addresses, 10) as response:
            return dict(json.load(response))

    def _complete_connection(self) -> None:
        """Wait until a connection is PENDING and the pipeline failed for want of it, as before any person is there; then do what one does in the console."""
        name = self.settings["pipeline"].service
        for _ in range(600):
            found = self.aws.client("codeconnections", self.region).list_connections()["Connections"]
            if any(one["ConnectionStatus"] == "PENDING" for one in found) and self._has_failed(name):
                subprocess.run(shlex.split(self.options.complete_connection), check=False, stdout=subprocess.DEVNULL)
                return
            time.sleep(1)

    def _has_failed(self, pipeline: str) -> bool:
        try:
            found = self.aws.client("codepipeline", self.region).list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"]
        except ClientError:  # it is not there yet
            return False
        return bool(found) and all(one["status"] == "Failed" for one in found)

    def places_of(self, environment: str) -> list[environments.Place]:
        """The Regions of an environment, its first one first."""
        return [place for place in self.places if place.environment == environment]

    def commits(self, place: environments.Place, scope: str) -> list[str]:
        """What each host of a scope says it runs, at least one ('' where it does not answer)."""
        port = int(self.settings[place.environment].parameters.get("AppPort", "8080"))
        return list(environments.running(place, scope, port).values()) or [""]

    def running(self) -> dict[str, str]:
        """The commit that the hosts of each <environment>/<region>/<scope> answer with; several where they differ."""
        return {f"{place.name}/{scope}": _one(self.commits(place, scope)) for place in self.places for scope in place.groups}

    # -- releases ------------------------------------------------------------------------------------------------------

    def begin_traffic(self) -> None:
        """Send requests to every Region of every environment, from the moment on that a release answers in all of it.

        Nobody opens a service of which only the one-box answers.
        """
        for place in self.places:
            self.traffic.start(place.name, place.url, partial(self._is_open, place, []))

    def _is_open(self, place: environments.Place, since: list[float]) -> bool:
        """Whether every host of a place has answered with a release for a minute; at once where all do from the beginning on.

        `since` keeps when they first did. The balancer is not asked: what it refuses, it counts as faults.
        """
        try:
            answer = all(all(self.commits(place, scope)) for scope in place.groups)
        except (BotoCoreError, ClientError):
            answer = False
        if not since:
            since.append(0.0 if answer else math.inf)
        if answer and since[0] == math.inf:
            since[0] = time.monotonic()
        return answer and (since[0] == 0.0 or time.monotonic() - since[0] >= _OPEN_SECONDS)

    def first_release(self) -> None:
        """Push the service as it is and wait until it runs everywhere; on a second run it is there already."""
        if self.control.record("prod").get("blocked"):
            self.control.ask("unblock", "prod", reason="an earlier run is over", by="scripts.demo")
        if all(self.running().values()) and self.control.record("prod").get("last_good"):
            return
        self.say("\n== git push: the first release, on hosts that have none yet")
        self.first = self.ship("First release")
        if self.first.status != "Succeeded":
            environment, cause = self.say_why(self.first)
            raise CommandError("the first release", f"it is {self.first.status}, caught in {self.first.caught_in}: {cause}",
                               f"make status ENV={environment} LOCAL=1")

    def say_why(self, outcome: Outcome) -> tuple[str, str]:
        """Say why a release failed that should not have, as `make why` does; return the environment that was asked, and the cause in a line."""
        environment = environment_of(outcome.caught_in) or "pipeline"
        said = io.StringIO()
        why.main(["--env", environment, "--local", "--execution", outcome.execution_id], replace(self.here, console=Console(said, said)))
        self.say(f"\n== make why ENV={environment} LOCAL=1 EXECUTION={outcome.execution_id}\n{said.getvalue()}")
        return environment, next((line for line in said.getvalue().splitlines() if line.startswith("Cause")), "its cause is not known")

    def ship(self, message: str, at_action: Callable[[str, str, str], None] | None = None) -> Outcome:
        """Push and follow one release until it is out, or back, and nothing moves any more."""
        commit = self.repository.push(message)
        execution = self.pipeline.execution_of(commit, _TAKE_UP_SECONDS)
        self.say(f"  commit {commit[:12]}, execution {execution}")
        return self.follow(commit, execution, at_action)

    def follow(self, commit: str, execution: str, at_action: Callable[[str, str, str], None] | None = None) -> Outcome:
        """Follow one execution until its release is out, or back, and nothing moves any more."""
        return self.pipeline.follow(commit, execution, _RELEASE_SECONDS, at_action, partial(self.wanting, commit))

    def wanting(self, commit: str, caught_in: str | None) -> list[str]:
        """What must still come to be where a release was caught and before: one release, another one, on all hosts, and the rollback over."""
        caught = environment_of(caught_in)
        if caught is None:
            return []
        found = []
        for environment in ENVIRONMENTS[:ENVIRONMENTS.index(caught) + 1]:
            for place in self.places_of(environment):
                for scope in place.groups:
                    commits = set(self.commits(place, scope))
                    if len(commits) > 1 or commits & {commit, ""}:
                        found.append(f"{place.name}/{scope} runs {_one([one or 'nothing' for one in commits])}")
            if not found:
                found = self._being_taken_back(environment)
        return found

    def _being_taken_back(self, environment: str) -> list[str]:
        """What the rollback function says it still does, or that it cannot say so now: then it may have more to do."""
        try:
            under_way = self.control.record(environment).get("rollback")
        except Refused as refused:
            return [f"the rollback function does not tell whether it is done: {refused}"]
        return [f"{environment} is still being taken back: {under_way}"] if under_way else []

    def quiet(self, seconds: float = _QUIET_SECONDS) -> list[str]:
        """Wait until no metric alarm of any place fires; return those that still do after `seconds`."""
        deadline = self.here.clock.seconds() + seconds
        while True:
            firing = sorted(f"{region} {alarm['AlarmName']}" for region, cloudwatch in self._cloudwatch()
                            for alarm in cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"])
            if not firing or self.here.clock.seconds() > deadline:
                return firing
            self.here.clock.sleep(1)

    def releases_under_traffic(self) -> dict[str, Any]:
        """Ship a good and a bad release while customers are there, and return the summary."""
        self.begin_traffic()
        self.first_release()
        if self.first is None:
            self.say(f"\n== git push: a good release, under {self.options.rate:g} requests a second to each Region")
            self.repository.write("app/release-note.txt", f"{time.time()}\n")
            good = self.ship("Good release")
            if good.status != "Succeeded":
                self.say_why(good)
        else:
            good = self.first
        return self.bad_release(good)

    def bad_release(self, good: Outcome) -> dict[str, Any]:
        """Ship a bad release after `good`, and return the summary of both; the traffic of before does not count."""
        since = time.time()
        self.say(f"\n== git push: a bad release; {FAULT_PERCENT} % of its answers are 500, its health check is fine")
        self.repository.behave(fault_percent=FAULT_PERCENT)
        try:
            bad = self.ship("Bad release")
        finally:
            self.repository.behave()
        calm_after = max((one.completed or 0.0 for one in bad.deployments), default=time.time())
        time.sleep(_CALM_SECONDS)
        return self.summary(good, bad, since, calm_after)

    def summary(self, good: Outcome, bad: Outcome, since: float, calm_after: float) -> dict[str, Any]:
        """The summary of a good and a bad release. Requests count from `since` on, and none may fail after `calm_after`."""
        answers = self.traffic.answers(since)
        alarms = self.alarms(since)
        fired = summary.first_alarm(alarms, bad)
        releases = [summary.release(good, "good", None, None),
                    summary.release(bad, "bad", summary.detection(alarms, bad, answers), summary.rollback(bad, fired["time"] if fired else None))]
        digests = {good.commit: good.digest or "", bad.commit: bad.digest or ""}
        running = {where: digests.get(commit, commit) for where, commit in self.running().items()}
        return summary.whole(releases, answers, bad.commit, calm_after, running, {place.name: place.url for place in self.places})

    def answers(self, since: float) -> list[Answer]:
        """What customers were answered since then (seconds since the epoch)."""
        return self.traffic.answers(since)

    def alarms(self, since: float = 0.0) -> list[dict[str, Any]]:
        """Every transition of a metric alarm to ALARM since then, oldest first: {"alarm", "region", "time"}."""
        found = []
        for region, cloudwatch in self._cloudwatch():
            pages = cloudwatch.get_paginator("describe_alarm_history").paginate(HistoryItemType="StateUpdate")
            for item in (item for page in pages for item in page["AlarmHistoryItems"]):
                if json.loads(item["HistoryData"])["newState"]["stateValue"] == "ALARM":
                    found.append({"alarm": item["AlarmName"], "region": region, "time": item["Timestamp"].timestamp()})
        return sorted((one for one in found if one["time"] >= since), key=lambda alarm: alarm["time"])

    def _cloudwatch(self) -> list[tuple[str, Any]]:
        """CloudWatch's client for each Region of each account, with the Region: alarms know no environment."""
        once = {(self.settings[name].account, region): name for name in ENVIRONMENTS for region in self.settings[name].regions}
        return [(region, self.client_of(name)("cloudwatch", region)) for (_, region), name in once.items()]


def environment_of(stage: str | None) -> str | None:
    """The environment that a stage of the pipeline releases to, None for one that touches no host."""
    if stage in (None, "Source", "Build"):
        return None
    return stage.lower() if stage in ("Beta", "Gamma") else "prod"


def _one(values: Sequence[str]) -> str:
    """The value that all have in common, else all of them."""
    return values[0] if len(set(values)) == 1 else " and ".join(sorted(set(values)))


def story(result: dict[str, Any]) -> list[str]:
    """The summary in words."""
    lines = ["\n== What happened"]
    for one in result["releases"]:
        lines.append(f"{one['intent']:<5} {one['commit'][:12]}  {one['status']} in {duration(one['seconds'])}"
                     + (f", caught in {one['caught_in']}" if one["caught_in"] else ""))
        lines += [f"      {where}: {what}" for where, what in _by_place(one["deployments"]).items()]
        if one["detection"]:
            seconds = one["detection"]["seconds_from_first_bad_response"]
            lines.append(f"      seen by the alarm {one['detection']['alarm']}"
                         + ("" if seconds is None else f", {seconds} s after the first bad answer (the local AWS judges alarms every 5 s, AWS every minute)"))
        if one["rollback"]:
            lines.append(f"      taken back by {one['rollback']['by']}, {one['rollback']['seconds_from_alarm']} s after the alarm")
    traffic = result["traffic"]
    lines.append(f"Of {traffic['requests']} requests {traffic['failed']} failed, {traffic['failed_while_bad']} of them among the "
                 f"{traffic['requests_while_bad']} while the bad release served; {traffic['failed_after_rollback']} after the rollback.")
    lines += [f"{where} runs {digest}" for where, digest in result["running"].items()]
    return lines


def _by_place(deployments: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What was deployed where, in order."""
    found: dict[str, str] = {}
    for one in deployments:
        where = f"{one['environment']}/{one['region']}/{one['scope']}"
        found[where] = (found[where] + ", then " if where in found else "") + f"{one['status']} ({one['creator']})"
    return found


if __name__ == "__main__":
    sys.exit(main())
