"""boto3 clients of this local AWS, one set per set of credentials.

Every service of ours calls the others through these, over the same wire and with the same signatures as anyone, so that IAM decides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import boto3
import botocore.config
import botocore.session

_CONFIG = botocore.config.Config(
    retries={"mode": "standard", "max_attempts": 2}, connect_timeout=5, read_timeout=120, max_pool_connections=32,
    s3={"addressing_style": "path"}, parameter_validation=True)


class SessionClients:
    """Clients that sign with one principal's credentials, renewed through `renew` before they expire.

    `renew()` returns {AccessKeyId, SecretAccessKey, Token (None for long-lived keys), Expiration (epoch seconds)}.
    """

    def __init__(self, account: str, endpoint: str, renew: Callable[[], dict[str, Any]], now: Callable[[], float]) -> None:
        self.account = account
        self._endpoint, self._renew, self._now = endpoint, renew, now
        self._lock = threading.RLock()
        self._current: dict[str, Any] = {}
        self._clients: dict[tuple[str, str], Any] = {}

    def credentials(self) -> dict[str, Any]:
        """Return the current credentials, fresh for five minutes at least."""
        with self._lock:
            if not self._current or self._current["Expiration"] - self._now() < 300:
                self._current = self._renew()
                self._clients.clear()
            return dict(self._current)

    def client(self, service: str, region: str) -> Any:
        """Return a boto3 client of `service` in `region`."""
        credentials = self.credentials()
        with self._lock:
            if (service, region) not in self._clients:
                with _SESSION_LOCK:  # a session makes its clients one at a time; the clients themselves are thread-safe
                    self._clients[service, region] = _session().client(
                        service, region_name=region, endpoint_url=self._endpoint, config=_CONFIG,
                        aws_access_key_id=credentials["AccessKeyId"], aws_secret_access_key=credentials["SecretAccessKey"],
                        aws_session_token=credentials["Token"])
            return self._clients[service, region]

    def environment(self, region: str) -> dict[str, str]:
        """Return AWS_* environment variables of these credentials for a process on this machine."""
        credentials = self.credentials()
        names = {"AWS_ACCESS_KEY_ID": credentials["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                 "AWS_SESSION_TOKEN": credentials["Token"] or "", "AWS_DEFAULT_REGION": region, "AWS_REGION": region,
                 "AWS_ENDPOINT_URL": self._endpoint}
        return {name: value for name, value in names.items() if value}


_SESSION: list[boto3.Session] = []
_SESSION_LOCK = threading.Lock()


def _session() -> boto3.Session:
    """One session for all clients: its loader caches the models, which are most of a client's cost."""
    if not _SESSION:
        core = botocore.session.Session()
        # The user's own configuration and credentials must not reach the local AWS's calls.
        core.set_config_variable("config_file", "/dev/null")
        core.set_config_variable("credentials_file", "/dev/null")
        _SESSION.append(boto3.Session(botocore_session=core))
    return _SESSION[0]
