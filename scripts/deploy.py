"""Deploy an environment: what it needs first, then its root stack, in all its Regions at once or wave by wave (waves:).

Makes a change set over the whole tree of stacks, shows it, asks, executes it and watches it. Running it again is always safe: it
finds the stacks in whatever state they are, waits for an operation that is under way, and does what is left.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from scripts.core import connection, deployers, fixed, packaging, parallel, placeholders, prerequisites, rollout, roots, settings, stacks, world
from scripts.core.accounts import Accounts
from scripts.core.changesets import Request
from scripts.core.errors import BadInput, CommandError, Problem
from scripts.core.progress import Board
from scripts.core.recover import Driver
from scripts.core.roots import Roots
from scripts.core.session import Aws, Target
from scripts.core.stacks import Stack
from scripts.core.world import World


@dataclass(frozen=True)
class Deploy:
    """One run of the command. `aws` acts in the environment's account, `tools` in that of the release stores."""

    options: argparse.Namespace
    world: World
    roots: Roots
    accounts: Accounts
    aws: Aws
    tools: Aws
    target: Target
    board: Board

    def driver(self, aws: Aws, region: str) -> Driver:
        return Driver(
            cloudformation=aws.client("cloudformation", region),
            region=region,
            board=self.board,
            clock=self.world.clock,
            poll_seconds=self.options.poll,
            verbose=self.options.verbose,
            confirm=lambda question: self.world.console.confirm(question, self.options.yes),
        )


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("deploy", __doc__)
    arguments.add_argument(
        "--ignore-alarms", action="store_true", help="break glass: deploy although alarms fire, and let none take the update back"
    )
    arguments.add_argument("--no-wait", action="store_true", help="do not wait for a person to complete the pipeline's connection")
    arguments.add_argument("--wait-minutes", type=float, default=30.0, help="how long to wait for the connection (default 30)")
    arguments.add_argument("--poll", type=float, default=2.0, metavar="SECONDS", help="how often to ask CloudFormation (default 2)")
    return world.run(arguments, argv, given, _deploy)


def _deploy(options: argparse.Namespace, here: World) -> int:
    loaded = roots.load(here.root, options.env, options.local)
    environment = loaded.environment
    regions = [*environment.regions, *(region for need in environment.needs for region in roots.regions_of(environment, need))]
    entered = deployers.open_as_deployer(options, here, regions, loaded.involved)
    here.console.line(entered.target.line)
    # Before the account: it is one of the placeholders, and "the caller's account is not 111122223333" would not help.
    found = [] if options.local else [*placeholders.problems(environment), *placeholders.of_account(loaded.tools)]
    if found:
        raise BadInput(f"{environment.file} still has placeholders", dict.fromkeys(found))
    # Each account before anything is done in one of them.
    for involved in loaded.involved:
        entered.of(involved)
    run = Deploy(options, here, loaded, entered, entered.of(environment), entered.of(loaded.tools), entered.target, Board(here.console))
    _warn_of_ignored_alarms(run)
    _lock(run)
    _deploy_needed(run)
    verdict: dict[str, str] = {}
    try:
        deployed = _deploy_root(run, verdict)
    except CommandError:
        _tell(run, "failed", verdict)
        raise
    _finish(run, deployed)
    _tell(run, "done", verdict)
    return 0


def _warn_of_ignored_alarms(run: Deploy) -> None:
    if run.options.ignore_alarms:
        run.world.console.line(
            f"WARNING: alarms are ignored, by {run.target.caller}: nothing takes this update back but a failure of its own"
        )


def _lock(run: Deploy) -> None:
    """Before anything changes: no deployment in progress, in any Region, and no value that cannot be changed."""
    environment, template = run.roots.environment, run.roots.template

    def check(region: str) -> list[Problem]:
        stack = stacks.find(run.aws.client("cloudformation", region), environment.stack_name)
        if stack and prerequisites.deployment_groups(stack):
            prerequisites.require_no_deployment(run.aws.client("codedeploy", region), stack, region)
        return fixed.problems(template, environment, region, stack, settings.effective(template.parameters, environment.parameters_in(region)))

    found = parallel.all_or_raise({region: partial(check, region) for region in environment.regions}, run.world.clock)
    _refuse([problem for problems in found.values() for problem in problems], environment.stack_name)


