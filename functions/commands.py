"""What people ask of the rollback function: roll back, block, unblock, override; each says who and why, and is written down. Describe and plan only look."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from configuration import Configuration
from decide_rollback import chosen, deployments_of, revision
from ledger import Ledger, plain
from messages import short
from model import Block, Environment, Group, Override, Release
from reconcile import Reconciler, Sight

TEXT_CHARACTERS = 500


class Wrong(Exception):
    """The command cannot be done; the text says why and what to do."""


class Commands:
    """The commands of one service. `now` is the clock (epoch seconds)."""

    def __init__(self, configuration: Configuration, ledger: Ledger, reconciler: Reconciler, now: Callable[[], float]) -> None:
        self._configuration, self._ledger, self._reconciler, self._now = configuration, ledger, reconciler, now

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do a command: {"ok", "error", "record", "groups", "releases", "log"}; what is wrong with it is in `error`."""
        try:
            environment = self._environment(event)
            match event.get("command"):
                case "rollback":
                    self._rollback(environment, event)
                case "block":
                    self._block(environment, event)
                case "unblock":
                    self._unblock(environment, event)
                case "override":
                    self._override(environment, event)
                case "plan":
                    return self._plan(environment, event)
                case "describe":
                    pass
                case other:
                    raise Wrong(f"unknown command {other!r}; there are rollback, plan, block, unblock, override, describe")
            return self.describe(environment)
        except Wrong as error:
            return {"ok": False, "error": str(error), "record": None, "groups": [], "releases": [], "log": []}

    def describe(self, environment: str) -> dict[str, Any]:
        """The ledger's and CodeDeploy's word on an environment."""
        record = self._ledger.environment(environment)
        return self._described(record, self._reconciler.look(record))

    def _described(self, record: Environment, seen: Sight) -> dict[str, Any]:
        silent = [{"region": s.region, "scope": None, "group": None, "running": None, "desired": False, "in_flight": None,
                   "note": f"does not answer: {s.reason}"} for s in seen.silent]
        return {"ok": True, "error": None, "record": plain(record), "groups": [*(_group(record, g) for g in seen.groups), *silent],
                "releases": [plain(release) for release in self._ledger.newest_releases()], "log": self._ledger.newest_log(record.name)}

    def _plan(self, environment: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """A description, and under `plan` what a rollback with the same `to` and `force` would do: nothing is begun, and nothing written down.

        `to` is where it would go, or None and `wrong` says why not; `marks` are the releases that it would mark bad; `known`: the ledger has the wanted
        release; `final` is the stage whose gate makes a release one that baked; `choices` are releases to go back to, each
        with its bundle for each group that ever got a deployment (None where none is known; another group has nothing to take back).
        """
        record, seen, release, to, wrong = self._choose(environment, event)
        final = self._configuration.stages_of(environment)[-1]
        listed = {each.commit: each for each in self._ledger.newest_releases()}
        listed |= {good: self._ledger.release(good) for good in (*record.goods, to) if good is not None and good not in listed}
        deployed = [group for group in seen.groups if deployments_of(group)]
        choices = []
        for each in listed.values():
            if each.bad is None and (each.passed or each.commit in (*record.goods, to)):
                bundles = {f"{group.region}/{group.scope}": self._bundle(group, each, each.commit == to) for group in deployed}
                choices.append({**plain(each), "good": final in each.passed or each.commit in record.goods, "bundles": bundles})
        return {**self._described(record, seen), "plan": {
            "to": to, "wrong": wrong or None, "marks": [] if to is None else list(dict.fromkeys(_left(to, seen))),
            "known": release is None or release.version > 0, "final": final, "blocks": environment in self._configuration.blocks, "choices": choices}}

    def _bundle(self, group: Group, release: Release, search: bool) -> Any:
        """A release's bundle for a group, as a way back would find it; `search`: in the group's own deployments too."""
        known = revision(release, group)
        if known is None and search:
            known = self._reconciler.from_history(group, release.commit)
        return plain(known) if known is not None else None

    def _choose(self, environment: str, event: Mapping[str, Any]) -> tuple[Environment, Sight, Release | None, str | None, str]:
        """(record, what is seen, the ledger's word on the wanted release, where to, what is wrong). Raises Wrong where nothing answers."""
        wanted, force = event.get("to") or None, event.get("force") is True
        record = self._ledger.environment(environment)
        seen = self._reconciler.look(record)
        if not seen.groups:
            raise Wrong(f"no Region of {environment} answers: {'; '.join(f'{s.region}: {s.reason}' for s in seen.silent) or 'it has no deployment group'}")
        release = self._ledger.release(wanted) if wanted else None
        final = self._configuration.stages_of(environment)[-1]
        return (record, seen, release, *chosen(record, wanted, release, final, force, seen.groups, seen.bad))

    def _rollback(self, environment: str, event: Mapping[str, Any]) -> None:
        reason, by, force = _text(event, "reason"), _text(event, "by"), event.get("force") is True
        record, seen, _, to, wrong = self._choose(environment, event)
        if to is None:
            raise Wrong(wrong)
        _check_expected(environment, to, seen, event.get("expected"))
        bad = self._leave(environment, to, seen, reason, by)
        self._ledger.log(environment, "rollback", f"{by} rolls {environment} back to {short(to)}: {reason}", by=by, reason=reason, to=to, bad=bad,
                         forced=True if force else None)
        self._reconciler.begin(record, seen, bad=bad, to=to, reason=reason, by=by)
        self._reconciler.run(environment)

    def _leave(self, environment: str, to: str, seen: Sight, reason: str, by: str) -> str | None:
        """Mark what runs, and is to be left, bad; the one that most groups run or get."""
        left = _left(to, seen)
        for commit in dict.fromkeys(left):
            self._ledger.mark_bad(commit, f"rolled back by {by}: {reason}", environment, self._now())
            seen.bad.add(commit)
        return max(dict.fromkeys(left), key=left.count, default=None)

    def _block(self, environment: str, event: Mapping[str, Any]) -> None:
        reason, by, at = _text(event, "reason"), _text(event, "by"), int(self._now())
        self._check_blocks(environment)

        def change(record: Environment) -> Environment:
            if record.blocked is not None:
                raise Wrong(f"{environment} is blocked already, by {record.blocked.by}: {record.blocked.reason}")
            return dataclasses.replace(record, blocked=Block(reason, by, at))

        self._ledger.update_environment(environment, change)
        self._ledger.log(environment, "block", f"{by} froze {environment}: {reason}", by=by, reason=reason)

    def _unblock(self, environment: str, event: Mapping[str, Any]) -> None:
        reason, by = _text(event, "reason"), _text(event, "by")
        force = event.get("force") is True
        self._reconciler.run(environment)  # what failed because of the block is judged while it stands

        def change(record: Environment) -> Environment:
            if record.rollback is not None and not force:
                raise Wrong(f"a rollback of {environment} to {short(record.rollback.to)} is going on ({record.rollback.reason}); wait for its end, "
                            "or give it up with force")
            if record.blocked is None:
                raise Wrong(f"{environment} is not blocked")
            return dataclasses.replace(record, blocked=None, rollback=None)

        self._ledger.update_environment(environment, change)
        self._ledger.log(environment, "unblock", f"{by} lifted the block of {environment}: {reason}", by=by, reason=reason, forced=True if force else None)

    def _override(self, environment: str, event: Mapping[str, Any]) -> None:
        reason, by, commit = _text(event, "reason"), _text(event, "by"), _text(event, "commit")
        release = self._ledger.release(commit)
        if release.bad is not None:
            raise Wrong(f"{commit} is marked bad ({release.bad.reason}) and is never deployed again, override or not; push a new commit")

        def change(record: Environment) -> Environment:
            if record.rollback is not None or (record.blocked is not None and record.blocked.rollback is not None):
                raise Wrong(f"{environment} is blocked by a rollback, which no override lifts; unblock it with a reason first")
            return dataclasses.replace(record, override=Override(reason, by, int(self._now()), commit=commit))

        self._ledger.update_environment(environment, change)
        self._ledger.log(environment, "override", f"{by} lets {short(commit)} into {environment} in spite of window and alarms: {reason}", by=by,
                         reason=reason, commit=commit)

    def _environment(self, event: Mapping[str, Any]) -> str:
        name = event.get("environment")
        known = self._configuration.environments
        if name not in known:
            raise Wrong(f"unknown environment {name!r}; the pipeline has {', '.join(known)}")
        return str(name)

    def _check_blocks(self, environment: str) -> None:
        if environment not in self._configuration.blocks:
            raise Wrong(f"{environment} has no door to shut; {', '.join(sorted(self._configuration.blocks)) or 'no environment'} has")


def _left(to: str, seen: Sight) -> list[str]:
    """The release that each group runs or gets, where it is another than the one to go to."""
    found = (d for group in seen.groups for d in deployments_of(group) if d.in_flight or d.status == "Succeeded")
    return [d.commit for d in found if d.commit is not None and d.commit != to]


def _check_expected(environment: str, to: str, seen: Sight, expected: object) -> None:
    """Refuse to mark a release bad that the person was not shown: it got there since. `expected` are those shown; None: an order that does not say."""
    if expected is None:
        return
    if not isinstance(expected, list):
        raise Wrong("'expected' is a list of commits: the releases that may be marked bad")
    new = [commit for commit in dict.fromkeys(_left(to, seen)) if commit not in expected]
    if new:
        at = {f"{group.region}/{group.scope}": None for group in seen.groups for d in deployments_of(group) if d.commit in new}
        raise Wrong(f"{environment} has changed since it was shown: {', '.join(map(short, new))} came to {', '.join(at)} meanwhile, and would be marked bad "
                    "too; nothing was done. Run the command again: it shows what will change now")


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Wrong(f"the command needs '{name}': it is written down with what is done")
    return " ".join(value.split())[:TEXT_CHARACTERS]


def _group(record: Environment, group: Group) -> dict[str, Any]:
    last = group.last_attempted
    running = last.commit if last is not None and last.status == "Succeeded" else None
    flying = group.in_flight[0] if group.in_flight else None
    note = ""
    if last is None:
        note = "no deployment yet"
    elif last.status != "Succeeded":
        note = f"deployment {last.id} of {short(last.commit)} {last.status.lower()}" + (f" ({last.error})" if last.error else "")
    elif last.commit is None:
        note = f"the bundle of deployment {last.id} has no release.json"
    return {"region": group.region, "scope": group.scope, "group": group.name, "running": running, "desired": running is not None and running == record.desired,
            "in_flight": None if flying is None else {"deployment": flying.id, "commit": flying.commit}, "note": note,
            "since": None if running is None or last is None else last.ended or last.created}
