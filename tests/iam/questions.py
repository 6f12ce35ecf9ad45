"""What must be denied, as questions.yaml has it: read, asked of a world, and asked again with the policy that would allow it.

    - name: build-deploys-to-prod            # unique
      role: pipeline Build/BuildRole         # root (or environment), logical path, @region where not the home Region
      action: codedeploy:CreateDeployment
      resource: ${prod:Deployment/FleetDeploymentGroup.Arn}
      keys: { kms:ViaService: … }            # condition keys of the request
      why: …                                 # what would come of it
      change: [ … ]                          # the policies under which it would be allowed; without it: a statement added that allows just this

Instead of `role`, `service` names a service that calls by itself, `principal` anybody by ARN whose own policies allow all (the resource's policy decides),
and `assume` a role that `by` wants to be: a service, a role (`pipeline Build/BuildRole`) or an ARN. `in` names the one variation to ask in. A change is one of

    { set: Sid, to: { Resource: '*' } }      # elements of a statement of the role's replaced; `of` names another role or a resource with a policy
    { drop: Sid }                            # the statement gone (a denial)
    { free: Sid, of: key.name }              # a condition key gone from a statement (`all`: every condition)
    { add: { Action: …, Resource: … } }      # a statement added
    { trust: { … } }                         # the same for the trust policy's first statement: elements replaced, `Condition: null` removes it

`${bucket}`, `${key}`, `${account}`, `${region}` are the release store's bucket and key in the role's Region, the role's account and Region.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.iam import evaluate
from tests.iam.evaluate import Decision
from tests.iam.roles import Document, ResourcePolicy, Role, World

FILE = Path(__file__).parent / "questions.yaml"
_PLACE = re.compile(r"\$\{([a-z-]+)(?:@([a-z0-9-]+))?:([A-Za-z0-9/]+)\.(\w+)\}")
_ROLE = re.compile(r"([a-z-]+) ([A-Za-z0-9/]+)(?:@([a-z0-9-]+))?")
HOME = "us-east-1"
_KINDS = ("role", "assume", "service", "principal")


@dataclass(frozen=True)
class Question:
    """One entry of the file."""

    name: str
    why: str
    body: Mapping[str, Any]

    @property
    def about(self) -> str:
        """The role whose power is asked after, as written; "" for a service's."""
        return str(self.body.get("role") or self.body.get("assume") or "")

    @property
    def kind(self) -> str:
        return next(kind for kind in _KINDS if kind in self.body)


@functools.cache
def load(path: Path = FILE) -> tuple[Question, ...]:
    """Every question; ValueError for an entry that says too little."""
    found = []
    for entry in yaml.safe_load(path.read_text()):
        if not entry.get("name") or not entry.get("why") or len(set(_KINDS) & entry.keys()) != 1:
            raise ValueError(f"questions.yaml: {entry.get('name') or entry}: name, why and one of {', '.join(_KINDS)} are needed")
        found.append(Question(entry["name"], entry["why"], entry))
    return tuple(found)


def stack_of(root: str) -> str:
    """The stack that a word of the file means: release-store, pipeline, deployer, or an environment."""
    return f"sample-{root}" if root in ("release-store", "pipeline", "deployer") else f"sample-environment-{root}"


def role_of(world: World, written: str) -> Role:
    """The role that `pipeline Build/BuildRole` means."""
    match = _ROLE.fullmatch(written)
    if match is None:
        raise ValueError(f"{written!r} is no role; write <root> <logical path>, with @<region> where not {HOME}")
    return world.role(stack_of(match[1]), match[2], match[3] or HOME)


def _text(world: World, text: str, role: Role | None) -> str:
    """A value with its places filled in."""
    region, account = (role.region, role.account) if role else (HOME, world.role(stack_of("pipeline"), "Build/BuildRole", HOME).account)
    store = world.physical[stack_of("release-store"), region, "ArtifactBucket"], world.physical[stack_of("release-store"), region, "ArtifactKey"]
    for word, value in (("bucket", store[0]["Arn"]), ("key", store[1]["Arn"]), ("account", account), ("region", region)):
        text = text.replace("${" + word + "}", value)
    return _PLACE.sub(lambda match: world.physical[stack_of(match[1]), match[2] or HOME, match[3]][match[4]], text)


def _filled(world: World, value: Any, role: Role | None) -> Any:
    if isinstance(value, str):
        return _text(world, value, role)
    if isinstance(value, dict):
        return {key: _filled(world, item, role) for key, item in value.items()}
    return [_filled(world, item, role) for item in value] if isinstance(value, list) else value


def resource_of(world: World, question: Question) -> str:
    """The resource that a question is about, its places filled in."""
    return _text(world, question.body["resource"], role_of(world, question.about) if question.about else None)


def ask(world: World, question: Question) -> Decision:
    """Decide a question in a world."""
    body = question.body
    role = role_of(world, question.about) if question.about else None
    keys = _filled(world, body.get("keys") or {}, role)
    if question.kind == "assume":
        assert role is not None
        by = body["by"]
        principal = role_of(world, by).arn if _ROLE.fullmatch(by) else _text(world, by, role)
        return evaluate.may_assume(world, role, principal, keys)
    resource = _text(world, body["resource"], role)
    if question.kind == "principal":
        return evaluate.let_in(world, body["principal"], body["action"], resource, keys)
    if role is None:
        return evaluate.service_allowed(world, body["service"], body["action"], resource, keys)
    return evaluate.allowed(world, role, body["action"], resource, keys)


