"""The connection to the repository was made and never completed by a person."""

from __future__ import annotations

from scripts.diagnosis import signs
from scripts.diagnosis.case import Case
from scripts.diagnosis.judge import Cause, Document, Match

CONSOLE = "https://{region}.console.aws.amazon.com/codesuite/settings/connections"


def check(case: Case) -> Match | None:
    """The connection is PENDING now; or the source action said so when it failed."""
    connection, action = case.connection, next(iter(signs.failed(case, "CodeStarSourceConnection")), None)
    now = connection.status if connection else ""
    if now != "PENDING" and not (action and now in ("", "AVAILABLE") and "PENDING" in action.message):
        return None
    arn = connection.arn if connection else action.configuration.get("ConnectionArn", "") if action else ""
    region = arn.split(":")[3] if arn.count(":") >= 5 else case.region
    start = "run make deploy ENV=pipeline: it lets the pipeline hear of pushes, and starts the release"
    fix = [f"Complete it, as someone who may install the provider's app: {CONSOLE.format(region=region)} (choose it, then Update pending connection)",
           f"Then {start}"]
    done = now == "AVAILABLE"
    return Match("certain" if now else "likely", signs.place(action) if action else "Source",
                 (f"connection {arn} {'was PENDING, and is AVAILABLE now' if done else 'is PENDING'}", *([signs.said(action)] if action else [])),
                 (f"It is completed; {start}",) if done else tuple(fix), signs.at(action) if action else None,
                 "The connection was pending when the release came, and is completed now" if done else "")


def clears(case: Case) -> str | None:
    """It can be used."""
    connection = case.connection
    return f"the connection to {connection.repository} is AVAILABLE" if connection and connection.status == "AVAILABLE" else None


CAUSE = Cause(
    id="source-connection-pending",
    area="source",
    title="The connection to the repository is pending: nobody completed it",
    document=Document("Update a pending connection", "https://docs.aws.amazon.com/dtconsole/latest/userguide/connections-update.html"),
    check=check,
    clears=clears,
    source="https://docs.aws.amazon.com/codeconnections/latest/APIReference/API_Connection.html",
)
