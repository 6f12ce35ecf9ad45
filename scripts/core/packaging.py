"""Nested templates and folders of code in S3, addressed by their content: same input, same keys.

A child's key is `templates/<sha256 of its packaged text>/<name>.yaml`, so a changed child has a new URL (CloudFormation does not
look inside an unchanged one), its parents change with it, and an unchanged tree is known without asking CloudFormation.
Only the TemplateURL and Code values are replaced: comments and layout stay, and the console shows them.

A function's `Code: <folder>` becomes {S3Bucket, S3Key} of a zip of that folder, as `aws cloudformation package` does it; that command
does not know canaries, whose `Code: {S3Bucket: packaged, S3Key: <folder>}` is replaced likewise. Folders are relative to the template.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from scripts.core import archives, templates
from scripts.core.archives import Archive
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
    archives: tuple[Archive, ...] = ()

    @property
    def root(self) -> Packaged:
        return self.files[-1]

    @property
    def root_url(self) -> str:
        return self.store.url(self.root.key)


def key_of(name: str, text: str) -> str:
    return f"templates/{hashlib.sha256(text.encode()).hexdigest()}/{name}"


def plan(folder: Path, root: str, store: Store, canaries: bool = True) -> Package:
    """The tree under `folder`/`root`.yaml, packaged in memory. WrongUse for a missing child or folder of code, a circle, or what is too big.

    Without `canaries` none is made from it, and the folder of a canary's code may be missing.
    """
    tree = _Tree(folder.resolve(), store, canaries, {}, {})
    _plan_one((folder / f"{root}.yaml").resolve(), tree, ())
    return Package(tuple(tree.done.values()), store, tuple(tree.zipped.values()))


@dataclass(frozen=True)
class _Tree:
    """What is packaged so far, by path."""

    folder: Path
    store: Store
    canaries: bool
    done: dict[Path, Packaged]
    zipped: dict[Path, Archive]


def _plan_one(path: Path, tree: _Tree, parents: tuple[Path, ...]) -> Packaged:
    if path in tree.done:
        return tree.done[path]
    if path in parents:
        circle = " → ".join(step.name for step in (*parents, path))
        raise WrongUse("templates nest in a circle", circle, "remove one of these TemplateURLs")
    template = templates.load(path, tree.folder.parent)
    edits = [(child.start, child.end, _child_url(path, child, tree, parents)) for child in template.children]
    for code in template.codes:
        edits += _code_edits(path, code, tree)
    text = template.text
    # From the end to the start, so that the places found in the original text stay right.
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if len(text.encode()) > MOST_BYTES:
        raise WrongUse(
            f"{path.name} has {len(text.encode())} bytes",
            f"CloudFormation takes at most {MOST_BYTES}",
            "move resources into a nested stack",
        )
    relative = path.relative_to(tree.folder) if path.is_relative_to(tree.folder) else Path(path.name)
    tree.done[path] = Packaged(relative, key_of(path.name, text), text)
    return tree.done[path]


def _child_url(path: Path, child: templates.Child, tree: _Tree, parents: tuple[Path, ...]) -> str:
    target = (path.parent / child.location).resolve()
    if not target.is_file():
        raise WrongUse(
            f"{path.name}: {child.logical_id}: TemplateURL: {child.location}", "there is no such file", f"it is looked for at {target}"
        )
    return tree.store.url(_plan_one(target, tree, (*parents, path)).key)


def _code_edits(path: Path, code: templates.Code, tree: _Tree) -> list[tuple[int, int, str]]:
    target = (path.parent / code.location).resolve()
    if code.bucket is not None and not tree.canaries and not target.is_dir():
        return []
    if target not in tree.zipped:
        tree.zipped[target] = archives.of_folder(target, f"{path.name}: {code.logical_id}: Code: {code.location}")
    # In quotes: a bucket's name may be digits only, and would be a number without them.
    bucket, key = f"'{tree.store.bucket}'", f"'{tree.zipped[target].key}'"
    if code.bucket is None:
        return [(*code.key, f"{{S3Bucket: {bucket}, S3Key: {key}}}")]
    return [(*code.bucket, bucket), (*code.key, key)]


def write(package: Package, folder: Path) -> None:
    """A copy of what is uploaded: templates laid out like templates/, code as code/<folder>.zip."""
    contents = {file.relative: file.text.encode() for file in package.files}
    contents |= {Path("code") / Path(archive.key).name: archive.body for archive in package.archives}
    for relative, body in contents.items():
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


def write_values(values: Mapping[str, str], folder: Path) -> None:
    """The root's values beside its copy, a file each, for what takes them one by one (taskcat); those of an earlier package are gone."""
    target = folder / "values"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, value in values.items():
        (target / name).write_text(value, encoding="utf-8")


def upload(package: Package, s3: Any, owner: str) -> tuple[str, ...]:
    """Uploads what is missing, code first, then children; returns the keys that were uploaded. `owner` is the account that must own the bucket."""
    wanted = [(archive.key, archive.body, "application/zip") for archive in package.archives]
    wanted += [(file.key, file.text.encode(), "text/yaml") for file in package.files]
    missing = [one for one in wanted if not _exists(s3, package.store.bucket, one[0], owner)]
    for key, body, kind in missing:
        s3.put_object(Bucket=package.store.bucket, Key=key, Body=body, ContentType=kind, ExpectedBucketOwner=owner)
    return tuple(key for key, _, _ in missing)


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
