"""Clients, and where they point: an AWS account, or the local AWS and nothing else."""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, CredentialProvider, CredentialResolver, DeferredRefreshableCredentials
from botocore.exceptions import ClientError, NoCredentialsError

from scripts.core.errors import CommandError, WrongUse

_STANDARD = {"retries": {"mode": "standard", "max_attempts": 6}, "connect_timeout": 10, "read_timeout": 60}
# Our functions answer an order within their own limit of 120 s; asked a second time meanwhile, they would be given it twice.
# CodeConnections is not in every Region, and where it is not there is nothing to be patient with.
_BY_SERVICE = {
    "lambda": Config(read_timeout=150, retries={"mode": "standard", "total_max_attempts": 1}),
    "codeconnections": Config(retries={"mode": "standard", "total_max_attempts": 3}),
}
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# AWS::URLSuffix of each partition.
_DNS_SUFFIXES = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}


class Aws(Protocol):
    """Gives boto3 clients. `local` is true when everything goes to the local AWS."""

    local: bool
    endpoint: str | None

    def client(self, service: str, region: str) -> Any: ...

    def dns_suffix(self, region: str) -> str: ...

    def assume(self, role: str, region: str) -> Aws: ...


@dataclass(frozen=True)
class Target:
    """Whom the commands act on."""

    account: str
    alias: str | None
    caller: str
    regions: tuple[str, ...]
    line: str


class AwsSession:
    """The real thing: one client per service and Region, made once, safe from several threads."""

    def __init__(self, core: botocore.session.Session, local: bool, endpoint: str | None, config: Config) -> None:
        self.local, self.endpoint = local, endpoint
        self._core, self._session, self._config = core, boto3.Session(botocore_session=core), config
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region: str) -> Any:
        with self._lock:
            if (service, region) not in self._clients:
                # Only the local AWS is named to each client: otherwise botocore's own order of environment and profile holds.
                endpoint = self.endpoint if self.local else None
                config = self._config.merge(_BY_SERVICE[service]) if service in _BY_SERVICE else self._config
                self._clients[service, region] = self._session.client(service, region_name=region, endpoint_url=endpoint, config=config)
            return self._clients[service, region]

    def dns_suffix(self, region: str) -> str:
        partition = self._session.get_partition_for_region(region)
        if partition not in _DNS_SUFFIXES:
            raise CommandError(
                f"the partition {partition} of {region} is not known here",
                "its DNS suffix is needed for template URLs",
                "add it to scripts/core/session.py",
            )
        return _DNS_SUFFIXES[partition]


    def expires(self) -> datetime | None:
        """When the credentials end, as far as botocore knows: those of a role, and of AWS_CREDENTIAL_EXPIRATION. None for keys that stay."""
        found: datetime | None = getattr(self._core.get_credentials(), "_expiry_time", None)
        return found

    def assume(self, role: str, region: str) -> AwsSession:
        """The same, as `role` (sts:AssumeRole through `region`). Credentials are fetched when first needed and renewed before they end."""
        source = self._core.get_credentials()
        if source is None:
            raise NoCredentialsError()
        endpoint = self.endpoint if self.local else None
        make = partial(self._core.create_client, region_name=region, endpoint_url=endpoint, config=self._config)
        fetcher = AssumeRoleCredentialFetcher(make, source, role, extra_args={"RoleSessionName": "handsoff"})
        core = _local_core() if self.local else botocore.session.Session()
        core.register_component("credential_provider", CredentialResolver([_Assumed(fetcher)]))
        return AwsSession(core, self.local, self.endpoint, self._config)


class _Assumed(CredentialProvider):  # type: ignore[misc]
    """Gives a role's credentials to a session, and nothing else to fall back to."""

    METHOD = CANONICAL_NAME = "assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)


def is_loopback(url: str) -> bool:
    """True when the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_session(local: bool, environ: Mapping[str, str]) -> AwsSession:
    """The session to use. With `local` the user's profiles, configuration files and proxies are not read, so that nothing can leave."""
    endpoint = environ.get("AWS_ENDPOINT_URL") or None
    if not local:
        return AwsSession(botocore.session.Session(), False, endpoint, Config(**_STANDARD))
    _require_loopback(environ)
    missing = [name for name in _KEYS if not environ.get(name)]
    if missing:
        raise WrongUse(
            "the local AWS needs its own keys", f"{' and '.join(missing)} not set", 'run it by make … LOCAL=1, or: eval "$(make local-env)"'
        )
    core = _local_core()
    core.set_credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN"))
    # Path style: bucket names do not resolve under a loopback address. No proxies: a proxy would carry the call elsewhere.
    return AwsSession(core, True, endpoint, Config(**_STANDARD, s3={"addressing_style": "path"}, proxies={}))


def _local_core() -> botocore.session.Session:
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )


def _require_loopback(environ: Mapping[str, str]) -> None:
    endpoint = environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        raise WrongUse(
            "--local without a local AWS", "AWS_ENDPOINT_URL is not set", 'run it by make … LOCAL=1, or: eval "$(make local-env)"'
        )
    for name, value in environ.items():
        if name.startswith("AWS_ENDPOINT_URL") and value and not is_loopback(value):
            raise WrongUse(
                "--local, but calls would leave this machine",
                f"{name}={value} is not a loopback address",
                f"unset {name}; make local-env prints the right one",
            )


def identify(aws: Aws, regions: tuple[str, ...]) -> Target:
    """Asks who is calling (sts:GetCallerIdentity; iam:ListAccountAliases if allowed) and writes the line that names it."""
    identity = aws.client("sts", regions[0]).get_caller_identity()
    account, caller, where = str(identity["Account"]), str(identity["Arn"]), ", ".join(regions)
    if aws.local:
        return Target(
            account, None, caller, regions, f"Target: local AWS at {aws.endpoint} · account {account} · {where} · caller {caller}"
        )
    alias = _alias(aws, regions[0])
    shown = f"Target: account {account}" + (f" ({alias})" if alias else "") + f" · {where} · caller {caller}"
    if aws.endpoint:
        kind = "an endpoint on this machine, not AWS" if is_loopback(aws.endpoint) else "not AWS's own endpoints"
        shown += f"\n        through AWS_ENDPOINT_URL={aws.endpoint}: {kind}; parameters are those for AWS (LOCAL=1 takes the local ones)"
    return Target(account, alias, caller, regions, shown)


def _alias(aws: Aws, region: str) -> str | None:
    try:
        aliases = aws.client("iam", region).list_account_aliases()["AccountAliases"]
    except ClientError:
        return None  # A nicety: a caller that may not read it can still deploy.
    return aliases[0] if aliases else None


def require_account(target: Target, expected: str, file: str) -> None:
    """Refuses any account but the one that the parameters file names, whatever --yes says."""
    if target.account != expected:
        raise WrongUse(
            f"the caller's account is {target.account}, not {expected}",
            f"{file} says account: {expected}",
            "change AWS_PROFILE (or the keys) to that account, write a role: of it into the file, or correct the file if the environment has moved",
        )
