"""Bringing a stack from whatever an earlier operation left to where a change set can be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.core import changesets, protection, stacks, watch
from scripts.core.clock import Clock
from scripts.core.errors import CommandError
from scripts.core.progress import Board, Progress
from scripts.core.stacks import Stack, Step

# Each step ends in another state; more than a few in a row mean that somebody else works on the stack too.
_MOST_STEPS = 8


@dataclass(frozen=True)
class Driver:
    """What is needed to act on the stacks of one Region."""

    cloudformation: Any
    region: str
    board: Board
    clock: Clock
    poll_seconds: float
    verbose: bool
    confirm: Callable[[str], bool]

    def progress(self, label: str, total: int = 0) -> Progress:
        return Progress(self.board, self.clock, label, total, self.verbose)

    def say(self, text: str) -> None:
        self.board.console.line(text)

    def discard(self, change_set: str, stack_id: str, created_stack: bool, wholly: bool = False) -> None:
        left = changesets.discard(self.cloudformation, change_set, stack_id, created_stack, self.clock, self.poll_seconds, wholly)
        if left:
            self.say(left)

    def watch(self, stack_id: str, begun: watch.Mark, label: str, total: int = 0) -> watch.Watched:
        return watch.until_settled(self.cloudformation, stack_id, begun, self.progress(label, total), self.clock, self.poll_seconds)


def make_ready(driver: Driver, name: str) -> Stack | None:
    """The stack when it can be updated, None when it is to be created. CommandError when a person has to act first."""
    for _ in range(_MOST_STEPS):
        stack = stacks.find(driver.cloudformation, name)
        step = stacks.next_step(stack.status if stack else None)
        if stack is None or step is Step.CREATE:
            return None
        if step is Step.UPDATE:
            return stack
        if step is Step.WAIT:
            _wait(driver, stack)
        elif step is Step.REMOVE_REVIEW:
            _remove_review(driver, stack)
        elif step is Step.DELETE_FIRST:
            _delete_first(driver, stack)
        elif step is Step.CONTINUE_ROLLBACK:
            _continue_rollback(driver, stack)
        else:
            raise CommandError(
                f"{name} is {stack.status}",
                stack.reason or "CloudFormation waits for a decision",
                f"aws cloudformation rollback-stack --region {driver.region} --stack-name {name}, then deploy again",
            )
    raise CommandError(
        f"{name} does not settle", "its status changed again and again: somebody else may be working on it", "wait, then deploy again"
    )


def _wait(driver: Driver, stack: Stack) -> None:
    driver.say(f"{stack.name} ({driver.region}) is {stack.status}: an operation is under way; waiting for it")
    watched = driver.watch(stack.id, watch.mark_of_running_operation(driver.cloudformation, stack.id), label(driver.region, stack.name))
    driver.say(f"{stack.name} ({driver.region}) is {watched.stack.status}")
    cause = watched.cause()
    if cause and watched.stack.status not in stacks.SUCCEEDED:
        driver.say(describe_cause(cause))


def _remove_review(driver: Driver, stack: Stack) -> None:
    driver.say(f"{stack.name} ({driver.region}) was left in review by a deploy that did not go on: removing that")
    cloudformation = driver.cloudformation
    token: dict[str, str] = {}
    while True:
        page = cloudformation.list_change_sets(StackName=stack.id, **token)
        for summary in page.get("Summaries", ()):
            driver.discard(summary["ChangeSetId"], stack.id, created_stack=False, wholly=True)
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    delete(driver, stack, "removing the empty stack")


def _delete_first(driver: Driver, stack: Stack) -> None:
    if stack.status == "ROLLBACK_COMPLETE":
        why = "its first create failed and was rolled back"
    else:
        why = f"it is {stack.status}" + (f" ({stack.reason})" if stack.reason else "")
        if not driver.confirm(f"{stack.name} ({driver.region}) cannot be updated: {why}. Delete it and create it again?"):
            raise CommandError(f"{stack.name} was left as it is", why, "deploy again and say y, or YES=1")
    driver.say(f"{stack.name} ({driver.region}): {why}; deleting it and creating it again")
    kept = [item for item in stacks.resources(driver.cloudformation, stack.id) if item["ResourceStatus"] == "DELETE_SKIPPED"]
    for item in kept:
        driver.say(f"  kept, and made anew: {item['LogicalResourceId']} {item.get('PhysicalResourceId', '')} ({item['ResourceType']})")
    delete(driver, stack, "deleting")


def _continue_rollback(driver: Driver, stack: Stack) -> None:
    why = stack.reason or "a resource could not be brought back"
    driver.say(f"{stack.name} ({driver.region}) is UPDATE_ROLLBACK_FAILED: {why}")
    if not driver.confirm(f"Continue the rollback of {stack.name}, then deploy?"):
        raise CommandError(f"{stack.name} was left as it is", why, "deploy again and say y, or YES=1")
    begun = watch.mark(driver.cloudformation, stack.id)
    driver.cloudformation.continue_update_rollback(StackName=stack.id)
    watched = driver.watch(stack.id, begun, label(driver.region, stack.name))
    if watched.stack.status != "UPDATE_ROLLBACK_COMPLETE":
        cause = watched.cause()
        raise CommandError(
            f"{stack.name} ({driver.region}): the rollback failed again",
            f"{cause.where}: {cause.reason}" if cause else watched.stack.reason,
            "mend that resource by hand, then deploy again; as a last resort: aws cloudformation continue-update-rollback "
            f"--region {driver.region} --stack-name {stack.name} --resources-to-skip <logical ids>",
        )


def delete(driver: Driver, stack: Stack, total_label: str, total: int = 0) -> watch.Watched:
    """Deletes a stack, a protected one too, and watches it go. CommandError with the first cause when it does not."""
    if protection.turn(driver.cloudformation, driver.region, stack, on=False):
        driver.say(f"{stack.name} ({driver.region}): its protection against deletion is lifted")
    begun = watch.mark(driver.cloudformation, stack.id)
    driver.cloudformation.delete_stack(StackName=stack.id)
    watched = driver.watch(stack.id, begun, f"{label(driver.region, stack.name)} {total_label}", total)
    if watched.stack.status != "DELETE_COMPLETE":
        cause = watched.cause()
        raise CommandError(
            f"{stack.name} ({driver.region}) could not be deleted: {watched.stack.status}",
            f"{cause.where} ({cause.type}): {cause.reason}" if cause else watched.stack.reason,
            (cause.hint if cause else "") or "remove what holds the resource, then run the same command again",
        )
    return watched


def label(region: str, name: str) -> str:
    return f"{region} {name}"


def describe_cause(cause: Any) -> str:
    text = f"  first cause: {cause.where} ({cause.type}) {cause.status}\n  reason:      {cause.reason or 'CloudFormation gives none'}"
    return text + (f"\n  next:        {cause.hint}" if cause.hint else "")
