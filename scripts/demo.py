"""Ship a good release, then a bad one, and watch the bad one come back: the whole path on the local AWS.

Deploys gamma, prod and the pipeline from this project's own templates, pushes a first release, sends traffic to both environments,
pushes a second good release and then one that answers some requests with 500. Writes build/demo/summary.json. Run it again at any time:
what is deployed already is only updated.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts import deploy
from scripts.core import settings, world
from scripts.core.clock import duration
from scripts.core.errors import CommandError, WrongUse
from scripts.demonstration import environments, summary
from scripts.demonstration.delivery import Outcome, Pipeline
from scripts.demonstration.repository import Repository
from scripts.demonstration.traffic import Traffic

ENVIRONMENTS = ("gamma", "prod")
FAULT_PERCENT = 30
_RELEASE_SECONDS = 1200.0
_TAKE_UP_SECONDS = 60.0
_CALM_SECONDS = 10.0  # traffic that goes on after the rollback, so that "nothing failed after it" says something


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration. Exit code 0 if everything was as promised, 1 if not."""
    parser = world.parser("demo", __doc__, environment=None)
    parser.add_argument("--remote", required=True, help="where the repositories behind the connection stand; the service's is <remote>/<owner>/<name>.git")
    parser.add_argument("--complete-connection", metavar="COMMAND", default="", help="does what a person does in the console with a PENDING connection")
    parser.add_argument("--addresses", metavar="URL", default="", help="where each balancer's DNS name answers, as JSON")
    parser.add_argument("--rate", type=float, default=15.0, help="requests per second to each environment (default 15)")
    return world.run(parser, argv, None, run)


def run(options: argparse.Namespace, here: world.World) -> int:
    """See the module's docstring."""
    if not options.local:
        raise WrongUse("the demonstration", "it ships a release that fails, which belongs on the local AWS only", "run: make demo")
    demonstration = Demonstration(options, here)
    demonstration.deploy()
    demonstration.first_release()
    result = demonstration.releases_under_traffic()
    target = here.root / "build" / "demo" / "summary.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for line in story(result):
        here.console.line(line)
    faults = summary.faults(result)
    if faults:
        raise CommandError("the demonstration", "it did not go as promised:\n  " + "\n  ".join(faults), f"{target.relative_to(here.root)} has the whole of it")
    here.console.line(f"\nWritten: {target.relative_to(here.root)}. The local AWS stays up: make status ENV=prod LOCAL=1, make local-down.")
    return 0


