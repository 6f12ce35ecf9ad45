"""The role that deploys (templates/deployer.yaml): one stack in each account, made by an administrator of it, and whoever then acts as it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.core import accounts, changesets, constraints, rollout, roots, settings, stacks, templates
from scripts.core.accounts import Accounts
from scripts.core.changesets import Request
from scripts.core.errors import BadInput, Problem
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.templates import Template
from scripts.core.world import World

DEPLOYER = "deployer"
_PRINCIPAL = re.compile(r"arn:(?P<partition>[a-z-]+):(?P<service>iam|sts)::(?P<account>\d{12}|\*):(?P<kind>[\w-]+)(?:/(?P<name>.+))?")
_NOBODY = "aws:PrincipalArn, which it is compared with, never is that"


def home(root: Path, environment: Environment, local: bool) -> str:
    """The Region of its stack: the same in every account, because roles know no Region and there can be one of a name."""
    return (settings.load(root, roots.PIPELINE, local) if roots.PIPELINE in settings.names(root) else environment).regions[0]


def load(root: Path) -> Template:
    """The template, and what its parameters take."""
    return templates.load(root / "templates" / f"{DEPLOYER}.yaml", root)


def require_valid(template: Template, environment: Environment, values: Mapping[str, str], names: Mapping[str, str] | None = None) -> None:
    """BadInput with each value that the template does not take, or by which nobody could be the deployer; `names` are what the caller calls the parameters."""
    names, problems = names or {}, []
    for parameter, value in values.items():
        name = names.get(parameter, parameter)
        if parameter == "TrustedPrincipalArns":
            trusted = values["TrustedAccountId"] or environment.account if "TrustedAccountId" in values else None
            problems += [problem for arn in value.split(",") if (problem := _nobody(name, arn.strip(), trusted))]
        if (reason := constraints.fault(template.parameters[parameter], value)) and not any(problem.name == name for problem in problems):
            problems.append(Problem(name, reason, f"correct {name}"))
    if problems:
        raise BadInput(f"templates/{DEPLOYER}.yaml cannot be deployed with these values", problems)


def _nobody(name: str, arn: str, trusted: str | None) -> Problem | None:
    """Why nobody with such an ARN can assume a role, with what to write in its place; None for what is, or may be, somebody, and for what is no ARN.

    Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn ("Do not specify the
    assumed role session ARN"), https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html ("You cannot call any STS operations
    except GetCallerIdentity"), https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html (users and roles call AssumeRole),
    https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html ("hosted in us-east-1, there is no aws-region in the ARN").
    """
    match = _PRINCIPAL.fullmatch(arn)
    if match is None:
        return None
    service, account, kind = match["service"], match["account"], match["kind"]
    if (service, kind) == ("sts", "assumed-role"):
        role = (match["name"] or "").partition("/")[0]
        step = f"give the ARN of the role itself: aws iam get-role --role-name {role} --query Role.Arn --output text"
        if role.startswith("AWSReservedSSO_"):  # its path has Identity Center's Region, but for us-east-1; its name ends in random letters
            path = "aws-reserved/sso.amazonaws.com*"
            step = f"give the role's: arn:{match['partition']}:iam::{account}:role/{path}/{role.rpartition('_')[0]}_*"
        return Problem(name, f"{arn} is a session of a role, and nobody: {_NOBODY}, but the role's ARN", step)
    if service == "sts":
        return Problem(name, f"{arn} is nobody who can assume a role: STS lets federated users only ask who they are", "give the ARN of a role or user")
    if kind == "root":
        return Problem(name, f"{arn} is nobody who can assume a role: AWS lets no root user", "* is every role and user of the account")
    if kind == "group":
        return Problem(name, f"{arn} is a group, and nobody: {_NOBODY}", "give the ARNs of its users, or of a role that they assume")
    if trusted and account not in (trusted, "*"):
        step = f"say that they are there: --trust-account {account} (TRUST_ACCOUNT=)"
        return Problem(name, f"{arn} is in account {account}, and the role lets only account {trusted} in", step)
    return None


def request(root: Path, environment: Environment, region: str, stack: Stack | None, given: Mapping[str, str]) -> Request:
    """The deployer's stack with the values that are given; others stay as they are in the deployed stack, or are the template's."""
    template = load(root)
    before = {key: value for key, value in (stack.parameters if stack else {}).items() if key in template.parameters}
    values = settings.effective(template.parameters, {**before, **given, "ServiceName": environment.service})
    require_valid(template, environment, values)
    return Request(
        stack_name=environment.needed_stack_name(DEPLOYER),
        region=region,
        template_text=template.text,
        template_url=None,
        parameters=values,
        tags=environment.tags,
        nested=False,
        names_roles=True,
    )


def deploy(
    options: argparse.Namespace, here: World, entered: Accounts, environment: Environment, given: Mapping[str, str], quiet: bool = False
) -> Stack | None:
    """Brings the stack of the environment's account up to date, as whoever entered it; `quiet` says nothing where it is already."""
    region = home(here.root, environment, options.local)
    cloudformation = entered.of(environment).client("cloudformation", region)
    stack = stacks.find(cloudformation, environment.needed_stack_name(DEPLOYER))
    wanted = request(here.root, environment, region, stack, given)
    if quiet and stack and changesets.is_unchanged(stack, stacks.template_text(cloudformation, stack.id), wanted):
        return stack
    if quiet:
        here.console.line(entered.target.line)
    driver = Driver(
        cloudformation=cloudformation,
        region=region,
        board=Board(here.console),
        clock=here.clock,
        poll_seconds=options.poll,
        verbose=options.verbose,
        confirm=lambda question: here.console.confirm(question, options.yes),
    )
    return rollout.deploy({region: (driver, wanted)}, here.console, here.clock, options.yes or quiet, options.verbose)[region]


def open_as_deployer(options: argparse.Namespace, here: World, regions: Iterable[str], environments: Iterable[Environment]) -> Accounts:
    """The accounts of a command that deploys: as their deployers, where their files say so.

    Nobody has to make those on the local AWS: whoever calls is an administrator of it, and does so first where one is missing or changed.
    """
    aws, involved = here.open_aws(options.local, here.environ), list(environments)
    with_deployer = {environment.account: environment for environment in involved if environment.deployer}
    if options.local and with_deployer:
        entered = accounts.open_accounts(aws, regions, with_deployer.values())
        for environment in with_deployer.values():
            deploy(argparse.Namespace(**{"poll": 1.0, **vars(options)}), here, entered, environment, {}, quiet=True)
    return accounts.open_accounts(aws, regions, involved, deploying=True)
