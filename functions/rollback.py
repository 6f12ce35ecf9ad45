"""The rollback function. Each minute, at events of the pipeline, of deployments and of alarms, and at commands: look, and take the next step.

Events only say that it may be worth looking now; what is done is decided from what CodePipeline, CodeDeploy and the ledger answer.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3

import configuration
from commands import Commands
from configuration import Configuration
from decide_rollback import closed, closed_meanwhile
from ledger import DynamoTable, Ledger
from messages import Message
from model import Environment
from pipeline import Pipeline, transition_reason
from places import CLIENTS, Places
from reconcile import TROUBLE, Reconciler
from superseded import RELEASES, superseded, tag

DOOR_WORD = "Handsoff - "
"""How the reason begins with which the function shuts the door. A transition that a person disabled stays as it is."""


SUPERSEDED_MINUTES = 60
"""How often bundles are looked through that may expire."""


class Rollback:
    """The function, put together. `now` is the clock (epoch seconds); `s3_in` makes an S3 client of a Region, of the function's own role."""

    def __init__(self, settings: Configuration, ledger: Ledger, places: Places, pipeline: Pipeline, reconciler: Reconciler, now: Callable[[], float],
                 s3_in: Callable[[str], Any]) -> None:
        self._s3_in = s3_in
        self._settings, self._ledger, self._places, self._pipeline, self._reconciler, self._now = settings, ledger, places, pipeline, reconciler, now
        self._commands = Commands(settings, ledger, reconciler, now)

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do a command and answer it, or look at every environment. One that fails does not keep the others; then all fail, for Lambda to count."""
        if "command" in event:
            answer = self._commands.answer(event)
            self._doors()
            return answer
        failures: list[Exception] = []
        for environment in self._settings.environments:
            try:
                self._reconciler.run(environment)
                if event.get("source") == "aws.events" or not event:
                    self._arm(self._ledger.environment(environment))
            except Exception as error:
                print(f"{environment}: {type(error).__name__}: {error}")
                failures.append(error)
        self._doors()
        if event.get("source") == "aws.events" and int(self._now() // 60) % SUPERSEDED_MINUTES == 0:
            try:
                self._supersede()
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("environments that could not be looked after", failures)
        return {"ok": True, "error": None}

    def _arm(self, record: Environment) -> None:
        """Arm an environment's alarms once it has a release to go back to."""
        for place in self._settings.places_of(record.name):
            try:
                self._places.arm(place, record.last_good is not None)
            except TROUBLE as error:
                print(f"{place.environment}/{place.region} cannot be armed: {error}")

    def _supersede(self) -> None:
        """Let bundles expire that nothing can need again; not while anything cannot be seen."""
        records = [self._ledger.environment(name) for name in self._settings.environments]
        sights = [self._reconciler.look(record) for record in records]
        if any(sight.silent for sight in sights) or not all(sight.pipeline_answers for sight in sights):
            return
        groups = [group for sight in sights for group in sight.groups]
        under_way = {v.execution.commit for sight in sights for v in sight.views if v.execution.status in ("InProgress", "Stopping") and v.execution.commit}
        for release in superseded(self._ledger.newest_releases(RELEASES), records, groups, under_way):
            tag(release, self._ledger, self._s3_in, print)

    def _doors(self) -> None:
        """Keep the inbound transition of every environment's first stage as the ledger, the window and the stages behind it say."""
        for name in self._settings.environments:
            stage = self._settings.stages_of(name)[0]
            if stage == self._settings.entry_stage or name not in self._settings.blocks:
                try:
                    self._door(stage, self._ledger.environment(name))
                except TROUBLE as error:
                    print(f"the transition into {stage} could not be set: {error}")  # Enter checks the same again

    def _door(self, stage: str, record: Environment) -> None:
        if stage == self._settings.entry_stage:
            under_way = self._pipeline.under_way(self._settings.stages_of(record.name))
            reason = closed(record, self._settings.window, self._now(), tuple(under_way))
        else:
            reason = closed_meanwhile(record)
        door = self._pipeline.transition(stage)
        if door is None:
            return
        ours = door.reason.startswith(DOOR_WORD)
        wanted = transition_reason(DOOR_WORD + reason) if reason is not None else ""
        if reason is not None and (door.enabled or (ours and door.reason != wanted)):
            self._pipeline.close(stage, wanted)
        elif reason is None and not door.enabled and ours:
            self._pipeline.open(stage)


@functools.cache
def _function() -> Rollback:
    """The function with its real edges, made once for the life of the process."""
    settings = configuration.read(os.environ)
    session = boto3.Session()
    ledger = Ledger(DynamoTable(session.client("dynamodb", config=CLIENTS), settings.ledger_table))
    places = Places(settings.service, time.time, session)
    steered = Pipeline(session.client("codepipeline", config=CLIENTS), settings.pipeline)
    sns = session.client("sns", config=CLIENTS)

    def tell(message: Message) -> None:
        sns.publish(TopicArn=settings.topic_arn, Subject=message.subject, Message=message.text)

    reconciler = Reconciler(settings, ledger, places, steered, tell, time.time)
    s3_in = functools.cache(lambda region: session.client("s3", region_name=region, config=CLIENTS))
    return Rollback(settings, ledger, places, steered, reconciler, time.time, s3_in)


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """What Lambda calls."""
    return _function().handle(event)
