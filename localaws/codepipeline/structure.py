"""What CreatePipeline and UpdatePipeline refuse. Pure.

Source: AWS CodePipeline User Guide, "CodePipeline pipeline structure reference" and "Valid action types and providers"; error texts as
people report them from AWS where a report was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localaws.codepipeline.variables import references
from localaws.service import ServiceError


@dataclass(frozen=True)
class ActionType:
    """What a provider takes: numbers of artifacts (least, most), its required and its other configuration keys."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    required: frozenset[str]
    optional: frozenset[str] = frozenset()


CODE_BUILD = ActionType((1, 5), (0, 5), frozenset({"ProjectName"}),
                        frozenset({"PrimarySource", "EnvironmentVariables", "BatchEnabled", "CombineArtifacts"}))
ACTION_TYPES: dict[tuple[str, str], ActionType] = {
    ("Source", "CodeStarSourceConnection"): ActionType(
        (0, 0), (1, 1), frozenset({"ConnectionArn", "FullRepositoryId", "BranchName"}),
        frozenset({"OutputArtifactFormat", "DetectChanges"})),
    ("Build", "CodeBuild"): CODE_BUILD,
    ("Test", "CodeBuild"): CODE_BUILD,
    ("Invoke", "Lambda"): ActionType((0, 5), (0, 5), frozenset({"FunctionName"}), frozenset({"UserParameters"})),
    ("Deploy", "CodeDeploy"): ActionType((1, 1), (0, 0), frozenset({"ApplicationName", "DeploymentGroupName"})),
}
"""The action types that this local AWS carries out; any other is refused like one that a Region does not have."""

MOST_CHARACTERS = 1000
"""Length of a configuration value, before variables are put in (API reference, ActionDeclaration)."""
HOME_ONLY = {
    "CodeStarSourceConnection": "Source action '{name}' must be in the Region of the pipeline",
    # In which Region such a function would have to answer AWS's documents do not say.
    "Lambda": "The local AWS serves Lambda actions in the pipeline's Region only ({name})"}
"""Providers whose actions run in the pipeline's Region, with the words of the refusal (User Guide, "Add a cross-Region action")."""


def check(structure: Mapping[str, Any], region: str) -> None:
    """Raise what AWS raises for a structure that it does not take."""
    stages = structure["stages"]
    if bool(structure.get("artifactStore")) == bool(structure.get("artifactStores")):
        raise ServiceError("InvalidStructureException",
                           "You must include either artifactStore or artifactStores in your pipeline, but you cannot use both.")
    _check_stores(structure, region)
    if not 2 <= len(stages) <= 50:
        raise ServiceError("InvalidStructureException", f"Pipeline must have between 2 and 50 stages, it has {len(stages)}")
    _unique("InvalidStageDeclarationException", "Stage", [stage["name"] for stage in stages])
    if structure.get("pipelineType", "V1") == "V1" and (structure.get("triggers") or structure.get("variables")
                                                         or structure.get("executionMode", "SUPERSEDED") != "SUPERSEDED"):
        raise ServiceError("InvalidStructureException",
                           "Triggers, variables and execution modes other than SUPERSEDED need a pipeline of type V2")
    if structure.get("executionMode") == "PARALLEL":
        raise ServiceError("InvalidStructureException", "The local AWS does not serve ExecutionMode PARALLEL")
    for stage in stages:
        for kind in ("beforeEntry", "onSuccess", "onFailure", "blockers"):
            if stage.get(kind):
                raise ServiceError("InvalidStageDeclarationException", f"The local AWS does not serve {kind} (stage {stage['name']})")
        if not stage["actions"]:
            raise ServiceError("InvalidStageDeclarationException", f"Stage {stage['name']} has to contain at least one action")
        _unique("InvalidStageDeclarationException", f"Action of stage {stage['name']}", [a["name"] for a in stage["actions"]])
    categories = [{action["actionTypeId"]["category"] for action in stage["actions"]} for stage in stages]
    if categories[0] != {"Source"}:
        raise ServiceError("InvalidStructureException", "Pipeline should start with a stage that only contains source actions")
    if any("Source" in later for later in categories[1:]):
        raise ServiceError("InvalidStructureException", "Source actions can only occur in the first stage of the pipeline")
    for stage in stages:
        for action in stage["actions"]:
            _check_action(action, region)
    _check_flow(structure)
    _check_triggers(structure)


def _check_stores(structure: Mapping[str, Any], region: str) -> None:
    """One artifact store for the pipeline's Region, and one for each Region that an action runs in."""
    used = {action.get("region", region) for stage in structure["stages"] for action in stage["actions"]}
    if structure.get("artifactStore"):
        if used != {region}:
            raise ServiceError("InvalidStructureException", (
                "A pipeline with cross-Region actions must use artifactStores instead of artifactStore. Regions of its actions: "
                f"{', '.join(sorted(used))}"))
        return
    for place in sorted({region, *used} - set(structure["artifactStores"])):
        raise ServiceError("InvalidStructureException", (
            f"The artifactStores of the pipeline have no artifact store for the Region {place}: there must be one for the pipeline's Region "
            "and one for each Region of its actions"))


