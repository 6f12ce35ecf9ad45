"""The pipeline itself changes between two releases: afterwards every way back works as before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import shipping

from scripts import demo

pytestmark = [pytest.mark.every, pytest.mark.usefixtures("calm")]


@pytest.mark.timeout(2700)
def test_after_an_update_of_the_pipeline_both_ways_back_work(delivery: demo.Demonstration, deployed_with: Callable[..., None]) -> None:
    older = next(iter(set(delivery.running().values())))
    newer = shipping.ship(delivery, "One to go back from")
    shipping.went_out(delivery, newer)
    deployed_with("pipeline", SettleSeconds="11")
    # CodeDeploy's own, in a deployment that fails.
    failed = shipping.ship(delivery, "Dies at start after the update", crash_on_start=True)
    shipping.came_back(delivery, failed, "Gamma")
    assert "codeDeployRollback" in {one.by for one in failed.outcome.rollbacks}
    # And the reconciler's, by hand, to a release that went out before the update.
    delivery.control.ask("rollback", "prod", to=older, reason="the newer one is worse", by="a test", force=False)
    shipping.until("prod on the older release", lambda: {commit for where, commit in delivery.running().items() if where.startswith("prod/")} == {older}
                   and not delivery.control.record("prod").get("rollback"), 300, 2)
    assert delivery.control.record("prod")["blocked"]
