"""What failed on the instances of a deployment: each failed lifecycle event with the one kind of failure that it shows. Pure.

An event has one kind, so that of all causes over events only one explains it. Kinds are told by CodeDeploy's codes first, then by words that AWS,
Docker, the AWS CLI or the hooks of appspecs/image write; the sources are in the causes of scripts/causes/ that ask for them. The agent was written
in Ruby up to 1.8 and is written in Rust since: where their words differ, both are here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scripts.diagnosis.case import Case, Deployment, Event, Target
from scripts.diagnosis.judge import Document

GUIDE = "https://docs.aws.amazon.com/codedeploy/latest/userguide/"
TROUBLE = Document("Troubleshoot EC2/On-Premises deployment issues", GUIDE + "troubleshooting-deployments.html")
INSTANCE_TROUBLE = Document("Troubleshoot instance issues", GUIDE + "troubleshooting-ec2-instances.html")
SCALING_TROUBLE = Document("Troubleshoot Amazon EC2 Auto Scaling issues", GUIDE + "troubleshooting-auto-scaling.html")
CODES = Document("Error codes for AWS CodeDeploy", GUIDE + "error-codes.html")
"""Some of the codes, with what to do. It does not have them all."""
ALL_CODES = Document("ErrorInformation: code", "https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html")
APPSPEC = Document("AppSpec file reference", GUIDE + "reference-appspec-file.html")
HEALTH = Document("Instance health", GUIDE + "instances-health.html")

FROM_LAST_INSTALLED = ("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop")
"""Events whose scripts are those of the revision that was installed before."""
GONE_STATES = ("shutting-down", "terminated", "gone")
GONE_WORDS = "was terminated during the deployment"
LOG_LINES = 12


@dataclass(frozen=True)
class Failure:
    """A failed event. `kind` is what it shows; `at` when it ended."""

    deployment: Deployment
    target: Target
    event: Event
    kind: str

    @property
    def where(self) -> str:
        return self.deployment.where

    @property
    def at(self) -> float:
        return self.event.ended or self.event.started or self.deployment.ended or self.deployment.created

    @property
    def line(self) -> str:
        """One line that says what failed where."""
        said = f": {self.event.message.strip()}" if self.event.message.strip() else ""
        return f"{self.deployment.id} on {self.target.id}: {self.event.name} failed{f' ({self.event.code})' if self.event.code else ''}{said}"

    @property
    def log(self) -> tuple[str, ...]:
        """The end of the script's log."""
        return tuple(line for line in self.event.log.splitlines() if line.strip())[-LOG_LINES:]

    @property
    def evidence(self) -> tuple[str, ...]:
        return (self.line, *self.log)


def failed(case: Case) -> tuple[Deployment, ...]:
    """The deployments of a case that did not (or do not yet) go well, oldest first."""
    return tuple(sorted((one for one in case.deployments if one.status != "Succeeded"), key=lambda one: one.created))


def failures(case: Case) -> list[Failure]:
    """Every failed event of every deployment that did not go well, in order of time, without those that were given up when the deployment ended."""
    found = [Failure(deployment, target, event, kind_of(deployment, target, event))
             for deployment in failed(case) for target in deployment.targets for event in target.events if event.status == "Failed"]
    return sorted((one for one in found if one.kind), key=lambda one: one.at)


def first(case: Case, *kinds: str) -> Failure | None:
    """The first failure of one of these kinds."""
    return next((one for one in failures(case) if one.kind in kinds), None)


def alike(case: Case, failure: Failure) -> str:
    """How many instances of its deployment failed in the same way, as a short sentence."""
    same = {one.target.id for one in failures(case) if one.kind == failure.kind and one.deployment is failure.deployment}
    total = failure.deployment.targets_total or len(failure.deployment.targets)
    return f"{len(same)} of {total} instances failed in this way"


def ended_with(case: Case, *codes: str) -> Deployment | None:
    """The first deployment that ended with one of these codes of errorInformation."""
    return next((one for one in failed(case) if one.code in codes), None)


def over_at(deployment: Deployment) -> float:
    """When a deployment ended, or began where it has not."""
    return deployment.ended or deployment.created


def silent(case: Case) -> list[tuple[Deployment, Target]]:
    """Targets whose agent ended no event at all, oldest deployment first."""
    return [(one, target) for one in failed(case) if one.platform == "Server" and one.status == "Failed" for target in one.targets if _silent(target)]


def _silent(target: Target) -> bool:
    if target.status not in ("Failed", "Unknown"):
        return False
    agents = [event for event in target.events if event.name not in ("BlockTraffic", "AllowTraffic")]
    return bool(agents) and all(event.status in ("Skipped", "Pending", "Unknown") or _never_received(event) for event in agents)


def answered(deployment: Deployment) -> int:
    """On how many instances the agent ran at least one event of a deployment."""
    return sum(1 for target in deployment.targets if any(
        event.name not in ("BlockTraffic", "AllowTraffic") and (event.status == "Succeeded" or (event.status == "Failed" and not _never_received(event)))
        for event in target.events))


