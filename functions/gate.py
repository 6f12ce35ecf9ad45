"""The function behind the pipeline's Enter and Gate actions: it reads, decides (`decide_entry`, `decide_gate`), writes down, and answers the job.

CodePipeline calls it with a job, and again with the continuation token that it answered, until it answers without one. No call waits for anything. A call may
come twice, at the same time as another, or die at any point:

- All that a later call needs is in its token, the ledger, CodeDeploy and CloudWatch; the same facts give the same answer.
- To pass, the ledger is written first and the job answered then: a call that dies in between has decided, and the next one says the same.
- To fail, the job is answered first: the pipeline standing still matters most, and whoever takes the release back sees the failed action anyway.
- A job that is answered already (InvalidJobStateException) is left alone.
- What goes wrong unforeseen is never a pass: it waits and says so, and at the limit it fails.

The event holds credentials (CodePipeline user guide, "AWS Lambda invoke action reference"): it is never logged.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import boto3

import configuration as configurations
import decide_entry
import decide_gate
import signals
from configuration import Configuration, ConfigurationError, Place
from ledger import DynamoTable, Ledger, Refused
from model import Environment, Group, Location, Release
from pipeline import Pipeline
from places import CLIENTS, UNANSWERED, Document, Places

SUMMARY_CHARACTERS = 2048
MESSAGE_CHARACTERS = 5000
"""Limits of PutJobSuccessResult's summary and PutJobFailureResult's message (botocore's model of CodePipeline 2015-07-09)."""

PATIENCE_SECONDS = 82_800.0
"""How long Enter waits at most at a later stage for the window, or for a freeze to end: an hour less than CodePipeline lets a Lambda action take."""

LOOK_SECONDS = 60.0
"""How long all Regions together may take to answer one call."""

REGIONS_AT_ONCE = 8

log = logging.getLogger("handsoff.gate")
log.setLevel(logging.INFO)

Event = Mapping[str, Any]
Found = TypeVar("Found")


class BadParameters(Exception):
    """The action's UserParameters are not as templates/pipeline/stages.yaml writes them."""


class Looks(Protocol):
    """What is asked of the environments' Regions; `places.Places` is it."""

    def client(self, place: Place, service: str) -> Any:
        """A client in the place's Region."""

    def document(self, place: Place) -> Document:
        """The environment's document there."""

    def groups(self, place: Place) -> tuple[Group, ...]:
        """The deployment groups there."""


@dataclass(frozen=True)
class Tools:
    """All that the handler works with. `codepipeline` and `functions` are boto3 clients (CodePipeline, Lambda); `now` is the clock (epoch seconds)."""

    configuration: Configuration
    ledger: Ledger
    places: Looks
    codepipeline: Any
    functions: Any
    rollback_function: str
    now: Callable[[], float] = time.time


@functools.cache
def _tools() -> Tools:
    """The tools of this function's life: clients, sessions and documents are kept from call to call."""
    configuration = configurations.read(os.environ)
    session = boto3.Session()
    return Tools(configuration, Ledger(DynamoTable(session.client("dynamodb", config=CLIENTS), configuration.ledger_table)),
                 Places(configuration.service, time.time, session), session.client("codepipeline", config=CLIENTS),
                 session.client("lambda", config=CLIENTS), os.environ.get("ROLLBACK_FUNCTION", ""))


def handler(event: Event, context: Any) -> None:
    """Answer one job. Raises where CodePipeline cannot be told: Lambda then calls again with the same event (twice, at most)."""
    try:
        tools = _tools()
    except ConfigurationError as error:  # not remembered by the cache: the next call reads again
        _answer_unconfigured(event, boto3.client("codepipeline", config=CLIENTS), str(error), time.time())
        return
    answer(event, tools)


def answer(event: Event, tools: Tools) -> None:
    """Answer one job with given tools; see `handler`."""
    job = event["CodePipeline.job"]
    teller = Teller(tools.codepipeline, job["id"])
    try:
        order = read_order(job["data"]["actionConfiguration"]["configuration"].get("UserParameters", ""))
    except BadParameters as error:
        teller.fail(str(error))
        return
    memory = read_memory(job["data"].get("continuationToken"), tools.now())
    try:
        if order["do"] == "enter":
            _enter(order, memory, tools, teller)
        else:
            _gate(order, memory, tools, teller)
    except AnswerError:
        raise
    except Exception as error:  # whatever it is, it is not a pass
        log.exception("could not decide")
        told = f"{order['environment']} {order['stage']}: could not decide ({type(error).__name__}: {error})"[:1000]
        _wait_or_fail(memory, float(order["limit"]), told, tools.now(), teller)


def read_order(text: str) -> dict[str, Any]:
    """Return the action's UserParameters. Raises BadParameters."""
    try:
        order = json.loads(text)
        needed = ["do", "environment", "stage", "regions", "execution", "commit", "limit"]
        if order["do"] not in ("enter", "gate"):
            raise ValueError(f"do is {order['do']!r}, not enter or gate")
        needed += ["scope", "bake", "settle", "requests", "final"] if order["do"] == "gate" else []
        lacking = [name for name in needed if order.get(name) in (None, "")]
        if lacking:
            raise ValueError(f"no {', '.join(lacking)}")
        if "#{" in order["commit"] + order["execution"]:
            raise ValueError("a variable of the pipeline was not filled in")
        for number in ("bake", "settle", "limit", "requests"):
            if number in order:
                order[number] = float(order[number])
        order["regions"] = tuple(region.strip() for region in order["regions"].split(",") if region.strip())
        order["final"] = str(order.get("final", "false")).lower() == "true"
        return dict(order)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadParameters(f"UserParameters of this action cannot be used ({error!r}). Deploy the pipeline's stack again.") from error


def read_memory(token: str | None, now: float) -> decide_gate.Memory:
    """Return what the last call told this one. Without a token, or with one that cannot be read, the wait begins now: no bake is shortened by that."""
    try:
        told = json.loads(token) if token else {}
        return decide_gate.Memory(float(told["began"]), _times(told.get("silent")), _times(told.get("since")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return decide_gate.Memory(float(int(now)))


def write_token(memory: decide_gate.Memory | decide_entry.Memory) -> str:
    """Return a memory as a continuation token: a few hundred of the 2048 characters, with four Regions and two scopes. Rounded down: that looks back more."""
    return json.dumps({"began": int(memory.began), "silent": {key: int(at) for key, at in memory.silent.items()},
                       "since": {key: int(at) for key, at in memory.since.items()}}, separators=(",", ":"))


def _times(told: Mapping[str, Any] | None) -> dict[str, float]:
    return {str(key): float(at) for key, at in (told or {}).items()}


class AnswerError(Exception):
    """CodePipeline could not be told."""


class Teller:
    """Answers one job. Each method says whether the answer was taken: False where the job has another answer already."""

    def __init__(self, codepipeline: Any, job: str) -> None:
        self._codepipeline, self._job = codepipeline, job

    def wait(self, memory: decide_gate.Memory | decide_entry.Memory, text: str, percent: int) -> bool:
        """Not yet: call again."""
        return self._put(self._codepipeline.put_job_success_result, continuationToken=write_token(memory),
                         executionDetails={"summary": _cut(text, SUMMARY_CHARACTERS), "percentComplete": percent})

    def succeed(self, text: str) -> bool:
        """Go on."""
        return self._put(self._codepipeline.put_job_success_result,
                         executionDetails={"summary": _cut(text, SUMMARY_CHARACTERS), "percentComplete": 100})

    def fail(self, text: str) -> bool:
        """Stop here."""
        return self._put(self._codepipeline.put_job_failure_result, failureDetails={"type": "JobFailed", "message": _cut(text, MESSAGE_CHARACTERS)})

    def _put(self, call: Callable[..., Any], **parameters: Any) -> bool:
        known = self._codepipeline.exceptions
        try:
            call(jobId=self._job, **parameters)
        except (known.InvalidJobStateException, known.JobNotFoundException):
            log.info("job %s is answered already", self._job)
            return False
        except Exception as error:
            raise AnswerError(f"CodePipeline was not told of job {self._job}: {type(error).__name__}") from error
        log.info("job %s: %s", self._job, json.dumps(parameters))
        return True


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters - 1] + "…"


def _answer_unconfigured(event: Event, codepipeline: Any, error: str, now: float) -> None:
    """A function that does not know its configuration waits as for a silent Region: a deploy of the pipeline may be about to give it."""
    job = event["CodePipeline.job"]
    memory = read_memory(job["data"].get("continuationToken"), now)
    since = memory.silent.get("configuration", now)
    memory = dataclasses.replace(memory, silent={**memory.silent, "configuration": since})
    if now - since >= decide_gate.SILENCE_SECONDS:
        Teller(codepipeline, job["id"]).fail(error)
    else:
        Teller(codepipeline, job["id"]).wait(memory, f"Waiting: {error}", 0)


def _wait_or_fail(memory: decide_gate.Memory, limit: float, text: str, now: float, teller: Teller) -> None:
    if now - memory.began >= min(limit, PATIENCE_SECONDS):
        teller.fail(f"{text}, and not within {decide_gate.span(limit)}.")
    else:
        teller.wait(memory, f"{text}; trying again.", 0)


# Gate


@dataclass(frozen=True)
class Look:
    """What one Region showed the gate; requests by "region/scope"."""

    groups: tuple[Group, ...]
    watches: tuple[decide_gate.Watch, ...]
    requests: Mapping[str, int]


def _gate(given: Mapping[str, Any], memory: decide_gate.Memory, tools: Tools, teller: Teller) -> None:
    order = decide_gate.Order(
        environment=given["environment"], stage=given["stage"], scope=given["scope"], regions=given["regions"], commit=given["commit"],
        execution=given["execution"], bake=given["bake"], settle=given["settle"], limit=given["limit"], requests=int(given["requests"]),
        final=given["final"])
    now = tools.now()
    places = {place.region: place for place in tools.configuration.places_of(order.environment)}
    needed = decide_gate.needed_regions(order, places)
    looks, silent = _ask(places, needed, lambda place: _look(order, memory, tools, place, now))
    record, release, unread = _read_ledger(order.environment, order.commit, tools)
    if record.last_good is None and not unread and order.environment in tools.configuration.blocks:
        # An environment with customers had its first release before: nobody calls a service of which only the one-box answers.
        order = dataclasses.replace(order, requests=0)
    decided = (order.final and record.last_good == order.commit and release.passed.get(order.stage, -1) >= int(memory.began))
    facts = decide_gate.Facts(
        now=now, bad=release.bad.reason if release.bad else None, blocked=_blocked(record), frozen=_frozen(record),
        going_back=_going_back(record), groups=tuple(group for look in looks.values() for group in look.groups),
        watches=tuple(each for look in looks.values() for each in look.watches),
        requests={key: count for look in looks.values() for key, count in look.requests.items()}, silent=silent, unread=unread, decided=decided)
    decision = decide_gate.decide(order, memory, facts)
    heading = f"{order.environment} {order.stage}"
    if decision.outcome == "wait":
        teller.wait(decision.memory, " ".join([f"{heading}: {decision.text}", *decision.warnings]), decision.percent)
    elif decision.outcome == "pass":
        _pass(order, facts, decision, tools, teller)
    else:
        _fail_gate(order, decision, tools, teller)


def _look(order: decide_gate.Order, memory: decide_gate.Memory, tools: Tools, place: Place, now: float) -> Look:
    """Look at one Region. Whatever it raises means that the Region does not answer."""
    document, groups = tools.places.document(place), tools.places.groups(place)
    cloudwatch = tools.places.client(place, "cloudwatch")
    since = decide_gate.lookback(order, memory, groups)
    watched = [key.partition("/")[2] for key in since if key.startswith(f"{place.region}/")]
    watches = tuple(signals.watch(cloudwatch, document, scope, since[f"{place.region}/{scope}"]) for scope in watched if not scope or scope in document.scopes)
    targets = {group.scope: (document.scopes[group.scope].load_balancer, document.scopes[group.scope].target_group)
               for group in groups if decide_gate.is_of_stage(order, group)}
    counts = signals.requests(cloudwatch, targets, decide_gate.requests_from(memory), now) if targets else {}
    return Look(groups, watches, {f"{place.region}/{scope}": count for scope, count in counts.items()})


def _pass(order: decide_gate.Order, facts: decide_gate.Facts, decision: decide_gate.Decision, tools: Tools, teller: Teller) -> None:
    """Write the pass down, then tell it. The ledger refuses a release that was marked bad, or an environment that began to go back, in between."""
    text = f"{order.environment} {order.stage}: {decision.text}"
    if decision.reason != "decided":
        vouched = decide_gate.vouched(order, facts.groups)
        revisions: dict[str, Location] = {group.place: group.last_successful.location for group in vouched
                                          if group.last_successful is not None and group.last_successful.location is not None}
        try:
            tools.ledger.passed(order.commit, order.stage, facts.now)
            if order.final:
                tools.ledger.set_last_good(order.environment, order.commit, revisions, facts.now)
            else:
                tools.ledger.learn(order.commit, revisions)
        except Refused as error:
            _fail_gate(order, dataclasses.replace(decision, outcome="fail", reason="refused", text=f"The ledger refuses: {error}."), tools, teller)
            return
        _note(tools, order.environment, "good" if order.final else "passed",
              f"Release {order.commit[:12]} passed {order.stage}" + (" and is last good. " if order.final else ". ") + " ".join(decision.warnings),
              commit=order.commit, stage=order.stage, execution=order.execution)
    if order.final:
        _forget_override(order, tools)
    teller.succeed(text)


def _forget_override(order: decide_gate.Order, tools: Tools) -> None:
    """An override that its release did not need after all must not keep the door open once the release is everywhere."""
    def change(record: Environment) -> Environment | None:
        override = record.override
        done = override is not None and (override.commit == order.commit or override.execution == order.execution)
        return dataclasses.replace(record, override=None) if done else None

    try:
        tools.ledger.update_environment(order.environment, change)
    except Exception:
        log.exception("the override was not cleared")


def _fail_gate(order: decide_gate.Order, decision: decide_gate.Decision, tools: Tools, teller: Teller) -> None:
    blocks = order.environment in tools.configuration.blocks
    way_back = f"{order.environment} goes back to its last good release by itself{', and is then blocked' if blocks else ''}"
    text = (f"{order.environment} {order.stage}: release {order.commit[:12]} does not pass. {decision.text} {way_back}; `make status ENV={order.environment}` "
            f"shows more.{'' if 'push' in decision.text.lower() else ' Mend it and push a new commit.'}")
    if teller.fail(text):
        _note(tools, order.environment, "refused", text, commit=order.commit, stage=order.stage, execution=order.execution, alarm=decision.alarm,
              region=decision.region, reason=decision.reason)
        _hurry(tools, order.environment, order.stage)


# Enter


def _enter(given: Mapping[str, Any], memory: decide_gate.Memory, tools: Tools, teller: Teller) -> None:
    at_the_door = given["stage"] == tools.configuration.entry_stage
    order = decide_entry.Order(
        environment=given["environment"], stage=given["stage"], commit=given["commit"], limit=given["limit"],
        patience=given["limit"] if at_the_door else max(given["limit"], PATIENCE_SECONDS))
    now = tools.now()
    places = {place.region: place for place in tools.configuration.places_of(order.environment)}
    looks, silent = _ask(places, tuple(dict.fromkeys((*places, *given["regions"]))), lambda place: _alarms_of(tools, place))
    record, release, unread = _read_ledger(order.environment, order.commit, tools)
    busy = _busy(order, given["execution"], tools, unread) if at_the_door else None
    override = record.override
    if override is not None and order.commit != override.commit and given["execution"] != override.execution:
        override = None
    facts = decide_entry.Facts(
        now=now, bad=release.bad.reason if release.bad else None, blocked=_blocked(record) or _going_back(record), frozen=_frozen(record),
        busy=busy, window=tools.configuration.window, watches=tuple(each for look in looks.values() for each in look), silent=silent, unread=unread,
        override=override)
    decision = decide_entry.decide(order, decide_entry.Memory(memory.began, memory.silent, memory.since), facts)
    text = f"{order.environment} {order.stage}: {decision.text}"
    details = {"commit": order.commit, "stage": order.stage, "execution": given["execution"]}
    if decision.outcome == "wait":
        teller.wait(decision.memory, text, 0)
    elif decision.outcome == "pass":
        if decision.overruled and override is not None:
            # Before the release goes on: nothing goes in over an alarm without a trace of who said so.
            tools.ledger.log(order.environment, "override", text, at=now, by=override.by, **details)
        if teller.succeed(text) and decision.overruled:
            tools.ledger.update_environment(
                order.environment, lambda found: dataclasses.replace(found, override=None) if found.override == override else None)
    elif teller.fail(text):
        _note(tools, order.environment, "refused", text, alarm=decision.alarm, region=decision.region, reason=decision.reason, **details)
        _hurry(tools, order.environment, order.stage)


def _busy(order: decide_entry.Order, execution: str, tools: Tools, unread: dict[str, str]) -> str | None:
    """Return the stage of the environment in which another execution is, or None; what cannot be read goes into `unread`."""
    try:
        under_way = Pipeline(tools.codepipeline, tools.configuration.pipeline).under_way(tools.configuration.stages_of(order.environment))
    except UNANSWERED as error:
        unread["The pipeline"] = f"{type(error).__name__}: {error}"
        return None
    return next((stage for stage, of in under_way.items() if of != execution), None)


def _alarms_of(tools: Tools, place: Place) -> tuple[decide_gate.Watch, ...]:
    document, cloudwatch = tools.places.document(place), tools.places.client(place, "cloudwatch")
    return tuple(signals.watch(cloudwatch, document, scope, None) for scope in ("", *document.scopes))


# Both


def _ask(places: Mapping[str, Place], regions: Sequence[str], look: Callable[[Place], Found]) -> tuple[dict[str, Found], dict[str, str]]:
    """Look at Regions at once; return what those showed that answered, and the errors of the others."""
    silent = {region: "the pipeline has no control role for it" for region in regions if region not in places}
    found: dict[str, Found] = {}
    pool = ThreadPoolExecutor(REGIONS_AT_ONCE)
    asked = {pool.submit(look, places[region]): region for region in regions if region in places}
    done, late = wait(asked, LOOK_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    silent.update({asked[future]: f"no answer within {LOOK_SECONDS:.0f} s" for future in late})
    for future in done:
        try:
            found[asked[future]] = future.result()
        except Exception as error:  # refused, unreachable, or an answer that makes no sense: for the decision it is all the same
            log.warning("%s does not answer: %s", asked[future], error, exc_info=error)
            silent[asked[future]] = f"{type(error).__name__}: {error}"
    ordered = {region: found[region] for region in regions if region in found}
    return ordered, {region: silent[region] for region in regions if region in silent}


def _read_ledger(environment: str, commit: str, tools: Tools) -> tuple[Environment, Release, dict[str, str]]:
    """Return the records, or empty ones and the error: alarms are heeded even while the ledger is silent, and nothing passes."""
    try:
        return tools.ledger.environment(environment), tools.ledger.release(commit), {}
    except Exception as error:
        log.warning("the ledger does not answer", exc_info=error)
        return Environment(environment), Release(commit), {"The ledger": f"{type(error).__name__}: {error}"}


def _blocked(record: Environment) -> str | None:
    return record.blocked.reason if record.blocked is not None and record.blocked.rollback is not None else None


def _frozen(record: Environment) -> str | None:
    return f"{record.blocked.reason}, by {record.blocked.by}" if record.blocked is not None and record.blocked.rollback is None else None


def _going_back(record: Environment) -> str | None:
    if record.rollback is None:
        return None
    return f"to {record.rollback.to or 'nothing, as no release is known to be good'}, because of {record.rollback.reason}"


def _note(tools: Tools, environment: str, kind: str, text: str, **details: Any) -> None:
    """Write into the ledger's log, if it can be done: the decision stands without."""
    try:
        tools.ledger.log(environment, kind, text.strip(), **details)
    except Exception:
        log.exception("the ledger's log was not written")


def _hurry(tools: Tools, environment: str, stage: str) -> None:
    """Have the way back begin at once; it begins without this too, by the pipeline's event or the next minute."""
    if not tools.rollback_function:
        return
    try:
        tools.functions.invoke(FunctionName=tools.rollback_function, InvocationType="Event",
                               Payload=json.dumps({"source": "handsoff.gate", "detail": {"environment": environment, "stage": stage}}).encode())
    except Exception:
        log.exception("the rollback function was not called")

