"""Recordings: what roles really asked for in a run of the end-to-end cases, in the words of the resolved templates.

    python -m tests.iam.recordings build/recorded/questions-4568.json … --source "make test-all, 1a2b3c4"

takes up what tests/local/recording.py kept (questions-*.json, and resources-*.json beside each) and adds it to recordings/<name>.json. Names that the local
AWS made up are put into the names that `roles.resolve("local")` gives the same resources, so that a recorded call can be asked again of policies
that were resolved from the templates of today. What differs in nothing but a number (objects, log streams, deployments) is kept once.

A recording is {"source", "questions": [{"stack", "region", "role" (its logical path), "action", "resource", "keys", "allowed"}]}.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.iam import roles
from tests.iam.roles import World

FOLDER = Path(__file__).parent / "recordings"
_MOST = 4
"""Resources kept of each role, action, answer and set of keys."""

_ACCOUNT = re.compile(r"(?<=:)\d{12}(?=:)")

# What differs from run to run in the names of things that no template makes.
_NUMBERS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "00000000-0000-0000-0000-000000000000"),
    (re.compile(r"\bd-[0-9A-Z]{9}\b"), "d-EXAMPLE01"),
    (re.compile(r"\b(i|lt|ami|subnet|sg|vpc|eipalloc|eni|rtb|igw|nat|vpce)-[0-9a-f]{8,17}\b"), r"\1-0123456789abcdef0"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "0" * 64),
    (re.compile(r"\b[0-9a-f]{40}\b"), "0" * 40),
    (re.compile(r"\b\d{4}[-/]\d{2}[-/]\d{2}(?=\b|T)"), "2026-01-01"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "0" * 32),
    (re.compile(r"\b(?=\d*[a-f])[0-9a-f]{12}\b"), "0" * 12),
    (re.compile(r"\b(?!\d{12}\b)\d{9,}\b"), "0"),
)


@dataclass(frozen=True)
class Question:
    """One call that was asked about."""

    stack: str
    region: str
    role: str
    action: str
    resource: str
    keys: tuple[tuple[str, Any], ...]
    allowed: bool

    @property
    def place(self) -> tuple[str, str, str]:
        """Stack, Region and logical path of the role, as `Role.place`."""
        return self.stack, self.region, self.role


def load(folder: Path = FOLDER) -> tuple[Question, ...]:
    """Every recorded question of every file, each once."""
    found: dict[Question, None] = {}
    for path in sorted(folder.glob("*.json")):
        for one in json.loads(path.read_text())["questions"]:
            keys = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(one["keys"].items()))
            found[Question(one["stack"], one["region"], one["role"], one["action"], one["resource"], keys, one["allowed"])] = None
    return tuple(found)


def convert(questions: Iterable[Mapping[str, Any]], resources: Mapping[str, str], world: World) -> list[dict[str, Any]]:
    """Put raw questions into the world's words; those of roles that no template of ours makes (an administrator, another service) are left out."""
    names: dict[str, dict[str, str]] = {}
    # A role that the template names has its name in every run, also where its stack is gone again.
    roles_of = {role.name: role.place for role in world.roles}
    known = {role.place for role in world.roles}
    account = world.roles[0].account
    for line, made in sorted(resources.items()):  # a bucket before its policy, which is called like it
        region, stack, path = line.split(" ", 2)
        there = world.physical.get((stack, region, path))
        if there is None:
            continue
        if (stack, region, path) in known:
            roles_of[made] = (stack, region, path)
        if made != there["Ref"] and len(made) > 5:
            names.setdefault(region, {}).setdefault(made, there["Ref"])
    put = _renamer(names)
    found: dict[tuple[Any, ...], dict[str, None]] = {}
    for one in questions:
        place = roles_of.get(_role_name(one["principal"]))
        if place is None:
            continue
        own = one["principal"].split(":")[4]
        if own != account:
            # A case in an account of its own: as good as ours, unless it reaches into a further one.
            text = json.dumps(one)
            if set(_ACCOUNT.findall(text)) - {own}:
                continue
            one = json.loads(text.replace(own, account))
        keys = {name: [put(one["region"], each) for each in value] if isinstance(value, list) else put(one["region"], value)
                for name, value in one["keys"].items()}
        kind = (*place, one["action"], one["allowed"], json.dumps(keys, sort_keys=True))
        kept, resource = found.setdefault(kind, {}), put(one["region"], one["resource"])
        if resource.startswith("arn:aws:s3:::") and resource.partition("/")[0] not in world.owners:
            continue  # a bucket that was gone before anybody asked what it was called: whose it is would have to be guessed
        if len(kept) < _MOST:
            kept[resource] = None
    allowed_ones = {(*kind[:4], kind[5], resource) for kind, kept in found.items() if kind[4] for resource in kept}
    return [{"stack": stack, "region": region, "role": role, "action": action, "resource": resource, "keys": json.loads(keys), "allowed": allowed}
            for (stack, region, role, action, allowed, keys), kept in sorted(found.items(), key=str) for resource in sorted(kept)
            if allowed or (stack, region, role, action, keys, resource) not in allowed_ones]