class Demonstration:
    """The demonstration's steps over one set of clients."""

    def __init__(self, options: argparse.Namespace, here: world.World) -> None:
        self.options, self.here = options, here
        self.say: Callable[[str], None] = here.console.line
        self.aws = here.open_aws(True, here.environ)
        self.settings = {name: settings.load(here.root, name, True) for name in (*ENVIRONMENTS, "pipeline")}
        self.region = self.settings["pipeline"].regions[0]
        remote = Path(options.remote).resolve() / f"{self.settings['pipeline'].parameters['RepositoryId']}.git"
        # Beside the remote: each local AWS has a working copy of its own.
        self.repository = Repository(Path(options.remote).resolve().parent / "working-copy", str(remote))
        self.pipeline: Pipeline
        self.places: list[environments.Place] = []

    def deploy(self) -> None:
        """Deploy every environment and the pipeline, as `make deploy` does."""
        for name in (*ENVIRONMENTS, "pipeline"):
            self.say(f"\n== make deploy ENV={name} LOCAL=1")
            if name == "pipeline" and self.options.complete_connection:
                threading.Thread(target=self._complete_connection, name="person", daemon=True).start()
            code = deploy.main(["--env", name, "--local", "--yes"])
            if code:
                raise CommandError(f"deploying {name}", f"it ended with code {code}", "see above")
        addresses = self._addresses()
        for name in ENVIRONMENTS:
            one = self.settings[name]
            for region in one.regions:
                of = environments.outputs(self.aws.client, one.stack_name, region)
                self.places.append(environments.place(name, region, of, addresses))
        of = environments.outputs(self.aws.client, self.settings["pipeline"].stack_name, self.region)
        self.pipeline = Pipeline(of["PipelineName"], self.region, self.aws.client, self.here.clock, self.say)

    def _addresses(self) -> dict[str, str]:
        if not self.options.addresses:
            return {}
        with environments.open_directly(self.options.addresses, 10) as response:
            return dict(json.load(response))

    def _complete_connection(self) -> None:
        """Wait until a connection is PENDING, then do what a person does in the console."""
        for _ in range(600):
            found = self.aws.client("codeconnections", self.region).list_connections()["Connections"]
            if any(one["ConnectionStatus"] == "PENDING" for one in found):
                subprocess.run(shlex.split(self.options.complete_connection), check=False, stdout=subprocess.DEVNULL)
                return
            time.sleep(1)

    def first_release(self) -> None:
        """Push the service as it is and wait until it runs everywhere; on a second run it is there already."""
        self.repository.begin(self.here.root)
        self.repository.behave()
        if all(commit for place in self.places for scope in place.groups for commit in self.commits(place, scope)):
            return
        self.say("\n== git push: the first release, on hosts that have none yet")
        outcome = self.ship("First release")
        if outcome.status != "Succeeded":
            raise CommandError("the first release", f"it is {outcome.status}, caught in {outcome.caught_in}", "make status ENV=gamma LOCAL=1")

    def ship(self, message: str) -> Outcome:
        """Push and follow one release to its end."""
        commit = self.repository.push(message)
        execution = self.pipeline.execution_of(commit, _TAKE_UP_SECONDS)
        self.say(f"  commit {commit[:12]}, execution {execution}")
        return self.pipeline.follow(commit, execution, _RELEASE_SECONDS)

    def releases_under_traffic(self) -> dict[str, Any]:
        """Ship a good and a bad release while customers are there, and return the summary."""
        for place in self.places:
            if not environments.version(place.url.rstrip("/")):
                raise CommandError(f"{place.environment} in {place.region}", f"{place.url}version does not answer",
                                   f"make status ENV={place.environment} LOCAL=1")
        traffic = Traffic(self.options.rate)
        for place in self.places:
            traffic.start(f"{place.environment}/{place.region}", place.url)
        try:
            self.say(f"\n== git push: a good release, under {self.options.rate:g} requests a second to each environment")
            self.repository.write("app/release-note.txt", f"{time.time()}\n")
            good = self.ship("Good release")
            good_end = time.time()
            self.say(f"\n== git push: a bad release; {FAULT_PERCENT} % of its answers are 500, its health check is fine")
            self.repository.behave(fault_percent=FAULT_PERCENT)
            bad = self.ship("Bad release")
            calm_after = max((one.completed or 0.0) for one in bad.deployments) if bad.deployments else time.time()
            time.sleep(_CALM_SECONDS)
        finally:
            answers = traffic.stop()
        self.repository.behave()
        alarms = self._alarms()
        found = summary.detection(alarms, bad, answers)
        fired = next((alarm["time"] for alarm in alarms if found and alarm["alarm"] == found["alarm"] and alarm["time"] >= good_end), None)
        releases = [summary.release(good, "good", None, None), summary.release(bad, "bad", found, summary.rollback(bad, fired))]
        digests = {good.commit: good.digest or "", bad.commit: bad.digest or ""}
        running = {f"{place.environment}/{place.region}/{scope}": _one([digests.get(commit, commit) for commit in self.commits(place, scope)])
                   for place in self.places for scope in place.groups}
        endpoints = {f"{place.environment}/{place.region}": place.url for place in self.places}
        return summary.whole(releases, answers, bad.commit, calm_after, running, endpoints)

    def commits(self, place: environments.Place, scope: str) -> list[str]:
        """What each host of a scope says it runs."""
        port = int(self.settings[place.environment].parameters.get("AppPort", "8080"))
        return list(environments.running(self.aws.client, place, scope, port).values()) or [""]

    def _alarms(self) -> list[dict[str, Any]]:
        """Every transition of a metric alarm to ALARM, oldest first."""
        found = []
        for region in sorted({place.region for place in self.places}):
            pages = self.aws.client("cloudwatch", region).get_paginator("describe_alarm_history").paginate(HistoryItemType="StateUpdate")
            for item in (item for page in pages for item in page["AlarmHistoryItems"]):
                if json.loads(item["HistoryData"])["newState"]["stateValue"] == "ALARM":
                    found.append({"alarm": item["AlarmName"], "time": item["Timestamp"].timestamp()})
        return sorted(found, key=lambda alarm: alarm["time"])


def _one(values: list[str]) -> str:
    """The value that all have in common, else all of them."""
    return values[0] if len(set(values)) == 1 else " and ".join(sorted(set(values)))


def story(result: dict[str, Any]) -> list[str]:
    """The summary in words."""
    lines = ["\n== What happened"]
    for one in result["releases"]:
        lines.append(f"{one['intent']:<5} {one['commit'][:12]}  {one['status']} in {duration(one['seconds'])}"
                     + (f", caught in {one['caught_in']}" if one["caught_in"] else ""))
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


if __name__ == "__main__":
    sys.exit(main())