def _never_received(event: Event) -> bool:
    """AWS's words for an agent that did not take an event up."""
    return event.status == "Failed" and not event.script and not event.log and "was not able to receive the lifecycle event" in event.message


def _says_nothing(event: Event) -> bool:
    """Whether neither the agent nor the service says how an event failed, so that no words can tell its kind."""
    silent = not f"{event.message}{event.log}".strip() and not event.script and not event.code.startswith("Script")
    return silent or _never_received(event)


def _ended(deployment: Deployment, target: Target) -> bool:
    """Whether EC2 has the instance no more, now: it may have ended after the event failed. Auto Scaling ends each host whose launch deployment failed."""
    return deployment.creator != "autoscaling" and target.instance is not None and target.instance.state in GONE_STATES


_DENIED = r"AccessDenied|Access Denied|is not authorized to perform|403 Forbidden|\b403\b|denied: User"
_WORDS: tuple[tuple[str, str], ...] = (
    # Whatever else a script says after it, this is why.
    ("disk-full", r"[Nn]o space left on device|ENOSPC|disk is \(or was\) full"),
    ("clock", r"Signature (expired|not yet current)|RequestTimeTooSkewed|difference between the request time and the current time is too large"),
    ("kms-denied", r"not authorized to perform:? kms:|KMSAccessDenied|KMS\.AccessDenied|kms:Decrypt.*(denied|not authorized)|AccessDenied.*ciphertext"),
    ("image-login", r"not authorized to perform:? ecr:GetAuthorizationToken|cannot log in to \S+\.dkr\.ecr\.|no basic auth credentials"),
    ("image-denied", r"pull access denied|not authorized to perform:? ecr:(BatchGetImage|GetDownloadUrlForLayer|BatchCheckLayerAvailability)"
                     r"|(manifests|blobs)/\S+: 403|denied: User"),
    ("image-missing", r"manifest unknown|manifest for \S+ not found|\S+@sha256:[0-9a-f]+: not found|RepositoryNotFoundException"
                      r"|repository with name '\S+' does not exist|requested image .* not found|this release has no image for"),
    ("image-architecture", r"exec format error|no matching manifest for linux/|does not match the (detected|specified) (host )?platform"),
    # Not a carriage return alone: an app's log may be full of them.
    ("line-ends", r"\^M|bad interpreter|(\r|\\r)['\"’]?: [^\r\n]*(not found|No such file)"),
    ("parameters-denied", r"not authorized to perform:? ssm:|cannot read the parameters under"),
    ("host-not-ready", r"this host's user data did not finish|Docker does not answer on this host|Cannot connect to the Docker daemon"),
    ("port-taken", r"port is already allocated|address already in use"),
    ("app-unhealthy", r"did not answer 200 within|/version did not answer within|does not answer 200"),
    ("app-died", r"the container of \S+ died"),
    ("app-other", r"answers as commit \S+, not|did not answer JSON with a commit|/version answered"),
)
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _WORDS)
_APPSPEC: tuple[tuple[str, str], ...] = (
    ("appspec-missing", r"did not find an AppSpec file|No such file or directory.*appspec\.ya?ml"),
    ("appspec-version", r"invalid version value"),
    ("appspec-malformed", r"application specification file|appspec\.ya?ml file contains unknown lifecycle events|doesn't exist in your appspec\.ya?ml"
                          r"|invalid YAML|YAML parsing error|Psych::|did not find expected|AppSpec file"),
)


def kind_of(deployment: Deployment, target: Target, event: Event) -> str:
    """What a failed event shows; "" for one that was only given up because the deployment was over."""
    told, text = f"{event.message}\n{event.log}", event.message
    if deployment.status == "Stopped" and event.code in ("UnknownError", "") and not event.script and (
            not text or text == deployment.message or (deployment.ended is not None and event.ended == deployment.ended)):
        return ""
    if deployment.message and text == deployment.message:
        return ""
    # ? What AWS says of an instance that is gone is documented nowhere; these words are the local AWS's.
    if GONE_WORDS in text or (_says_nothing(event) and _ended(deployment, target)):
        return "host-gone"
    if _never_received(event):
        return "silent"
    if event.name == "BlockTraffic":
        return "block"
    if event.name == "AllowTraffic":
        return "elb-instance" if "InvalidTarget" in text or "RegisterTargets" in text else "allow"
    if "after an agent restart" in text:
        return "agent-restarted"
    # On a host that has no revision yet no script is run: what fails there is the agent's own.
    if event.name in FROM_LAST_INSTALLED and (event.script or event.code.startswith("Script") or deployment.previous is not None):
        return "previous"
    if event.name == "DownloadBundle":
        return _download(told)
    if event.name == "Install" and "already exists at this location" in text:
        return "file-exists"
    if not event.script:
        for kind, pattern in _APPSPEC:
            # The words about one file are of Install's plan, not of the appspec itself.
            if re.search(pattern, text) and "already exists" not in text:
                return kind
    by_code = {"ScriptMissing": "script-missing", "ScriptNotExecutable": "script-not-executable"}.get(event.code)
    if by_code:
        return by_code
    if deployment.bundle and _windows(deployment.bundle.texts.get(event.script, "")) and (
            "\r" in told or re.search(r"failed with exit code 12[67]\b", text)):
        return "line-ends"  # some shells only say that it is not found
    words = next((kind for kind, pattern in _PATTERNS if pattern.search(told)), "")
    if words:
        return words
    if event.code == "ScriptTimedOut":
        return "script-timed-out"
    if re.search(r"failed to close STD(OUT|ERR)", text):
        return "script-left-open"
    return "script" if event.code == "ScriptFailed" else "event"


