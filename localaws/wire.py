"""The wire: requests parsed and responses written by botocore's service models.

Speaks the protocols that AWS's services speak towards unmodified clients: JSON 1.0/1.1, REST JSON, Query, EC2 Query and RPC v2 CBOR. The
models (shapes, names, required members, enums, ranges) are botocore's; nothing here knows a particular service.
Sources: https://smithy.io/2.0/aws/protocols/ and botocore.serialize / botocore.parsers, whose counterparts these are.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import botocore.loaders
import botocore.model
import botocore.validate
import cbor2

from localaws.service import ServiceError

_LOADER = botocore.loaders.Loader()
_CBOR_PATH = re.compile(r"^/service/(?P<service>[^/]+)/operation/(?P<operation>[^/]+)$")


@dataclass(frozen=True)
class Request:
    """A parsed request: the operation's model, its parameters, and the protocol in which to answer."""

    operation: botocore.model.OperationModel
    params: dict[str, Any]
    protocol: str


@functools.cache
def model(service: str) -> botocore.model.ServiceModel:
    """Return botocore's model of `service` (botocore's own name for it)."""
    return botocore.model.ServiceModel(_LOADER.load_service_model(service, "service-2"), service)


def protocol_of(service: str, headers: Mapping[str, str], path: str) -> str:
    """Return the protocol that a request speaks: cbor, json, rest-json, query or ec2."""
    if _CBOR_PATH.match(path) or "cbor" in headers.get("content-type", ""):
        return "cbor"
    if headers.get("x-amz-target"):
        return "json"
    protocol = model(service).metadata["protocol"]
    return str(protocol) if protocol in ("ec2", "rest-json") else "query"


def operation_name(headers: Mapping[str, str], path: str, body: bytes, query: Mapping[str, list[str]]) -> str:
    """Return the name of the operation that a request asks for, '' if it names none."""
    if match := _CBOR_PATH.match(path):
        return match["operation"]
    if target := headers.get("x-amz-target", ""):
        return target.rpartition(".")[2]
    form = _form(headers, body, query)
    return form.get("Action", "")


