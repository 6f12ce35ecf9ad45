"""From every state the reconciler ends with every group on the desired release, or with a loud page; and it never deploys a release marked bad."""

from __future__ import annotations

import dataclasses
import os

import pytest
from world import GROUPS, SETTINGS, STAGES, World

from decide_rollback import deployments_of

SEEDS = int(os.environ.get("SIMULATIONS", "12"))
SHARDS = 10
QUIET_MINUTES = 90


def _started(world: World) -> None:
    """A world in which some groups run a first release."""
    if world.random.random() < 0.85:
        for name in GROUPS:
            if world.random.random() < 0.95:
                world.deploy(name, "aaaaaaaaaaaa", "user", False)
                world.end(world.fleets[name], "Succeeded")
        for environment, stage in (("gamma", "Gamma"), ("prod", "Wave2")):
            world.ledger.passed("aaaaaaaaaaaa", stage, world.time)
            world.ledger.set_last_good(environment, "aaaaaaaaaaaa", {}, world.time)


def _trouble(world: World) -> None:
    """One random thing happens."""
    chance = world.random.random
    for likely, event in ((0.15, world.push), (0.05, world.again), (0.08, world.retry), (0.04, world.stop_by_hand), (0.05, world.launch),
                          (0.02, world.deploy_by_hand)):
        if chance() < likely:
            event()
    if chance() < 0.03:
        world.silent.symmetric_difference_update({world.random.choice(("us-west-2", "eu-west-1"))})
    if chance() < 0.03:
        fleet = world.fleets[world.random.choice(GROUPS)]
        fleet.dead_host = not fleet.dead_host
    if chance() < 0.01:
        world.fleets[world.random.choice(GROUPS)].hopeless = True
    if chance() < 0.02:
        world.ledger.update_environment("prod", lambda r: dataclasses.replace(r, blocked=None) if r.rollback is None else None)
    world.time += world.random.choice((1, 5, 20, 60, 300, 4000, -30))
    world.deployments_go_on(0.2)
    world.pipeline_goes_on(0.25)


def _simulate(seed: int) -> World:
    world = World(seed)
    _started(world)
    world.faulty = world.random.choice((0.0, 0.01, 0.05, 0.2))
    for _ in range(world.random.randrange(10, 80)):
        _trouble(world)
        for _ in range(world.random.choice((0, 1, 1, 2))):  # events are lost, or come twice
            world.look_after()
    world.faulty = 0.0
    if world.random.random() < 0.7:
        world.silent.clear()
    for fleet in world.fleets.values():
        fleet.hopeless = fleet.hopeless and world.random.random() < 0.5
    _calm(world)
    return world


def _calm(world: World) -> None:
    """Nothing new goes wrong, until nothing moves any more (or for QUIET_MINUTES)."""
    still = 0
    for _ in range(QUIET_MINUTES):
        world.time += 60
        world.deployments_go_on(0.0)
        world.pipeline_goes_on(0.0)
        before = (len(world.pages), len(world.created))
        world.look_after()
        moves = any(f.flying for f in world.fleets.values()) or any(r.status == "InProgress" for r in world.runs)
        still = 0 if moves or before != (len(world.pages), len(world.created)) else still + 1
        if still == 12:  # longer than pauses between tries, and than a silence may last before it is paged
            return


def _unsettled(world: World) -> list[str]:
    """What is not as it should be at the end."""
    found = []
    for environment in SETTINGS.environments:
        record = world.ledger.environment(environment)
        held = record.desired is not None and record.blocked is not None and record.blocked.rollback is not None
        if record.rollback is not None:
            found.append(f"{environment}: the rollback to {record.rollback.to} goes on")
        newest = {run.commit: run for run in world.runs}
        given_up = {run.commit for run in newest.values()
                    if run.status in ("Failed", "Stopped") and (STAGES[run.stage] == "Gamma") == (environment == "gamma")} - {record.last_good}
        for name in GROUPS:
            if name.startswith(environment + "/"):
                for deployment in deployments_of(world._group(name, None)):
                    if deployment.commit and world.ledger.release(deployment.commit).bad:
                        found.append(f"{name}: {deployment.id} is of {deployment.commit}, which is marked bad")
                    elif deployment.commit in given_up and deployment.id in world.by_pipeline:
                        found.append(f"{name}: {deployment.id} is of {deployment.commit}, whose execution failed or was stopped")
                    elif held and (deployment.commit != record.desired or deployment.status != "Succeeded"):
                        found.append(f"{name}: {deployment.id} of {deployment.commit} {deployment.status}, not {record.desired}")
    return found


def _paged(world: World, environment: str) -> bool:
    """Whether something lasting keeps an environment from its end, and was paged."""
    subjects = [page.subject for page in world.pages if f" {environment}" in page.subject]
    reasons = [(f"{environment}/{region}: does not answer", any(p.region == region for p in SETTINGS.places_of(environment))) for region in world.silent]
    reasons += [(f"{fleet.name}: rollback keeps failing", fleet.hopeless) for fleet in world.fleets.values()]
    reasons += [(f"{name}: cannot go back by itself", True) for name in GROUPS]
    reasons += [(words, world.ledger.environment(environment).last_good is None) for words in ("nothing to go back to", "bad release stopped")]
    return any(holds and any(words in subject for subject in subjects) for words, holds in reasons)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_state_ends_well_or_loudly(shard: int) -> None:
    rollbacks = 0
    for seed in range(shard * SEEDS, (shard + 1) * SEEDS):
        world = _simulate(seed)
        rollbacks += sum("back on" in page.subject for page in world.pages)
        unsettled = [what for what in _unsettled(world) if not _paged(world, what.partition(":")[0].partition("/")[0])]
        assert not unsettled, (seed, unsettled, [page.subject for page in world.pages])
        assert len(world.pages) < 4 * len(world.runs) + 60, f"seed {seed} pages without end"
    assert rollbacks > SEEDS // 10, "the simulation rolls hardly anything back, so it proves nothing"


def test_without_lasting_trouble_no_page_is_an_excuse() -> None:
    """With every Region answering and every group deployable, all groups end where they should, pages or not."""
    for seed in range(100_000, 100_000 + SEEDS * 2):
        world = World(seed)
        for name in GROUPS:
            world.deploy(name, "aaaaaaaaaaaa", "user", False)
            world.end(world.fleets[name], "Succeeded")
        for environment, stage in (("gamma", "Gamma"), ("prod", "Wave2")):
            world.ledger.passed("aaaaaaaaaaaa", stage, world.time)
            world.ledger.set_last_good(environment, "aaaaaaaaaaaa", {}, world.time)
        world.reconciler.run("gamma")
        world.reconciler.run("prod")
        world.faulty = world.random.choice((0.0, 0.05))
        for _ in range(40):
            _trouble(world)
            world.look_after()
        world.faulty = 0.0
        world.silent.clear()
        for fleet in world.fleets.values():
            fleet.hopeless = False
        _calm(world)
        assert not _unsettled(world), (seed, _unsettled(world), [page.subject for page in world.pages])
