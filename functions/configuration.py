"""What the functions are told by their environment variables. templates/pipeline/control.yaml sets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


class ConfigurationError(Exception):
    """A variable is missing or unreadable; the message names it and says who sets it."""


@dataclass(frozen=True)
class Place:
    """An environment in a Region, and the role that may look and act there."""

    environment: str
    region: str
    control_role_arn: str


@dataclass(frozen=True)
class Window:
    """When releases may enter: days (empty: every day), and hours in UTC (None: all day); `until` is not within, and may be before `since` (over midnight)."""

    days: tuple[str, ...] = ()
    hours: tuple[int, int] | None = None

    def open_at(self, now: float) -> bool:
        """Whether the window is open at an epoch time. Hours over midnight belong to the day on which they begin."""
        at = datetime.fromtimestamp(now, UTC)
        weekday = at.weekday()
        if self.hours is not None:
            since, until = self.hours
            if since <= until:
                if not since <= at.hour < until:
                    return False
            elif until <= at.hour < since:
                return False
            elif at.hour < until:
                weekday = (weekday - 1) % 7
        return not self.days or DAYS[weekday] in self.days

    def __str__(self) -> str:
        days = " ".join(self.days) or "every day"
        return days if self.hours is None else f"{days} {self.hours[0]:02d}-{self.hours[1]:02d} UTC"


@dataclass(frozen=True)
class Configuration:
    """The whole of it. `stages` are pairs (stage, environment) in the pipeline's order."""

    service: str
    pipeline: str
    ledger_table: str
    topic_arn: str
    stages: tuple[tuple[str, str], ...]
    places: tuple[Place, ...]
    blocks: frozenset[str]
    window: Window
    entry_stage: str

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments, in the pipeline's order."""
        return tuple(dict.fromkeys(environment for _, environment in self.stages))

    def stages_of(self, environment: str) -> tuple[str, ...]:
        """An environment's stages in order; the last one's gate makes a release last good."""
        return tuple(stage for stage, of in self.stages if of == environment)

    def places_of(self, environment: str) -> tuple[Place, ...]:
        """An environment's Regions."""
        return tuple(place for place in self.places if place.environment == environment)


def read(variables: Mapping[str, str]) -> Configuration:
    """Read environment variables (`os.environ`). Raises ConfigurationError."""
    places = tuple(_place(text) for text in _required(variables, "PLACES").split(";") if text.strip())
    stages = tuple(_stage(text) for text in _required(variables, "STAGES").split())
    for _, environment in stages:
        if not any(place.environment == environment for place in places):
            raise _error("PLACES", f"has no Region of {environment}, which STAGES names")
    entry = variables.get("ENTRY_STAGE", "")
    if entry and entry not in {stage for stage, _ in stages}:
        raise _error("ENTRY_STAGE", f"'{entry}' is not one of STAGES")
    return Configuration(
        service=_required(variables, "SERVICE"),
        pipeline=_required(variables, "PIPELINE"),
        ledger_table=_required(variables, "LEDGER_TABLE"),
        topic_arn=_required(variables, "TOPIC_ARN"),
        stages=stages,
        places=places,
        blocks=frozenset(variables.get("BLOCKS", "").replace(",", " ").split()),
        window=Window(_days(variables.get("WINDOW_DAYS", "")), _hours(variables.get("WINDOW_HOURS", ""))),
        entry_stage=entry,
    )


def _error(name: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"environment variable {name} {what}; templates/pipeline/control.yaml sets it: deploy the pipeline's stack again")


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name, "").strip()
    if not value:
        raise _error(name, "is not set")
    return value


def _place(text: str) -> Place:
    match text.split():
        case [environment, region, role]:
            return Place(environment, region, role)
    raise _error("PLACES", f"has '{text.strip()}', which is not '<environment> <Region> <control role ARN>'")


def _stage(text: str) -> tuple[str, str]:
    stage, _, environment = text.partition("=")
    if not stage or not environment:
        raise _error("STAGES", f"has '{text}', which is not '<stage>=<environment>'")
    return stage, environment


def _days(text: str) -> tuple[str, ...]:
    days = tuple(day.upper() for day in text.replace(",", " ").split())
    for day in days:
        if day not in DAYS:
            raise _error("WINDOW_DAYS", f"has '{day}', which is none of {' '.join(DAYS)}")
    return days


def _hours(text: str) -> tuple[int, int] | None:
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,2})-(\d{1,2})\s*", text)
    if not found or not (int(found[1]) <= 23 and int(found[2]) <= 24 and int(found[1]) != int(found[2])):
        raise _error("WINDOW_HOURS", f"'{text}' is not two different hours of a day, like 08-15")
    return int(found[1]), int(found[2])
