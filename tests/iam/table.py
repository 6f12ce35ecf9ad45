"""docs/permissions.md: every role of the templates, who may be it, what it may do, on what, under which conditions, and why.

    python -m tests.iam.table            writes the page
    python -m tests.iam.table --check    fails if the page is not what it would write

Names are those of parameters/ (service `sample`), made up where AWS makes them up; reasons are the comments of the templates.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.iam import mutate, questions, recordings, roles
from tests.iam.handlers import Call
from tests.iam.mutate import Permission
from tests.iam.roles import ResourcePolicy, Role, lists

PAGE = roles.ROOT / "docs" / "permissions.md"
_SECTIONS = (("pipeline", "The pipeline"), ("environment", "Environments"), ("deployer", "Whoever deploys"))
_PREFERRED = ("sample-pipeline", "sample-environment-prod")
_HOME = "us-east-1"


@dataclass(frozen=True)
class Row:
    """One statement, in words."""

    why: str
    who: str
    actions: str
    resources: str
    conditions: str


# --- comments of the templates ----------------------------------------------------------------------------------------


@functools.cache
def comments(file: str, logical_id: str) -> Mapping[str, str]:
    """The comments of a resource in a template: by Sid, those above and in a statement; under "" those above the resource itself."""
    lines = (roles.ROOT / "templates" / file).read_text().splitlines()
    start = next((number for number, line in enumerate(lines) if line == f"  {logical_id}:"), None)
    if start is None:
        return {}
    end = next((number for number in range(start + 1, len(lines)) if re.match(r" {0,2}\S", lines[number]) and not lines[number].startswith("  #")), len(lines))
    found = {"": _above(lines, start)}
    sid = None
    for number in range(start, end):
        if match := re.match(r"\s*- (?:!If|Sid: (\w+))$", lines[number]):
            sid = match[1] or _next_sid(lines, number)
            if match[1] is None or sid not in found:
                found[sid] = _above(lines, number)
        elif sid and (comment := _comment(lines[number])) is not None and not _stands_above(lines, number):
            found[sid] = f"{found[sid]} {comment}".strip()
    return found


def _next_sid(lines: Sequence[str], number: int) -> str:
    return next((match[1] for line in lines[number:number + 6] if (match := re.search(r"- Sid: (\w+)", line))), "")


def _comment(line: str) -> str | None:
    match = re.match(r"\s*# ?(.*)", line)
    return match[1] if match else None


def _above(lines: Sequence[str], number: int) -> str:
    """The comment that stands right above a line."""
    found = []
    while number > 0 and (comment := _comment(lines[number - 1])) is not None:
        found.append(comment)
        number -= 1
    return " ".join(reversed(found))


def _stands_above(lines: Sequence[str], number: int) -> bool:
    """Tell whether a comment is about the statement, or the resource, after it."""
    while number < len(lines) and _comment(lines[number]) is not None:
        number += 1
    return number < len(lines) and (bool(re.match(r"\s*- (Sid:|!If|PolicyName:)", lines[number])) or bool(re.match(r"  \w", lines[number])))


# --- words ------------------------------------------------------------------------------------------------------------


def sentence(sid: str) -> str:
    """`UseTheKeyOfTheBucket` as words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", sid.replace("-", " "))
    return words[:1].upper() + words[1:].lower()


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _cell(lines: Iterable[str]) -> str:
    return "<br>".join(lines)


_NUMBER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|lt-[0-9a-f]{17}|[\w-]+/[0-9a-f]{16}\b")


@functools.cache
def _things() -> Mapping[str, str]:
    """What stands behind the numbers: the logical path of the resource that has one."""
    found = {}
    for variation in ("aws", "accounts"):
        for (_, _, path), attributes in roles.resolve(variation).physical.items():
            for value in attributes.values():
                found.update(dict.fromkeys(_NUMBER.findall(value), f"<{path}>"))
    return found


def short(arn: str, region: str, account: str) -> str:
    """An ARN as far as it says something: service and resource, the Region where it is another, the account where it is another.

    A number that AWS would make up is written as the resource's logical path.
    """
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return arn
    text = f"{parts[2]} {_NUMBER.sub(lambda match: _things().get(match[0], match[0]), parts[5])}"
    text += f" in {parts[3]}" if parts[3] not in ("", region) else ""
    return text + (f" of account {parts[4]}" if parts[4] not in ("", account) else "")


