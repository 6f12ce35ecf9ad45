"""How this release misbehaves, for demonstrations and tests. An adopter deletes this file, `behaviour.json` and their uses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

DAY = 86_400
MOST = {"fault_percent": 100, "latency_ms": 60_000, "fault_after_seconds": DAY, "cpu_percent": 100}
MOST.update({"unhealthy_after_seconds": DAY, "die_every_seconds": DAY})


@dataclass(frozen=True)
class Behaviour:
    """The switches of `behaviour.json`. A number of 0 is off.

    `fault_percent`: percent (0..100) of service requests answered 500. `latency_ms`: added to each service request.
    `fault_after_seconds`: both only from so long after the start. `wrong_greeting`: a caller that gives a name is greeted by
    another, with 200. `cpu_percent`: percent (0..100) of every processor that is burnt. `unhealthy_after_seconds`: health
    answers 500 from so long after the start. `die_every_seconds`: the process ends with 1 so long after its start.
    `crash_on_start`: the process ends with 1 before it listens. `fault_only_if_env`: all of these show only where the
    environment variable of this name is set and not empty; null means everywhere.
    """

    fault_percent: int = 0
    latency_ms: int = 0
    fault_after_seconds: int = 0
    wrong_greeting: bool = False
    cpu_percent: int = 0
    unhealthy_after_seconds: int = 0
    die_every_seconds: int = 0
    crash_on_start: bool = False
    fault_only_if_env: str | None = None

    @staticmethod
    def load(path: Path) -> Behaviour:
        """Read the switches. Raises ValueError naming the file and the key for an unknown key or a value of the wrong kind."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path.name} is not JSON: {error}") from error
        known = [field.name for field in fields(Behaviour)]
        for key in content:
            if key not in known:
                raise ValueError(f"{path.name} has the unknown key '{key}'; it knows {', '.join(known)}")
        behaviour = Behaviour(**content)
        for key, top in MOST.items():
            value = getattr(behaviour, key)
            if type(value) is not int or not 0 <= value <= top:
                raise ValueError(f"{path.name}: {key} is {value!r}; it must be a whole number from 0 to {top}")
        for key in ("crash_on_start", "wrong_greeting"):
            if not isinstance(getattr(behaviour, key), bool):
                raise ValueError(f"{path.name}: {key} is {getattr(behaviour, key)!r}; it must be true or false")
        if not isinstance(behaviour.fault_only_if_env, (str, type(None))):
            raise ValueError(f"{path.name}: fault_only_if_env is {behaviour.fault_only_if_env!r}; it must be a name or null")
        return behaviour

    def in_environment(self, environment: Mapping[str, str]) -> Behaviour:
        """What shows here: this, or good behaviour where the variable named by `fault_only_if_env` is not set."""
        if self.fault_only_if_env and not environment.get(self.fault_only_if_env):
            return Behaviour()
        return self

    def is_faulty_at(self, age: float) -> bool:
        """Whether faults and latency show, `age` seconds after the start."""
        return age >= self.fault_after_seconds

    def is_healthy_at(self, age: float) -> bool:
        """Whether health is good, `age` seconds after the start."""
        return not self.unhealthy_after_seconds or age < self.unhealthy_after_seconds


class FaultCounter:
    """Says which requests are faulty, evenly spread: of any hundred in a row exactly `percent` are."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._requests = itertools.count(1)  # next() on it is one step for CPython, so threads never share a number

    def next_is_faulty(self) -> bool:
        """Count one request and say whether it is to fail."""
        number = next(self._requests)
        return number * self._percent // 100 > (number - 1) * self._percent // 100