def _form(headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the fields of a Query request, from its body and its query string."""
    fields = {name: values[-1] for name, values in query.items()}
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        for name, values in parse_qs(body.decode(), keep_blank_values=True).items():
            fields[name] = values[-1]
    return fields


def parse(service: str, headers: Mapping[str, str], path: str, body: bytes, query: Mapping[str, list[str]]) -> Request:
    """Parse a request of `service` and check it against the model.

    Raises ServiceError InvalidAction/UnknownOperationException for an operation that the model does not have, and a validation error
    for a missing, unknown or ill-typed parameter. REST JSON needs the HTTP method, as the pseudo-header `:method`.
    """
    protocol = protocol_of(service, headers, path)
    if protocol == "rest-json":
        return _parse_rest(model(service), headers.get(":method", ""), path, body, query)
    name = operation_name(headers, path, body, query)
    service_model = model(service)
    if name not in service_model.operation_names:
        code = "UnknownOperationException" if protocol in ("json", "cbor") else "InvalidAction"
        raise ServiceError(code, f"The action {name or '(none)'} is not valid for {service}.")
    operation = service_model.operation_model(name)
    shape = operation.input_shape
    if shape is None:
        return Request(operation, {}, protocol)
    try:
        if protocol == "json":
            params = _from_json(shape, json.loads(body or b"{}"))
        elif protocol == "cbor":
            params = _from_json(shape, cbor2.loads(body) if body else {})
        else:
            params = _from_query(shape, _form(headers, body, query), "", protocol) or {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ServiceError("SerializationException", f"{name}: {error}") from error
    _validate(shape, params, protocol)
    return Request(operation, params, protocol)


def _parse_rest(service: botocore.model.ServiceModel, method: str, path: str, body: bytes, query: Mapping[str, list[str]]) -> Request:
    """Parse a REST JSON request: its operation is told by method and path, its members stand in path, query string and body."""
    found = None
    for name in service.operation_names:
        operation = service.operation_model(name)
        # A label without `+` is one segment; an ARN in one is sent with its slashes and colons quoted, and may arrive unquoted.
        parts = re.split(r"\{(\w+)\+?\}", operation.http["requestUri"].partition("?")[0])
        pattern = "".join(re.escape(part) if index % 2 == 0 else f"(?P<{part}>.+)" if part.lower().endswith("arn") else f"(?P<{part}>[^/]+)"
                          for index, part in enumerate(parts))
        if operation.http["method"] == method and (match := re.fullmatch(pattern, path)):
            found = (operation, match.groupdict()) if found is None or "{" not in operation.http["requestUri"] else found
    if found is None:
        raise ServiceError("UnknownOperationException", f"{method} {path} is no operation of {service.service_name}.", 404)
    operation, labels = found
    shape = operation.input_shape
    if shape is None:
        return Request(operation, {}, "rest-json")
    try:
        params = _from_json(shape, json.loads(body or b"{}"))
        for name, member in shape.members.items():
            place, wire = member.serialization.get("location"), member.serialization.get("name", name)
            if place == "uri":
                params[name] = unquote(labels[wire])
            elif place == "querystring" and wire in query:
                values = query[wire]
                params[name] = list(values) if member.type_name == "list" else _from_query(member, {"v": values[-1]}, "v", "query")
    except (ValueError, TypeError, AttributeError) as error:
        raise ServiceError("SerializationException", f"{operation.name}: {error}") from error
    _validate(shape, params, "json")
    return Request(operation, params, "rest-json")


def _validate(shape: botocore.model.Shape, params: dict[str, Any], protocol: str) -> None:
    """Refuse parameters that the model refuses: missing, ill-typed, out of range, not of the enumeration."""
    report = botocore.validate.ParamValidator().validate(params, shape)
    problems = report.generate_report() if report.has_errors() else _enum_problem(shape, params, "")
    if problems:
        code = "ValidationException" if protocol in ("json", "cbor") else "ValidationError"
        raise ServiceError(code, f"1 validation error detected: {problems}")


def _enum_problem(shape: botocore.model.Shape, value: Any, where: str) -> str:
    """Return the first value that is not of its enumeration, in AWS's words; '' if there is none."""
    if shape.type_name == "structure":
        for name, item in value.items():
            if item is not None and (problem := _enum_problem(shape.members[name], item, f"{where}.{name}".lstrip("."))):
                return problem
    elif shape.type_name == "list":
        for index, item in enumerate(value, start=1):
            if problem := _enum_problem(shape.member, item, f"{where}.{index}.member"):
                return problem
    elif shape.type_name == "map":
        for key, item in value.items():
            if problem := _enum_problem(shape.value, item, f"{where}.{key}"):
                return problem
    elif shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        return (f"Value '{value}' at '{where}' failed to satisfy constraint: Member must satisfy enum value set: "
                f"[{', '.join(shape.enum)}]")
    return ""


def _timestamp(value: Any) -> float:
    """Return seconds since the epoch of a timestamp in any of the forms in which clients send it."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, dt.datetime):
        return value.timestamp()
    try:
        return float(value)
    except ValueError:
        return dt.datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()


def _from_json(shape: botocore.model.Shape, value: Any) -> Any:
    """Return a JSON or CBOR value as the shape has it; members that the model does not know are left out."""
    if value is None:
        return None
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            raise TypeError(f"{shape.name} must be an object")
        return {name: _from_json(member, value[name]) for name, member in shape.members.items()
                if value.get(name) is not None}
    if kind == "list":
        return [_from_json(shape.member, item) for item in value]
    if kind == "map":
        return {key: _from_json(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        return _timestamp(value)
    if kind == "blob":
        return value if isinstance(value, bytes) else base64.b64decode(value)
    if kind in ("double", "float") and isinstance(value, int):
        return float(value)
    return value


def _query_name(shape: botocore.model.Shape, name: str, protocol: str) -> str:
    """Return the name of a member on the wire of the Query protocols."""
    if protocol == "ec2":
        if "queryName" in shape.serialization:
            return str(shape.serialization["queryName"])
        if "name" in shape.serialization:
            given = str(shape.serialization["name"])
            return given[0].upper() + given[1:]
        return name[0].upper() + name[1:]
    return str(shape.serialization.get("name", name))


def _indices(form: Mapping[str, str], prefix: str) -> list[int]:
    """Return the list indices that fields below `prefix` have, in order."""
    found = {rest.split(".")[0] for name in form if name.startswith(prefix + ".")
             for rest in [name[len(prefix) + 1:]]}
    return sorted(int(index) for index in found if index.isdigit())


def _from_query(shape: botocore.model.Shape, form: Mapping[str, str], prefix: str, protocol: str) -> Any:
    """Return the value of `shape` from a form's fields below `prefix`; None where there are none."""
    kind = shape.type_name
    if kind == "structure":
        result = {}
        for name, member in shape.members.items():
            wire = _query_name(member, name, protocol)
            value = _from_query(member, form, f"{prefix}.{wire}" if prefix else wire, protocol)
            if value is not None:
                result[name] = value
        present = any(field == prefix or field.startswith(prefix + ".") for field in form) if prefix else True
        return result if result or present else None
    if kind == "list":
        if protocol != "ec2" and not shape.serialization.get("flattened"):
            if form.get(prefix) == "":
                return []
            prefix = f"{prefix}.{shape.member.serialization.get('name', 'member')}"
        elif shape.serialization.get("flattened") and "name" in shape.member.serialization:
            prefix = ".".join([*prefix.split(".")[:-1], shape.member.serialization["name"]])
        indices = _indices(form, prefix)
        return [_from_query(shape.member, form, f"{prefix}.{index}", protocol) for index in indices] if indices else None
    if kind == "map":
        if not shape.serialization.get("flattened"):
            prefix = f"{prefix}.entry"
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        result = {form[f"{prefix}.{index}.{key_name}"]:
                  _from_query(shape.value, form, f"{prefix}.{index}.{value_name}", protocol)
                  for index in _indices(form, prefix)}
        return result or None
    if prefix not in form:
        return None
    text = form[prefix]
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{prefix} must be true or false, not {text!r}")
        return text.lower() == "true"
    if kind in ("integer", "long"):
        return int(text)
    if kind in ("double", "float"):
        return float(text)
    if kind == "timestamp":
        return _timestamp(text)
    return base64.b64decode(text) if kind == "blob" else text


def respond(request: Request, result: Mapping[str, Any] | None, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Return (status, headers, body) of a successful answer.

    Raises ValueError where the result is not of the operation's output shape: an answer that AWS could not have given is a
    fault of the local AWS and must not reach a client.
    """
    shape = request.operation.output_shape
    value = dict(result or {})
    if shape is not None and (unknown := set(value) - set(shape.members)):
        raise ValueError(f"{request.operation.name} answers {sorted(unknown)}, which its output shape {shape.name} does not have")
    if request.protocol == "rest-json":
        return 200, {"Content-Type": "application/json"}, json.dumps(_to_json(shape, value, cbor=False) if shape is not None else {}).encode()
    if request.protocol in ("json", "cbor"):
        payload = _to_json(shape, value, cbor=request.protocol == "cbor") if shape is not None else {}
        if request.protocol == "cbor":
            return 200, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, cbor2.dumps(payload)
        version = request.operation.service_model.metadata.get("jsonVersion", "1.1")
        body = json.dumps(payload).encode() if shape is not None else b""
        return 200, {"Content-Type": f"application/x-amz-json-{version}"}, body
    namespace = request.operation.service_model.metadata.get("xmlNamespace", "")
    name = request.operation.name
    inner = "".join(_to_xml(member, member_name, value[member_name], request.protocol)
                    for member_name, member in (shape.members.items() if shape is not None else ())
                    if value.get(member_name) is not None)
    if request.protocol == "ec2":
        text = f'<{name}Response xmlns="{namespace}"><requestId>{request_id}</requestId>{inner}</{name}Response>'
    else:
        wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
        text = (f'<{name}Response xmlns="{namespace}">{inner}'
                f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>")
    return 200, {"Content-Type": "text/xml;charset=UTF-8"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def respond_error(protocol: str, error: ServiceError, request_id: str, json_version: str = "1.1") -> tuple[int, dict[str, str], bytes]:
    """Return (status, headers, body) of an error in the protocol of the request."""
    if protocol == "rest-json":
        return (error.status, {"Content-Type": "application/json", "x-amzn-ErrorType": error.code},
                json.dumps({"message": error.message, "Message": error.message}).encode())
    if protocol in ("json", "cbor"):
        body: dict[str, Any] = {"__type": error.code, "message": error.message}
        if protocol == "cbor":
            return error.status, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, cbor2.dumps(body)
        return (error.status, {"Content-Type": f"application/x-amz-json-{json_version}", "x-amzn-errortype": error.code},
                json.dumps(body).encode())
    code, message = escape(error.code), escape(error.message)
    if protocol == "ec2":
        text = (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                f"<RequestID>{request_id}</RequestID></Response>")
    else:
        kind = "Sender" if error.status < 500 else "Receiver"
        text = (f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>")
    return error.status, {"Content-Type": "text/xml"}, text.encode()


def _check_members(shape: botocore.model.Shape, value: Mapping[str, Any]) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{shape.name} must be a mapping, not {value!r}")
    if unknown := set(value) - set(shape.members):
        raise ValueError(f"{shape.name} does not have {sorted(unknown)}")


def _to_json(shape: botocore.model.Shape, value: Any, cbor: bool) -> Any:
    """Return `value` as the JSON (or CBOR) of its shape."""
    kind = shape.type_name
    if kind == "structure":
        _check_members(shape, value)
        return {member.serialization.get("name", name) if not cbor else name: _to_json(member, value[name], cbor)
                for name, member in shape.members.items() if value.get(name) is not None}
    if kind == "list":
        return [_to_json(shape.member, item, cbor) for item in value]
    if kind == "map":
        return {str(key): _to_json(shape.value, item, cbor) for key, item in value.items()}
    if kind == "timestamp":
        seconds = _timestamp(value)
        return cbor2.CBORTag(1, seconds) if cbor else round(seconds, 3)
    if kind == "blob":
        raw = value.encode() if isinstance(value, str) else value
        return raw if cbor else base64.b64encode(raw).decode()
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("double", "float"):
        return float(value)
    return value


def _to_xml(shape: botocore.model.Shape, name: str, value: Any, protocol: str) -> str:
    """Return `value` as the XML element (or elements, for flattened lists and maps) of a member called `name`."""
    tag = shape.serialization.get("name", name)
    kind = shape.type_name
    if kind == "structure":
        _check_members(shape, value)
        inner = "".join(_to_xml(member, member_name, value[member_name], protocol)
                        for member_name, member in shape.members.items() if value.get(member_name) is not None)
        return f"<{tag}>{inner}</{tag}>"
    if kind == "list":
        if shape.serialization.get("flattened"):
            item_tag = shape.member.serialization.get("name", tag)
            return "".join(_renamed(shape.member, item, item_tag, protocol) for item in value)
        item_tag = shape.member.serialization.get("name", "item" if protocol == "ec2" else "member")
        return f"<{tag}>{''.join(_renamed(shape.member, item, item_tag, protocol) for item in value)}</{tag}>"
    if kind == "map":
        key_tag = shape.key.serialization.get("name", "key")
        value_tag = shape.value.serialization.get("name", "value")
        entries = [f"<{key_tag}>{escape(str(key))}</{key_tag}>" + _renamed(shape.value, item, value_tag, protocol)
                   for key, item in value.items()]
        if shape.serialization.get("flattened"):
            return "".join(f"<{tag}>{entry}</{tag}>" for entry in entries)
        return f"<{tag}>" + "".join(f"<entry>{entry}</entry>" for entry in entries) + f"</{tag}>"
    return f"<{tag}>{_scalar(kind, value)}</{tag}>"


def _renamed(shape: botocore.model.Shape, value: Any, tag: str, protocol: str) -> str:
    """Return the XML of a list's item or a map's value, whose element is called `tag` whatever its shape says."""
    text = _to_xml(shape, tag, value, protocol)
    given = shape.serialization.get("name", tag)
    if given == tag:
        return text
    return f"<{tag}>{text[len(given) + 2:-len(given) - 3]}</{tag}>"


def _scalar(kind: str, value: Any) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        moment = dt.datetime.fromtimestamp(_timestamp(value), dt.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    if kind == "blob":
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
    if kind in ("integer", "long"):
        return str(int(value))
    return escape(str(value))
