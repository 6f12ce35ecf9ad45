"""CodeConnections: Connection."""

from __future__ import annotations

from localaws.cloudformation.resources import Made, Request, fit, resource, tag_changes, unless_gone


@resource("AWS::CodeConnections::Connection")
class Connection:
    """A connection to a repository host; it is born PENDING and a person completes it."""

    def create(self, request: Request) -> Made:
        connections = request.client("codeconnections")
        arn = connections.create_connection(**fit(connections, "create_connection", request.properties))["ConnectionArn"]
        return Made(arn, {"ConnectionArn": arn, "ConnectionStatus": "PENDING", "OwnerAccountId": request.account})

    def update(self, request: Request) -> Made:
        added, removed = tag_changes(request)
        if added:
            request.client("codeconnections").tag_resource(ResourceArn=request.physical_id, Tags=[
                {"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            request.client("codeconnections").untag_resource(ResourceArn=request.physical_id, TagKeys=removed)
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("codeconnections").delete_connection, ConnectionArn=request.physical_id)
