"""The Install command: remove what the last deployment copied, copy this one's files, set permissions.

Source: installer.rb and install_instruction.rb of https://github.com/aws/aws-codedeploy-agent.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .appspec import AppSpec, Permission


class InstallError(Exception):
    """The files cannot be installed; the message is AWS's where it has one."""


@dataclass(frozen=True)
class Step:
    """One step of a plan: `kind` is mkdir or copy."""

    kind: str
    target: str
    source: str = ""


def install(group_id: str, archive: Path, instructions: Path, spec: AppSpec, behavior: str) -> None:
    """Install an unpacked bundle.

    `behavior` (DISALLOW, OVERWRITE, RETAIN) applies where the AppSpec file says none. Raises InstallError, OSError.
    """
    instructions.mkdir(parents=True, exist_ok=True)
    cleanup = instructions / f"{group_id}-cleanup"
    if cleanup.exists():
        clean_up(cleanup.read_text(encoding="utf-8").splitlines())
        cleanup.unlink()
    steps = plan(archive, spec, spec.file_exists_behavior or behavior)
    (instructions / f"{group_id}-install.json").write_text(
        json.dumps({"instructions": [{"type": step.kind, "source": step.source, "destination": step.target} for step in steps]}),
        encoding="utf-8")
    with cleanup.open("w", encoding="utf-8") as record:
        for step in steps:
            # First the record: what a failure left half-copied is removed by the next deployment too.
            record.write(step.target + "\n")
            record.flush()
            if step.kind == "mkdir":
                os.mkdir(step.target)
            else:
                shutil.copy2(step.source, step.target)
    for permission in spec.permissions:
        apply_permission(permission)


def clean_up(paths: list[str]) -> None:
    """Remove the files and (empty) folders that an earlier Install made, last made first."""
    for name in reversed(paths):
        path = Path(name)
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def plan(archive: Path, spec: AppSpec, behavior: str) -> list[Step]:
    """Return the steps that install `spec`'s files, folders before what goes into them. Raises InstallError."""
    steps: list[Step] = []
    planned: set[str] = set()

    def folder(path: Path) -> None:
        if path.exists() or str(path) in planned:
            return
        folder(path.parent)
        planned.add(str(path))
        steps.append(Step("mkdir", str(path)))

    def copy(source: Path, target: Path) -> None:
        if str(target) in planned:
            raise InstallError(f"The deployment failed because the application specification file specifies to install two files at {target}")
        if target.exists() and behavior == "DISALLOW":
            raise InstallError(f"The deployment failed because a specified file already exists at this location: {target}")
        if target.exists() and behavior == "RETAIN":
            return
        folder(target.parent)
        planned.add(str(target))
        steps.append(Step("copy", str(target), str(source)))

    for entry in spec.files:
        source, destination = archive / entry.source.lstrip("/"), Path(entry.destination)
        if source.is_dir():
            folder(destination)
            for path in sorted(source.rglob("*")):
                target = destination / path.relative_to(source)
                folder(target) if path.is_dir() else copy(path, target)
        elif source.exists():
            copy(source, destination / source.name)
        else:
            raise InstallError(f"No such file or directory - {source}")
    return steps


def apply_permission(permission: Permission) -> None:
    """Set owner, group and mode of what a permission names."""
    root = Path(permission.object)
    targets = [root] if root.is_file() else [root, *root.rglob("*")]
    for path in targets:
        name = path.name
        kind = "directory" if path.is_dir() else "file"
        if kind not in permission.types or (path != root and permission.pattern != "**" and not fnmatch.fnmatch(name, permission.pattern)):
            continue
        if path == root and path.is_dir() and permission.pattern != "**":
            continue
        if any(fnmatch.fnmatch(name, pattern) for pattern in permission.excepted):
            continue
        if permission.owner:
            shutil.chown(path, user=permission.owner)
        if permission.group:
            shutil.chown(path, group=permission.group)
        if permission.mode is not None:
            path.chmod(int(permission.mode, 8))