def _conditions(statement: Mapping[str, Any], region: str, account: str) -> str:
    said = []
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, value in keys.items():
            values = " or ".join(_code("this account" if one == account else short(str(one), region, account)) for one in lists(value))
            said.append(f"{key} {_OPERATORS.get(operator, operator)} {values}")
    return _cell(said)


_OPERATORS = {"StringEquals": "is", "StringLike": "is like", "ArnLike": "is like", "ArnEquals": "is", "Bool": "is", "Null": "is missing:"}


def _principals(principal: Any, account: str) -> str:
    if not isinstance(principal, Mapping):
        return "everybody"
    named = []
    for kind, values in principal.items():
        for value in lists(values):
            match = re.fullmatch(r"(?:arn:aws:iam::)?(\d{12})(?::root)?", value)
            named.append(_code(value) if kind == "Service" or not match else "roles of this account" if match[1] == account else f"roles of account {match[1]}")
    return _cell(dict.fromkeys(named))


def _rows(found: Iterable[tuple[Mapping[str, Any], Role | ResourcePolicy, str]]) -> Iterator[Row]:
    """Statements in words; each comes with whose it is, and the name of its policy (a managed one has its own place in the template)."""
    for statement, owner, policy in found:
        sid = str(statement.get("Sid", ""))
        why = comments(owner.file, owner.logical_id).get(sid) or comments(owner.file, policy).get(sid, "")
        words = ("**Denied:** " if statement["Effect"] == "Deny" else "") + sentence(sid)
        resources = [_code(short(one, owner.region, owner.account)) for one in lists(statement.get("Resource"))]
        resources += ["all but " + _code(short(one, owner.region, owner.account)) for one in lists(statement.get("NotResource"))]
        yield Row(f"{words}. {why}".replace("|", "\\|").replace("<", "&lt;").strip(), _principals(statement.get("Principal"), owner.account),
                  _cell(_code(action) for action in lists(statement["Action"])), _cell(resources) or "itself",
                  _conditions(statement, owner.region, owner.account))


# --- the page ---------------------------------------------------------------------------------------------------------


def _chosen(group: Sequence[Role]) -> list[Role]:
    """The places of a role, the one that is shown first: prod's, in the home Region."""
    return sorted(group, key=lambda role: (role.stack not in _PREFERRED, role.region != _HOME, role.place))


def _statements(group: Sequence[Role]) -> list[tuple[Mapping[str, Any], Role, str]]:
    """Every statement that a role has in some place, each once, with its policy's name."""
    found: dict[str, tuple[Mapping[str, Any], Role, str]] = {}
    for role in group:
        for name, _, statement in role.statements():
            found.setdefault(f"{name}/{statement.get('Sid')}", (statement, role, name))
    return list(found.values())


def _role_section(group: Sequence[Role], left: Mapping[Permission, str] | None, declared: Mapping[Permission, Call]) -> Iterator[str]:
    first = group[0]
    yield f"### {first.logical_id}"
    yield ""
    stacks = list(dict.fromkeys(role.stack for role in group))
    times = "once" if len(group) == 1 else f"{len(group)} times"
    yield f"{first.description or sentence(first.logical_id)}. Declared in `templates/{first.file}`; with `parameters/` it is there {times}, in " + ", ".join(
        f"`{stack}`" for stack in stacks) + "."
    if above := comments(first.file, first.logical_id).get(""):
        yield ""
        yield above.replace("<", "&lt;")
    yield ""
    for statement in first.trust["Statement"]:
        conditions = _conditions(statement, first.region, first.account)
        yield f"May be assumed by {_principals(statement['Principal'], first.account)}" + (f", if {conditions}" if conditions else "") + "."
    for arn in first.managed:
        yield f"Has {_code(arn)}, too."
    yield ""
    yield "| What for | Actions | On | Only if |"
    yield "|---|---|---|---|"
    for row in _rows(_statements(group)):
        yield f"| {row.why} | {row.actions} | {row.resources} | {row.conditions} |"
    yield ""
    yield from _not_recorded(first.declared, left, declared)


@functools.cache
def _declared() -> Mapping[Permission, Call]:
    """What no run calls and AWS declares that handlers do."""
    found = mutate.mutants(roles.resolve("local"), recordings.load())
    return {mutant.permission: mutant.declared for mutant in found if mutant.declared is not None}


