"""Orders to the rollback function: the ledger is its alone, so a person's orders go through it, synchronously.

Orders are {"command", "environment", …}; each answer is {"ok", "error", …}. `describe` answers with the environment's record, its
deployment groups, the newest releases and the log; `plan` also with what a rollback would do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import accounts, roots, settings, stacks
from scripts.core.errors import CommandError, WrongUse, error_code
from scripts.core.session import Aws
from scripts.core.settings import Environment
from scripts.core.world import World

_DEPLOY = "make deploy ENV=pipeline"
_FEWEST_DIGITS, _ALL_DIGITS = 7, 40


@dataclass(frozen=True)
class Control:
    """The rollback function of a pipeline, for one environment; `by` is the caller's ARN, which goes into the record."""

    client: Any
    function: str
    environment: str
    by: str

    def send(self, command: str, **more: Any) -> dict[str, Any]:
        """Gives an order and returns the answer. CommandError when the function fails or refuses; its own words are the reason."""
        order = {"command": command, "environment": self.environment, **more}
        try:
            answer = self.client.invoke(FunctionName=self.function, InvocationType="RequestResponse", Payload=json.dumps(order).encode())
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            raise CommandError(f"there is no function {self.function}", "the stack names it, and it is gone", _DEPLOY) from error
        text = answer["Payload"].read().decode()
        if answer.get("FunctionError"):
            raise CommandError(f"the function {self.function} failed at {command}", _message(text), "its log group in CloudWatch Logs says where")
        return _answer(text, self.function, command, self.environment)

    def describe(self) -> dict[str, Any]:
        """How the environment stands."""
        return self.send("describe")

    def plan(self, to: str | None, force: bool) -> dict[str, Any] | None:
        """A description, and under `plan` what a rollback would do (functions/commands.py says what is in it); None: the deployed function cannot say yet."""
        try:
            return self.send("plan", to=to, force=force)
        except CommandError as error:
            if error.reason.startswith("unknown command"):
                return None
            raise


def _message(text: str) -> str:
    """What a function that raised left: {"errorMessage", "errorType", …}."""
    try:
        raised = json.loads(text)
        return f"{raised.get('errorType', 'error')}: {raised.get('errorMessage', '')}"
    except (ValueError, AttributeError):
        return text[:500]


def _answer(text: str, function: str, command: str, environment: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "ok" not in answer:
        raise CommandError(f"the function {function} gave no answer to {command}", text[:500], f"{_DEPLOY}: function and command may differ in age")
    if not answer["ok"]:
        raise CommandError(f"{command} of {environment} was refused", str(answer.get("error") or "no reason is given"))
    return answer


def require_reason(reason: str | None, example: str) -> str:
    """The reason, which is recorded. WrongUse when there is none."""
    if not reason or not reason.strip():
        raise WrongUse("a reason is missing", "it is recorded with who and when", f'{example} REASON="…"')
    return reason.strip()


def require_environment(root_of: World, name: str, local: bool) -> Environment:
    """An environment that releases go to. WrongUse for another, like the pipeline itself."""
    environment = settings.load(root_of.root, name, local)
    if environment.template != "environment":
        raise WrongUse(f"{name} is not an environment that releases go to", f"its template is {environment.template}", "name one like ENV=prod")
    return environment


def open_control(here: World, local: bool, environment: Environment) -> Control:
    """Finds the function by the pipeline stack's output and shows the target. CommandError when there is no such stack yet."""
    if roots.PIPELINE not in settings.names(here.root):
        raise WrongUse("there is no pipeline", f"parameters/{roots.PIPELINE}.yaml is missing", "restore it")
    tools = settings.load(here.root, roots.PIPELINE, local)
    entered = accounts.open_accounts(here.open_aws(local, here.environ), tools.regions[:1], [tools])
    here.console.line(entered.target.line)
    return of_pipeline(entered.of(tools), tools, environment.name, entered.target.caller)


def of_pipeline(aws: Aws, tools: Environment, environment: str, by: str) -> Control:
    """The function of the deployed pipeline; `aws` acts in the tools account."""
    region = tools.regions[0]
    stack = stacks.find(aws.client("cloudformation", region), tools.stack_name)
    function = stacks.output(stack, tools.stack_name, "RollbackFunctionName", region, _DEPLOY)
    return Control(aws.client("lambda", region), function, environment, by)


def find_release(described: Mapping[str, Any], text: str, name: str) -> str:
    """The commit of the release that `text` begins, of those that the ledger knows; a whole one is left for the function to judge.

    WrongUse when it is no commit, too short, of none or of several releases. `name` is what the caller calls it (TO, RELEASE).
    """
    wanted = text.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{_FEWEST_DIGITS},{_ALL_DIGITS}}}", wanted):
        form = f"write at least {_FEWEST_DIGITS} of the commit's hexadecimal digits"
        raise WrongUse(f"{name}={text} is not a commit", form, "git log, or make status, lists commits")
    known = known_commits(described)
    found = [commit for commit in known if commit.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise WrongUse(f"{name}={text} begins several releases", ", ".join(found), "write more digits")
    if len(wanted) == _ALL_DIGITS:
        return wanted
    newest = ", ".join(commit[:12] for commit in known[:10]) or "none yet"
    raise WrongUse(f"{name}={text}: there is no such release", f"known, newest first: {newest}", f"name one of these, or write all {_ALL_DIGITS} digits")


def known_commits(described: Mapping[str, Any]) -> list[str]:
    """Every release that a description speaks of: the newest first, then what is or was good, then what runs."""
    record = described.get("record") or {}
    commits = [release.get("commit") for release in described.get("releases") or ()]
    commits += [record.get("desired"), record.get("last_good"), *(record.get("goods") or ())]
    commits += [group.get("running") for group in described.get("groups") or ()]
    return list(dict.fromkeys(str(commit) for commit in commits if commit))
