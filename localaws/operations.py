"""Which operation of which service a request asks for, by botocore's models: for looking at what is served, not for serving it.

Our own services parse their requests in `wire`; what MiniStack serves is told here as well, REST services by method, path, constants of the
query string and the members that an operation requires in query string or headers. Of two that cannot be told apart, the one that is not deprecated.
Source: https://smithy.io/2.0/spec/http-bindings.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import botocore.model

from localaws import wire
from localaws.service import ServiceError

# Credential scopes (signing names) that are not botocore's name of the service.
_SIGNED_AS = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2", "servicequotas": "service-quotas"}


@functools.cache
def model(signing_name: str) -> botocore.model.ServiceModel | None:
    """Return the model of the service that signs as `signing_name`, None where botocore has none (CodeDeploy's commands)."""
    try:
        return wire.model(_SIGNED_AS.get(signing_name, signing_name))
    except Exception:
        return None


def scope_of(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> tuple[str, str]:
    """Return (access key id, signing name) of a signed request, empty strings for one that is not signed."""
    credential = headers.get("authorization", "").partition("Credential=")[2].split(",")[0] or query.get("X-Amz-Credential", [""])[0]
    parts = credential.split("/")
    return (parts[0], parts[3]) if len(parts) > 3 else ("", "")


def asked(signing_name: str, method: str, path: str, headers: Mapping[str, str], body: bytes,
          query: Mapping[str, list[str]]) -> botocore.model.OperationModel | None:
    """Return the operation that a request asks for, None where the model has none such."""
    service = model(signing_name)
    if service is None:
        return None
    protocol = str(service.metadata["protocol"])
    if not protocol.startswith("rest") or headers.get("x-amz-target"):
        try:
            name = wire.operation_name(headers, path, body, query)
        except (ServiceError, ValueError):
            return None
        return service.operation_model(name) if name in service.operation_names else None
    best: tuple[tuple[int, bool], botocore.model.OperationModel] | None = None
    for weight, pattern, constants, operation in _routes(service.service_name):
        if operation.http["method"] != method or not pattern.fullmatch(path):
            continue
        if any(query.get(name, [None])[0] != value for name, value in constants):
            continue
        needed = _required(operation)
        if any(name not in (query if place == "querystring" else headers) for place, name in needed):
            continue
        found = (weight + len(constants) * 10 + len(needed), not operation.deprecated)
        if best is None or found > best[0]:
            best = found, operation
    return best[1] if best else None


@functools.cache
def _routes(service_name: str) -> list[tuple[int, re.Pattern[str], list[tuple[str, str]], botocore.model.OperationModel]]:
    """(weight, pattern of the path, constants of the query string, operation) of each operation of a REST service."""
    service = wire.model(service_name)
    routes: list[Any] = []
    for name in service.operation_names:
        operation = service.operation_model(name)
        path, _, constants = operation.http["requestUri"].partition("?")
        parts = re.split(r"\{(\w+)(\+?)\}", path.rstrip("/") or "/")
        text = ""
        for index in range(0, len(parts), 3):
            text += re.escape(parts[index])
            if index + 1 < len(parts):
                text += ".+" if parts[index + 2] or parts[index + 1].lower().endswith("arn") else "[^/]+"
        pairs = [(key, value) for key, value in parse_qsl(constants, keep_blank_values=True) if key != "x-id"]
        routes.append((path.count("/"), re.compile(text + "/?"), pairs, operation))
    return routes


@functools.cache
def _required(operation: botocore.model.OperationModel) -> list[tuple[str, str]]:
    """(place, name on the wire) of the members that an operation requires in the query string or in headers."""
    shape = operation.input_shape
    if shape is None:
        return []
    found = []
    for name in shape.required_members:
        member = shape.members[name]
        place = member.serialization.get("location")
        if place in ("querystring", "header"):
            wired = str(member.serialization.get("name", name))
            found.append((place, wired.lower() if place == "header" else wired))
    return found

