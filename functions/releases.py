"""Which release a bundle is: release.json at the top of the bundle that CodeDeploy deploys."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from model import Location

MISSING = ("NoSuchKey", "NoSuchVersion", "404")


class Releases:
    """Reads bundles and remembers them: an S3 object's version never changes, and without a version CodePipeline's key names one artifact."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], str | None] = {}

    def commit(self, s3: Any, location: Location) -> str | None:
        """The commit that a bundle's release.json names; None if the bundle is gone, is no zip, or has no release.json.

        `s3` is a client that may read the bundle. Errors of S3 other than a missing object go up: then nobody knows.
        """
        key = (location["bucket"], location["key"], location.get("version", "") or location.get("eTag", ""))
        if key not in self._known:
            found = self._read(s3, location)
            if found is None:
                return None  # not remembered: an object that is missing now may be written yet
            self._known[key] = found
        return self._known[key]

    def _read(self, s3: Any, location: Location) -> str | None:
        version = {"VersionId": location["version"]} if location.get("version") else {}
        try:
            body = s3.get_object(Bucket=location["bucket"], Key=location["key"], **version)["Body"].read()
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        return commit_in(body)


def commit_in(bundle: bytes) -> str | None:
    """The commit of a zipped bundle, or None if it names none."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            return str(json.loads(archive.read("release.json"))["commit"])
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError):
        return None
