"""Several accounts in one command: the caller's own as it is, another by the role that its parameters file names.

Every account that is acted in is checked: what AWS says about the credentials must be what the file says, or nothing is done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from scripts.core import session
from scripts.core.errors import WrongUse
from scripts.core.session import Aws, Target
from scripts.core.settings import Environment


class Accounts:
    """Gives each environment the clients of its account; safe from several threads."""

    def __init__(self, aws: Aws, target: Target) -> None:
        self.caller, self.target = aws, target
        self._assumed: dict[str, Aws] = {}
        self._lock = threading.Lock()

    def of(self, environment: Environment) -> Aws:
        """Clients for the environment's account. WrongUse when the caller is of another and the file names no role, or the wrong one."""
        if environment.account == self.target.account:
            return self.caller
        if not environment.role:
            session.require_account(self.target, environment.account, environment.file)
        with self._lock:
            if environment.role not in self._assumed:
                self._assumed[environment.role] = self._assume(environment)
            return self._assumed[environment.role]

    def reaches(self, environment: Environment) -> bool:
        """True when there is a way into the environment's account, as far as the files say."""
        return environment.account == self.target.account or bool(environment.role)

    def _assume(self, environment: Environment) -> Aws:
        region = environment.regions[0]
        aws = self.caller.assume(environment.role, region)
        account = str(aws.client("sts", region).get_caller_identity()["Account"])
        if account != environment.account:
            raise WrongUse(
                f"the role {environment.role} acts in account {account}, not {environment.account}",
                f"{environment.file} says account: {environment.account}",
                "correct role: or account: in the file",
            )
        return aws


def open_accounts(aws: Aws, regions: Iterable[str], environments: Iterable[Environment]) -> Accounts:
    """Asks who is calling; the target's line names the Regions, and each other account that the environments are in and how it is entered."""
    involved = list({environment.name: environment for environment in environments}.values())
    target = session.identify(aws, tuple(dict.fromkeys(regions)))
    lines = [target.line]
    for account in dict.fromkeys(environment.account for environment in involved):
        of_it = [environment for environment in involved if environment.account == account]
        if account != target.account:
            role = next((environment.role for environment in of_it if environment.role), "")
            how = f"as {role}" if role else "and its file names no role to enter it by"
            lines.append(f"        account {account} ({', '.join(environment.name for environment in of_it)}) {how}")
    return Accounts(aws, replace(target, line="\n".join(lines)))
