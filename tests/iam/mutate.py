"""Take each permission away, one at a time, and ask again what roles really asked for: a permission that nobody misses has to have a reason.

    python -m tests.iam.mutate [--all]

What counts is a recorded call (recordings/) that was allowed and that the evaluator now denies. For the role that deploys, what AWS's registry declares
that CloudFormation's handlers call counts, too (handlers.py), as a proof of its own kind: declared by AWS, made by no run. What neither misses survives, and
stands in unused.yaml with its reason, or the command fails; so does an entry of unused.yaml that is no survivor. Actions of denials are held by
test_denied.py instead: no call is missed without them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from localaws.policies import matches
from tests.iam import evaluate, handlers, recordings, roles
from tests.iam.handlers import Call, Needs
from tests.iam.recordings import Question
from tests.iam.roles import Role, World, lists

UNUSED = Path(__file__).parent / "unused.yaml"


@dataclass(frozen=True, order=True)
class Permission:
    """One action of one statement, as it stands in the tree: `policy` is `pipeline/access.yaml PipelineRole`, a role or a key."""

    policy: str
    statement: str
    action: str

    def __str__(self) -> str:
        return f"{self.policy} {self.statement} {self.action}"


@dataclass(frozen=True)
class Mutant:
    """A permission and the world without it. `killed_by` is the recorded call that misses it; where there is none, `declared` is what handlers miss."""

    permission: Permission
    killed_by: Question | None
    declared: Call | None = None

    @property
    def survives(self) -> bool:
        return self.killed_by is None and self.declared is None


def permissions(world: World) -> list[Permission]:
    """Every permission of the roles, and of the keys' own policies."""
    found: dict[Permission, None] = {}
    for role in world.roles:
        for _, _, statement in role.statements():
            found.update(dict.fromkeys(_of(role.declared, statement)))
    for one in world.resource_policies:
        if one.kind == "key":
            for statement in one.document["Statement"]:
                found.update(dict.fromkeys(_of(one.declared, statement)))
    return list(found)


def _of(policy: str, statement: Mapping[str, Any]) -> Iterator[Permission]:
    if statement["Effect"] == "Allow":
        yield from (Permission(policy, str(statement.get("Sid")), action) for action in lists(statement["Action"]))


def without(documents: Mapping[str, Any], permission: Permission) -> dict[str, Any]:
    """Policies by name, without a permission; a statement that has no action left goes."""
    after = {}
    for name, document in documents.items():
        kept = []
        for statement in document["Statement"]:
            actions = lists(statement["Action"])
            if statement["Effect"] == "Allow" and str(statement.get("Sid")) == permission.statement and permission.action in actions:
                actions = [action for action in actions if action != permission.action]
                if not actions:
                    continue
                statement = {**statement, "Action": actions}
            kept.append(statement)
        after[name] = {**document, "Statement": kept}
    return after


def ask(world: World, question: Question, role: Role | None = None) -> evaluate.Decision:
    """Ask a recorded question again; `role` stands in for the recorded one."""
    keys = {name: list(value) if isinstance(value, tuple) else value for name, value in question.keys}
    keys.setdefault("aws:requestedregion", question.region)
    return evaluate.allowed(world, role or _role(world, question.place), question.action, question.resource, keys)


def _role(world: World, place: tuple[str, str, str]) -> Role:
    stack, region, path = place
    try:
        return world.role(stack, path, region)
    except KeyError:
        raise KeyError(f"the recordings have a role that the templates do not: {' '.join(place)}; record again") from None


