"""The pipeline's connection to the repository: born PENDING, completed by a person in the console."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from scripts.core.clock import Clock, duration
from scripts.core.console import Console
from scripts.core.errors import CommandError, error_code
from scripts.core.session import Aws
from scripts.core.stacks import Stack

_POLL_SECONDS = 5.0


def console_link(arn: str) -> str:
    """The console's page of a connection. `arn:aws:codeconnections:<region>:<account>:connection/<id>`"""
    _, partition, _, region, account, resource = arn.split(":", 5)
    host = "console.amazonaws.cn" if partition == "aws-cn" else "console.aws.amazon.com"
    return f"https://{region}.{host}/codesuite/settings/{account}/{region}/codeconnections/connections/{resource.split('/', 1)[1]}"


def status(connections: Any, arn: str) -> str:
    """PENDING, AVAILABLE or ERROR. CommandError when there is no such connection."""
    try:
        return str(connections.get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"])
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            raise CommandError(
                f"there is no connection {arn}",
                "it was deleted, or is of another account or Region",
                "correct ConnectionArn, or leave it empty to have one made",
            ) from error
        raise


def complete(aws: Aws, region: str, stack: Stack, console: Console, clock: Clock, wait_seconds: float) -> None:
    """Asks for the connection to be completed, waits for it, and starts the release that could not be fetched before.

    With `wait_seconds` 0 it says what is to do and goes on. CommandError when the time is over.
    """
    arn = stack.outputs.get("ConnectionArn", "")
    if not arn:
        return
    connections = aws.client("codeconnections", region)
    state = status(connections, arn)
    if state != "AVAILABLE":
        console.line(
            f"The connection to the repository is {state}. Complete it in the console (Update pending connection):\n  {console_link(arn)}"
        )
        if wait_seconds <= 0:
            return
        _wait(connections, arn, console, clock, wait_seconds)
        console.line("The connection is AVAILABLE.")
    pipeline = stack.outputs.get("PipelineName", "")
    if pipeline and _failed_for_want_of_it(aws.client("codepipeline", region), pipeline):
        execution = aws.client("codepipeline", region).start_pipeline_execution(name=pipeline)["pipelineExecutionId"]
        console.line(f"The first execution of {pipeline} could not fetch the source without the connection; started {execution}.")


def _wait(connections: Any, arn: str, console: Console, clock: Clock, wait_seconds: float) -> None:
    end = clock.seconds() + wait_seconds
    while status(connections, arn) != "AVAILABLE":
        left = end - clock.seconds()
        if left <= 0:
            console.show_live("")
            raise CommandError(
                "the connection is still not completed; everything else is deployed",
                f"waited {duration(wait_seconds)}",
                "complete it by the link above, then run the same command again (it changes nothing else)",
            )
        console.show_live(f"waiting for the connection, {duration(left)} left")
        clock.sleep(_POLL_SECONDS)
    console.show_live("")


def _failed_for_want_of_it(codepipeline: Any, name: str) -> bool:
    """True when the newest execution failed in the first stage and its action says that the connection was the reason."""
    stages = codepipeline.get_pipeline_state(name=name).get("stageStates", [])
    if not stages or stages[0].get("latestExecution", {}).get("status") != "Failed":
        return False
    if any(stage.get("latestExecution") for stage in stages[1:]):
        return False
    actions = stages[0].get("actionStates", [])
    messages = [action.get("latestExecution", {}).get("errorDetails", {}).get("message", "") for action in actions]
    return any("onnection" in message for message in messages)
