"""Answers held against botocore's models: shapes, required members, enumerations, modelled errors."""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.model
import cbor2

REFUSED = "NotImplementedByLocalAws"
"""Our own code for what is not served: never AWS's, so it is no invalid answer but a refusal by name."""

# Codes that any operation of AWS may answer with, modelled or not. Source: "Common Errors" of the API references, for instance
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html; ServiceUnavailable and SlowDown of S3's list of errors.
_COMMON = frozenset({
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException",
    "InvalidClientTokenId", "InvalidSignatureException", "InvalidAction", "InvalidParameterCombination", "InvalidParameterValue", "MalformedQueryString",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "MissingParameter", "NotAuthorized", "OptInRequired",
    "RequestExpired", "SerializationException", "ServiceUnavailable", "ServiceUnavailableException", "SignatureDoesNotMatch", "Throttling",
    "ThrottlingException", "UnknownOperationException", "UnrecognizedClientException", "ValidationError", "ValidationException",
})

# Codes that documents give and models do not.
_DOCUMENTED = {
    # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
    "s3": frozenset({
        "NoSuchBucketPolicy", "NoSuchKey", "NoSuchBucket", "NoSuchVersion", "NoSuchLifecycleConfiguration", "NoSuchTagSet", "NoSuchUpload",
        "NoSuchPublicAccessBlockConfiguration", "OwnershipControlsNotFoundError", "ServerSideEncryptionConfigurationNotFoundError", "BucketNotEmpty",
        "PreconditionFailed", "MalformedXML", "MalformedPolicy", "InvalidArgument", "InvalidBucketName", "InvalidRequest", "InvalidAccessKeyId",
        "InvalidRange", "MethodNotAllowed", "BucketAlreadyExists", "BucketAlreadyOwnedByYou", "IllegalLocationConstraintException", "404", "403",
        "NotModified", "304", "412"}),
    # GetCanary's: https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/synthetics/find.go finds it by its name alone
    "synthetics": frozenset({"ResourceNotFoundException"}),
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html: families, by a pattern below.
    "ec2": frozenset({"UnauthorizedOperation", "DependencyViolation", "VolumeInUse", "OperationNotPermitted", "IncorrectInstanceState", "IncorrectState",
                      "Unsupported", "UnknownParameter", "DryRunOperation", "VpcLimitExceeded", "AddressLimitExceeded", "InstanceLimitExceeded"}),
}
_EC2_FAMILIES = re.compile(r"Invalid[A-Za-z]+(\.(NotFound|Malformed|Duplicate|InUse|InvalidState|Conflict|Range|Unavailable|AlreadyExists|"
                           r"AlreadyExistsException|NotFoundException|IncorrectState|VersionNotFound))?|[A-Z][A-Za-z]*(LimitExceeded|\.AlreadyAssociated)")
# What AWS answers although its own models do not have it.
_UNMODELLED_VALUES = {
    # A stack that has but a change set has this event: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
    # and a stack's own events have its statuses: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
    ("cloudformation", "ResourceStatus"): {"REVIEW_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"},
    # The model's are in capitals, its examples and answers are not:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcEndpoints.html
    ("ec2", "State"): {"pendingAcceptance", "pending", "available", "deleting", "deleted", "rejected", "failed"},
}
# Elements beside the members: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html (example)
_UNMODELLED_ELEMENTS = {"ec2": {"return"}}
_XML_NAMESPACE = re.compile(r"^\{[^}]*\}")


class _Value(str):
    """A problem with a value that is not of its enumeration: the last member's name and the value, for what AWS answers all the same."""

    def __new__(cls, text: str, member: str, value: str) -> _Value:
        made = super().__new__(cls, text)
        made.member, made.value = member, value
        return made

    member: str
    value: str


def error_code(sent: Mapping[str, str], answer: bytes) -> str:
    """Return the error code of an answer in any protocol, '' where there is none."""
    given = sent.get("x-amzn-errortype", "")
    if not given and answer[:1] in (b"{",):
        try:
            given = str(json.loads(answer).get("__type", "") or json.loads(answer).get("code", ""))
        except ValueError:
            return ""
    if not given and answer.lstrip()[:1] == b"<":
        found = re.search(rb"<Code>([^<]+)</Code>", answer)
        given = found[1].decode() if found else ""
    if not given and "cbor" in sent.get("content-type", ""):
        try:
            given = str(cbor2.loads(answer).get("__type", ""))
        except (ValueError, AttributeError):
            return ""
    return given.partition(":")[0].rpartition("#")[2] if "#" in given or ":" in given else given


def check_error(operation: botocore.model.OperationModel, status: int, code: str) -> str:
    """Return what is wrong with an error: a code that neither the operation's model nor AWS's documents have."""
    service = operation.service_model.service_name
    modelled = {shape.metadata.get("error", {}).get("code", shape.name) for shape in operation.error_shapes} | {
        shape.name for shape in operation.error_shapes}
    if code == REFUSED or code in modelled or code in _COMMON or code in _DOCUMENTED.get(service, ()):
        return ""
    if service == "ec2" and _EC2_FAMILIES.fullmatch(code):
        return ""
    if operation.http["method"] == "HEAD" and code == str(status):  # an answer to HEAD has no body to carry a code
        return ""
    # Restful services' models list what a service may raise for all of its operations by its exceptions.
    return f"error {code or '(no code)'} (HTTP {status}) is not one that {operation.name} answers"