def mutants(world: World, questions: Iterable[Question], needs: Needs | None = None) -> Iterator[Mutant]:
    """Each permission taken away in all places at once, with the first call that misses it; `needs` are what handlers call (handlers.needed())."""
    needs = handlers.needed() if needs is None else needs
    asked = [question for question in questions if question.allowed]
    of_policy: dict[str, list[Question]] = {}
    for question in asked:
        of_policy.setdefault(_role(world, question.place).declared, []).append(question)
    keys = {one.declared: one for one in world.resource_policies if one.kind == "key"}
    for permission in permissions(world):
        if permission.policy in keys:
            weaker = evaluate.with_changes(world, resource_policies=[
                replace(one, document=without({"": one.document}, permission)[""]) for one in world.resource_policies if one.declared == permission.policy])
            arns = {one.arn for one in world.resource_policies if one.declared == permission.policy}
            possible = [question for question in asked if question.resource in arns and matches(permission.action, question.action, ignore_case=True)]
            yield Mutant(permission, next((question for question in possible if not ask(weaker, question).allowed), None))
            continue
        possible = [question for question in of_policy.get(permission.policy, ()) if matches(permission.action, question.action, ignore_case=True)]
        killed = next((question for question in possible if not ask(world, question, _weaker(_role(world, question.place), permission)).allowed), None)
        yield Mutant(permission, killed, _declared(world, permission, needs) if killed is None and permission.policy == handlers.DEPLOYER else None)


def _weaker(role: Role, permission: Permission) -> Role:
    return replace(role, policies=without(role.policies, permission))


def _declared(world: World, permission: Permission, needs: Needs) -> Call | None:
    found = (handlers.missed(world, role, _weaker(role, permission), permission.action, handlers.resources_of(role, permission.statement), needs)
             for role in world.roles if role.declared == permission.policy)
    return next((call for call in found if call is not None), None)


def unused(path: Path = UNUSED) -> dict[Permission, str]:
    """The permissions that nothing misses and that stay, with their reasons. ValueError for an entry without one."""
    found: dict[Permission, str] = {}
    for entry in yaml.safe_load(path.read_text()) or ():
        if not str(entry.get("reason", "")).strip():
            raise ValueError(f"{path.name}: {entry} has no reason")
        for action in entry["actions"]:
            permission = Permission(entry["role"], entry["statement"], action)
            if permission in found:
                raise ValueError(f"{path.name}: {permission} is there twice")
            found[permission] = entry["reason"]
    return found


def problems(found: Sequence[Mutant], justified: Mapping[Permission, str]) -> list[str]:
    """Survivors without a reason, and reasons without a survivor."""
    survivors = {mutant.permission for mutant in found if mutant.survives}
    known = {mutant.permission: mutant for mutant in found}
    said = []
    for permission in sorted(survivors - justified.keys()):
        nor = ", and no resource type's handlers are declared to" if permission.policy == handlers.DEPLOYER else ""
        said.append(f"{permission}: no recorded call misses it{nor}; take it away, or say in unused.yaml why it is needed")
    for permission in sorted(justified.keys() - survivors):
        mutant = known.get(permission)
        what = "no policy has it" if mutant is None else "a recorded call misses it" if mutant.killed_by else f"missed: {mutant.declared}"
        said.append(f"{permission}: {what}; take it out of unused.yaml")
    return said


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit 0 done, 1 a survivor without a reason or a reason without a survivor, 2 wrong use."""
    arguments = argparse.ArgumentParser(prog="python -m tests.iam.mutate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--all", action="store_true", help="list what misses each permission, too: a recorded call, or a declared one")
    options = arguments.parse_args(argv)
    questions = recordings.load()
    if not questions:
        print("recordings/ is empty: nothing was recorded, so that nothing can be missed. Record a run: tests/iam/recordings.py says how", file=sys.stderr)
        return 2
    found = list(mutants(roles.resolve("local"), questions))
    justified = unused()
    for mutant in found:
        if mutant.killed_by is not None and options.all:
            print(f"recorded  {mutant.permission}: {mutant.killed_by.action} on {mutant.killed_by.resource} by {' '.join(mutant.killed_by.place)}")
        if mutant.declared is not None and options.all:
            print(f"declared  {mutant.permission}: {mutant.declared}")
        if mutant.survives:
            print(f"survives  {mutant.permission}: {' '.join(justified.get(mutant.permission, 'NO REASON').split())}")
    wrong = problems(found, justified)
    recorded, declared = sum(mutant.killed_by is not None for mutant in found), sum(mutant.declared is not None for mutant in found)
    print(f"{len(found)} permissions taken away one at a time: {recorded} missed by a recorded call ({len(questions)} questions), {declared} by a call that "
          "the registry declares of CloudFormation's handlers and that no run has made, "
          f"{len(found) - recorded - declared} by neither, {len(wrong)} unexplained")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
