"""The app's port is taken by something else on the instance."""

from __future__ import annotations

from scripts.diagnosis.case import Case
from scripts.diagnosis.failures import alike, first, look, replace_host
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """The first event that shows it."""
    found = first(case, "port-taken")
    if found is None:
        return None
    return Match("certain", found.where, (*found.evidence, alike(case, found)), (
        f"See by what: {look(found)}, then docker ps and sudo ss -ltnp",
        f"Or replace the instance: {replace_host(found.deployment.region, found.target.id)}",
    ), found.at, f"The app's port is taken on {found.target.id}")


CAUSE = Cause(
    id="deployment-port-taken",
    area="deployment",
    title="The app's port is taken",
    document=Document("Port publishing and mapping", "https://docs.docker.com/engine/network/port-publishing/"),
    check=check,
    source="https://docs.docker.com/engine/network/port-publishing/",
)
