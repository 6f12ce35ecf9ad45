"""CloudWatch Logs: LogGroup."""

from __future__ import annotations

from localaws.cloudformation.resources import Failed, Made, Request, resource, tag_changes, tags_of, unless_gone


def _arn(request: Request, name: str) -> str:
    """A log group's ARN as tagging takes it, without the :* at the end."""
    return f"arn:aws:logs:{request.region}:{request.account}:log-group:{name}"


@resource("AWS::Logs::LogGroup")
class LogGroup:
    """A log group."""

    def create(self, request: Request) -> Made:
        logs, name = request.client("logs"), request.given("LogGroupName", 512)
        if unknown := sorted(set(request.properties) - {"LogGroupName", "RetentionInDays", "KmsKeyId", "Tags", "LogGroupClass"}):
            raise Failed(f"Property {unknown[0]} of AWS::Logs::LogGroup is not served by the local AWS")
        own = {"kmsKeyId": request.properties["KmsKeyId"]} if "KmsKeyId" in request.properties else {}
        logs.create_log_group(logGroupName=name, tags=tags_of(request.properties), **own)
        request.claim(name)
        self._retention(request, name)
        return Made(name, {"Arn": f"arn:aws:logs:{request.region}:{request.account}:log-group:{name}:*"})

    def update(self, request: Request) -> Made:
        logs, name = request.client("logs"), request.physical_id
        self._retention(request, name)
        added, removed = tag_changes(request)
        if added:
            logs.tag_resource(resourceArn=_arn(request, name), tags=added)
        if removed:
            logs.untag_resource(resourceArn=_arn(request, name), tagKeys=removed)
        return Made(name)

    def _retention(self, request: Request, name: str) -> None:
        logs = request.client("logs")
        if not request.changed("RetentionInDays"):
            return
        if "RetentionInDays" in request.properties:
            logs.put_retention_policy(logGroupName=name, retentionInDays=int(request.properties["RetentionInDays"]))
        else:
            logs.delete_retention_policy(logGroupName=name)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("logs").delete_log_group, logGroupName=request.physical_id)