def _not_recorded(policy: str, left: Mapping[Permission, str] | None, declared: Mapping[Permission, Call]) -> Iterator[str]:
    """What no recorded call missed: what handlers are declared to call, by resource type, and what stays for another reason."""
    if left is None:
        return
    called: dict[str, list[str]] = {}
    for permission, call in sorted(declared.items(), key=lambda one: one[1].types):
        if permission.policy == policy:
            called.setdefault(", ".join(call.types), []).append(permission.action)
    stays: dict[str, list[str]] = {}
    for permission, reason in left.items():
        if permission.policy == policy:
            stays.setdefault(" ".join(reason.split()), []).append(permission.action)
    if called:
        yield "No run has called these. AWS declares with each resource type that CloudFormation's handlers do (registry schemas, `handlers.*.permissions`),"
        yield "and without the action they could not any more:"
        yield ""
        yield from _listed(called)
    if not stays:
        yield f"Every {'other ' if called else ''}action was missed by a recorded call when it was taken away."
        yield ""
    else:
        yield f"Every {'other ' if called else ''}action was missed by a recorded call when it was taken away, but for these:"
        yield ""
        yield from _listed(stays)


def _listed(actions: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for what, named in actions.items():
        yield f"- {', '.join(_code(action) for action in dict.fromkeys(named))}: {what}"
    yield ""


def _resource_section() -> Iterator[str]:
    world = roles.resolve("accounts")
    groups: dict[str, list[ResourcePolicy]] = {}
    for one in world.resource_policies:
        groups.setdefault(f"{one.file} {'' if one.kind == 'function' else one.logical_id}{one.kind}", []).append(one)
    for group in groups.values():
        first = group[0]
        title = "RollbackFunction" if first.kind == "function" else first.logical_id
        yield f"### {title} ({first.kind})"
        yield ""
        yield f"Declared in `templates/{first.file}`."
        yield ""
        yield "| What for | Who | Actions | Only if |"
        yield "|---|---|---|---|"
        same_region = [one for one in group if one.region == first.region]
        for row in _rows((statement, one, "") for one in same_region for statement in one.document["Statement"]):
            yield f"| {row.why} | {row.who} | {row.actions} | {row.conditions} |"
        yield ""


def _denied_section() -> Iterator[str]:
    asked = questions.load()
    yield f"{len(asked)} questions, each of which is asked in every test run, and asked again of a policy that somebody might write by mistake, under which"
    yield "the answer would be yes (`tests/iam/questions.yaml`)."
    yield ""
    yield "| Who | Must not | What would come of it |"
    yield "|---|---|---|"
    for question in asked:
        who = question.body.get("by") or question.about or question.body.get("service") or question.body.get("principal")
        what = f"be {_code(question.about)}" if question.kind == "assume" else _code(question.body["action"])
        yield f"| {_code(str(who))} | {what}: {question.name.replace('-', ' ')} | {' '.join(question.why.split())} |"
    yield ""


def page() -> str:
    """The whole page."""
    world = roles.resolve()
    asked = recordings.load()
    local = roles.resolve("local")
    left = mutate.unused() if asked else None
    groups: dict[str, list[Role]] = {}
    for role in world.roles:
        groups.setdefault(role.declared, []).append(role)
    taken = mutate.permissions(local)
    lines = [
        "# Permissions", "",
        "<!-- written by `python -m tests.iam.table` from templates/ and tests/iam/; do not edit -->", "",
        "What every role of the templates may do, and on what. Regions and accounts are left out where they are the role's own; the names are those of",
        "`parameters/`, and where AWS makes one up, so does this page. No action here was only written down: each is taken away in turn",
        "(`make mutate-iam`), and a call that an end-to-end run really made has to be refused then. Where none is, it stands below the role: what the",
        "deployer has because AWS declares that CloudFormation calls it, and what stays for a reason of its own.", "",
        f"{len(groups)} roles in {len(world.roles)} places, {len(taken)} permissions"
        + (f", {len(asked)} recorded questions." if asked else ". No recordings yet."), ""]
    for root, title in _SECTIONS:
        mine = [_chosen(group) for group in groups.values() if group[0].root == root]
        if mine:
            lines += [f"## {title}", ""]
            for group in mine:
                lines += _role_section(group, left, _declared())
    lines += ["## What resources let in by themselves", "", "With gamma and prod in accounts of their own (222222222222, 333333333333).", ""]
    lines += _resource_section()
    lines += ["## What nobody may do", "", *_denied_section()]
    return "\n".join(lines).rstrip() + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit 0 done, 1 the page is out of date."""
    arguments = argparse.ArgumentParser(prog="python -m tests.iam.table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not what would be written")
    options = arguments.parse_args(argv)
    text = page()
    if options.check:
        if PAGE.exists() and PAGE.read_text() == text:
            return 0
        print("docs/permissions.md is out of date. Run: python -m tests.iam.table", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
