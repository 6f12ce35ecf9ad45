"""Jobs: how a function of an Invoke action is called, answers, and is called again. Pure, over the action's record.

An action that works by jobs keeps in `action["job"]`: {id, number, dispatched, answered, token, again}. Each call of the function is a job
with an id of its own; PutJobSuccessResult with a continuation token ends the job and asks for another call, which gets the token.

Source: AWS CodePipeline User Guide, "Invoke an AWS Lambda function in a pipeline" and "Quotas" (no answer for 20 minutes, or not done
in 24 hours: the action fails; an answer that it goes on starts the 20 minutes anew); API reference, PutJobSuccessResult.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from localaws.codepipeline.engine import Observation, Record, failed

PROVIDERS = frozenset({"Lambda"})
"""Providers whose actions are told how they ended, instead of asking."""
ANSWER_SECONDS = 20 * 60
AGAIN_SECONDS = 3
"""How long after an answer with a continuation token the function is called again. AWS's documents say "periodically" and no figure."""
VARIABLES_BYTES = 122_880
"""Largest total of an action's output variables (User Guide, "Quotas")."""
_VARIABLE = re.compile(r"[A-Za-z0-9@\-_]+")


class JobError(Exception):
    """An answer that is not taken; `code` is AWS's exception."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def dispatch(action: Record, now: float) -> str:
    """Give the action a job that is called now, and return its id. The first id is the action's external id until the function gives one."""
    before = action.get("job") or {"number": 0, "token": None}
    number = before["number"] + 1
    identity = str(uuid.uuid5(uuid.UUID(action["id"]), f"job {number}"))
    action["job"] = {"id": identity, "number": number, "dispatched": now, "answered": False, "token": before["token"], "again": None}
    action["external_id"] = action["external_id"] or identity
    return identity


def due(action: Record, now: float) -> str:
    """What is to be done with a running action: `call` its function, `wait`, or give it up because no answer came (`expired`)."""
    job = action.get("job")
    if job is None:
        return "call"
    if job["answered"]:
        return "call" if now >= job["again"] else "wait"
    return "expired" if now - job["dispatched"] >= ANSWER_SECONDS else "wait"


def lost(action: Record) -> None:
    """The call did not outlive a stop of the local AWS: it is made again at once, as the same job."""
    job = action.get("job")
    if job and not job["answered"]:
        job.update(number=job["number"] - 1, answered=True, again=0.0)


def no_answer(action: Record) -> Observation:
    """How an action ends whose function gave no answer. AWS's words, as users report them."""
    name = action["resolved"].get("FunctionName", "")
    return failed("JobFailed", f"The AWS Lambda function {name} failed to return a result. Check the function to verify that it has permission to "
                  "call the PutJobSuccessResult action and that it made a call to PutJobSuccessResult.", action["external_id"])


def check_open(action: Record | None, job_id: str) -> Record:
    """Return the job that an answer is for. Raises JobError for one that is unknown, was answered, or whose action has ended."""
    if action is None:
        raise JobError("JobNotFoundException", f"The job {job_id} was not found.")
    job: Record = action["job"]
    if job["id"] != job_id or job["answered"] or action["status"] != "InProgress":
        raise JobError("InvalidJobStateException", f"The job {job_id} has already been completed: a result cannot be set any more.")
    return job


def succeeded(action: Record, params: Mapping[str, Any], outputs: dict[str, dict[str, str]], now: float) -> Observation:
    """Take PutJobSuccessResult. With a continuation token the action goes on, and is called again with it."""
    job = check_open(action, params["jobId"])
    variables, token = params.get("outputVariables") or {}, params.get("continuationToken")
    if token and variables:
        raise JobError("ValidationException", "Output variables can be included only when there is no continuation token on the request.")
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise JobError("ValidationException", f"The output variable name {name} does not match the pattern {_VARIABLE.pattern}.")
    if sum(len(name.encode()) + len(value.encode()) for name, value in variables.items()) > VARIABLES_BYTES:
        raise JobError("OutputVariablesSizeExceededException", f"The output variables are larger than {VARIABLES_BYTES} bytes.")
    details = params.get("executionDetails") or {}
    job.update(answered=True, token=token, again=now + AGAIN_SECONDS)
    return Observation("InProgress" if token else "Succeeded", details.get("externalExecutionId"), summary=details.get("summary"),
                       percent=details.get("percentComplete"), outputs={} if token else outputs, variables=dict(variables))


def failed_job(action: Record, params: Mapping[str, Any]) -> Observation:
    """Take PutJobFailureResult: the action ends with the failure's type as code and its message."""
    job = check_open(action, params["jobId"])
    details = params["failureDetails"]
    job.update(answered=True, token=None, again=None)
    return failed(details["type"], details["message"], details.get("externalExecutionId"))