def check(operation: botocore.model.OperationModel, status: int, sent: Mapping[str, str], answer: bytes, headers: Mapping[str, str]) -> str:
    """Return the first thing that is wrong with a successful answer, '' if it is one that AWS could give."""
    expected = int(operation.http.get("responseCode", 200))
    if status != expected and operation.service_model.metadata["protocol"] not in ("rest-json", "rest-xml"):
        return f"HTTP {status}, not {expected}"
    shape = operation.output_shape
    if shape is None:
        return ""
    service = operation.service_model.service_name
    return next((str(problem) for problem in _problems(operation, shape, sent, answer, headers)
                 if not (isinstance(problem, _Value) and problem.value in _UNMODELLED_VALUES.get((service, problem.member), ()))), "")


def _problems(operation: botocore.model.OperationModel, shape: botocore.model.StructureShape, sent: Mapping[str, str], answer: bytes,
              headers: Mapping[str, str]) -> Iterator[str]:
    protocol = str(operation.service_model.metadata["protocol"])
    body_members = {name: member for name, member in shape.members.items() if member.serialization.get("location") not in ("header", "headers", "statusCode")}
    payload = shape.serialization.get("payload")
    if payload:
        member = shape.members[payload]
        if member.type_name in ("blob", "string"):
            return  # bytes are bytes
        shape_of_body: Any = member
    else:
        shape_of_body = shape
    if operation.http["method"] == "HEAD" or (not answer and not body_members):
        return
    try:
        if "cbor" in sent.get("content-type", "") or "cbor" in headers.get("content-type", ""):
            yield from _json(shape_of_body, cbor2.loads(answer) if answer else {}, "", cbor=True)
        elif headers.get("x-amz-target") or protocol in ("json", "rest-json"):
            yield from _json(shape_of_body, json.loads(answer or b"{}"), "", body_members=None if payload else body_members)
        else:
            yield from _document(operation, shape_of_body, answer, protocol, body_members if not payload else None)
    except (ValueError, ElementTree.ParseError, cbor2.CBORDecodeError) as error:
        yield f"the body cannot be read: {error}"


def _document(operation: botocore.model.OperationModel, shape: Any, answer: bytes, protocol: str, body_members: Mapping[str, Any] | None) -> Iterator[str]:
    """The XML of the Query, EC2 and REST XML protocols."""
    if not answer:
        if shape.required_members:
            yield f"no body, but {shape.required_members} are required"
        return
    root = ElementTree.fromstring(answer)
    if protocol == "rest-xml":
        yield from _xml_structure(shape, root, "", protocol, body_members)
        return
    if _tag(root) != f"{operation.name}Response":
        yield f"the root element is {_tag(root)}, not {operation.name}Response"
        return
    around = {"requestId", "RequestId", "ResponseMetadata"} | _UNMODELLED_ELEMENTS.get(operation.service_model.service_name, set())
    wrapper = shape.serialization.get("resultWrapper")
    if wrapper:
        found = next((one for one in root if _tag(one) == wrapper), None)
        if found is None:
            if body_members:
                yield f"there is no {wrapper}"
            return
        yield from _xml_structure(shape, found, "", protocol, None)
        return
    yield from _xml_structure(shape, root, "", protocol, None, around)


def _tag(element: ElementTree.Element) -> str:
    return _XML_NAMESPACE.sub("", element.tag)


def _wire_name(shape: Any, name: str) -> str:
    return str(shape.serialization.get("name", name))


