"""What the service is told from outside: settings from the environment, and which release it is from the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the service listens. `port` is 1..65535, `health_path` begins with a slash."""

    port: int = 8080
    health_path: str = "/health"

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> Settings:
        """Read PORT and HEALTH_PATH. Raises ValueError, naming the variable and its value, when one is unusable."""
        port = environment.get("PORT", "8080")
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ValueError(f"PORT is '{port}'; it must be a number from 1 to 65535")
        health_path = environment.get("HEALTH_PATH", "/health")
        if not health_path.startswith("/") or "?" in health_path:
            raise ValueError(f"HEALTH_PATH is '{health_path}'; it must be a path that begins with '/'")
        return Settings(int(port), health_path)


@dataclass(frozen=True)
class Release:
    """Which release this image is: the service's name and the commit it was built from."""

    service: str
    commit: str


def read_release(path: Path) -> Release:
    """Read what `docker build` baked in, `{"service", "commit"}`. Without the file (a run from the tree): 'sample', 'unreleased'.

    A file, not environment variables, so that no setting on a host can make an image claim another commit.
    """
    if not path.exists():
        return Release("sample", "unreleased")
    content = json.loads(path.read_text(encoding="utf-8"))
    return Release(content["service"], content["commit"])
