"""A service of a case's own: a copy of the project in an account that nobody has used, in one Region, with short waits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import projects
import shipping

from scripts import demo, destroy
from scripts.core import world
from scripts.core.clock import RealClock
from scripts.core.console import Console
from scripts.core.session import open_session
from scripts.demonstration import environments
from scripts.demonstration.delivery import Outcome
from scripts.demonstration.repository import Repository

_SHORT = {"GammaBakeSeconds": "15", "OneBoxBakeSeconds": "10", "Wave1BakeSeconds": "10", "SettleSeconds": "5", "GammaLoadSeconds": "30",
          "ProdMinimumRequests": "15"}
"""Gates are tried elsewhere, and canaries, of which the foreign app has none."""


class _Site(Repository):
    """A repository whose app has no switches for bad releases."""

    def behave(self, **switches: Any) -> None:
        assert not switches


class Service(demo.Demonstration):
    """A service of its own, deployed from its own copy of the project."""

    def __init__(self, root: Path, local_aws: Any, account: str) -> None:
        control = f"--state {local_aws.state} --port {local_aws.port} --name {local_aws.name}"
        super().__init__(argparse.Namespace(
            remote=str(local_aws.state / "git"), rate=10.0, local=True, addresses=f"http://127.0.0.1:{local_aws.port}/_localaws/endpoints",
            complete_connection=f"{sys.executable} -m localaws connect {control}"),
            world.World(root, {**local_aws.environ, "AWS_ACCESS_KEY_ID": account}, Console(), RealClock(), open_session))
        self.name = self.settings["pipeline"].service
        if not (root / "app" / "behaviour.json").exists():
            self.repository = _Site(self.repository.folder, self.repository.remote)

    def deploy(self) -> None:
        """As above, and until the execution that a completed connection starts has found that there is no branch yet."""
        super().deploy()
        shipping.until("an idle pipeline", lambda: "InProgress" not in self.releases()["executions"].values(), 60)

    def change(self) -> str:
        """Push a change that changes nothing, and return its commit."""
        self.repository.write("app/release-note.txt", f"{self.here.clock.seconds()}\n")
        return self.repository.push("A change")

    def wanting(self, commit: str, caught_in: str | None) -> list[str]:
        """As above; beta takes nothing back after failed tests, and nobody waits for it."""
        return [] if caught_in == "Beta" else super().wanting(commit, caught_in)

    def infrastructure(self) -> dict[str, dict[str, Any]]:
        """What deploys make, each with the mark that it would change: stacks, alarms, Parameter Store, roles."""
        client, own = self.aws.client, f"{self.name}-"
        stacks = client("cloudformation", self.region).get_paginator("describe_stacks").paginate().search("Stacks[]")
        alarms = client("cloudwatch", self.region).get_paginator("describe_alarms").paginate(
            AlarmNamePrefix=own, AlarmTypes=["MetricAlarm", "CompositeAlarm"]).search("[MetricAlarms, CompositeAlarms][]")
        parameters = client("ssm", self.region).get_paginator("get_parameters_by_path").paginate(Path=f"/{self.name}", Recursive=True).search("Parameters[]")
        iam = client("iam", self.region)
        roles = [one["RoleName"] for one in iam.get_paginator("list_roles").paginate().search("Roles[]") if one["RoleName"].startswith(own)]
        return {
            "stacks": {one["StackName"]: (one["StackStatus"], one.get("LastUpdatedTime", one["CreationTime"]))
                       for one in stacks if one["StackName"].startswith(own)},
            "alarms": {one["AlarmName"]: one["AlarmConfigurationUpdatedTimestamp"] for one in alarms},
            "parameters": {one["Name"]: (one["Version"], one["Value"]) for one in parameters},
            "roles": {name: [iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                             for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]] for name in roles},
        }

    def releases(self) -> dict[str, Any]:
        """What releases make: the ledger, executions, deployments, and which host runs what."""
        table = environments.outputs(self.aws.client, self.settings["pipeline"].stack_name, self.region)["LedgerTableName"]
        items = self.aws.client("dynamodb", self.region).scan(TableName=table, ConsistentRead=True)["Items"]
        return {
            "ledger": {(one["id"]["S"], one["at"]["S"]): one for one in items},
            "executions": {one["pipelineExecutionId"]: one["status"] for one in self.aws.client("codepipeline", self.region).list_pipeline_executions(
                pipelineName=self.pipeline.name)["pipelineExecutionSummaries"]},
            "deployments": {one.deployment_id: one.status for one in self.pipeline.deployments(0)},
            "hosts": {f"{place.name}/{scope}": environments.running(place, scope, int(self.settings[place.environment].parameters["AppPort"]))
                      for place in self.places for scope in place.groups},
        }

    def at_rest(self) -> dict[str, Any]:
        """What releases made, once a run of the rollback function adds nothing to it."""
        def look() -> dict[str, Any] | None:
            before = self.releases()
            self.aws.client("lambda", self.region).invoke(FunctionName=self.control.name, Payload=b"{}")
            return before if self.releases() == before else None

        return dict(shipping.until(f"the ledger of {self.name} at rest", look, 60, 1))

    def release(self, commit: str) -> Outcome:
        """Follow a pushed commit until it is out, or back."""
        return self.follow(commit, self.pipeline.execution_of(commit, 60))

    def came_through(self, commit: str, outcome: Outcome) -> None:
        """A release went out everywhere."""
        assert (outcome.status, outcome.unsettled) == ("Succeeded", ()), outcome
        assert set(self.running().values()) == {commit}


def project(root: Path, account: str, environ: dict[str, str], repository: str) -> Path:
    """A copy of the project in one Region, with short waits, and a repository that nobody has pushed to."""
    projects.copy(root, environ, account)
    projects.in_one_region(root)
    projects.overlay(root, "pipeline", {**_SHORT, "RepositoryId": f"{repository}-{account}"})
    for name in demo.ENVIRONMENTS:
        projects.overlay(root, name, {"ToolsAccountId": account, "FirstZoneMonitorSeconds": "5", "CanaryRateMinutes": "0"})
    return root


def gone_afterwards(one: Service) -> Iterator[Service]:
    """For a fixture: the service, not deployed yet; whatever it came to, destroyed afterwards."""
    try:
        yield one
    finally:
        one.traffic.stop()
        destroy.main(["--env", "all", "--local", "--yes"], one.here)
