"""CodeDeploy: Application, DeploymentConfig, DeploymentGroup."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, tag_changes, tag_list, unless_gone

_EMPTY: dict[str, Any] = {"AlarmConfiguration": {"Enabled": False, "Alarms": []}, "AutoRollbackConfiguration": {"Enabled": False},
                          "AutoScalingGroups": [], "Ec2TagFilters": [], "OnPremisesInstanceTagFilters": [], "TriggerConfigurations": []}
"""What an update must say where a property was taken out: the API leaves alone what it is not told."""


def _retag(request: Request, arn: str) -> None:
    added, removed = tag_changes(request)
    if added:
        request.client("codedeploy").tag_resource(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in added.items()])
    if removed:
        request.client("codedeploy").untag_resource(ResourceArn=arn, TagKeys=removed)


def _tags(request: Request) -> dict[str, Any]:
    tags = tag_list(request.properties)
    return {"tags": tags} if tags else {}


@resource("AWS::CodeDeploy::Application")
class Application:
    """An application."""

    def create(self, request: Request) -> Made:
        codedeploy, name = request.client("codedeploy"), request.given("ApplicationName", 100)
        codedeploy.create_application(applicationName=name, computePlatform=request.properties.get("ComputePlatform", "Server"),
                                      **_tags(request))
        return Made(name, {"ApplicationName": name})

    def update(self, request: Request) -> Made:
        _retag(request, f"arn:aws:codedeploy:{request.region}:{request.account}:application:{request.physical_id}")
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("codedeploy").delete_application, applicationName=request.physical_id)


@resource("AWS::CodeDeploy::DeploymentConfig")
class DeploymentConfig:
    """A deployment configuration; it cannot be changed."""

    def create(self, request: Request) -> Made:
        codedeploy, name = request.client("codedeploy"), request.given("DeploymentConfigName", 100)
        codedeploy.create_deployment_config(**fit(codedeploy, "create_deployment_config",
                                                  {**request.properties, "DeploymentConfigName": name}))
        return Made(name)

    def update(self, request: Request) -> Made:
        raise Failed("A deployment configuration cannot be changed")

    def delete(self, request: Request) -> None:
        unless_gone(request.client("codedeploy").delete_deployment_config, deploymentConfigName=request.physical_id)


@resource("AWS::CodeDeploy::DeploymentGroup")
class DeploymentGroup:
    """A deployment group."""

    def create(self, request: Request) -> Made:
        codedeploy, name = request.client("codedeploy"), request.given("DeploymentGroupName", 100)
        if "Deployment" in request.properties:
            raise Failed("Property Deployment of AWS::CodeDeploy::DeploymentGroup is not served by the local AWS")
        codedeploy.create_deployment_group(**fit(codedeploy, "create_deployment_group",
                                                 {**request.properties, "DeploymentGroupName": name}, drop=["Tags"]), **_tags(request))
        return Made(name)

    def update(self, request: Request) -> Made:
        codedeploy, name = request.client("codedeploy"), request.physical_id
        emptied = {key: value for key, value in _EMPTY.items() if key in request.before and key not in request.properties}
        codedeploy.update_deployment_group(**fit(codedeploy, "update_deployment_group", {
            **request.properties, **emptied, "currentDeploymentGroupName": name}, drop=["Tags", "DeploymentGroupName"]))
        application = request.properties["ApplicationName"]
        _retag(request, f"arn:aws:codedeploy:{request.region}:{request.account}:deploymentgroup:{application}/{name}")
        return Made(name)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("codedeploy").delete_deployment_group, applicationName=request.properties["ApplicationName"],
                    deploymentGroupName=request.physical_id)
