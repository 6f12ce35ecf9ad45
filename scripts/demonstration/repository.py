"""The adopter's repository as the demonstration plays it: what a release is built from, committed and pushed with plain git."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

CONTENT = ("app", "appspecs", "buildspecs")
"""Folders of this project that a release is built from."""

_AUTHOR = ["-c", "user.name=Demonstration", "-c", "user.email=demonstration@example.com", "-c", "commit.gpgsign=false"]


class Repository:
    """A working copy in `folder` whose remote `origin` is `remote` (a path or a URL)."""

    def __init__(self, folder: Path, remote: str, branch: str = "main") -> None:
        self.folder, self.remote, self.branch = folder, remote, branch

    def begin(self, source: Path) -> None:
        """Start over from the project at `source`; what the remote's branch already has stays its history."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch", self.branch)
        self._git("remote", "add", "origin", self.remote)
        if self._git("ls-remote", "origin", self.branch):
            self._git("fetch", "--quiet", "origin", self.branch)
            self._git("reset", "--quiet", "--mixed", "FETCH_HEAD")
        for name in CONTENT:
            shutil.copytree(source / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))

    def write(self, path: str, text: str) -> None:
        """Replace one file of the working copy."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def behave(self, **switches: Any) -> None:
        """Set the sample service's switches (app/behaviour.json); those not named are off. Raises KeyError for one that it does not have."""
        there = json.loads((self.folder / "app" / "behaviour.json").read_text(encoding="utf-8"))
        unknown = switches.keys() - there.keys()
        if unknown:
            raise KeyError(f"app/behaviour.json has no {', '.join(sorted(unknown))}")
        self.write("app/behaviour.json", json.dumps({name: off(value) for name, value in there.items()} | switches, indent=2) + "\n")

    def push(self, message: str) -> str:
        """Commit everything, push it, and return the commit."""
        self._git("add", "--all")
        self._git(*_AUTHOR, "commit", "--quiet", "--allow-empty", "--message", message)
        self._git("push", "--quiet", "origin", f"HEAD:{self.branch}")
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.folder), *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout.strip()


def off(value: Any) -> Any:
    """A switch that does nothing, of the kind that `value` is: false, 0, or null for a name."""
    if isinstance(value, bool):
        return False
    return 0 if isinstance(value, (int, float)) else None
