"""Systems Manager: Parameter, Association."""

from __future__ import annotations

from localaws.cloudformation.resources import Made, Request, fit, resource, tag_changes, tag_list, unless_gone
from localaws.cloudformation.template import text_of


@resource("AWS::SSM::Parameter")
class Parameter:
    """A parameter in the Parameter Store."""

    def create(self, request: Request) -> Made:
        ssm, properties = request.client("ssm"), request.properties
        name = request.given("Name", 512)
        arguments = fit(ssm, "put_parameter", {**properties, "Name": name}, drop=["Tags"])
        ssm.put_parameter(**arguments, Overwrite=False, Tags=tag_list(properties))
        return Made(name, self._attributes(request))

    def update(self, request: Request) -> Made:
        ssm, name = request.client("ssm"), request.physical_id
        ssm.put_parameter(**fit(ssm, "put_parameter", {**request.properties, "Name": name}, drop=["Tags"]), Overwrite=True)
        added, removed = tag_changes(request)
        if added:
            ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=name,
                                     Tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=name, TagKeys=removed)
        return Made(name, self._attributes(request))

    @staticmethod
    def _attributes(request: Request) -> dict[str, str]:
        return {"Type": request.properties["Type"], "Value": text_of(request.properties["Value"])}

    def delete(self, request: Request) -> None:
        unless_gone(request.client("ssm").delete_parameter, Name=request.physical_id)


@resource("AWS::SSM::Association")
class Association:
    """A document that Systems Manager keeps applied to the instances of its targets."""

    def create(self, request: Request) -> Made:
        ssm = request.client("ssm")
        found = ssm.create_association(**fit(ssm, "create_association", request.properties,
                                             drop=["WaitForSuccessTimeoutSeconds", "DeleteStrategy"]))
        identity = found["AssociationDescription"]["AssociationId"]
        return Made(identity, {"AssociationId": identity})

    def update(self, request: Request) -> Made:
        ssm = request.client("ssm")
        ssm.update_association(**fit(ssm, "update_association", {**request.properties, "AssociationId": request.physical_id},
                                     drop=["WaitForSuccessTimeoutSeconds", "DeleteStrategy", "InstanceId", "Tags"]))
        return Made(request.physical_id)

    def delete(self, request: Request) -> None:
        unless_gone(request.client("ssm").delete_association, AssociationId=request.physical_id)
