"""Resource types: how each is made, changed and deleted through the service that has it.

A handler is a class with `create`, `update` and `delete`, registered under its type by `@resource`. It calls boto3 with the
credentials of the operation (`request.client`), so IAM decides. `delete` is idempotent: what is gone already is no failure.
The physical id is what Ref gives; attributes are what Fn::GetAtt gives.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import botocore.model
from botocore.exceptions import ClientError

from localaws.clock import Clock
from localaws.cloudformation.template import text_of
from localaws.service import Clients

T = TypeVar("T")


class Failed(Exception):
    """The resource cannot be made, changed or deleted; the text is the event's reason."""


class Cancelled(Exception):
    """The operation was stopped while this resource was in progress."""


@dataclass(frozen=True)
class Made:
    """A resource as it is now: its physical id (Ref) and attributes (Fn::GetAtt). An update without attributes keeps them."""

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Request:
    """What a handler is given: resolved properties, those before (update), and the means to work with.

    `undoing`: the change goes back (rollback), or a creation is undone. `claim(id)` writes a physical id down as soon as it is
    known, before a handler waits. `note(text)` writes an event. `signals()` gives {unique id: {status, time}}.
    """

    stack_id: str
    stack_name: str
    logical_id: str
    type: str
    properties: dict[str, Any]
    before: dict[str, Any]
    physical_id: str
    clients: Clients
    clock: Clock
    claim: Callable[[str], None]
    note: Callable[[str], None]
    pause: Callable[[float], None]
    stop: Callable[[], bool]
    signals: Callable[[], dict[str, dict[str, Any]]]
    clear_signals: Callable[[], None]
    job: Any = None
    record: dict[str, Any] = field(default_factory=dict)
    undoing: bool = False
    creation_policy: dict[str, Any] = field(default_factory=dict)
    update_policy: dict[str, Any] = field(default_factory=dict)

    @property
    def region(self) -> str:
        """The stack's Region."""
        return self.stack_id.split(":")[3]

    @property
    def account(self) -> str:
        """The stack's account."""
        return self.stack_id.split(":")[4]

    def client(self, service: str) -> Any:
        """Return a boto3 client with the operation's credentials."""
        return self.clients.client(service, self.region)

    def name(self, longest: int, lower: bool = False) -> str:
        """Return a new physical name `stack-logical-RANDOM`, cut to `longest` characters as AWS cuts it."""
        alphabet = string.ascii_lowercase + string.digits if lower else string.ascii_uppercase + string.digits
        tail = "".join(secrets.choice(alphabet) for _ in range(12 if longest > 40 else 8))
        room = longest - len(tail) - 2
        logical = self.logical_id[:max(1, min(len(self.logical_id), room // 2))]
        stack = self.stack_name[:room - len(logical)].rstrip("-")
        text = f"{stack}-{logical}-{tail}"
        return text.lower() if lower else text

    def given(self, prop: str, longest: int, lower: bool = False) -> str:
        """Return the name that a property gives, or a new one."""
        return text_of(self.properties[prop]) if self.properties.get(prop) else self.name(longest, lower)

    def changed(self, *props: str) -> bool:
        """Tell whether any of the properties changed in this update."""
        return any(self.properties.get(prop) != self.before.get(prop) for prop in props)

    def wait(self, ready: Callable[[], T], seconds: float, what: str, every: float = 0.5) -> T:
        """Ask `ready` until it answers something true; raise Cancelled when told to stop, Failed after `seconds`."""
        end = self.clock.now() + seconds
        while not (answer := ready()):
            if self.stop():
                raise Cancelled()
            if self.clock.now() >= end:
                raise Failed(what)
            self.pause(every)
        return answer


class Handler(Protocol):
    """How one resource type is made."""

    def create(self, request: Request) -> Made:
        """Make the resource."""
        ...

    def update(self, request: Request) -> Made:
        """Change it in place from `request.before` to `request.properties`."""
        ...

    def delete(self, request: Request) -> None:
        """Delete it; no failure if it is gone."""
        ...


_HANDLERS: dict[str, Handler] = {}


def resource(kind: str) -> Callable[[type], type]:
    """Register a class as the handler of a resource type."""
    def register(cls: type) -> type:
        _HANDLERS[kind] = cls()
        return cls
    return register


def handlers() -> dict[str, Handler]:
    """Return every handler, by resource type."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_HANDLERS)


# --- helpers ----------------------------------------------------------------------------------------------------------


def gone(error: ClientError) -> bool:
    """Tell whether an error says that what was asked for does not exist."""
    return bool(re.search(r"NotFound|NoSuch|DoesNotExist|NonExistent|InvalidAllocationID|ResourceNotFound|NatGatewayNotFound",
                          error.response["Error"].get("Code", "")))


def unless_gone(call: Callable[..., Any], **arguments: Any) -> Any:
    """Call; return None where the thing does not exist."""
    try:
        return call(**arguments)
    except ClientError as error:
        if not gone(error):
            raise
    return None


def fit(client: Any, method: str, properties: Mapping[str, Any], rename: Mapping[str, str] | None = None,
        drop: Iterable[str] = ()) -> dict[str, Any]:
    """Return a resource's properties as the parameters of an API's method.

    Members are matched without regard to case (CloudFormation writes them in PascalCase everywhere) and scalars take the type
    that the API wants; maps keep their keys; objects for text members (policies) become JSON. `rename` and `drop` are for
    top-level properties. Raises Failed for a property that the API does not have.
    """
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    names = {**(rename or {})}
    chosen = {names.get(name, name): value for name, value in properties.items() if name not in set(drop)}
    found: dict[str, Any] = _fit(operation.input_shape, chosen, "")
    return found


def fit_shape(client: Any, method: str, member: str, value: Any) -> Any:
    """Return a value as one member (dotted path) of a method's parameters."""
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    for part in member.split("."):
        shape = shape.members[part]
    return _fit(shape, value, member)


def _fit(shape: botocore.model.Shape, value: Any, where: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            raise Failed(f"Value of property {where} must be an object")
        members = {name.lower(): name for name in shape.members}
        result = {}
        for name, item in value.items():
            target = name if name in shape.members else members.get(name.lower())
            if target is None:
                raise Failed(f"Encountered unsupported property {f'{where}.' if where else ''}{name}")
            result[target] = _fit(shape.members[target], item, f"{where}.{name}".lstrip("."))
        return result
    if kind == "list":
        return [_fit(shape.member, item, where) for item in (value if isinstance(value, list) else [value])]
    if kind == "map":
        return {key: _fit(shape.value, item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (dict, list)):
        if kind != "string":
            raise Failed(f"Value of property {where} must be a {kind}")
        import json
        return json.dumps(value)
    try:
        if kind == "boolean":
            return {"true": True, "false": False}[text_of(value)]
        if kind in ("integer", "long"):
            return int(text_of(value))
        if kind in ("double", "float"):
            return float(value)
    except (KeyError, ValueError):
        raise Failed(f"Value of property {where} must be of type {kind.capitalize()}") from None
    return text_of(value) if kind != "blob" else text_of(value).encode()


def served(properties: Mapping[str, Any], names: Iterable[str], where: str = "") -> None:
    """Raise Failed for a property that AWS has and the local AWS does not serve."""
    if unserved := sorted(set(properties) - set(names)):
        raise Failed(f"The local AWS does not serve the propert{'y' if len(unserved) == 1 else 'ies'} {', '.join(where + name for name in unserved)}")


def tags_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of properties, whichever way they are written."""
    tags = properties.get("Tags") or {}
    if isinstance(tags, dict):
        return {key: text_of(value) for key, value in tags.items()}
    return {tag["Key"]: text_of(tag.get("Value", "")) for tag in tags}


def tag_list(properties: Mapping[str, Any], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Return the tags as a list of pairs under the names that an API uses."""
    return [{key: name, value: text} for name, text in tags_of(properties).items()]


def tag_changes(request: Request) -> tuple[dict[str, str], list[str]]:
    """Return the tags to set and the keys to take away in an update."""
    old, new = tags_of(request.before), tags_of(request.properties)
    return {key: value for key, value in new.items() if old.get(key) != value}, [key for key in old if key not in new]
