"""Show what a deploy of an environment would change, in every Region and nested stack: added, changed, replaced, removed. Changes nothing.

With the right to make change sets, CloudFormation says it: one is made for each stack that is there (its templates are uploaded), shown and
deleted. With read-only rights, or --read-only, it is worked out from the deployed templates, the tree's and the registry's schemas; both say
which they are. What holds something (a bucket, a key, a table, an address, hosts) and is replaced, or removed and not kept, is marked; what a
deploy refuses is a note.
Exit codes: 0 shown, whatever it is; 1 it failed, or --fail-on-replacement and something is lost; 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from scripts.core import accounts, changesets, documents, fixed, layout, packaging, parallel, placeholders, references, roots, stacks, world
from scripts.core.accounts import Accounts
from scripts.core.changes import Change
from scripts.core.changesets import ChangeSet, Request
from scripts.core.errors import BadInput, CommandError, WrongUse, denied_action
from scripts.core.packaging import Package, Store
from scripts.core.roots import Roots
from scripts.core.session import Aws
from scripts.core.stacks import Stack, Step
from scripts.core.templates import NESTED_STACK
from scripts.core.world import World
from scripts.planning import compare, deployed, shown, tree
from scripts.planning.schemas import schemas
from scripts.planning.shown import Section
from scripts.planning.values import UNKNOWN


@dataclass(frozen=True)
class _Wanted:
    """One root stack as the tree has it. `package` is None for a flat template; `values` may hold what is not known yet."""

    request: Request
    package: Package | None
    aws: Aws
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """One run of the command."""

    options: argparse.Namespace
    world: World
    roots: Roots
    accounts: Accounts


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("plan", __doc__)
    arguments.add_argument("--read-only", action="store_true", help="make no change set and upload nothing: work it out")
    arguments.add_argument("--fail-on-replacement", action="store_true", help="exit 1 if something that holds data, or an address, is replaced or removed")
    how = arguments.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="one JSON document on standard output")
    how.add_argument("--markdown", action="store_true", help="tables in Markdown on standard output, for a step summary")
    arguments.add_argument("--poll", type=float, default=1.0, metavar="SECONDS", help="how often to ask CloudFormation (default 1)")
    return world.run(arguments, argv, given, _plan)


def _plan(options: argparse.Namespace, here: World) -> int:
    loaded = roots.load(here.root, options.env, options.local)
    environment = loaded.environment
    regions = [*environment.regions, *(region for need in environment.needs for region in roots.regions_of(environment, need))]
    entered = accounts.open_accounts(here.open_aws(options.local, here.environ), regions, loaded.involved)
    (here.console.error if options.json or options.markdown else here.console.line)(entered.target.line)
    found = [] if options.local else [*placeholders.of_account(environment), *placeholders.of_account(loaded.tools)]
    if found:
        raise BadInput(f"{environment.file} still has placeholders", dict.fromkeys(found))
    for involved in loaded.involved:
        entered.of(involved)
    run = Plan(options, here, loaded, entered)
    jobs = {f"{need}@{region}": partial(_needed, run, need, region) for need in environment.needs for region in roots.regions_of(environment, need)}
    jobs |= {f"@{region}": partial(_root, run, region) for region in environment.regions}
    sections = list(parallel.all_or_raise(jobs, here.clock).values())
    _show(run, sections)
    return 1 if options.fail_on_replacement and any(section.losses for section in sections) else 0


def _show(run: Plan, sections: Sequence[Section]) -> None:
    console, name = run.world.console, run.roots.environment.name
    if run.options.json:
        console.line(json.dumps(shown.document(name, sections), indent=2))
    elif run.options.markdown:
        console.line(shown.markdown(name, sections))
    else:
        colour = console.live and not run.world.environ.get("NO_COLOR")
        for line in shown.text(sections, run.options.verbose, colour):
            # A coloured row is left whole: what would be broken off loses its colour.
            for part in [line] if "\033" in line else layout.fit([line], layout.width(console, run.world.environ)):
                console.line(part)


# -- what is wanted --------------------------------------------------------------------------------------------------------


def _needed(run: Plan, need: str, region: str) -> Section:
    """A root that the environment needs: flat, in the tools account."""
    request = roots.needed_request(run.roots, need, region)
    return _section(run, region, _Wanted(request, None, run.accounts.of(run.roots.tools), request.parameters))


def _root(run: Plan, region: str) -> Section:
    """The environment's own root. On day one its bucket is not there yet, nor what its values name: those are not known then."""
    environment, aws, tools = run.roots.environment, run.accounts.of(run.roots.environment), run.accounts.of(run.roots.tools)
    notes: list[str] = []
    values: dict[str, Any] = {}
    try:
        values = dict(roots.resolve_values(run.roots, region, run.accounts))
        store: Store | None = roots.store(run.roots, region, tools)
    except WrongUse:
        raise
    except CommandError as error:
        if stacks.find(aws.client("cloudformation", region), environment.stack_name):
            raise
        notes.append(f"{error.what}: what depends on it is not known yet")
        values = {key: UNKNOWN if references.find(value) else value for key, value in environment.parameters_in(region).items()}
        store = None
    package = packaging.plan(run.world.root / "templates", environment.template, store or Store("not-known-yet", region, aws.dns_suffix(region)),
                             roots.has_canaries(environment))
    known = {key: value for key, value in values.items() if isinstance(value, str)}
    request = roots.root_request(run.roots, region, package, known)
    return _section(run, region, _Wanted(request, package, aws, {**request.parameters, **values}, tuple(notes)))


