"""CodeConnections: connections are born PENDING, a person completes them, and pushes to the repositories behind them are told."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localaws.codeconnections.engine import pushes
from localaws.codeconnections.git import Repositories
from localaws.service import Aws, Context, Service, ServiceError, Stores, log

POLL_SECONDS = 1.0


class Api(Service):
    """The operations of CodeConnections on connections; hosts, repository links and sync are not served."""

    name = "codeconnections"
    iam = "codeconnections"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self.stores = Stores()
        self.repositories = Repositories(Path(aws.state_dir) / "git")
        self._seen: dict[str, dict[str, str]] = {}
        self._fingerprints: dict[str, str] = {}

    def permissions(self, operation: str, params: dict[str, Any], ctx: Context) -> Iterable[tuple[str, str]]:
        """Connections are named by their ARN, whose prefix is the action's, too: those of before July 2024 keep the old one.

        Sources: Service Authorization Reference, AWS CodeConnections; https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html
        """
        arn = params.get("ConnectionArn") or params.get("ResourceArn") or "*"
        return [(f"{'codestar-connections' if ':codestar-connections:' in arn else self.iam}:{operation}", arn)]

    # Operations

    def create_connection(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Make a connection, PENDING until a person completes it."""
        if not params.get("ProviderType") and not params.get("HostArn"):
            raise ServiceError("InvalidInputException", "Either ProviderType or HostArn must be provided")
        if params.get("HostArn"):
            raise ServiceError("ResourceNotFoundException", f"Host not found: {params['HostArn']} (the local AWS serves no hosts)")
        arn = self._arn(ctx, str(uuid.uuid4()))
        with self.lock:
            self.stores[ctx]["connections"][arn] = {
                "ConnectionName": params["ConnectionName"], "ConnectionArn": arn, "ProviderType": params["ProviderType"],
                "OwnerAccountId": ctx.account, "ConnectionStatus": "PENDING", "tags": list(params.get("Tags", []))}
        return {"ConnectionArn": arn, "Tags": params.get("Tags", [])}

    def get_connection(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Describe one connection."""
        with self.lock:
            return {"Connection": _shape(self._connection(ctx, params["ConnectionArn"]))}

    def list_connections(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List the connections, of one provider if it is asked for."""
        wanted = params.get("ProviderTypeFilter")
        with self.lock:
            found = [_shape(c) for c in self.stores[ctx]["connections"].values() if wanted in (None, c["ProviderType"])]
        start = int(params.get("NextToken") or 0)
        end = start + int(params.get("MaxResults") or 100)
        return {"Connections": found[start:end], **({"NextToken": str(end)} if end < len(found) else {})}

    def delete_connection(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Forget a connection; its repositories stay, as they would at the provider."""
        with self.lock:
            self._connection(ctx, params["ConnectionArn"])
            del self.stores[ctx]["connections"][params["ConnectionArn"]]
        return {}

    def tag_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Add or replace tags."""
        with self.lock:
            connection = self._connection(ctx, params["ResourceArn"])
            tags = {tag["Key"]: tag["Value"] for tag in [*connection["tags"], *params["Tags"]]}
            connection["tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {}

    def untag_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """Take tags away."""
        with self.lock:
            connection = self._connection(ctx, params["ResourceArn"])
            connection["tags"] = [tag for tag in connection["tags"] if tag["Key"] not in params["TagKeys"]]
        return {}

    def list_tags_for_resource(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        """List a connection's tags."""
        with self.lock:
            return {"Tags": list(self._connection(ctx, params["ResourceArn"])["tags"])}

    # What a person does in AWS's console, and what the pipeline asks in process

    def complete(self, connection: str) -> dict[str, Any]:
        """Make a connection (ARN or id) AVAILABLE, as a person does in the console, and return it.

        The repositories that pipelines name behind it come into being, so that there is something to push to.
        """
        with self.lock:
            record = self._anywhere(connection)
            record["ConnectionStatus"] = "AVAILABLE"
            shaped = _shape(record)
        pipelines: Any = self.aws.services.get("codepipeline")
        for full_name in pipelines.repositories(shaped["ConnectionArn"]) if pipelines else []:
            self.repository(full_name)
        return shaped

    def pending(self) -> list[dict[str, Any]]:
        """Every connection that waits for a person."""
        with self.lock:
            return [_shape(c) for scope in self.stores.scopes() for c in self.stores.at(*scope)["connections"].values()
                    if c["ConnectionStatus"] == "PENDING"]

    def find(self, connection_arn: str) -> dict[str, Any] | None:
        """The connection of this ARN in any account and Region, or None."""
        with self.lock:
            try:
                return _shape(self._anywhere(connection_arn))
            except ServiceError:
                return None

    def repository(self, full_name: str) -> Path:
        """The bare repository of `owner/name`, made on the first ask. What it gets from now on is a push."""
        with self.lock:
            path = self.repositories.create(full_name)
            self._seen.setdefault(full_name, {})
            return path

    # Background

    def start(self) -> None:
        """Look for pushes about each second."""
        self.aws.every(POLL_SECONDS, "codeconnections", self.poll)

    def poll(self) -> None:
        """Tell the pipelines of each branch that moved since the last look."""
        for full_name in self.repositories.all():
            mark = self.repositories.fingerprint(full_name)
            if self._fingerprints.get(full_name) == mark:
                continue
            heads = self.repositories.heads(full_name)
            with self.lock:
                known = self._seen.get(full_name)
                self._seen[full_name] = heads
                self._fingerprints[full_name] = mark
            # A repository that was not made through us is taken as it is: its history is no push.
            for push in pushes(known, heads) if known is not None else []:
                self._tell(full_name, push.branch, push.before, push.after)

    def _tell(self, full_name: str, branch: str, before: str | None, after: str) -> None:
        commit = self.repositories.commit(full_name, after)
        pipelines: Any = self.aws.services.get("codepipeline")
        if commit is None or pipelines is None:
            return
        log.info("push to %s %s: %s", full_name, branch, after)
        pipelines.on_push(full_name, branch, commit, self.repositories.changed(full_name, before, after))

    def dump(self) -> Any:
        """Connections and the heads last seen: a push while the local AWS was down is noticed by the next start."""
        with self.lock:
            return {"stores": self.stores.dump(), "seen": self._seen}

    def load(self, state: Any) -> None:
        """Take up dumped state."""
        if state:
            self.stores.load(state["stores"])
            self._seen.update(state["seen"])

    # Helpers

    def _arn(self, ctx: Context, identity: str) -> str:
        return f"arn:aws:codeconnections:{ctx.region}:{ctx.account}:connection/{identity}"

    def _connection(self, ctx: Context, arn: str) -> dict[str, Any]:
        record: dict[str, Any] | None = self.stores[ctx]["connections"].get(arn)
        if record is None:
            raise ServiceError("ResourceNotFoundException", f"Connection not found: {arn}")
        return record

    def _anywhere(self, connection: str) -> dict[str, Any]:
        """The record of an ARN or id in whatever account and Region; connections made as codestar-connections count too."""
        identity = connection.rsplit("/", 1)[-1]
        for scope in self.stores.scopes():
            connections: dict[str, dict[str, Any]] = self.stores.at(*scope)["connections"]
            for arn, record in connections.items():
                if arn.rsplit("/", 1)[-1] == identity:
                    return record
        raise ServiceError("ResourceNotFoundException", f"Connection not found: {connection}", 404)


def _shape(connection: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in connection.items() if key != "tags"}
