"""Two services in one account: the sample, and a site of plain files that is adopted by parameters and `app/` alone."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import projects
import pytest
from services import Service, gone_afterwards, project

from scripts import demo, destroy
from scripts.demonstration import environments
from scripts.demonstration.delivery import Outcome
from scripts.demonstration.traffic import Answer

PAGES = Path(__file__).resolve().parent / "pages"


@pytest.fixture
def account() -> str:
    return projects.new_account()


@pytest.fixture
def sample(local_aws: Any, tmp_path: Path, account: str) -> Iterator[Service]:
    """The sample service, not deployed yet; destroyed afterwards."""
    yield from gone_afterwards(Service(project(tmp_path / "sample", account, local_aws.environ, "local/beside-pages"), local_aws, account))


@pytest.fixture
def pages(local_aws: Any, tmp_path: Path, account: str) -> Iterator[Service]:
    """Somebody else's: a copy of the project with another name, port and health path, and an app without tests and canary."""
    root = project(tmp_path / "pages", account, local_aws.environ, "local/pages")
    shutil.rmtree(root / "app")
    shutil.copytree(PAGES, root / "app")
    projects.overlay(root, "pipeline", {"ServiceName": "pages"})
    for name in ("beta", *demo.ENVIRONMENTS):
        projects.overlay(root, name, {"ServiceName": "pages", "AppPort": "9090", "HealthPath": "/up.html"})
    yield from gone_afterwards(Service(root, local_aws, account))


@pytest.mark.every
@pytest.mark.timeout(1800)
def test_a_foreign_app_lives_beside_the_sample_and_neither_touches_the_other(sample: Service, pages: Service) -> None:
    sample.deploy()
    stands = sample.infrastructure()
    assert all(stands.values()), "what is to be compared is there"
    pages.deploy()
    assert sample.infrastructure() == stands, "another service was deployed, which is none of its business"
    stood = pages.infrastructure()
    before = {one.name: set(one.releases()["executions"]) for one in (sample, pages)}

    # Both are released at the same time, each under its own customers.
    both = [_Released(one) for one in (sample, pages)]
    for one in both:
        one.follow()
    for one in both:
        one.came_through(before[one.service.name])
    assert {action["stageName"] for action in pages.pipeline.actions(both[1].execution)} == {"Source", "Build", "Gamma", "OneBox", "Wave1"}
    assert (sample.infrastructure(), pages.infrastructure()) == (stands, stood), "a release deploys to hosts and changes nothing else"
    with environments.open_directly(pages.places_of("prod")[0].url, 10) as page:
        assert b"<h1>Pages</h1>" in page.read()

    # Gone again, it leaves the sample as it was.
    idle = sample.at_rest()
    assert _failed(pages) == []
    pages.traffic.stop()
    assert destroy.main(["--env", "all", "--local", "--yes"], pages.here) == 0
    # The deployer is who destroys: `make deployer` made it, and nothing that it made is left.
    own = {"pages-deployer"}
    assert {kind: set(things) for kind, things in pages.infrastructure().items()} == {"stacks": own, "alarms": set(), "parameters": set(), "roles": own}
    assert sample.infrastructure() == stands
    assert sample.releases() == idle
    assert _failed(sample) == []


class _Released:
    """A release of one service, pushed and followed beside that of another."""

    def __init__(self, service: Service) -> None:
        self.service = service
        service.begin_traffic()
        self.commit = service.change()
        self.execution = service.pipeline.execution_of(self.commit, 60)
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run, name=service.name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.outcome = self.service.follow(self.commit, self.execution)

    def follow(self) -> None:
        """Wait for its end."""
        self._thread.join(timeout=900)

    def came_through(self, before: Collection[str]) -> None:
        """It runs on all of its service's hosts, is last good, and is all that its service has seen since `before` (executions)."""
        assert self.outcome is not None, "following it failed; see above"
        self.service.came_through(self.commit, self.outcome)
        seen = self.service.releases()
        assert seen["executions"].keys() - before == {self.execution}
        assert {at for at in seen["ledger"] if at[0].startswith("release#")} == {(f"release#{self.commit}", "-")}
        for name in demo.ENVIRONMENTS:
            assert self.service.control.record(name)["last_good"] == self.commit


def _failed(one: Service) -> list[Answer]:
    return [answer for answer in one.answers(0) if answer.failed]