def _role_name(principal: str) -> str:
    """The role's name of an assumed role's ARN; "" for another principal."""
    kind = principal.split(":", 5)[-1].split("/")
    return kind[1] if kind[0] == "assumed-role" and len(kind) > 1 else ""


def _renamer(names: Mapping[str, Mapping[str, str]]) -> Callable[[str, Any], Any]:
    """Return put(region, text): the text with the world's names, the Region's own first, and without run's numbers."""
    everywhere: dict[str, str] = {}
    for of_region in names.values():
        everywhere.update(of_region)
    pattern = re.compile("|".join(re.escape(name) for name in sorted(everywhere, key=len, reverse=True)) or r"(?!)")

    def put(region: str, text: Any) -> Any:
        if not isinstance(text, str):
            return text
        own = names.get(region, {})
        parts: list[str] = []
        end = 0
        for found in pattern.finditer(text):
            parts += [_plain(text[end:found.start()]), own.get(found[0], everywhere[found[0]])]
            end = found.end()
        return "".join([*parts, _plain(text[end:])])

    return put


def _plain(text: str) -> str:
    for pattern, instead in _NUMBERS:
        text = pattern.sub(instead, text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Run the command; exit 0 done, 2 wrong use."""
    arguments = argparse.ArgumentParser(prog="python -m tests.iam.recordings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("questions", nargs="+", type=Path)
    arguments.add_argument("--source", required=True, help="the command and the commit that were run")
    arguments.add_argument("--name", default="local", help="the recording's name (default: local)")
    arguments.add_argument("--afresh", action="store_true", help="forget what the recording had")
    options = arguments.parse_args(argv)
    missing = [path for path in options.questions if not path.is_file() or not path.name.startswith("questions-")]
    if missing:
        print(f"{missing[0]} is no file questions-*.json: the end-to-end cases write them to build/recorded/", file=sys.stderr)
        return 2
    path = FOLDER / f"{options.name}.json"
    world = roles.resolve("local")
    made = {json.dumps(one, sort_keys=True): one for one in (json.loads(path.read_text())["questions"] if path.exists() and not options.afresh else ())}
    for raw in options.questions:
        beside = raw.with_name(raw.name.replace("questions-", "resources-"))
        resources = json.loads(beside.read_text()) if beside.exists() else {}
        for one in convert([json.loads(line) for line in json.loads(raw.read_text())], resources, world):
            made[json.dumps(one, sort_keys=True)] = one
    FOLDER.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(one, sort_keys=True) for one in (made[key] for key in sorted(made)))
    path.write_text('{"source": ' + json.dumps(options.source) + ',\n"questions": [\n' + lines + "\n]}\n")
    print(f"{len(made)} questions of {len({(one['stack'], one['region'], one['role']) for one in made.values()})} roles in {path.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
