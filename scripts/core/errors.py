"""Errors that a person can act on: what, why, and the next thing to do.

Exit codes: 0 done, 1 it failed, 2 wrong use.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from botocore import exceptions as botocore_errors

_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_BAD_KEY_CODES = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"})
_THROTTLED_CODES = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})
_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)")


class CommandError(Exception):
    """It failed. `what` names the thing, `reason` says why, `next_step` what to do now."""

    exit_code = 1

    def __init__(self, what: str, reason: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.reason, self.next_step = what, reason, next_step

    def __str__(self) -> str:
        text = self.what
        if self.reason:
            text += f"\n  reason: {self.reason}"
        if self.next_step:
            text += f"\n  next:   {self.next_step}"
        return text


class WrongUse(CommandError):
    """The command was asked for something that cannot be: nothing was done."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the input."""

    name: str
    reason: str
    next_step: str = ""

    def __str__(self) -> str:
        return str(CommandError(self.name, self.reason, self.next_step))


class BadInput(WrongUse):
    """Several problems of the input, shown together."""

    def __init__(self, title: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(title)

    def __str__(self) -> str:
        lines = [self.what, *(str(problem) for problem in self.problems)]
        if not any(problem.next_step for problem in self.problems):
            lines.append("  next:   correct that, then run the same command")
        return "\n".join(lines)


class Interrupted(Exception):
    """A wait was ended by Ctrl-C: whatever AWS was doing goes on by itself."""


def denied_action(error: botocore_errors.ClientError) -> str | None:
    """The IAM action that was refused, or None when the error is another. S3 does not name it, then the operation is given."""
    details = error.response.get("Error", {})
    match = _ACTION.search(details.get("Message", ""))
    if match:
        return match.group(1)
    return error.operation_name if details.get("Code") in _DENIED_CODES else None


def error_code(error: BaseException) -> str:
    """The error code of a botocore ClientError, "" for any other error."""
    if isinstance(error, botocore_errors.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def explain(error: BaseException) -> CommandError | None:
    """What an error of botocore's, or of a file, means to the person at the terminal; None for any other."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return CommandError(f"{_file(error) or 'the output'} cannot be written", str(error.strerror), "make room on that disk, then run the same command")
    if isinstance(error, OSError) and _file(error) and error.strerror:
        # A file or folder of the project that is not as it should be, or a program that is missing; botocore's own errors name no file.
        step = "see that it is there, what it is, and who may read and write it (ls -ld)"
        return CommandError(f"{_file(error)} cannot be used", error.strerror, step)
    if isinstance(error, botocore_errors.ClientError):
        return _explain_refusal(error)
    if isinstance(error, (botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError)):
        return CommandError(
            "No AWS credentials", str(error), "log in (aws sso login, or set AWS_PROFILE), or use LOCAL=1 for the local AWS"
        )
    if isinstance(error, botocore_errors.ProfileNotFound):
        return WrongUse(
            "AWS_PROFILE names a profile that does not exist", str(error), "set AWS_PROFILE to one of: aws configure list-profiles"
        )
    if isinstance(error, (botocore_errors.HTTPClientError, botocore_errors.ConnectionError)):
        return CommandError("The AWS endpoint does not answer", str(error), "check the network; for the local AWS: make local-up")
    if isinstance(error, botocore_errors.BotoCoreError):
        return CommandError("The AWS call could not be made", str(error))
    return None


def _file(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""


def _explain_refusal(error: botocore_errors.ClientError) -> CommandError:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "")
    action = denied_action(error)
    if action:
        return CommandError(
            f"Access denied: {action}",
            message,
            f"allow {action} for this caller (aws sts get-caller-identity names it), or use a role that has it",
        )
    if code in _EXPIRED_CODES:
        return CommandError("The AWS credentials have expired", message, "log in again (aws sso login), then run the same command")
    if code in _BAD_KEY_CODES:
        return CommandError("AWS does not accept the credentials", message, "check AWS_PROFILE and AWS_ACCESS_KEY_ID")
    if code in _THROTTLED_CODES:
        return CommandError(
            f"AWS throttled {error.operation_name} after several retries", message, "run the same command again in a minute"
        )
    return CommandError(f"{error.operation_name} was refused ({code})", message)