def _refuse(problems: Sequence[Problem], name: str) -> None:
    if problems:
        raise BadInput(f"{name} cannot be changed like this", problems)


def _deploy_needed(run: Deploy) -> None:
    for need in run.roots.environment.needs:
        regions = roots.regions_of(run.roots.environment, need)
        work = {region: (run.driver(run.tools, region), roots.needed_request(run.roots, need, region)) for region in regions}
        rollout.deploy(work, run.world.console, run.world.clock, run.options.yes, run.options.verbose)


def _deploy_root(run: Deploy, verdict: dict[str, str]) -> dict[str, Stack]:
    environment = run.roots.environment
    requests = parallel.all_or_raise({region: partial(_request, run, region) for region in environment.regions}, run.world.clock)
    _check_prerequisites(run, requests)
    return rollout.deploy(
        {region: (run.driver(run.aws, region), request) for region, request in requests.items()},
        run.world.console,
        run.world.clock,
        run.options.yes,
        run.options.verbose,
        adjust=lambda request, stack: _guard(run, request, stack),
        waves=environment.waves,
        verdict=verdict,
    )


def _tell(run: Deploy, word: str, verdict: Mapping[str, str]) -> None:
    """The last line: how each Region ended."""
    if verdict:
        regions = "; ".join(f"{region} {ending}" for region, ending in verdict.items())
        run.world.console.line(f"deploy of {run.roots.environment.name} {word}: {regions}")


def _request(run: Deploy, region: str) -> Request:
    """The root's request, its templates packaged and uploaded."""
    environment = run.roots.environment
    values = roots.resolve_values(run.roots, region, run.accounts)
    store, canaries = roots.store(run.roots, region, run.tools), roots.has_canaries(environment)
    package = packaging.plan(run.world.root / "templates", environment.template, store, canaries)
    packaging.write(package, run.world.root / "build" / "packaged" / environment.name / region)
    packaging.upload(package, run.tools.client("s3", region), run.roots.tools.account)
    return roots.root_request(run.roots, region, package, values)


def _check_prerequisites(run: Deploy, requests: dict[str, Request]) -> None:
    problems, fixed_ones, environment = [], [], run.roots.environment
    for region, request in requests.items():
        arn = request.parameters.get("ConnectionArn")
        if arn:
            connection.status(run.aws.client("codeconnections", region), arn)
        stack = stacks.find(run.aws.client("cloudformation", region), request.stack_name)
        # Again: by now every reference has its value.
        fixed_ones += fixed.problems(run.roots.template, environment, region, stack, request.parameters)
        # What a deployed stack uses is counted by the quota already; a change of its network is CloudFormation's to judge.
        if stack is None or stacks.next_step(stack.status) is stacks.Step.REMOVE_REVIEW:
            short, notes = prerequisites.check_quotas(run.aws, region, prerequisites.network_needs(request.parameters))
            problems += short
            for note in notes:
                run.world.console.line(f"note: {note}")
    _refuse(fixed_ones, environment.stack_name)
    if problems:
        raise CommandError("\n".join([f"{environment.stack_name} would not fit into the account", *map(str, problems)]))


def _guard(run: Deploy, request: Request, stack: Stack | None) -> Request:
    """Rollback triggers on the composites that the deployed stack has: from the second deploy on, never on a create."""
    if stack is None:
        return request
    if run.options.ignore_alarms:
        return replace(request, triggers=())
    return replace(request, triggers=prerequisites.composite_triggers(run.aws.client("cloudwatch", request.region), stack, request.region))


def _finish(run: Deploy, deployed: dict[str, Stack]) -> None:
    console = run.world.console
    for region, stack in deployed.items():
        for key in ("EndpointUrl", "PipelineConsoleUrl"):
            if stack.outputs.get(key):
                console.line(f"{key} ({region}): {stack.outputs[key]}")
        wait = 0.0 if run.options.no_wait else run.options.wait_minutes * 60
        connection.complete(run.aws, region, stack, console, run.world.clock, wait)


if __name__ == "__main__":
    raise SystemExit(main())