def _xml_structure(shape: Any, element: ElementTree.Element, where: str, protocol: str, body_members: Mapping[str, Any] | None,
                   around: set[str] | None = None) -> Iterator[str]:
    members: dict[str, tuple[str, Any]] = {}
    attributes = set()
    for name, member in (body_members or shape.members).items():
        if member.serialization.get("location") in ("header", "headers", "statusCode"):
            continue
        if member.serialization.get("xmlAttribute"):
            attributes.add(name)
            continue
        wired = _wire_name(member, name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            wired = str(member.member.serialization.get("name", wired)) if "name" not in member.serialization else wired
        members[wired] = (name, member)
    present = set()
    flattened: dict[str, list[ElementTree.Element]] = {}
    for child in element:
        tag = _tag(child)
        if tag not in members:
            if tag not in (around or ()):
                yield f"{where or shape.name} has {tag}, which is not of its shape {shape.name}"
            continue
        name, member = members[tag]
        present.add(name)
        if member.type_name in ("list", "map") and member.serialization.get("flattened"):
            flattened.setdefault(tag, []).append(child)
        else:
            yield from _xml(member, child, f"{where}.{name}".lstrip("."), protocol)
    for tag, children in flattened.items():
        name, member = members[tag]
        for child in children:
            if member.type_name == "list":
                yield from _xml(member.member, child, f"{where}.{name}[]".lstrip("."), protocol)
    # An empty list is often left out on these wires: clients cannot tell it from an empty one.
    missing = [name for name in shape.required_members
               if name not in present and name in {each for each, _ in members.values()} and shape.members[name].type_name not in ("list", "map")]
    if missing:
        yield f"{where or shape.name} lacks {', '.join(missing)}, required by {shape.name}"


def _xml(shape: Any, element: ElementTree.Element, where: str, protocol: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _xml_structure(shape, element, where, protocol, None)
    elif kind == "list":
        wanted = str(shape.member.serialization.get("name", "item" if protocol == "ec2" else "member"))
        for child in element:
            if _tag(child) != wanted:
                yield f"{where} has an item {_tag(child)}, not {wanted}"
            else:
                yield from _xml(shape.member, child, f"{where}[]", protocol)
    elif kind == "map":
        for entry in element:
            for child in entry:
                if _tag(child) == _wire_name(shape.value, "value"):
                    yield from _xml(shape.value, child, f"{where}{{}}", protocol)
    elif len(element):
        yield f"{where} holds elements, not {kind}"
    else:
        yield from _text(shape, element.text or "", where)


def _text(shape: Any, text: str, where: str) -> Iterator[str]:
    """A scalar of an XML document."""
    kind = shape.type_name
    try:
        if kind == "boolean" and text not in ("true", "false"):
            raise ValueError
        if kind in ("integer", "long"):
            int(text)
        elif kind in ("float", "double"):
            float(text)
        elif kind == "timestamp":
            _moment(text)
        elif kind == "blob":
            base64.b64decode(text, validate=True)
    except ValueError:
        yield f"{where} is {text[:60]!r}, not a {kind}"
        return
    if kind == "string":
        yield from _enumerated(shape, text, where)


def _moment(text: str) -> None:
    """Raise ValueError unless `text` is a time as AWS writes it: ISO 8601, RFC 822 or seconds."""
    try:
        float(text)
    except ValueError:
        try:
            dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            if email.utils.parsedate_tz(text) is None:
                raise


def _enumerated(shape: Any, value: str, where: str) -> Iterator[str]:
    # An empty text stands for none in some of AWS's own answers.
    if value and getattr(shape, "enum", None) and value not in shape.enum:
        yield _Value(f"{where} is {value[:60]!r}, which is not one of {', '.join(shape.enum[:12])}", where.rpartition(".")[2], value)


def _json(shape: Any, value: Any, where: str, cbor: bool = False, body_members: Mapping[str, Any] | None = None) -> Iterator[str]:
    kind = shape.type_name
    if value is None:
        return
    if kind == "structure":
        if not isinstance(value, dict):
            yield f"{where or shape.name} is {type(value).__name__}, not an object"
            return
        if getattr(shape, "is_document_type", False):
            return
        members = {(name if cbor else _wire_name(member, name)): (name, member) for name, member in (body_members or shape.members).items()}
        for key, item in value.items():
            if key not in members:
                if not (not where and key == "message"):
                    yield f"{where or shape.name} has {key}, which is not of its shape {shape.name}"
                continue
            yield from _json(members[key][1], item, f"{where}.{key}".lstrip("."), cbor)
        missing = [name for wired, (name, _) in members.items() if name in shape.required_members and value.get(wired) is None]
        if missing:
            yield f"{where or shape.name} lacks {', '.join(missing)}, required by {shape.name}"
        if getattr(shape, "is_tagged_union", False) and len([item for item in value.values() if item is not None]) != 1:
            yield f"{where or shape.name} is a union and has {len(value)} members"
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{where} is {type(value).__name__}, not a list"
            return
        for item in value:
            yield from _json(shape.member, item, f"{where}[]", cbor)
    elif kind == "map":
        if not isinstance(value, dict):
            yield f"{where} is {type(value).__name__}, not a map"
            return
        for item in value.values():
            yield from _json(shape.value, item, f"{where}{{}}", cbor)
    else:
        yield from _scalar(shape, value, where, cbor)


def _scalar(shape: Any, value: Any, where: str, cbor: bool) -> Iterator[str]:
    kind = shape.type_name
    fits: Any = {
        "string": isinstance(value, str), "boolean": isinstance(value, bool), "blob": isinstance(value, bytes if cbor else str),
        "integer": isinstance(value, int) and not isinstance(value, bool), "long": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool), "double": isinstance(value, (int, float)) and not isinstance(value, bool),
    }.get(kind, True)
    if kind == "timestamp":
        form = shape.serialization.get("timestampFormat", "")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = isinstance(value, dt.datetime) if cbor else isinstance(value, str) if form in ("iso8601", "rfc822") else number
        if fits and isinstance(value, str):
            try:
                _moment(value)
            except ValueError:
                fits = False
    if not fits:
        yield f"{where} is {str(value)[:60]!r}, not a {kind}"
    elif kind == "string":
        yield from _enumerated(shape, value, where)
