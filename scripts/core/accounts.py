"""Several accounts in one command: the caller's own as it is, another by the role that its parameters file names.

Every account that is acted in is checked: what AWS says about the credentials must be what the file says, or nothing is done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from botocore.exceptions import ClientError

from scripts.core import session
from scripts.core.errors import CommandError, WrongUse, error_code
from scripts.core.session import Aws, Target
from scripts.core.settings import Environment


class Accounts:
    """Gives each environment the clients of its account; safe from several threads.

    With `deploying` they are those of the account's deployer, where the environment's file says that there is one. `target` is what a
    command shows; who it was that came in, before any role was assumed, is `identity`.
    """

    def __init__(self, aws: Aws, target: Target, deploying: bool = False) -> None:
        self.caller, self.identity, self.target, self.deploying = aws, target, target, deploying
        self._assumed: dict[tuple[str, ...], Aws] = {}
        self._lock = threading.Lock()

    def of(self, environment: Environment) -> Aws:
        """Clients for the environment's account. WrongUse when the caller is of another and the file names no role, or the wrong one."""
        roles = self.way(environment)
        if not roles and environment.account != self.identity.account:
            session.require_account(self.identity, environment.account, environment.file)
        if not roles:
            return self.caller
        with self._lock:
            if roles not in self._assumed:
                self._assumed[roles] = self._assume(environment, roles)
            return self._assumed[roles]

    def reaches(self, environment: Environment) -> bool:
        """True when there is a way into the environment's account, as far as the files say."""
        return environment.account == self.identity.account or bool(self.way(environment))

    def way(self, environment: Environment) -> tuple[str, ...]:
        """The roles that are assumed one by the other: the one that leads into another account, then its deployer."""
        away = environment.account != self.identity.account
        roles = [environment.role] if away and environment.role else []
        _, partition, *_ = self.identity.caller.split(":")
        is_deployer = f"{environment.account}:assumed-role/{environment.deployer_role}/" in self.identity.caller
        if self.deploying and environment.deployer and not is_deployer:
            roles.append(f"arn:{partition}:iam::{environment.account}:role/{environment.deployer_role}")
        return tuple(roles)

    def _assume(self, environment: Environment, roles: tuple[str, ...]) -> Aws:
        region, aws = environment.regions[0], self.caller
        for role in roles:
            aws = aws.assume(role, region)
        try:
            account = str(aws.client("sts", region).get_caller_identity()["Account"])
        except ClientError as error:
            if not roles[-1].endswith(f"/{environment.deployer_role}") or "AccessDenied" not in error_code(error):
                raise
            reason = error.response["Error"].get("Message", "")
            step = f"make deployer ENV={environment.name} makes it, or says whom it trusts; or take deployer: out of {environment.file}"
            raise CommandError(f"the deployer {roles[-1]} could not be assumed", reason, step) from error
        if account != environment.account:
            raise WrongUse(
                f"the role {roles[-1]} acts in account {account}, not {environment.account}",
                f"{environment.file} says account: {environment.account}",
                "correct role: or account: in the file",
            )
        return aws


def open_accounts(aws: Aws, regions: Iterable[str], environments: Iterable[Environment], deploying: bool = False) -> Accounts:
    """Asks who is calling; the target's line names the Regions, and each other account that the environments are in and how it is entered.

    With `deploying` the caller is the deployer of its account, where there is one.
    """
    involved = list({environment.name: environment for environment in environments}.values())
    regions = tuple(dict.fromkeys(regions))
    target = session.identify(aws, regions)
    entered = Accounts(aws, target, deploying)
    own = [environment for environment in involved if environment.account == target.account and entered.way(environment)]
    if own:
        target = session.identify(entered.of(own[0]), regions)
    lines = [target.line]
    for account in dict.fromkeys(environment.account for environment in involved):
        of_it = [environment for environment in involved if environment.account == account]
        if account != target.account:
            role = next((way[-1] for environment in of_it if (way := entered.way(environment))), "")
            how = f"as {role}" if role else "and its file names no role to enter it by"
            lines.append(f"        account {account} ({', '.join(environment.name for environment in of_it)}) {how}")
    entered.target = replace(target, line="\n".join(lines))
    return entered
