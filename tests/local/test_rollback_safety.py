"""The rollback-safety test of gamma, switched on: what can be taken back goes on, what cannot stays there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import disturb
import pytest
import shipping

from scripts import demo

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]


def _tested(delivery: demo.Demonstration, shipped: shipping.Shipped) -> list[dict[str, Any]]:
    """The runs of the test in a release's execution."""
    return [one for one in delivery.pipeline.actions(shipped.outcome.execution_id) if one["actionName"] == "RollbackSafety"]


@pytest.mark.timeout(3600)
def test_a_release_that_the_one_before_cannot_live_with_stays_in_gamma(delivery: demo.Demonstration, deployed_with: Callable[..., None]) -> None:
    """The older one answers wrong once the newer has been there, as after a change of data that only the newer understands."""
    deployed_with("pipeline", RollbackSafetyTest="true")
    older = shipping.ship(delivery, "Knows only the old data", fault_percent=60, fault_only_if_env="NEW_DATA")
    shipping.went_out(delivery, older)
    (run,) = _tested(delivery, older)
    assert run["status"] == "Succeeded"
    begun = run["startTime"].timestamp()
    by_it = [one for one in older.outcome.in_environment("gamma") if "rollback-safety" in one.description]
    assert [one.status for one in by_it] == ["Succeeded", "Succeeded"] and all(one.created >= begun for one in by_it), "there and back"
    home = disturb.place_of(delivery, "gamma", delivery.region)
    writes = disturb.setting([home], delivery.settings["gamma"].service, "app", "NEW_DATA")
    with disturb.At(writes, "Gamma", "RollbackSafety") as newer_data:
        newer = shipping.ship(delivery, "Writes new data", at_action=newer_data)
    shipping.came_back(delivery, newer, "Gamma", by="reconciler")
    (run,) = _tested(delivery, newer)
    assert run["status"] == "Failed"
