"""What the causes about builds look at: builds that failed, the phase in which they did, and what was said in it. Pure.

Source: https://docs.aws.amazon.com/codebuild/latest/userguide/view-build-details-phases.html (phases), and the log lines as CodeBuild writes them:
https://github.com/aws-samples/mlops-e2e/issues/68, https://github.com/acantril/learn-cantrill-io-labs/issues/155.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scripts.diagnosis.case import Build, Case, Phase
from scripts.diagnosis.judge import Document, Match

TROUBLESHOOTING = Document("Troubleshooting AWS CodeBuild", "https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html")
COMMAND_PHASES = ("INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD")
NOT_AUTHORIZED = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)(?: on resource:? (\S+))?")
"""The permission that is missing, and on what."""
_CONTAINER = re.compile(r"^\[Container\] \S+ \S+ ")
_ENDED = ("FAILED", "FAULT", "TIMED_OUT", "STOPPED")


@dataclass(frozen=True)
class Sign:
    """A line (of the failed phase's message, or of its output) that says why."""

    build: Build
    phase: Phase
    line: str
    groups: tuple[str, ...]


def failed(case: Case) -> list[tuple[Build, Phase]]:
    """Builds that did not succeed with the phase that ended them, the one that began first first."""
    found = [(build, phase) for build in case.builds if build.status in _ENDED and (phase := build.failed_phase) is not None]
    return sorted(found, key=lambda one: one[0].started or 0.0)


def sign(case: Case, pattern: re.Pattern[str], phases: Collection[str] = COMMAND_PHASES, code: str = "") -> Sign | None:
    """The first line that matches, of the first build that failed in one of the phases (with this code, where one is given)."""
    for build, phase in failed(case):
        if phase.name in phases and code in ("", phase.code):
            for line in (phase.message, *output(build)):
                if match := pattern.search(line):
                    return Sign(build, phase, line, tuple(group or "" for group in match.groups()))
    return None


def coded(case: Case, *codes: str) -> Sign | None:
    """The first failed phase with one of these status codes."""
    return next((Sign(build, phase, phase.message, ()) for build, phase in failed(case) if phase.code in codes), None)


def output(build: Build) -> list[str]:
    """What was written in the failed phase, without CodeBuild's own lines about phases. A later phase's lines do not belong to the failure."""
    phase = build.failed_phase
    name = phase.name if phase else ""
    found: list[str] = []
    for line in build.log:
        own = _CONTAINER.match(line)
        text = line[own.end():] if own else line
        if own and text.startswith(f"Phase complete: {name} "):
            break
        if own and text.startswith("Entering phase "):
            found = []
        elif not own or text.startswith("Running command "):
            found.append(text)
    return found


def facts(build: Build, line: str = "", most: int = 8) -> tuple[str, ...]:
    """How the build ended, and its output around a line of it (its end without one)."""
    phase = build.failed_phase
    ended = f"{build.id}: {build.status}"
    if phase:
        said = ": ".join(part for part in (phase.code, phase.message) if part)
        ended = f"{build.id}: {phase.name} {phase.status} after {phase.seconds:.0f} s" + (f": {said}" if said else "")
    lines = output(build)
    end = lines.index(line) + 3 if line in lines else len(lines)
    shown = lines[max(0, end - most):end] if phase and phase.name in COMMAND_PHASES else []
    return (ended, *shown, *([build.log_note] if build.log_note and not shown else []))


def where(build: Build) -> str:
    """`<Region>/<project>`."""
    return f"{build.region}/{build.project}"


def moment(build: Build) -> float | None:
    """When the failed phase ended."""
    if build.started is None:
        return build.ended
    passed = build.started
    for phase in build.phases:
        passed += phase.seconds
        if phase is build.failed_phase:
            return passed
    return build.ended


def match(found: Sign, title: str, fix: tuple[str, ...], certainty: str = "certain", extra: tuple[str, ...] = ()) -> Match:
    """The cause's match, with the build's facts as evidence and `extra` before them."""
    build = found.build
    return Match(certainty, where(build), (*extra, *facts(build, found.line)), fix, moment(build), title)


def cleared(case: Case, phases: Collection[str], said: str) -> str | None:
    """`said`, where a build failed and all of these phases succeeded in every build that did."""
    builds = [build for build, _ in failed(case)]
    fine = all({phase.name for phase in build.phases if phase.status == "SUCCEEDED"}.issuperset(phases) for build in builds)
    return said if builds and fine else None


def commands(case: Case) -> Iterator[tuple[Build, Phase]]:
    """Builds that ended with a command of the buildspec."""
    return ((build, phase) for build, phase in failed(case) if phase.code == "COMMAND_EXECUTION_ERROR")
