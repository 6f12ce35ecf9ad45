"""Registry passwords, and which action each request of the registry protocol stands for.

Source: Amazon ECR User Guide, "Private registry authentication" (a token belongs to the principal that asked for it, for twelve
hours) and "Amazon ECR Docker credential helper"; API reference of each action ("When an image is pushed, the … API is called once …").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass

LIFE_SECONDS = 12 * 3600
_PATH = re.compile(r"^/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|tags)/(?P<rest>.+)$")
_BLOBS = {"HEAD": "BatchCheckLayerAvailability", "GET": "GetDownloadUrlForLayer"}
_MANIFESTS = {"HEAD": "BatchGetImage", "GET": "BatchGetImage", "PUT": "PutImage", "DELETE": "BatchDeleteImage"}
_UPLOADS = {"POST": "InitiateLayerUpload", "PATCH": "UploadLayerPart", "GET": "UploadLayerPart", "PUT": "CompleteLayerUpload"}


class BadPassword(Exception):
    """What stands in the Authorization header was never given out by GetAuthorizationToken."""


@dataclass(frozen=True)
class Login:
    """Who a registry password was given to: an access key of an account, until `expires` (seconds since the epoch)."""

    account: str
    access_key_id: str
    expires: int
    signature: str

    def signed_by(self, secret: str) -> bool:
        """Say whether the password was made with the key's secret."""
        return hmac.compare_digest(self.signature, _signature(self.account, self.access_key_id, self.expires, secret))


def password(account: str, access_key_id: str, secret: str, expires: int) -> str:
    """Return a password that says whose it is, so that it outlives a stop of the local AWS without a table."""
    fields = [account, access_key_id, expires, _signature(account, access_key_id, expires, secret)]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def login(authorization: str) -> Login | None:
    """Return who a request's Authorization header is of, None where there is no header. Raises BadPassword."""
    if not authorization:
        return None
    try:
        kind, _, encoded = authorization.partition(" ")
        user, _, word = base64.b64decode(encoded).decode().partition(":")
        account, key, expires, signature = json.loads(base64.urlsafe_b64decode(word))
    except (ValueError, TypeError, binascii.Error) as error:
        raise BadPassword("not a password of GetAuthorizationToken") from error
    if kind.lower() != "basic" or user != "AWS":
        raise BadPassword(f"{kind} authorization of {user}, not Basic of AWS")
    return Login(str(account), str(key), int(expires), str(signature))


def wanted(method: str, path: str) -> tuple[str, str] | None:
    """Return the (action without its prefix, repository) that a request needs; None for those about no repository (`/v2/`)."""
    match = _PATH.match(path)
    if not match:
        return None
    kind, rest = match["kind"], match["rest"]
    if kind == "tags":
        return "ListImages", match["name"]
    if kind == "manifests":
        actions = _MANIFESTS
    elif rest.startswith("uploads"):
        actions = _UPLOADS
    else:
        actions = _BLOBS
    # What ECR's registry has no request for (deleting a layer) is what nobody is allowed.
    return actions.get(method, f"{method.capitalize()}{kind.capitalize()}"), match["name"]


def _signature(account: str, access_key_id: str, expires: int, secret: str) -> str:
    return hmac.new(secret.encode(), f"ecr:{account}:{access_key_id}:{expires}".encode(), hashlib.sha256).hexdigest()
