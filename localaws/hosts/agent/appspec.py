"""The application specification file (appspec.yml) of an EC2 deployment: read and checked as AWS's agent does.

Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html and application_specification/*.rb of
https://github.com/aws/aws-codedeploy-agent, whose messages these are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOOK_SECONDS = 3600
BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")


class AppSpecError(Exception):
    """The file is missing or invalid; the message is AWS's."""


@dataclass(frozen=True)
class Script:
    """One script of a hook: `location` below the bundle, `runas` a user or None, `timeout` in seconds."""

    location: str
    runas: str | None = None
    timeout: int = HOOK_SECONDS


@dataclass(frozen=True)
class File:
    """What Install copies: `source` below the bundle (file or folder) into the folder `destination`."""

    source: str
    destination: str


@dataclass(frozen=True)
class Permission:
    """What Install changes below `object`: owner, group and mode (octal text) of what matches."""

    object: str
    pattern: str = "**"
    excepted: tuple[str, ...] = ()
    types: tuple[str, ...] = ("file", "directory")
    owner: str | None = None
    group: str | None = None
    mode: str | None = None


@dataclass(frozen=True)
class AppSpec:
    """A parsed file. `hooks`: lifecycle event → scripts in order."""

    hooks: dict[str, tuple[Script, ...]] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    permissions: tuple[Permission, ...] = ()
    file_exists_behavior: str | None = None


def load(archive: Path, name: str = "appspec.yml") -> AppSpec:
    """Read the AppSpec file of an unpacked bundle. Raises AppSpecError."""
    path = archive / name
    if not path.exists() and name == "appspec.yml" and (archive / "appspec.yaml").exists():
        path = archive / "appspec.yaml"
    if not path.exists():
        raise AppSpecError(
            f'The CodeDeploy agent did not find an AppSpec file within the unpacked revision directory at revision-relative path "{name}". '
            f'The revision was unpacked to directory "{archive}", and the AppSpec file was expected but not found at path "{path}". Consult '
            "the AWS CodeDeploy Appspec documentation for more information at "
            "http://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html")
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> AppSpec:
    """Parse the text of an AppSpec file. Raises AppSpecError."""
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AppSpecError(f"The deployment failed because the application specification file was invalid YAML: {error}") from error
    if not isinstance(data, dict):
        raise AppSpecError("The deployment failed because the application specification file was empty. Make sure your AppSpec file "
                           "defines at minimum the 'version' and 'os' properties.")
    version = data.get("version")
    if isinstance(version, bool) or not isinstance(version, (int, float)) or version != 0:
        raise AppSpecError(f"The deployment failed because an invalid version value ({version}) was entered in the application "
                           'specification file. Make sure your AppSpec file specifies "0.0" as the version, and then try again.')
    if data.get("os") not in ("linux", "windows"):
        raise AppSpecError(f"The deployment failed because the application specification file specifies an unsupported operating system "
                           f"({data.get('os')}). Specify either \"linux\" or \"windows\" in the os section of the AppSpec file, and then "
                           "try again.")
    behavior = data.get("file_exists_behavior")
    if behavior is not None and behavior not in BEHAVIORS:
        raise AppSpecError(f"The deployment failed because an invalid option was specified for file_exists_behavior: {behavior}. Valid "
                           "options include OVERWRITE, RETAIN, and DISALLOW.")
    return AppSpec(_hooks(data.get("hooks") or {}), _files(data.get("files") or []), _permissions(data.get("permissions") or []), behavior)


def _hooks(data: dict[str, Any]) -> dict[str, tuple[Script, ...]]:
    hooks: dict[str, tuple[Script, ...]] = {}
    for event, scripts in data.items():
        found: list[Script] = []
        for entry in scripts or []:
            location = str((entry or {}).get("location") or "").strip()
            if not location:
                raise AppSpecError("The deployment failed because the application specification file specifies a script with no location "
                                   "value. Specify the location in the hooks section of the AppSpec file, and then try again.")
            timeout = entry.get("timeout", HOOK_SECONDS)
            if not str(timeout).isdigit() or int(timeout) <= 0:
                raise AppSpecError("The deployment failed because an invalid timeout value was provided for a script in the application "
                                   "specification file. Make corrections in the hooks section of the AppSpec file, and then try again.")
            runas = entry.get("runas")
            found.append(Script(location, None if runas is None else str(runas), int(timeout)))
        if sum(script.timeout for script in found if script.timeout != HOOK_SECONDS) > HOOK_SECONDS:
            raise AppSpecError(f"The deployment failed because the total timeout of the scripts of {event} is more than {HOOK_SECONDS} s.")
        hooks[str(event)] = tuple(found)
    return hooks


def _files(data: list[dict[str, Any]]) -> tuple[File, ...]:
    found = []
    for entry in data:
        source, destination = (entry or {}).get("source"), (entry or {}).get("destination")
        for value, what in ((source, "source"), (destination, "destination")):
            if not value:
                raise AppSpecError(f"The deployment failed because the application specification file specifies a file with no {what}. "
                                   "Update the files section of the AppSpec file, and then try again.")
        found.append(File(str(source), str(destination)))
    return tuple(found)


def _permissions(data: list[dict[str, Any]]) -> tuple[Permission, ...]:
    found = []
    for entry in data:
        if not entry.get("object"):
            raise AppSpecError("The deployment failed because a permission listed in the application specification file has no object "
                               "value. Update the permissions section of the AppSpec file, and then try again.")
        for unsupported in ("acls", "context"):
            if unsupported in entry:
                raise AppSpecError(f"permissions: {unsupported} is not played by the local AWS's agent (docs/local-aws.md, Hosts)")
        mode = entry.get("mode")
        if isinstance(mode, int):
            # YAML reads 0640 as octal; AWS's agent takes the number's decimal digits: 0640 → 416 → mode 0416.
            mode = str(mode)
        if mode is not None and (not mode.isdigit() or len(mode) > 4 or not set(mode) <= set("01234567")):
            raise AppSpecError(f"The deployment failed because the permissions section has an invalid mode ({mode}): modes must be one to "
                               "four octal digits.")
        found.append(Permission(str(entry["object"]), str(entry.get("pattern", "**")), tuple(map(str, entry.get("except") or ())),
                                tuple(map(str, entry.get("type") or ("file", "directory"))), entry.get("owner"), entry.get("group"), mode))
    return tuple(found)
