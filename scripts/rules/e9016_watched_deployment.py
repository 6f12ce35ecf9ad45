"""Alarms and rollback of a deployment group."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.rules import _rule, _values
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule
    import _values


# Quotas: associated alarms per deployment group (older pages and the API's own words say 10).
_MOST_ALARMS = 50


class WatchedDeployment(_rule.Rule):
    id = "E9016"
    shortdesc = "Alarms that a deployment group watches are there, and what they stop rolls back"
    description = (
        "With an alarm configuration without alarms nothing is watched; a rollback on alarm without one never comes; rollback that is on "
        "for no event does not come either. All are accepted in silence."
    )
    source_url = "https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-groups-configure-advanced-options.html"
    next_step = "name alarms that are there, and roll back on what stops a deployment"
    tags = ("resources", "codedeploy")
    resource_types = ("AWS::CodeDeploy::DeploymentGroup",)

    def check(self, cfn: Any, resource: _values.Branch) -> Iterator[tuple[_values.Path, str]]:
        watched = self._watched(cfn, resource)
        for alarms in _values.objects(cfn, resource, "AlarmConfiguration"):
            on = {text.value for text in _values.literals(cfn, alarms, "Enabled")}
            listed = list(_values.members(cfn, alarms, "Alarms"))
            entries = list(_values.entries(cfn, alarms.value.get("Alarms"), (*alarms.path, "Alarms"), alarms.conditions))
            known = all(isinstance(branch.value, list) for branch in listed)
            if known and on == {"true"} and _values.uncovered(cfn, alarms.conditions, [entry.conditions for entry in entries]) is not None:
                yield alarms.path, "the alarm configuration is on and may have no alarms: nothing is watched; list them, or set Enabled to false"
            sure = [entry for entry in entries if entry.conditions == alarms.conditions]
            if len(sure) > _MOST_ALARMS:
                yield (*alarms.path, "Alarms"), f"{len(sure)} alarms; a deployment group takes {_MOST_ALARMS}"
        for rollback in _values.objects(cfn, resource, "AutoRollbackConfiguration"):
            on = {text.value for text in _values.literals(cfn, rollback, "Enabled")}
            events = list(_values.entries(cfn, rollback.value.get("Events"), (*rollback.path, "Events"), rollback.conditions))
            if on == {"true"} and not events and isinstance(rollback.value.get("Events", []), list):
                yield rollback.path, "automatic rollback is on for no event: it never comes; list Events, DEPLOYMENT_FAILURE the first"
            for event in events:
                if event.value == "DEPLOYMENT_STOP_ON_ALARM" and on == {"true"} and not watched:
                    yield event.path, "rolls back on alarm, and no alarm is watched; add an AlarmConfiguration that is on"
            if "Deployment" in resource.value:
                yield rollback.path, "AutoRollbackConfiguration and Deployment exclude each other; remove Deployment and let the pipeline deploy"

    def _watched(self, cfn: Any, resource: _values.Branch) -> bool:
        """Whether alarms are watched, as far as is known before it is deployed."""
        found = list(_values.objects(cfn, resource, "AlarmConfiguration"))
        return any({text.value for text in _values.literals(cfn, alarms, "Enabled")} != {"false"} for alarms in found)
