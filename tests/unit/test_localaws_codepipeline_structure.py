"""What CreatePipeline refuses, which pushes start a pipeline, and how variables are put in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from localaws.codepipeline import structure, triggers, variables
from localaws.service import ServiceError

Pipeline = dict[str, Any]


def pipeline() -> Pipeline:
    def action(name: str, category: str, provider: str, configuration: dict[str, str], **rest: Any) -> dict[str, Any]:
        return {"name": name, "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
                "configuration": configuration, **rest}

    return {
        "name": "pipe", "roleArn": "arn:aws:iam::000000000000:role/r", "artifactStore": {"type": "S3", "location": "store"},
        "pipelineType": "V2", "stages": [
            {"name": "Source", "actions": [action("Source", "Source", "CodeStarSourceConnection", {
                "ConnectionArn": "arn", "FullRepositoryId": "acme/sample", "BranchName": "main"},
                outputArtifacts=[{"name": "Source"}], namespace="Source")]},
            {"name": "Build", "actions": [action("Build", "Build", "CodeBuild", {"ProjectName": "p"}, inputArtifacts=[{"name": "Source"}],
                                                 outputArtifacts=[{"name": "Release"}])]},
            {"name": "Gamma", "actions": [action("Deploy", "Deploy", "CodeDeploy", {"ApplicationName": "a", "DeploymentGroupName": "g"},
                                                 inputArtifacts=[{"name": "Release"}])]}]}


def build(p: Pipeline) -> dict[str, Any]:
    action: dict[str, Any] = p["stages"][1]["actions"][0]
    return action


def test_a_right_pipeline_is_taken() -> None:
    structure.check(pipeline(), "us-east-1")


@pytest.mark.parametrize(("spoil", "code", "words"), [
    (lambda p: p["stages"].pop(0), "InvalidStructureException", "Pipeline should start with a stage that only contains source actions"),
    (lambda p: p["stages"][1]["actions"].append({**copy.deepcopy(p["stages"][0]["actions"][0]), "name": "Other"}),
     "InvalidStructureException", "Source actions can only occur in the first stage"),
    (lambda p: p.update(stages=p["stages"][:1]), "InvalidStructureException", "between 2 and 50 stages"),
    (lambda p: p["stages"].append(copy.deepcopy(p["stages"][1])), "InvalidStageDeclarationException", "Build has been used more than once"),
    (lambda p: build(p).update(inputArtifacts=[{"name": "Nothing"}]), "InvalidActionDeclarationException",
     "Input Artifact Bundle Nothing in action Build is not declared"),
    (lambda p: build(p).update(inputArtifacts=[]), "InvalidActionDeclarationException",
     "Action Build declares 0 input artifacts which is less than the minimum count (1)"),
    (lambda p: build(p).update(outputArtifacts=[{"name": "Source"}]), "InvalidActionDeclarationException", "Source has been used more"),
    (lambda p: build(p)["actionTypeId"].update(provider="CodeBuild2"), "InvalidActionDeclarationException",
     "Provider: 'CodeBuild2', Owner: 'AWS', Version: '1') in action 'Build' is not available in region US_EAST_1"),
    (lambda p: build(p).update(configuration={}), "InvalidActionDeclarationException", "missing required configuration 'ProjectName'"),
    (lambda p: build(p)["configuration"].update(Projectname="x"), "InvalidActionDeclarationException",
     "contains unknown configuration 'Projectname'"),
    (lambda p: build(p)["configuration"].update(EnvironmentVariables="#{Sauce.CommitId}"), "InvalidActionDeclarationException", "'Sauce'"),
    (lambda p: build(p).update(namespace="Source"), "InvalidActionDeclarationException", "namespace Source"),
    (lambda p: p.pop("artifactStore"), "InvalidStructureException", "artifactStore"),
    (lambda p: p.update(pipelineType="V1", executionMode="QUEUED"), "InvalidStructureException", "type V2"),
    (lambda p: p["stages"][2].update(onFailure={"result": "ROLLBACK"}), "InvalidStageDeclarationException", "onFailure"),
    (lambda p: p.update(triggers=[{"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": "Typo"}}]),
     "InvalidStructureException", "Typo"),
])
def test_a_wrong_one_is_refused_by_name(spoil: Callable[[Pipeline], Any], code: str, words: str) -> None:
    given = pipeline()
    spoil(given)
    with pytest.raises(ServiceError) as refused:
        structure.check(given, "us-east-1")
    assert refused.value.code == code
    assert words in refused.value.message


def test_actions_of_one_run_order_do_not_see_each_others_artifacts() -> None:
    given = pipeline()
    deploy = given["stages"].pop()["actions"][0]
    given["stages"][1]["actions"].append({**deploy, "runOrder": 1})
    with pytest.raises(ServiceError, match="Input Artifact Bundle Release"):
        structure.check(given, "us-east-1")
    given["stages"][1]["actions"][1]["runOrder"] = 2
    structure.check(given, "us-east-1")


def trigger(**push: Any) -> list[dict[str, Any]]:
    return [{"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": "Source", "push": [push]}}]


@pytest.mark.parametrize(("more", "repository", "branch", "changed", "hit"), [
    ({}, "acme/sample", "main", ["a"], True),
    ({}, "acme/other", "main", ["a"], False),
    ({}, "acme/sample", "side", ["a"], False),
    ({"triggers": trigger(branches={"includes": ["main"]})}, "acme/sample", "main", ["a"], True),
    ({"triggers": trigger(branches={"includes": ["main"]})}, "acme/sample", "side", ["a"], False),
    ({"triggers": trigger(branches={"includes": ["feature/*"]})}, "acme/sample", "feature/a/b", ["a"], False),
    ({"triggers": trigger(branches={"includes": ["feature/**"]})}, "acme/sample", "feature/a/b", ["a"], True),
    ({"triggers": trigger(branches={"includes": ["*"], "excludes": ["main"]})}, "acme/sample", "main", ["a"], False),
    ({"triggers": trigger(branches={"includes": ["main"]}, filePaths={"includes": ["app/**"]})}, "acme/sample", "main", ["README"], False),
    ({"triggers": trigger(branches={"includes": ["main"]}, filePaths={"includes": ["app/**"]})}, "acme/sample", "main",
     ["README", "app/x/y.py"], True),
    ({"triggers": trigger(filePaths={"excludes": ["docs/**"]})}, "acme/sample", "main", ["docs/a.md"], False),
    ({"triggers": trigger(tags={"includes": ["v*"]})}, "acme/sample", "main", ["a"], False),
])
def test_a_push_starts_a_pipeline_only_as_its_filters_say(
        more: dict[str, Any], repository: str, branch: str, changed: list[str], hit: bool) -> None:
    assert (triggers.triggered_by({**pipeline(), **more}, repository, branch, changed) == "Source") is hit


def test_detect_changes_false_without_a_trigger_starts_nothing_and_a_trigger_overrides_it() -> None:
    given = pipeline()
    given["stages"][0]["actions"][0]["configuration"]["DetectChanges"] = "false"
    assert triggers.triggered_by(given, "acme/sample", "main", ["a"]) is None
    given["triggers"] = trigger(branches={"includes": ["main"]})
    assert triggers.triggered_by(given, "acme/sample", "main", ["a"]) == "Source"


def test_variables_are_replaced_wherever_they_stand() -> None:
    spaces = {"Source": {"CommitId": "abc"}, "codepipeline": {"PipelineExecutionId": "1"}}
    assert variables.resolve({"A": "x#{Source.CommitId}y#{codepipeline.PipelineExecutionId}", "B": "#{not a variable}"}, spaces) == {
        "A": "xabcy1", "B": "#{not a variable}"}
    with pytest.raises(variables.UnresolvedVariable, match=r"Source\.Commit}"):
        variables.resolve({"A": "#{Source.Commit}"}, spaces)
