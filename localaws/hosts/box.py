"""A box: one container of the host image that another service works in (CodeBuild starts each build in one).

    box = aws.services["hosts"].start_box("codebuild-1234", {"CODEBUILD_BUILD_ID": "…"}, clients.credentials, docker=True)
    try:
        box.put(source_tar, "/codebuild/output/src")
        status = box.exec(["sh", "-c", "make"], env={"A": "1"}, cwd="/codebuild/output/src", on_output=log.append)
        artifacts = box.get("/codebuild/output/src/dist")
    finally:
        box.remove()

Inside: Debian's docker, python3, aws, git, curl, zip, unzip; AWS's real names over TLS (DNS and CA are set up); no other network.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from localaws.hosts import driver

REFRESH_BEFORE_SECONDS = 600.0
"""Credentials are renewed this long before they expire: SDKs ask again within the last five to ten minutes."""


class Box:
    """One running container; made by `Hosts.start_box`, ended by `remove` (safe to call twice, and after a failure).

    `container` is the docker SDK's object, `address` its IPv4 address on `aws.network`, `environment` what each `exec` gets.
    """

    def __init__(self, machine: driver.Machine, environment: dict[str, str], credentials: Callable[[], dict[str, Any]] | None,
                 now: Callable[[], float], forget: Callable[[str], None]) -> None:
        self.machine = machine
        self.container = machine.container
        self.address = machine.address
        self.environment = dict(environment)
        self._credentials, self._now, self._forget = credentials, now, forget
        self._expires = 0.0
        self._lock = threading.Lock()

    def exec(self, argv: list[str], env: dict[str, str] | None = None, cwd: str = "/",
             on_output: Callable[[str], None] | None = None, timeout: float | None = None) -> int:
        """Run `argv` as root and return its exit code.

        `env` is laid over the box's environment. `on_output` gets decoded text as it arrives (standard output and error
        together, pieces of any length, not lines). After `timeout` seconds the command's whole process group gets TERM, five
        seconds later KILL, and the code is 124. Raises docker.errors.APIError if the container is gone (`remove` was called).
        """
        self.refresh()
        return self.machine.exec(argv, {**self.environment, **(env or {})}, cwd, on_output, timeout)

    def put(self, tar_bytes: bytes, path: str) -> None:
        """Unpack a tar archive into the folder `path`, which is made if it is missing."""
        self.machine.put(tar_bytes, path)

    def get(self, path: str) -> bytes:
        """Return the file or folder `path` as a tar archive (names begin with the last part of `path`).

        Raises FileNotFoundError if there is none.
        """
        return self.machine.get(path)

    def refresh(self) -> None:
        """Renew the credentials that the box's endpoint serves, if they are about to expire.

        Called before each `exec` and by `Hosts` each minute while the box lives. Raises what `credentials` raises.
        """
        if self._credentials is None:
            return
        with self._lock:
            if self._expires - self._now() > REFRESH_BEFORE_SECONDS:
                return
            credentials = self._credentials()
            self._expires = float(credentials["Expiration"])
            self.machine.write("credentials.json", json.dumps(credentials))

    def remove(self) -> None:
        """Remove the container and its volume, with everything that runs in it."""
        self._forget(str(self.container.name))
        self.machine.remove()
