"""The actions a pipeline can take, a file each, by (category, provider)."""

from __future__ import annotations

from localaws.codepipeline.actions.base import Action
from localaws.codepipeline.actions.codebuild import CodeBuildAction
from localaws.codepipeline.actions.codedeploy import CodeDeployAction
from localaws.codepipeline.actions.connection import ConnectionSource
from localaws.codepipeline.actions.function import LambdaAction

ACTIONS: dict[str, Action] = {
    "CodeStarSourceConnection": ConnectionSource(), "CodeBuild": CodeBuildAction(), "CodeDeploy": CodeDeployAction(),
    "Lambda": LambdaAction()}
"""By provider; `structure.ACTION_TYPES` says which categories take which."""
