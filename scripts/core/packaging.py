"""Nested templates in S3, addressed by their content: same input, same keys.

A child's key is `templates/<sha256 of its packaged text>/<name>.yaml`, so a changed child has a new URL (CloudFormation does not
look inside an unchanged one), its parents change with it, and an unchanged tree is known without asking CloudFormation.
Only the TemplateURL values are replaced: comments and layout stay, and the console shows them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from scripts.core import templates
from scripts.core.errors import WrongUse, error_code

# CloudFormation quotas: a template by URL is at most 1 MB, a body in the call at most 51,200 bytes.
MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Store:
    """The release store's bucket in one Region."""

    bucket: str
    region: str
    dns_suffix: str

    def url(self, key: str) -> str:
        return f"https://{self.bucket}.s3.{self.region}.{self.dns_suffix}/{quote(key)}"


@dataclass(frozen=True)
class Packaged:
    """One template as it is uploaded; `relative` is its path under templates/."""

    relative: Path
    key: str
    text: str


@dataclass(frozen=True)
class Package:
    """A whole tree, children before parents; the last is the root."""

    files: tuple[Packaged, ...]
    store: Store

    @property
    def root(self) -> Packaged:
        return self.files[-1]

    @property
    def root_url(self) -> str:
        return self.store.url(self.root.key)


def key_of(name: str, text: str) -> str:
    return f"templates/{hashlib.sha256(text.encode()).hexdigest()}/{name}"


def plan(folder: Path, root: str, store: Store) -> Package:
    """The tree under `folder`/`root`.yaml, packaged in memory. WrongUse for a missing child, a circle, or a template that is too big."""
    done: dict[Path, Packaged] = {}
    _plan_one((folder / f"{root}.yaml").resolve(), folder.resolve(), store, done, ())
    return Package(tuple(done.values()), store)


def _plan_one(path: Path, folder: Path, store: Store, done: dict[Path, Packaged], parents: tuple[Path, ...]) -> Packaged:
    if path in done:
        return done[path]
    if path in parents:
        circle = " → ".join(step.name for step in (*parents, path))
        raise WrongUse("templates nest in a circle", circle, "remove one of these TemplateURLs")
    template = templates.load(path, folder.parent)
    text = template.text
    # From the end to the start, so that the places found in the original text stay right.
    for child in sorted(template.children, key=lambda child: child.start, reverse=True):
        target = (path.parent / child.location).resolve()
        if not target.is_file():
            raise WrongUse(
                f"{path.name}: {child.logical_id}: TemplateURL: {child.location}", "there is no such file", f"it is looked for at {target}"
            )
        packaged = _plan_one(target, folder, store, done, (*parents, path))
        text = text[: child.start] + store.url(packaged.key) + text[child.end :]
    if len(text.encode()) > MOST_BYTES:
        raise WrongUse(
            f"{path.name} has {len(text.encode())} bytes",
            f"CloudFormation takes at most {MOST_BYTES}",
            "move resources into a nested stack",
        )
    relative = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    done[path] = Packaged(relative, key_of(path.name, text), text)
    return done[path]


def write(package: Package, folder: Path) -> None:
    """A copy of what is uploaded, laid out like templates/."""
    for file in package.files:
        target = folder / file.relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text, encoding="utf-8")


def upload(package: Package, s3: Any, owner: str) -> tuple[str, ...]:
    """Uploads what is missing, children first; returns the keys that were uploaded. `owner` is the account that must own the bucket."""
    missing = tuple(file for file in package.files if not _exists(s3, package.store.bucket, file.key, owner))
    for file in missing:
        s3.put_object(
            Bucket=package.store.bucket, Key=file.key, Body=file.text.encode(), ContentType="text/yaml", ExpectedBucketOwner=owner
        )
    return tuple(file.key for file in missing)


def _exists(s3: Any, bucket: str, key: str, owner: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
    except ClientError as error:
        # Without s3:ListBucket S3 answers 403 for a key that is not there; a real denial shows at the upload.
        if error_code(error) in {"404", "NoSuchKey", "NotFound", "403"}:
            return False
        raise
    return True


def quick_create_link(url: str, region: str, stack_name: str, parameters: Mapping[str, str]) -> str:
    """The console's page that creates this stack. Source: CloudFormation User Guide, "Create quick-create links for stacks"."""
    fields = {"templateURL": url, "stackName": stack_name, **{f"param_{name}": value for name, value in parameters.items()}}
    suffix = "amazonaws.cn" if region.startswith("cn-") else "aws.amazon.com"
    return f"https://console.{suffix}/cloudformation/home?region={region}#/stacks/quickcreate?{urlencode(fields, quote_via=quote)}"