def changed(world: World, question: Question) -> World:
    """The world in which the question's answer should be yes."""
    role = role_of(world, question.about) if question.about else None
    changes = question.body.get("change")
    if changes is None:
        changes = [{"add": {"Action": question.body["action"], "Resource": question.body["resource"]}}]
    for change in changes:
        role = role_of(world, question.about) if question.about else None
        world = _one_change(world, _filled(world, change, role), role)
    return world


def _one_change(world: World, change: Mapping[str, Any], role: Role | None) -> World:
    of = str(change.get("of", ""))
    policies = [one for one in world.resource_policies if of and of == f"{one.kind} {one.logical_id}"]
    if policies:
        return evaluate.with_changes(world, resource_policies=[replace(one, document=_document(one.document, change)) for one in policies])
    target = role_of(world, of) if of else role
    if target is None:
        raise ValueError(f"{change}: there is no such role or resource policy: {of!r}")
    if "trust" in change:
        return evaluate.with_changes(world, [replace(target, trust=_trust(target.trust, change["trust"]))])
    if "add" in change:
        added = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **change["add"]}]}
        return evaluate.with_changes(world, [replace(target, policies={**target.policies, "Added": added})])
    documents = {name: _document(document, change) for name, document in target.policies.items()}
    if documents == dict(target.policies):
        raise ValueError(f"{change} changes nothing of {target.path}")
    return evaluate.with_changes(world, [replace(target, policies=documents)])


def _document(document: Document, change: Mapping[str, Any]) -> Document:
    """A document with one of its statements changed."""
    statements = []
    for statement in document["Statement"]:
        sid = statement.get("Sid")
        if change.get("drop") == sid:
            continue
        if change.get("set") == sid:
            statement = {key: value for key, value in {**statement, **change["to"]}.items() if value is not None}
        if change.get("free") == sid:
            statement = without_condition(statement, change["key"])
        statements.append(statement)
    if "add" in change:
        statements.append({"Effect": "Allow", **change["add"]})
    return {**document, "Statement": statements}


def _trust(document: Document, elements: Mapping[str, Any]) -> Document:
    first, *rest = document["Statement"]
    return {**document, "Statement": [{key: value for key, value in {**first, **elements}.items() if value is not None}, *rest]}


def without_condition(statement: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A statement with one condition key gone ("all": every one)."""
    kept = copy.deepcopy(dict(statement))
    conditions = {operator: {name: value for name, value in keys.items() if key != "all" and name.lower() != key.lower()}
                  for operator, keys in (kept.pop("Condition", None) or {}).items()}
    conditions = {operator: keys for operator, keys in conditions.items() if keys}
    return {**kept, "Condition": conditions} if conditions else kept


@dataclass(frozen=True)
class Weakening:
    """One thing taken away that holds somebody back: a condition key, a denial, or an action of a denial."""

    declared: str
    statement: str
    what: str

    def __str__(self) -> str:
        return f"{self.declared} {self.statement}: {self.what}"


def weakenings(world: World) -> Iterator[tuple[Weakening, World]]:
    """Each weakening of the templates, with the world that it makes, in all places at once."""
    found: dict[Weakening, list[tuple[Role | ResourcePolicy, Any]]] = {}
    for role in world.roles:
        for name, number, statement in role.statements():
            for what, instead in _weaker(statement):
                document = role.policies[name]
                body = [*document["Statement"]]
                body[number:number + 1] = [instead] if instead else []
                after = replace(role, policies={**role.policies, name: {**document, "Statement": body}})
                found.setdefault(Weakening(role.declared, str(statement.get("Sid")), what), []).append((role, after))
        for number, statement in enumerate(role.trust["Statement"]):
            for what, instead in _weaker(statement):
                trust = [*role.trust["Statement"]]
                trust[number:number + 1] = [instead] if instead else []
                found.setdefault(Weakening(role.declared, "trust", what), []).append((role, replace(role, trust={**role.trust, "Statement": trust})))
    for one in world.resource_policies:
        for number, statement in enumerate(one.document["Statement"]):
            for what, instead in _weaker(statement):
                body = [*one.document["Statement"]]
                body[number:number + 1] = [instead] if instead else []
                found.setdefault(Weakening(one.declared, str(statement.get("Sid")), what), []).append(
                    (one, replace(one, document={**one.document, "Statement": body})))
    for weakening, places in found.items():
        yield weakening, evaluate.with_changes(world, [after for before, after in places if isinstance(before, Role)],
                                               [after for before, after in places if isinstance(before, ResourcePolicy)])


def _weaker(statement: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if statement["Effect"] == "Allow":
        for key in sorted({name for keys in (statement.get("Condition") or {}).values() for name in keys}):
            yield f"condition {key}", without_condition(statement, key)
        return
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    for action in actions:
        left = [one for one in actions if one != action]
        yield f"denied {action}", {**statement, "Action": left} if left else None
