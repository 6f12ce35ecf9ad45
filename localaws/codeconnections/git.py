"""The bare git repositories that stand behind a connection: what a code provider would keep."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9._-]+){1,3}")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The object id that git itself gives the tree without files; what a branch's first commit is compared with."""


class GitError(Exception):
    """git refused; the message is its own last line."""


@dataclass(frozen=True)
class Commit:
    """A commit: its id, message, author's name and address, author date (ISO 8601)."""

    id: str
    message: str
    author: str
    email: str
    date: str


class Repositories:
    """Every bare repository under one folder, `<root>/<owner>/<name>.git`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, full_name: str) -> Path:
        """Return where `owner/name` lies, whether it is there or not; ValueError for a name that is none."""
        if not FULL_NAME.fullmatch(full_name) or any(set(part) <= {"."} for part in full_name.split("/")):
            raise ValueError(f"{full_name!r} is not the full name of a repository (owner/name)")
        return self.root / f"{full_name}.git"

    def exists(self, full_name: str) -> bool:
        """Say whether the repository is there."""
        return (self.path(full_name) / "HEAD").is_file()

    def create(self, full_name: str) -> Path:
        """Make the repository (default branch main) unless it is there, and return its path."""
        path = self.path(full_name)
        if not self.exists(full_name):
            path.parent.mkdir(parents=True, exist_ok=True)
            _git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        return path

    def all(self) -> list[str]:
        """The full names of all repositories."""
        found = []
        for folder, below, _ in os.walk(self.root):
            found += [str(Path(folder, name).relative_to(self.root))[: -len(".git")] for name in below
                      if name.endswith(".git") and Path(folder, name, "HEAD").is_file()]
            below[:] = [name for name in below if not name.endswith(".git")]  # inside, a push makes and removes folders of its own
        return sorted(found)

    def fingerprint(self, full_name: str) -> str:
        """A cheap mark that changes whenever a ref does, without starting git: names and times of the ref files."""
        path = self.path(full_name)
        files = [path / "packed-refs", *sorted((path / "refs").rglob("*"))]
        return "|".join(f"{file.name}:{file.stat().st_mtime_ns}" for file in files if file.exists())

    def heads(self, full_name: str) -> dict[str, str]:
        """Commit id by branch."""
        lines = _git("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads",
                     folder=self.path(full_name)).splitlines()
        return {branch: commit for commit, branch in (line.split(" ", 1) for line in lines)}

    def commit(self, full_name: str, revision: str) -> Commit | None:
        """The commit that a branch or commit id names, or None."""
        try:
            text = _git("log", "-1", "--format=%H%x00%B%x00%an%x00%ae%x00%aI", "--end-of-options", revision,
                        folder=self.path(full_name))
        except GitError:
            return None
        commit, message, author, email, date = text.rstrip("\n").split("\0")
        return Commit(commit, message.strip(), author, email, date)

    def changed(self, full_name: str, before: str | None, after: str) -> list[str]:
        """The files that differ between two commits; every file of `after` where there was no commit before."""
        try:
            text = _git("diff", "--name-only", "-z", before or EMPTY_TREE, after, folder=self.path(full_name))
        except GitError:
            text = _git("diff", "--name-only", "-z", EMPTY_TREE, after, folder=self.path(full_name))
        return [name for name in text.split("\0") if name]

    def archive(self, full_name: str, commit: str) -> bytes:
        """The files of a commit as a zip."""
        return _run("archive", "--format=zip", commit, folder=self.path(full_name))


def _run(*arguments: str, folder: Path | None = None) -> bytes:
    command = ["git", *(["--git-dir", str(folder)] if folder else []), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitError(lines[-1] if lines else f"git {arguments[0]} ended with {done.returncode}")
    return done.stdout


def _git(*arguments: str, folder: Path | None = None) -> str:
    return _run(*arguments, folder=folder).decode(errors="replace")
