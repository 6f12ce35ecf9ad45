"""ECR: Repository."""

from __future__ import annotations

import json

from localaws.cloudformation.resources import Failed, Made, Request, fit, resource, tag_changes, unless_gone
from localaws.cloudformation.template import text_of


@resource("AWS::ECR::Repository")
class Repository:
    """An image repository; one that holds images is not deleted unless EmptyOnDelete."""

    def create(self, request: Request) -> Made:
        ecr, name = request.client("ecr"), request.given("RepositoryName", 200, lower=True)
        own = {key: value for key, value in request.properties.items() if key in (
            "EncryptionConfiguration", "ImageScanningConfiguration", "ImageTagMutability", "ImageTagMutabilityExclusionFilters", "Tags")}
        found = ecr.create_repository(**fit(ecr, "create_repository", {**own, "repositoryName": name}))["repository"]
        request.claim(name)
        self._policies(request, name)
        return Made(name, {"Arn": found["repositoryArn"], "RepositoryUri": found["repositoryUri"]})

    def update(self, request: Request) -> Made:
        ecr, name, properties = request.client("ecr"), request.physical_id, request.properties
        if request.changed("ImageTagMutability"):
            ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability=properties.get("ImageTagMutability", "MUTABLE"))
        if request.changed("ImageScanningConfiguration"):
            on = text_of((properties.get("ImageScanningConfiguration") or {}).get("ScanOnPush", False)) == "true"
            ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": on})
        arn = f"arn:aws:ecr:{request.region}:{request.account}:repository/{name}"
        added, removed = tag_changes(request)
        if added:
            ecr.tag_resource(resourceArn=arn, tags=[{"Key": key, "Value": value} for key, value in added.items()])
        if removed:
            ecr.untag_resource(resourceArn=arn, tagKeys=removed)
        self._policies(request, name)
        return Made(name)

    def _policies(self, request: Request, name: str) -> None:
        ecr, properties = request.client("ecr"), request.properties
        if request.changed("RepositoryPolicyText"):
            if policy := properties.get("RepositoryPolicyText"):
                ecr.set_repository_policy(repositoryName=name, policyText=policy if isinstance(policy, str) else json.dumps(policy))
            else:
                unless_gone(ecr.delete_repository_policy, repositoryName=name)
        if request.changed("LifecyclePolicy"):
            if policy := properties.get("LifecyclePolicy"):
                ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy["LifecyclePolicyText"])
            else:
                unless_gone(ecr.delete_lifecycle_policy, repositoryName=name)

    def delete(self, request: Request) -> None:
        ecr, name = request.client("ecr"), request.physical_id
        force = text_of(request.properties.get("EmptyOnDelete", False)) == "true"
        images = unless_gone(ecr.list_images, repositoryName=name)
        if images is None:
            return
        if images["imageIds"] and not force:
            raise Failed(f"The repository with name '{name}' in registry with id '{request.account}' cannot be deleted because it "
                         "still contains images")
        unless_gone(ecr.delete_repository, repositoryName=name, force=force)
