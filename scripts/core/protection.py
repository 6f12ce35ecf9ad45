"""CloudFormation's termination protection of root stacks: on after a deploy where parameters/ say so, off right before a delete.

Never on a stack that is being created: one whose first create fails has to be deleted. Nested stacks take it from their root, and an update may
still remove them. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from scripts.core.errors import CommandError, explain
from scripts.core.stacks import Stack


def turn(cloudformation: Any, region: str, stack: Stack, on: bool) -> bool:
    """Whether a call was needed: none is made where the stack is as wanted. CommandError names the permission that is missing."""
    if stack.protected == on:
        return False
    try:
        cloudformation.update_termination_protection(StackName=stack.id, EnableTerminationProtection=on)
    except ClientError as error:
        refused = explain(error) or CommandError(str(error))
        raise CommandError(
            f"{stack.name} ({region}) is {stack.status}, and its protection against deletion could not be {'set' if on else 'lifted'}: {refused.what}",
            refused.reason,
            (refused.next_step or "mend that") + "; make deployer brings the deployer's rights up to date. Then run the same command again",
        ) from error
    return True
