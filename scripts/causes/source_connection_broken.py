"""The connection does not work any more: its status is ERROR, or it is gone."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match


def check(case: Case) -> Match | None:
    """What CodeConnections says of it now."""
    connection, action = case.connection, next(iter(signs.failed(case, "CodeStarSourceConnection")), None)
    if connection is None or connection.status not in ("ERROR", "missing"):
        return None
    gone = connection.status == "missing"
    fix = ("Make it again: empty ConnectionArn in parameters/pipeline.yaml or name another one, then: make deploy ENV=pipeline" if gone else
           "See in the provider's settings that AWS's app is still installed and may read the repository; else make a new connection, write its ARN into "
           "parameters/pipeline.yaml (ConnectionArn), then: make deploy ENV=pipeline")
    return Match("certain", signs.place(action) if action else "Source",
                 (f"connection {connection.arn} {'does not exist' if gone else 'is in status ERROR'}", *([signs.said(action)] if action else [])), (fix,),
                 signs.at(action) if action else None, "The connection to the repository is gone" if gone else "The connection to the repository is broken")


CAUSE = Cause(
    id="source-connection-broken",
    area="source",
    title="The connection to the repository is broken or gone",
    document=Document("Connections in the Developer Tools console", "https://docs.aws.amazon.com/dtconsole/latest/userguide/welcome-connections.html"),
    check=check,
    rank=9,
    source="https://docs.aws.amazon.com/codeconnections/latest/APIReference/API_Connection.html",
)