# -- what becomes of it ----------------------------------------------------------------------------------------------------


def _section(run: Plan, region: str, wanted: _Wanted) -> Section:
    cloudformation, name = wanted.aws.client("cloudformation", region), wanted.request.stack_name
    stack = stacks.find(cloudformation, name)
    if wanted.package is not None:
        refused = fixed.problems(run.roots.template, run.roots.environment, region, stack, wanted.values)
        wanted = replace(wanted, notes=(*wanted.notes, *(f"a deploy refuses this: {one.name}: {one.reason} Next: {one.next_step}" for one in refused)))
    step = stacks.next_step(stack.status if stack else None)
    if stack is None or step in (Step.CREATE, Step.REMOVE_REVIEW, Step.DELETE_FIRST):
        again = [f"the stack is {stack.status}: a deploy deletes it, and creates it again"] if stack and step is Step.DELETE_FIRST else []
        return _worked_out(run, region, wanted, None, shown.NEW, again)
    if changesets.is_unchanged(stack, stacks.template_text(cloudformation, stack.id), wanted.request):
        return Section(name, region, shown.SAME, stack.status, notes=wanted.notes)
    if step is not Step.UPDATE:
        return _worked_out(run, region, wanted, stack, shown.WORKED_OUT, [f"the stack is {stack.status}, in which no change set can be made"])
    if run.options.read_only:
        return _worked_out(run, region, wanted, stack, shown.WORKED_OUT, [])
    try:
        made, left = _change_set(run, region, wanted)
    except (ClientError, CommandError) as error:
        denied = _denied(error)
        if not denied:
            raise
        return _worked_out(run, region, wanted, stack, shown.WORKED_OUT, [f"no change set could be made: access denied: {denied}"])
    if made is None:
        return Section(name, region, shown.SAME, stack.status, notes=wanted.notes)
    if made.notes:
        return _worked_out(run, region, wanted, stack, shown.WORKED_OUT, [*made.notes[:1], *left])
    whole = tuple(_with_removed(cloudformation, change) for change in made.changes)
    return Section(name, region, shown.CHANGE_SET, stack.status, whole, (*wanted.notes, *left))


def _change_set(run: Plan, region: str, wanted: _Wanted) -> tuple[ChangeSet | None, list[str]]:
    """CloudFormation's own answer, the change set deleted again; and a note where that was refused."""
    cloudformation = wanted.aws.client("cloudformation", region)
    if wanted.package is not None:
        tools = run.roots.tools
        packaging.upload(wanted.package, run.accounts.of(tools).client("s3", region), tools.account)
    request = replace(wanted.request, description="made by make plan, and to be deleted")
    made = changesets.create(cloudformation, request, False, run.world.clock, run.options.poll)
    if made is None:
        return None, []
    try:
        left = changesets.discard(cloudformation, made.id, made.stack_id, False, run.world.clock, run.options.poll)
    except ClientError as error:
        denied = denied_action(error)
        if not denied:
            raise
        return made, [f"the change set {made.name} is left behind: access denied: {denied}"]
    return made, [left] if left else []


def _denied(error: ClientError | CommandError) -> str:
    """The permission that is missing; CloudFormation reads templates with the caller's rights, and tells it in its refusal."""
    if isinstance(error, ClientError):
        return denied_action(error) or ""
    return "s3:GetObject" if "S3 error: Access Denied" in error.reason else ""


def _with_removed(cloudformation: Any, change: Change) -> Change:
    """A change whose removed nested stacks show what is in them: a change set does not look into those."""
    if change.type != NESTED_STACK:
        return change
    if change.action == "Remove" and not change.children and not change.kept:
        stack = stacks.find(cloudformation, change.physical_id)
        return replace(change, children=compare.removal(deployed.read(cloudformation, stack))) if stack else change
    return replace(change, children=None if change.children is None else tuple(_with_removed(cloudformation, inner) for inner in change.children))


def _worked_out(run: Plan, region: str, wanted: _Wanted, stack: Stack | None, how: str, notes: Sequence[str]) -> Section:
    cloudformation, request = wanted.aws.client("cloudformation", region), wanted.request
    old = deployed.read(cloudformation, stack) if stack else None
    document = documents.parse(request.template_text, request.stack_name, documents.TemplateLoader)
    account = run.roots.tools.account if wanted.package is None else run.roots.environment.account
    pseudo = tree.pseudo(request.stack_name, region, account, wanted.aws.dns_suffix(region))
    # What a template hides is shown as asterisks: it counts as what it was.
    hidden = {key: value for key, value in (stack.parameters if stack else {}).items() if set(value) == {"*"}}
    result = compare.compare(old, document, {**wanted.values, **hidden}, pseudo, tree.finder(wanted.package), schemas(region))
    more = [f"{', '.join(hidden)}: hidden, and taken for unchanged"] if hidden else []
    if stack and dict(stack.tags) != dict(request.tags):
        more.append("the stack's tags change: every resource that takes tags gets them, in place")
    status = stack.status if stack else ""
    if stack and not result.changes and not more:
        return Section(request.stack_name, region, shown.SAME, status, notes=(*wanted.notes, *notes, *result.notes))
    return Section(request.stack_name, region, how, status, tuple(result.changes), (*wanted.notes, *notes, *result.notes, *more))


if __name__ == "__main__":
    raise SystemExit(main())
