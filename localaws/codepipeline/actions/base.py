"""What an action is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from localaws.codepipeline.engine import Observation
from localaws.service import Aws, Clients


@dataclass(frozen=True)
class Job:
    """One call of a function: its id, the token that the call before left, and where output artifacts belong {name: {bucket, key}}."""

    id: str
    token: str | None
    outputs: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Work:
    """One action execution: ids, resolved configuration, artifacts, and clients of the role that it acts with.

    `account` is the pipeline's, `region` the action's; `bucket` and `encryption_key` (a KMS key or None) are the artifact store's of that
    Region. `inputs` are {artifact name: {bucket, key}}, `outputs` the names of output artifacts, `revision` the commit that the execution
    was started for or None, `external_id` what `start` answered. `artifact_credentials()` gives credentials {AccessKeyId, SecretAccessKey,
    Token, Expiration} that reach the action's artifacts and nothing else.
    """

    aws: Aws
    account: str
    region: str
    pipeline: str
    execution_id: str
    action_execution_id: str
    name: str
    configuration: Mapping[str, str]
    clients: Clients
    bucket: str
    encryption_key: str | None
    inputs: Mapping[str, Mapping[str, str]]
    outputs: tuple[str, ...]
    revision: str | None = None
    external_id: str | None = None
    job: Job | None = None
    artifact_credentials: Callable[[], dict[str, Any]] = dict


class Action(Protocol):
    """How an action is carried out. Neither method waits; what they raise fails the action with JobFailed or PermissionError."""

    def start(self, work: Work) -> Observation:
        """Begin, and return an Observation with the external id, or the end of an action that is done at once."""
        ...

    def poll(self, work: Work) -> Observation:
        """Say how it stands with what `start` began."""
        ...


def console(region: str, path: str) -> str:
    """The address in AWS's console of something that a service shows."""
    return f"https://{region}.console.aws.amazon.com/{path}"


def only(items: Mapping[str, Any]) -> Any:
    """The one item of a mapping of one."""
    (item,) = items.values()
    return item
