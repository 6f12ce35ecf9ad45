"""Look for what would stop a deploy of an environment, before it: credentials, account, Regions, quotas, images, names, certificates, connection.

Reads only. Each finding says why it will fail and when, and what to do; what the caller may not read is told with the permission that is missing.
Exit codes: 0 nothing that was looked at will fail, 1 something will, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.core import accounts, layout, placeholders, roots, settings, world
from scripts.core.accounts import Accounts
from scripts.core.errors import CommandError, WrongUse, explain
from scripts.core.parallel import Outcome
from scripts.core.reading import Gatherer, Late
from scripts.core.roots import Roots
from scripts.core.session import Aws
from scripts.core.world import World
from scripts.diagnosis.calls import Calls
from scripts.diagnosis.redact import redact, redact_all
from scripts.doctors import account
from scripts.doctors.every import CHECKS, ONCE, REGION, Check
from scripts.doctors.finding import FAIL, OK, ORDER, UNKNOWN, WARN, Finding, fail, unknown
from scripts.doctors.place import Place, unreadable

_SCHEMA = 1
_SECONDS = 8.0
_WORDS = {FAIL: "will fail", WARN: "to think about", UNKNOWN: "cannot be told", OK: "well"}


def main(argv: Sequence[str] | None = None, given: World | None = None) -> int:
    arguments = world.parser("doctor", __doc__)
    arguments.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments.add_argument("--seconds", type=float, default=_SECONDS, help=f"what has not answered by then cannot be told (default {_SECONDS:g})")
    return world.run(arguments, argv, given, _doctor)


@dataclass(frozen=True)
class _Report:
    """What was found, and with how many calls."""

    findings: tuple[Finding, ...]
    calls: int
    seconds: float


def _doctor(options: argparse.Namespace, here: World) -> int:
    began = here.clock.seconds()
    loaded = roots.load(here.root, options.env, options.local)
    regions = tuple(dict.fromkeys([*loaded.environment.regions]))
    console = here.console
    aws = here.open_aws(options.local, here.environ)
    try:
        entered = accounts.open_accounts(aws, regions, loaded.involved)
    except (ClientError, BotoCoreError) as error:
        known = explain(error) or CommandError(str(error))
        if isinstance(known, WrongUse):
            raise
        return _tell(options, here, loaded, _Report((fail(known.what, known.reason, known.next_step),), 1, here.clock.seconds() - began))
    (console.error if options.json else console.line)(entered.target.line)
    calls = Calls(entered.caller)
    findings = _examine(options, here, loaded, entered, calls, aws)
    return _tell(options, here, loaded, _Report(tuple(findings), calls.count + 1, here.clock.seconds() - began))


def _examine(options: argparse.Namespace, here: World, loaded: Roots, entered: Accounts, calls: Calls, aws: Aws) -> list[Finding]:
    """All findings, worst first."""
    environment = loaded.environment
    expires = getattr(aws, "expires", lambda: None)()
    found = [replace(one, check="credentials") for one in account.credentials(entered.target, expires, here.clock.now())]
    if not options.local:
        left = dict.fromkeys([*placeholders.problems(environment), *placeholders.of_account(loaded.tools)])
        found += [fail(problem.name + ": " + problem.reason, "a deploy refuses it", problem.next_step) for problem in left]
    reached = entered.reaches(environment)
    found.append(replace(account.owner(environment, entered.target, reached), check="account"))
    if reached:
        try:
            own = calls.of(entered.of(environment))
            tools = calls.of(entered.of(loaded.tools)) if entered.reaches(loaded.tools) else own
        except (CommandError, ClientError, BotoCoreError) as error:
            known = explain(error) or CommandError(str(error))
            found.append(fail(known.what, known.reason, known.next_step))
        else:
            found += _in_regions(options, here, loaded, own, tools, entered, aws)
    return sorted(found, key=lambda one: (ORDER.index(one.level), one.region))


def _in_regions(options: argparse.Namespace, here: World, loaded: Roots, own: Calls, tools: Calls, entered: Accounts, aws: Aws) -> list[Finding]:
    environment, end = loaded.environment, here.clock.seconds() + options.seconds
    places = {
        region: Place(
            loaded,
            region,
            own,
            tools,
            settings.effective(loaded.template.parameters, environment.parameters_in(region)),
            entered.target.caller,
            here.clock.now(),
            aws.dns_suffix(region),
            options.local,
        )
        for region in environment.regions
    }
    found = _run({f"region@{name}": (REGION, place) for name, place in places.items()}, options.seconds)
    usable = [name for name in places if not any(one.region == name and one.level == FAIL for one in found)]
    jobs = {f"{check}@{name}": (CHECKS[check], places[name]) for name in usable for check in CHECKS}
    if usable:
        jobs |= {f"{check}@": (ONCE[check], places[usable[0]]) for check in ONCE}
    return found + _run(jobs, max(1.0, end - here.clock.seconds()))


def _run(jobs: Mapping[str, tuple[Check, Place]], seconds: float) -> list[Finding]:
    """Every check at once; one that is late or refused is a finding, and hides no other."""
    reads: dict[str, Callable[[], list[Finding]]] = {name: partial(_all, check, place) for name, (check, place) in jobs.items()}
    outcomes: dict[str, Outcome[list[Finding]]] = Gatherer[list[Finding]]().gather(reads, seconds)
    found: list[Finding] = []
    for name, outcome in outcomes.items():
        check, _, region = name.partition("@")
        found += [replace(one, region=region, check=check) for one in _findings(check, outcome)]
    return found


def _all(check: Check, place: Place) -> list[Finding]:
    return list(check(place))


def _findings(check: str, outcome: Outcome[list[Finding]]) -> list[Finding]:
    error = outcome.error
    if error is None:
        return outcome.value or []
    if isinstance(error, Late):
        return [unknown(f"the check of {check}", str(error), "run it again, or with --seconds 30")]
    if isinstance(error, (ClientError, BotoCoreError)):
        return [unreadable(f"the check of {check}", error, "the console")]
    raise error


# -- what is shown ---------------------------------------------------------------------------------------------------------


def _tell(options: argparse.Namespace, here: World, loaded: Roots, report: _Report) -> int:
    failing = any(one.level == FAIL for one in report.findings)
    if options.json:
        here.console.line(json.dumps(redact_all(_document(loaded, report)), indent=2))
    else:
        for line in layout.fit(_lines(loaded, report, options.verbose), layout.width(here.console, here.environ)):
            here.console.line(redact(line))
    return 1 if failing else 0


def _document(loaded: Roots, report: _Report) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "environment": loaded.environment.name,
        "counts": {level: sum(one.level == level for one in report.findings) for level in ORDER},
        "calls": report.calls,
        "seconds": round(report.seconds, 1),
        "findings": [asdict(one) for one in report.findings],
    }


def _lines(loaded: Roots, report: _Report, verbose: bool) -> list[str]:
    lines: list[str] = []
    for one in _merged(report.findings):
        if one.level == OK:
            lines += [f"ok           {_where(one)}{one.what}"] if verbose else []
            continue
        lines.append(f"{one.level.upper():<12} {_where(one)}{one.what}")
        lines += [f"             {label:<4} {text}" for label, text in (("why", one.why), ("do", one.do), ("see", one.source)) if text]
    counts = ", ".join(f"{count} {_WORDS[level]}" for level in ORDER if (count := sum(one.level == level for one in report.findings)))
    lines.append(f"doctor of {loaded.environment.name}: {counts} ({report.calls} calls, {report.seconds:.1f} s)")
    return lines


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """The same finding of several Regions once; its commands name the first."""
    regions: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], Finding] = {}
    for one in findings:
        bare = (one.level, *(text.replace(one.region, "") if one.region else text for text in (one.what, one.why)))
        regions.setdefault(bare, []).append(one.region)
        first.setdefault(bare, one)
    return [replace(one, region=", ".join(filter(None, regions[bare]))) for bare, one in first.items()]


def _where(one: Finding) -> str:
    return f"{one.region}: " if one.region else ""


if __name__ == "__main__":
    raise SystemExit(main())
