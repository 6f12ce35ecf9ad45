"""What hosts themselves say they run: `/version` through each Region's endpoint, asked several times, and CodeDeploy's word on each instance.

The app's contract (app/README.md): `/version` answers {"commit": …}. Actions: cloudformation:DescribeStacks, codedeploy:GetDeploymentGroup,
GetDeployment, ListDeploymentTargets, BatchGetDeploymentTargets.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core import parallel, prerequisites, running, stacks
from scripts.core.clock import Clock
from scripts.core.errors import explain
from scripts.core.follow import short
from scripts.core.session import Aws
from scripts.core.settings import Environment

REQUESTS = 20
"""So many that a host with another release among ten is seen nine times of ten."""
TIMEOUT_SECONDS = 10.0
AGREE_SECONDS = 60.0
"""How long a Region may take until its endpoint answers with one release alone: a host that left is drained, and one that came is counted in."""
PAUSE_SECONDS = 3.0
Ask = Callable[[str], str]
"""Asks a URL: the commit that it answers. Raises Unanswered."""


class Unanswered(Exception):
    """The URL did not answer with a commit; the text says how it failed."""


@dataclass(frozen=True)
class Region:
    """One Region's word. `answers` counts commits, and failures by their text; `asked` is False where nobody could be asked, and `note` says why.

    `groups` are lines on what CodeDeploy says of the instances; `behind` those of instances that its last deployment did not reach.
    """

    name: str
    url: str
    answers: Mapping[str, int]
    asked: bool
    note: str
    groups: tuple[str, ...]
    behind: tuple[str, ...]

    def wrong(self, commit: str) -> bool:
        """Whether any answer was another than this release."""
        return self.asked and set(self.answers) != {commit}

    def line(self, commit: str) -> str:
        """How it was asked, and what answered."""
        if not self.asked:
            return f"{self.name}: the endpoint was not asked: {self.note}"
        total = sum(self.answers.values())
        if not self.wrong(commit):
            return f"{self.name}: GET {self.url} answered {short(commit)} {total} of {total} times"
        told = ", ".join(f"{text[:12] if _is_commit(text) else text} {count} times" for text, count in self.answers.items())
        return f"{self.name}: GET {self.url} answered, of {total} times: {told}"


def _is_commit(text: str) -> bool:
    return len(text) == 40 and all(each in "0123456789abcdef" for each in text)


def ask(url: str, direct: bool) -> str:
    """The commit that a GET of the URL answers. `direct`: past any proxy of the user's. Raises Unanswered."""
    # The certificate is made out to the service's name and not to the load balancer's; whose it is does not matter for a commit.
    context = ssl.create_default_context()
    context.check_hostname = False
    handlers: list[Any] = [urllib.request.HTTPSHandler(context=context), *([urllib.request.ProxyHandler({})] if direct else [])]
    request = urllib.request.Request(url, headers={"Connection": "close", "Cache-Control": "no-cache"})
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_SECONDS) as response:
            content = json.load(response)
        return str(content["commit"])
    except urllib.error.HTTPError as error:
        raise Unanswered(f"status {error.code}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", error)
        raise Unanswered("no JSON with a commit" if isinstance(error, (ValueError, KeyError, TypeError)) else f"no answer ({reason})") from error


def addresses(source: str) -> dict[str, str]:
    """Where balancers' DNS names answer, from a URL that lists it as JSON; nothing where there is none. Raises Unanswered."""
    if not source:
        return {}
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(source, timeout=TIMEOUT_SECONDS) as response:
            return {str(name): str(url) for name, url in json.load(response).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise Unanswered(f"{source}: {error}") from error


def look(aws: Aws, environment: Environment, commit: str, known: Mapping[str, str], clock: Clock, asks: Ask | None = None) -> list[Region]:
    """Ask every Region of an environment at once. `known` says where DNS names answer that this machine cannot resolve."""
    jobs = {region: partial(_region, aws, environment, region, commit, known, clock, asks or partial(ask, direct=aws.local))
            for region in environment.regions}
    return list(parallel.all_or_raise(jobs, clock).values())


def _region(aws: Aws, environment: Environment, region: str, commit: str, known: Mapping[str, str], clock: Clock, asks: Ask) -> Region:
    try:
        stack = stacks.find(aws.client("cloudformation", region), environment.stack_name)
    except (ClientError, BotoCoreError) as error:
        return Region(region, "", {}, False, _why(error), (), ())
    if stack is None:
        return Region(region, "", {}, False, f"the stack {environment.stack_name} is not there", (), ())
    groups, behind = _instances(aws, region, stack)
    endpoint = stack.outputs.get("EndpointUrl", "")
    host = urlsplit(endpoint).netloc
    if not endpoint:
        return Region(region, "", {}, False, f"the stack {environment.stack_name} has no output EndpointUrl", groups, behind)
    if aws.local and host not in known:
        return Region(region, endpoint, {}, False, f"{host} answers on no address of this machine that is known (--addresses)", groups, behind)
    url = urljoin(known.get(host, endpoint).rstrip("/") + "/", "version")
    begun = clock.seconds()
    while True:
        answers: Counter[str] = Counter()
        for _ in range(REQUESTS):
            try:
                answers[asks(url)] += 1
            except Unanswered as error:
                answers[str(error)] += 1
            if sum(answers.values()) == 3 and not any(_is_commit(each) for each in answers):
                break  # it does not answer: not worth twenty time-outs
        if set(answers) == {commit} or clock.seconds() - begun >= AGREE_SECONDS:
            break
        clock.sleep(PAUSE_SECONDS)
    return _judged(region, url, answers, groups, behind, environment)


def _judged(region: str, url: str, answers: Mapping[str, int], groups: tuple[str, ...], behind: tuple[str, ...], environment: Environment) -> Region:
    """An endpoint that lets nobody in from here (an internal one, or by its addresses) is not asked; one that answers with errors is."""
    unreachable = all(text.startswith("no answer") for text in answers)
    if unreachable:
        note = f"{next(iter(answers), 'no answer')} from here at {url} (Scheme, IngressCidr); ask from where callers are"
        return Region(region, url, {}, False, note, groups, behind)
    return Region(region, url, dict(answers), True, "", groups, behind)


def _instances(aws: Aws, region: str, stack: stacks.Stack) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What CodeDeploy says of each group's instances, and of those that its last deployment did not reach."""
    lines, behind = [], []
    for scope, application, name in prerequisites.deployment_groups(stack):
        try:
            group = running.group(aws, region, scope, application, name, running.Bundles())
        except (ClientError, BotoCoreError) as error:
            lines.append(f"{region}/{scope}: CodeDeploy was not asked: {_why(error)}")
            continue
        well = sum(instance.status == "Succeeded" for instance in group.instances)
        lines.append(f"{region}/{scope}: CodeDeploy's {group.deployment_id or 'deployment'} Succeeded on {well} of {len(group.instances)} instances")
        behind += [f"{instance.id} ({region}/{scope}) is {instance.status}" for instance in group.instances if instance.status != "Succeeded"]
    return tuple(lines), tuple(behind)


def _why(error: BaseException) -> str:
    known = explain(error)
    return f"{known.what}: {known.reason}".rstrip(": ") if known else str(error)
