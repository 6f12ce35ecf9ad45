"""The role that deploys (templates/deployer.yaml): one stack in each account, made by an administrator of it, and whoever then acts as it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.core import accounts, changesets, rollout, roots, settings, stacks, templates
from scripts.core.accounts import Accounts
from scripts.core.changesets import Request
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.settings import Environment
from scripts.core.stacks import Stack
from scripts.core.world import World

DEPLOYER = "deployer"


def home(root: Path, environment: Environment, local: bool) -> str:
    """The Region of its stack: the same in every account, because roles know no Region and there can be one of a name."""
    return (settings.load(root, roots.PIPELINE, local) if roots.PIPELINE in settings.names(root) else environment).regions[0]


def request(root: Path, environment: Environment, region: str, stack: Stack | None, given: Mapping[str, str]) -> Request:
    """The deployer's stack with the values that are given; others stay as they are in the deployed stack, or are the template's."""
    template = templates.load(root / "templates" / f"{DEPLOYER}.yaml", root)
    before = {key: value for key, value in (stack.parameters if stack else {}).items() if key in template.parameters}
    return Request(
        stack_name=environment.needed_stack_name(DEPLOYER),
        region=region,
        template_text=template.text,
        template_url=None,
        parameters=settings.effective(template.parameters, {**before, **given, "ServiceName": environment.service}),
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
