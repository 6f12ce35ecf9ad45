"""CloudWatch: Alarm, CompositeAlarm, Dashboard."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, served, tag_changes, tag_list, unless_gone


class _Alarm:
    """What the two kinds of alarm have in common; `method` is the API's put, `kind` its AlarmType."""

    method = ""
    kind = ""

    def create(self, request: Request) -> Made:
        cloudwatch, name = request.client("cloudwatch"), request.given("AlarmName", 255)
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        if found.get("MetricAlarms") or found.get("CompositeAlarms"):
            raise Failed(f"{name} already exists")
        self._put(request, name, Tags=tag_list(request.properties))
        return Made(name, {"Arn": f"arn:aws:cloudwatch:{request.region}:{request.account}:alarm:{name}"})

    def update(self, request: Request) -> Made:
        cloudwatch, name = request.client("cloudwatch"), request.physical_id
        self._put(request, name)
        arn = f"arn:aws:cloudwatch:{request.region}:{request.account}:alarm:{name}"
        added, removed = tag_changes(request)
        if added:
            cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            cloudwatch.untag_resource(ResourceARN=arn, TagKeys=removed)
        return Made(name)

    def _put(self, request: Request, name: str, **more: Any) -> None:
        cloudwatch = request.client("cloudwatch")
        getattr(cloudwatch, self.method)(**fit(cloudwatch, self.method, {**request.properties, "AlarmName": name}, drop=["Tags"]),
                                         **{key: value for key, value in more.items() if value})

    def delete(self, request: Request) -> None:
        cloudwatch, name = request.client("cloudwatch"), request.physical_id
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=[self.kind])
        if found.get("MetricAlarms") or found.get("CompositeAlarms"):
            cloudwatch.delete_alarms(AlarmNames=[name])


@resource("AWS::CloudWatch::Alarm")
class Alarm(_Alarm):
    """A metric alarm."""

    method, kind = "put_metric_alarm", "MetricAlarm"


@resource("AWS::CloudWatch::CompositeAlarm")
class CompositeAlarm(_Alarm):
    """An alarm over other alarms."""

    method, kind = "put_composite_alarm", "CompositeAlarm"


@resource("AWS::CloudWatch::Dashboard")
class Dashboard:
    """A dashboard; its physical id is its name."""

    def create(self, request: Request) -> Made:
        name = request.given("DashboardName", 255)
        self._put(request, name, Tags=tag_list(request.properties))
        return Made(name)

    def update(self, request: Request) -> Made:
        name, cloudwatch = request.physical_id, request.client("cloudwatch")
        self._put(request, name)
        arn = f"arn:aws:cloudwatch::{request.account}:dashboard/{name}"
        added, removed = tag_changes(request)
        if added:
            cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            cloudwatch.untag_resource(ResourceARN=arn, TagKeys=removed)
        return Made(name)

    @staticmethod
    def _put(request: Request, name: str, **more: Any) -> None:
        served(request.properties, {"DashboardName", "DashboardBody", "Tags"})
        cloudwatch = request.client("cloudwatch")
        cloudwatch.put_dashboard(**fit(cloudwatch, "put_dashboard", {**request.properties, "DashboardName": name}, drop=["Tags"]),
                                 **{key: value for key, value in more.items() if value})

    def delete(self, request: Request) -> None:
        cloudwatch, name = request.client("cloudwatch"), request.physical_id
        if unless_gone(cloudwatch.get_dashboard, DashboardName=name):
            cloudwatch.delete_dashboards(DashboardNames=[name])