def _windows(script: str) -> bool:
    """Whether a script's first line, which names its interpreter, ends as lines do on Windows."""
    return script.startswith("#!") and script.partition("\n")[0].endswith("\r")


def _download(told: str) -> str:
    for kind in ("disk-full", "clock", "kms-denied"):
        if re.search(dict(_WORDS)[kind], told):
            return kind
    if re.search(r"NoSuchKey|NoSuchBucket|specified key does not exist|\b404\b|NoSuchVersion", told):
        return "revision-missing"
    if re.search(_DENIED, told):
        return "bundle-denied"
    # Not "zip" alone: S3's errors, as the agent tells them, name the object, which ends in .zip.
    if re.search(r"bundle etag|extracting|not opened for reading|unzip failed|tar failed \(exit|Zip::|[Zz]ip end of central|not a zip", told):
        return "bundle-broken"
    if re.search(r"does not answer|execution expired|[Tt]imeout|timed out|Failed to open TCP connection|getaddrinfo|Network is unreachable"
                 r"|dispatch failure|dns error|error trying to connect|[Cc]onnection refused", told):
        return "bundle-unreachable"
    return "event"


# Commands, with a failure's names filled in.

def look(failure: Failure) -> str:
    """What opens a shell on a failure's instance."""
    return look_at(failure.deployment.region, failure.target.id)


def look_at(region: str, instance: str) -> str:
    """What opens a shell on an instance, without SSH."""
    return f"aws ssm start-session --region {region} --target {instance}"


def replace_host(region: str, instance: str) -> str:
    """What has Auto Scaling replace an instance; the launch hook installs the last good release on the new one."""
    return (f"aws autoscaling terminate-instance-in-auto-scaling-group --region {region} --instance-id {instance} "
            "--no-should-decrement-desired-capacity")


def again(case: Case) -> str:
    """What releases the newest commit again."""
    return f"aws codepipeline start-pipeline-execution --name {case.service or '<pipeline>'}"


def permission_in(text: str) -> str:
    """The IAM action that a message says is missing, "" where it names none."""
    found = re.search(r"(?:not authorized to perform:?|permission to perform:?)\s+([a-z0-9-]+:[A-Za-z*]+)", text)
    return found.group(1) if found else ""


def healthy_needed(deployment: Deployment) -> tuple[int, int] | None:
    """(how many instances must stay healthy, of how many): percentages round up. None where that is not known."""
    total = deployment.targets_total or len(deployment.targets)
    if deployment.minimum is None or not total:
        return None
    kind, value = deployment.minimum
    if kind == "FLEET_PERCENT":
        return -(-total * value // 100), total
    return (max(0, total - value) if kind == "MOST_CONCURRENCY" else value), total


def clears_events(kinds: Iterable[str], sentence: Callable[[Deployment], str | None]) -> Callable[[Case], str | None]:
    """A `clears` for a cause over events: where a deployment has targets and none failed in one of these ways, `sentence` says why not."""
    wanted = frozenset(kinds)

    def clears(case: Case) -> str | None:
        if any(one.kind in wanted for one in failures(case)):
            return None
        said = [sentence(one) for one in failed(case) if one.platform == "Server" and one.targets]
        return next((one for one in said if one), None)

    return clears


def ran(*names: str) -> Callable[[Deployment], str | None]:
    """A sentence for `clears_events`: these events succeeded on so many instances; None where they did on none."""
    def sentence(deployment: Deployment) -> str | None:
        well = sum(1 for target in deployment.targets if {event.name for event in target.events if event.status == "Succeeded"} >= set(names))
        return f"{' and '.join(names)} succeeded on {well} of {len(deployment.targets)} instances of {deployment.id}" if well else None

    return sentence


def no_alarm_stopped(case: Case) -> str | None:
    """A `clears` for causes by alarm."""
    over = [one for one in failed(case) if one.code and one.code != "ALARM_ACTIVE" and one.settings and one.settings.alarms_enabled]
    return f"{over[0].id} ended with {over[0].code}, not ALARM_ACTIVE" if over else None
