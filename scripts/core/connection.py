"""The pipeline's connection to the repository: born PENDING, completed by a person in the console.

A pipeline that was given a PENDING connection may never be started by a push, also after the connection is AVAILABLE: "you must provide the connection
ARN of a … connection that has already gone through the installation handshake. Otherwise, the pipeline is not triggered" (CodePipeline User Guide, an
edition of 2020: doc_source/action-reference-CodestarConnectionSource.md of awsdocs/aws-codepipeline-user-guide; reports of the same:
https://github.com/pulumi/pulumi-aws/issues/2167, https://github.com/aws-ia/terraform-aws-control_tower_account_factory/issues/589). So it is updated
then, with what it is already.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from scripts.core import pipelines
from scripts.core.clock import Clock, duration
from scripts.core.console import Console
from scripts.core.errors import CommandError, error_code
from scripts.core.session import Aws
from scripts.core.stacks import Stack

_POLL_SECONDS = 5.0
_EXECUTIONS = 100


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
    """Asks for the connection to be completed, waits for it, lets the pipeline hear of pushes, and starts the release that could not be fetched before.

    With `wait_seconds` 0 it says what is to do and goes on. CommandError when the time is over. Interrupted anywhere, the next one does what is left:
    what there is to do it takes from the pipeline alone.
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
            console.line("Then run the same command again: until it has, a push may start nothing.")
            return
        _wait(connections, arn, console, clock, wait_seconds)
        console.line("The connection is AVAILABLE.")
    pipeline = stack.outputs.get("PipelineName", "")
    if not pipeline:
        return
    codepipeline = aws.client("codepipeline", region)
    failed = _failed_for_want_of_it(codepipeline, pipeline)
    _let_hear(codepipeline, pipeline, failed or state != "AVAILABLE", console)
    if failed:
        execution = codepipeline.start_pipeline_execution(name=pipeline)["pipelineExecutionId"]
        console.line(f"The first execution of {pipeline} could not fetch the source without the connection; started {execution}.")


def _let_hear(codepipeline: Any, name: str, was_pending: bool, console: Console) -> None:
    """Update the pipeline with what it is already, unless a push has started it since its last update: then it hears, by the connection that it has now.

    Not while an execution goes on, which the change would end as Cancelled (API reference, PipelineExecution).
    """
    executions = pipelines.executions(codepipeline, name, _EXECUTIONS)[0]
    found = codepipeline.get_pipeline(name=name)
    when = found.get("metadata", {}).get("updated")
    updated = when.timestamp() if when else 0.0
    if not was_pending and any(execution.trigger.startswith("Webhook") and (execution.started or 0) > updated for execution in executions):
        return
    going_on = [execution.id for execution in executions if execution.status in pipelines.GOING_ON]
    if going_on:
        console.line(f"No push has started {name} since it was last updated. Should one start nothing, run this again once execution {going_on[0]} has ended.")
        return
    # GetPipeline's answer without `metadata`; the API takes no tags here, and keeps them.
    codepipeline.update_pipeline(pipeline=found["pipeline"])
    console.line(f"No push has started {name} since it was last updated; updated it unchanged, so that it hears of pushes through the connection.")


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
