"""What each command does: DownloadBundle, Install, and the lifecycle events with hooks.

Source: command_executor.rb of https://github.com/aws/aws-codedeploy-agent. Before/AfterBlockTraffic and ApplicationStop run from the last
installed bundle; the pointer to it moves at the end of Install.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from . import appspec, hooks, install

ROOT = Path("/opt/codedeploy-agent/deployment-root")
FROM_LAST_INSTALLED = ("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop")
EVENTS = (*FROM_LAST_INSTALLED, "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService", "BeforeAllowTraffic",
          "AfterAllowTraffic")
ARCHIVES_KEPT = 5


class CommandError(Exception):
    """A command failed outside of a script (code 5)."""


@dataclass(frozen=True)
class Specification:
    """A deployment's specification, as the command service gives it."""

    deployment_id: str
    group_id: str
    group_name: str
    application: str
    bucket: str
    key: str
    bundle_type: str
    version: str | None
    etag: str | None
    appspec: str
    behavior: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that hooks get beside LIFECYCLE_EVENT."""
        variables = {"DEPLOYMENT_ID": self.deployment_id, "APPLICATION_NAME": self.application, "DEPLOYMENT_GROUP_NAME": self.group_name,
                     "DEPLOYMENT_GROUP_ID": self.group_id, "BUNDLE_BUCKET": self.bucket, "BUNDLE_KEY": self.key,
                     "BUNDLE_VERSION": self.version, "BUNDLE_ETAG": self.etag}
        return {name: value for name, value in variables.items() if value}


def read_specification(envelope: dict[str, str]) -> Specification:
    """Return the specification in an envelope {Format: "PKCS7/JSON", Payload: PEM} (the signer is not checked). Raises CommandError."""
    if envelope.get("Format") != "PKCS7/JSON":
        raise CommandError(f"Unsupported DeploymentSpecification format: {envelope.get('Format')}")
    opened = subprocess.run(["openssl", "smime", "-verify", "-noverify", "-inform", "PEM"], input=envelope["Payload"].encode(),
                            capture_output=True, check=False)
    if opened.returncode != 0:
        raise CommandError(f"Validation of PKCS7 signed message failed: {opened.stderr.decode(errors='replace').strip()}")
    return specification(json.loads(opened.stdout))


def specification(data: dict[str, Any]) -> Specification:
    """Return the specification in decoded JSON. Raises CommandError."""
    revision = data.get("Revision") or {}
    if revision.get("RevisionType") != "S3":
        raise CommandError("Exactly one of S3Revision, GitHubRevision, or LocalRevision must be specified; this agent takes S3 only")
    source = revision["S3Revision"]
    if source["BundleType"] not in ("tar", "tgz", "zip"):
        raise CommandError("BundleType must be one of tar, tgz, or zip")
    overrides = (data.get("AgentActionOverrides") or {}).get("AgentOverrides") or {}
    return Specification(
        data["DeploymentId"], data["DeploymentGroupId"], data.get("DeploymentGroupName", ""), data.get("ApplicationName", ""),
        source["Bucket"], source["Key"], source["BundleType"], source.get("Version"), (source.get("ETag") or "").strip('"') or None,
        data.get("AppSpecFilename") or "appspec.yml", overrides.get("FileExistsBehavior") or "DISALLOW")


class Downloader(Protocol):
    """What fetches bundles (signing.Caller does)."""

    def download(self, bucket: str, key: str, version: str | None, target: IO[bytes]) -> str:
        """Write an S3 object into `target`; return its ETag."""
        ...


class Executor:
    """Runs commands below one deployment root; `say` writes the agent's log."""

    def __init__(self, downloader: Downloader, root: Path = ROOT, say: Callable[[str], None] = lambda _: None) -> None:
        self._downloader, self._root, self._say = downloader, root, say
        self._instructions = root / "deployment-instructions"

    def is_noop(self, command: str, spec: Specification) -> bool:
        """Return whether a command has no script to run. Raises AppSpecError (then AWS's agent fails without acknowledging)."""
        if command in ("DownloadBundle", "Install"):
            return False
        return not self._scripts(command, spec)[1]

    def run(self, command: str, spec: Specification) -> str:
        """Run a command and return the log's tail ('' for those without scripts).

        Raises ScriptError for a failed script; CommandError, AppSpecError, InstallError, OSError and AwsError for the rest (code 5).
        """
        if command == "DownloadBundle":
            self._download(spec)
            return ""
        if command == "Install":
            archive = self._folder(spec) / "deployment-archive"
            install.install(spec.group_id, archive, self._instructions, appspec.load(archive, spec.appspec), spec.behavior)
            self._point("last_successful_install", spec)
            return ""
        if command not in EVENTS:
            raise CommandError(f"Unsupported command type: {command}.")
        folder, scripts = self._scripts(command, spec)
        if not scripts:
            return ""
        return hooks.run_hook(command, scripts, folder / "deployment-archive", folder / "logs" / "scripts.log", spec.environment)

    def _folder(self, spec: Specification) -> Path:
        return self._root / spec.group_id / spec.deployment_id

    def _scripts(self, command: str, spec: Specification) -> tuple[Path, tuple[appspec.Script, ...]]:
        """Return the deployment folder from which a command's scripts run, and the scripts."""
        folder: Path | None = self._folder(spec)
        if command in FROM_LAST_INSTALLED:
            folder = self._last(spec.group_id)
        if folder is None or command not in EVENTS:
            return self._folder(spec), ()
        return folder, appspec.load(folder / "deployment-archive", spec.appspec).hooks.get(command, ())

    def _last(self, group_id: str) -> Path | None:
        """Return the folder of the last installed deployment of a group, None if there is none."""
        pointer = self._instructions / f"{group_id}_last_successful_install"
        folder = Path(pointer.read_text(encoding="utf-8").strip()) if pointer.exists() else None
        return folder if folder is not None and folder.exists() else None

    def _point(self, name: str, spec: Specification) -> None:
        self._instructions.mkdir(parents=True, exist_ok=True)
        (self._instructions / f"{spec.group_id}_{name}").write_text(str(self._folder(spec)), encoding="utf-8")

    def _download(self, spec: Specification) -> None:
        self._drop_old_archives(spec.group_id)
        folder = self._folder(spec)
        folder.mkdir(parents=True, exist_ok=True)
        bundle, archive = folder / "bundle.tar", folder / "deployment-archive"
        with bundle.open("wb") as target:
            etag = self._downloader.download(spec.bucket, spec.key, spec.version, target)
        if spec.etag and etag != spec.etag:
            raise CommandError(f"Expected deployment artifact bundle etag {spec.etag} but was actually {etag}")
        self._say(f"Downloaded s3://{spec.bucket}/{spec.key} ({bundle.stat().st_size} bytes) to {bundle}")
        shutil.rmtree(archive, ignore_errors=True)
        archive.mkdir()
        if spec.bundle_type == "zip":
            unzipped = subprocess.run(["unzip", "-qo", str(bundle), "-d", str(archive)], capture_output=True, text=True, check=False)
            if unzipped.returncode not in (0, 1):  # 1 is a warning
                raise CommandError(f"Error extracting zip archive: {unzipped.stderr.strip() or unzipped.returncode}")
        else:
            unpacked = subprocess.run(["tar", "-xf", str(bundle), "-C", str(archive)], capture_output=True, text=True, check=False)
            if unpacked.returncode != 0:
                raise CommandError(f"Error extracting tar archive: {unpacked.stderr.strip()}")
        self._point("most_recent_install", spec)

    def _drop_old_archives(self, group_id: str) -> None:
        """Keep at most five deployments of a group with the one to come; the last installed is never removed."""
        folder = self._root / group_id
        if not folder.is_dir():
            return
        present = [path for path in folder.iterdir() if path.is_dir()]
        extra = len(present) - ARCHIVES_KEPT + 1
        removable = sorted((path for path in present if path != self._last(group_id)), key=lambda path: path.stat().st_ctime)
        for path in removable[:max(0, extra)]:
            shutil.rmtree(path, ignore_errors=True)
