"""Whether a release and the one before it live side by side, and can follow each other both ways. `python3 buildspecs/rollback_safety.py`.

When this runs, gamma has the new release on all hosts. It deploys the one before, zone by zone as every release goes, so that for a while half of the
hosts have either; then the new one again. All the while it asks the service. Wrong answers, or a deployment that fails, fail the release: it could not
be taken back from prod. The new release is on all hosts in the end, or the stage fails and the rollback function sees to gamma.

Environment variables: SERVICE, COMMIT, ENDPOINTS ("<Region>=<URL>", one), CONTROL_ROLE_ARN (gamma's), and those of load.py but LOAD_SECONDS.
Exit 0 safe (or nothing to go back to), 1 not, 2 wrong use. Needs Python 3.9 and the AWS CLI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from load import Tally, ask, endpoints_of, load

POLL_SECONDS = 10
DEPLOYMENT_SECONDS = 2 * 3600
"""Longest wait for one deployment."""
SESSION_SECONDS = 900
"""A role taken from a role lasts an hour at most; it is taken anew well before that."""
BATCH = 25
"""BatchGetDeployments takes so many."""

Call = Callable[..., Any]
"""An AWS CLI command as words; its JSON answer. Raises Failed."""


class Failed(Exception):
    """Why the release is not safe, or why it cannot be told."""


class Cli:
    """The AWS CLI in a Region with a role."""

    def __init__(self, region: str, role: str) -> None:
        self._region, self._role = region, role
        self._credentials: dict[str, str] = {}
        self._until = 0.0

    def __call__(self, *words: str) -> Any:
        """Run a command with the role; see Call."""
        if time.monotonic() >= self._until:
            found = self._run({}, "sts", "assume-role", "--role-arn", self._role, "--role-session-name", "rollback-safety")["Credentials"]
            names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey", "AWS_SESSION_TOKEN": "SessionToken"}
            self._credentials = {variable: found[key] for variable, key in names.items()}
            self._until = time.monotonic() + SESSION_SECONDS
        return self._run(self._credentials, *words)

    def _run(self, credentials: dict[str, str], *words: str) -> Any:
        command = ["aws", *words, "--region", self._region, "--output", "json"]
        done = subprocess.run(command, env={**os.environ, **credentials}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"aws {' '.join(words[:2])}: {done.stderr.strip()}")
        return json.loads(done.stdout or "{}")


def successful(aws: Call, application: str, group: str) -> list[dict[str, Any]]:
    """The group's successful deployments, newest first."""
    names = ["--application-name", application, "--deployment-group-name", group]
    ids = aws("deploy", "list-deployments", *names, "--include-only-statuses", "Succeeded", "--max-items", "100").get("deployments", [])
    found: list[dict[str, Any]] = []
    for first in range(0, len(ids), BATCH):
        found += aws("deploy", "batch-get-deployments", "--deployment-ids", *ids[first : first + BATCH])["deploymentsInfo"]
    return sorted(found, key=lambda each: str(each["createTime"]), reverse=True)


def both(deployments: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The revision that runs, and the last other one that ran before it; None where there is none."""
    revisions = [each["revision"] for each in deployments]
    newest = revisions[0] if revisions else None
    older = (each for each in revisions if newest and _bundle(each) != _bundle(newest))
    return newest, next(older, None)


def _bundle(revision: dict[str, Any]) -> tuple[str, str]:
    return revision["s3Location"]["bucket"], revision["s3Location"]["key"]


def deploy(aws: Call, application: str, group: str, revision: dict[str, Any], why: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Deploy a revision as the group deploys, without its automatic rollback, and wait for its end. Raises Failed."""
    names = ["--application-name", application, "--deployment-group-name", group, "--revision", json.dumps(revision), "--description", why]
    options = ["--ignore-application-stop-failures", "--file-exists-behavior", "OVERWRITE", "--auto-rollback-configuration", "enabled=false"]
    deployment = aws("deploy", "create-deployment", *names, *options)["deploymentId"]
    print(f"{deployment}: {why}", flush=True)
    for _ in range(DEPLOYMENT_SECONDS // POLL_SECONDS):
        info = aws("deploy", "get-deployment", "--deployment-id", deployment)["deploymentInfo"]
        if info["status"] == "Succeeded":
            return
        if info["status"] in ("Failed", "Stopped"):
            error = info.get("errorInformation", {})
            raise Failed(f"{deployment} ({why}) is {info['status']}: {error.get('code', 'no code')}: {error.get('message', 'no message')}")
        sleep(POLL_SECONDS)
    raise Failed(f"{deployment} ({why}) has not ended in {DEPLOYMENT_SECONDS} s")


def there_and_back(aws: Call, application: str, group: str, new: dict[str, Any], old: dict[str, Any], sleep: Callable[[float], None] = time.sleep) -> None:
    """The old release, then the new one, whatever came of the old one. Raises Failed with the first failure."""
    try:
        deploy(aws, application, group, old, "rollback-safety test: the release before", sleep)
    finally:
        deploy(aws, application, group, new, "rollback-safety test: the release again", sleep)


def under_load(work: Callable[[], None], url: str, paths: list[str], rate: float, tally: Tally) -> None:
    """Ask the service while `work` is done. Which release answers does not matter: it is one of two."""
    stop = threading.Event()
    asking = threading.Thread(target=load, args=(url, paths, None, 3 * DEPLOYMENT_SECONDS, rate, tally, stop))
    asking.start()
    try:
        work()
    finally:
        stop.set()
        asking.join()


def prove(aws: Call, service: str, commit: str, url: str, paths: list[str], rate: float, tally: Tally, sleep: Callable[[float], None] = time.sleep) -> None:
    """The whole of it. Raises Failed."""
    document = json.loads(aws("ssm", "get-parameter", "--name", f"/{service}/gamma/environment")["Parameter"]["Value"])
    application, group = document["application"], document["scopes"]["fleet"]["group"]
    new, old = both(successful(aws, application, group))
    if new is None or old is None:
        print("There is no release before this one, so there is nothing to go back to.")
        return
    version = url.rstrip("/") + "/version"
    if wrong := ask(version, commit):
        raise Failed(f"before the test {version} answers with {wrong}, not with {commit}")
    under_load(lambda: there_and_back(aws, application, group, new, old, sleep), url, paths, rate, tally)
    if tally.is_wrong():
        raise Failed(f"while both releases served: {tally}. Make the change in two phases, each of which the other can live with")
    if wrong := ask(version, commit):
        raise Failed(f"after the test {version} answers with {wrong}, not with {commit}")
    print(f"Safe to take back: {tally}.")


def main() -> int:
    """Read the environment, test, and say what came of it."""
    try:
        endpoints = endpoints_of(os.environ["ENDPOINTS"])
        if len(endpoints) != 1:
            raise ValueError(f"ENDPOINTS has {len(endpoints)} Regions; the test is made in one")
        ((region, url),) = endpoints.items()
        service, commit, role = os.environ["SERVICE"], os.environ["COMMIT"], os.environ["CONTROL_ROLE_ARN"]
        paths, rate = os.environ["LOAD_PATHS"].split(), float(os.environ["LOAD_RATE"])
        tally = Tally(float(os.environ["LOAD_FAULT_PERCENT"]))
    except KeyError as error:
        print(f"rollback-safety: {error.args[0]} is not set; buildspecs/rollback-safety.yaml and the pipeline set it", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"rollback-safety: {error}", file=sys.stderr)
        return 2
    try:
        prove(Cli(region, role), service, commit, url, paths, rate, tally)
    except Failed as reason:
        print(f"FAILED: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