def _check_action(action: Mapping[str, Any], region: str) -> None:
    kind, name = action["actionTypeId"], action["name"]
    known = ACTION_TYPES.get((kind["category"], kind["provider"]))
    if known is None or kind["owner"] != "AWS" or kind["version"] != "1":
        raise ServiceError("InvalidActionDeclarationException", (
            f"ActionType (Category: '{kind['category']}', Provider: '{kind['provider']}', Owner: '{kind['owner']}', "
            f"Version: '{kind['version']}') in action '{name}' is not available in region {region.upper().replace('-', '_')}"))
    if action.get("region", region) != region and kind["provider"] in HOME_ONLY:
        raise ServiceError("InvalidActionDeclarationException", HOME_ONLY[kind["provider"]].format(name=name))
    for given, word, (least, most) in ((action.get("inputArtifacts", []), "input", known.inputs),
                                       (action.get("outputArtifacts", []), "output", known.outputs)):
        if len(given) < least:
            raise ServiceError("InvalidActionDeclarationException",
                               f"Action {name} declares {len(given)} {word} artifacts which is less than the minimum count ({least})")
        if len(given) > most:
            raise ServiceError("InvalidActionDeclarationException",
                               f"Action {name} declares {len(given)} {word} artifacts which is more than the maximum count ({most})")
    configuration = action.get("configuration", {})
    for key, value in sorted(configuration.items()):
        if not 1 <= len(value) <= MOST_CHARACTERS:
            raise ServiceError("ValidationException", (
                f"Value at 'pipeline.stages' failed to satisfy constraint: the configuration value {key} of action '{name}' has {len(value)} "
                f"characters. Member must have length less than or equal to {MOST_CHARACTERS}, Member must have length greater than or "
                "equal to 1"))
    for key in sorted(known.required - set(configuration)):
        raise ServiceError("InvalidActionDeclarationException",
                           f"Action configuration for action '{name}' is missing required configuration '{key}'")
    for key in sorted(set(configuration) - known.required - known.optional):
        raise ServiceError("InvalidActionDeclarationException",
                           f"Action configuration for action '{name}' contains unknown configuration '{key}'")
    if kind["provider"] == "CodeBuild" and (len(action["inputArtifacts"]) > 1 or len(action.get("outputArtifacts", [])) > 1
                                            or configuration.get("BatchEnabled", "false") == "true"):
        raise ServiceError("InvalidActionDeclarationException",
                           f"The local AWS serves CodeBuild actions of one input and one output artifact and no batch builds ({name})")
    if configuration.get("OutputArtifactFormat", "CODE_ZIP") != "CODE_ZIP":
        raise ServiceError("InvalidActionDeclarationException", f"The local AWS serves OutputArtifactFormat CODE_ZIP only ({name})")


def _check_flow(structure: Mapping[str, Any]) -> None:
    """Artifacts and variables are produced before they are used, artifacts once."""
    produced: set[str] = set()
    spaces = {"codepipeline"} | ({"variables"} if structure.get("variables") else set())
    declared: set[str] = set()
    for stage in structure["stages"]:
        for order in sorted({action.get("runOrder", 1) for action in stage["actions"]}):
            group = [action for action in stage["actions"] if action.get("runOrder", 1) == order]
            for action in group:
                for artifact in action.get("inputArtifacts", []):
                    if artifact["name"] not in produced:
                        raise ServiceError("InvalidActionDeclarationException", (
                            f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as "
                            "Output Artifact Bundle in any of the preceding actions"))
                for space, _ in sorted(references(action.get("configuration", {}))):
                    if space not in spaces:
                        raise ServiceError("InvalidActionDeclarationException", (
                            f"Action '{action['name']}' refers to the variable namespace '{space}', which no preceding action declares"))
            for action in group:
                for artifact in action.get("outputArtifacts", []):
                    if artifact["name"] in produced:
                        raise ServiceError("InvalidActionDeclarationException", (
                            f"Output Artifact Bundle name must be unique within the pipeline. {artifact['name']} has been used more "
                            "than once."))
                    produced.add(artifact["name"])
                if space := action.get("namespace"):
                    if space in declared or space in ("codepipeline", "variables"):
                        raise ServiceError("InvalidActionDeclarationException", f"The namespace {space} has been used more than once")
                    declared.add(space)
                    spaces.add(space)


def _check_triggers(structure: Mapping[str, Any]) -> None:
    sources = {action["name"] for action in structure["stages"][0]["actions"]}
    for trigger in structure.get("triggers", []):
        name = trigger["gitConfiguration"]["sourceActionName"]
        if name not in sources:
            raise ServiceError("InvalidStructureException", f"The trigger's source action {name} is not an action of the source stage")
        if trigger["gitConfiguration"].get("pullRequest"):
            raise ServiceError("InvalidStructureException", "The local AWS does not serve pull request triggers")


def _unique(code: str, what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ServiceError(code, f"{what} name must be unique within the pipeline. {name} has been used more than once.")
