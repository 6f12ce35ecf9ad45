"""The values that ship in `parameters/` and that everybody must replace; the local AWS takes them as they are."""

from __future__ import annotations

from scripts.core.errors import Problem
from scripts.core.settings import Environment

ACCOUNT = "111122223333"
IMAGE = "ami-00000000000000000"
REPOSITORY = "your-org/your-repo"
AGENT = "0.0.0"
_NEWEST_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def of_account(environment: Environment) -> list[Problem]:
    """The account alone: all that matters of an environment that another one uses."""
    if environment.account != ACCOUNT:
        return []
    step = "put your account: aws sts get-caller-identity --query Account --output text"
    return [Problem(f"{environment.file}: account", f"{ACCOUNT} is a placeholder", step)]


def problems(environment: Environment) -> list[Problem]:
    """Each placeholder that is still there, with where to get the right value."""
    found = of_account(environment)
    for region in environment.regions:
        for key, value in environment.parameters_in(region).items():
            if value == IMAGE:
                found.append(
                    Problem(
                        f"{environment.file}: {key} in {region}",
                        f"{IMAGE} is a placeholder",
                        f"put an exact image id: aws ssm get-parameter --region {region} --name {_NEWEST_IMAGE} --query Parameter.Value --output text",
                    )
                )
    for key, value in environment.parameters.items():
        if value == REPOSITORY:
            found.append(
                Problem(
                    f"{environment.file}: {key}",
                    f"{REPOSITORY} is a placeholder",
                    "put owner/name of the repository to release: git remote get-url origin",
                )
            )
        if key == "AgentVersion" and value == AGENT:
            found.append(
                Problem(
                    f"{environment.file}: {key}",
                    f"{AGENT} is a placeholder",
                    "put an exact version of the package AWSCodeDeployAgent: console, Systems Manager, Distributor, AWSCodeDeployAgent, Versions",
                )
            )
    return found
