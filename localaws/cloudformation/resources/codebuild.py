"""CodeBuild: Project."""

from __future__ import annotations

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, tag_list, unless_gone

_APART = ("Tags", "Triggers", "Visibility", "ResourceAccessRole")


@resource("AWS::CodeBuild::Project")
class Project:
    """A build project."""

    def create(self, request: Request) -> Made:
        codebuild, name = request.client("codebuild"), request.given("Name", 150)
        self._refuse(request)
        found = codebuild.create_project(**fit(codebuild, "create_project", {**request.properties, "Name": name}, drop=_APART),
                                         tags=tag_list(request.properties, "key", "value"))["project"]
        return Made(name, {"Arn": found["arn"], "Id": name})

    def update(self, request: Request) -> Made:
        codebuild = request.client("codebuild")
        self._refuse(request)
        codebuild.update_project(**fit(codebuild, "update_project", {**request.properties, "Name": request.physical_id}, drop=_APART),
                                 tags=tag_list(request.properties, "key", "value"))
        return Made(request.physical_id)

    @staticmethod
    def _refuse(request: Request) -> None:
        for prop in ("Triggers", "Visibility", "ResourceAccessRole"):
            if request.properties.get(prop):
                raise Failed(f"Property {prop} of AWS::CodeBuild::Project is not served by the local AWS")

    def delete(self, request: Request) -> None:
        unless_gone(request.client("codebuild").delete_project, name=request.physical_id)
