"""What `localaws reset` does where the engine still begins or holds something. The engine is a list of things here: how it refuses was seen of Docker's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from localaws import server


class Thing:
    """A container or network in a list of them; it is not let go `refusals` times, and at the first of these `begins` comes up."""

    def __init__(self, among: list[Any], name: str, refusals: int = 0, begins: Thing | None = None) -> None:
        self.among, self.name, self.refusals, self.begins = among, name, refusals, begins
        among.append(self)

    def remove(self, **asked: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            if self.begins:
                self.begins.among.append(self.begins)
                self.begins = None
            raise docker.errors.APIError("409", explanation="network one has active endpoints")
        self.among.remove(self)


class Engine:
    """Stands for docker.DockerClient."""

    def __init__(self) -> None:
        self.hosts: list[Thing] = []
        self.nets: list[Thing] = []
        self.containers = SimpleNamespace(list=lambda **asked: list(self.hosts))
        self.networks = SimpleNamespace(list=lambda **asked: list(self.nets))
        self.volumes = SimpleNamespace(list=lambda **asked: [])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(server.time, "sleep", lambda seconds: None)
    one = Engine()
    Thing(one.hosts, "host")
    return one


def test_a_container_that_begins_while_all_is_cleared_goes_too(engine: Any) -> None:
    late = Thing(engine.hosts, "late")
    engine.hosts.remove(late)
    Thing(engine.nets, "net", refusals=2, begins=late)
    assert server.clear(engine, "one") == ["container host", "container late", "network net"]
    assert engine.hosts == engine.nets == []


def test_a_network_that_stays_is_told_of_with_what_to_do(engine: Any) -> None:
    Thing(engine.nets, "net", refusals=10**6)
    with pytest.raises(server.StartError, match=r"active endpoints.*the same command again"):
        server.clear(engine, "one")
    assert engine.hosts == [], "the rest is gone all the same"
