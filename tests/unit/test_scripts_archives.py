"""Code of templates: the same bytes each time, the right places in the text, clear words when a folder is not there."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from scripts_fakes import FakeS3

from scripts.core import archives, documents, packaging, templates
from scripts.core.errors import WrongUse
from scripts.core.packaging import Store

STORE = Store("012345678901", "us-east-1", "amazonaws.com")
TEMPLATE = """\
Resources:
  Gate:
    Type: AWS::Lambda::Function
    Properties:
      Code: ../../functions   # one folder for both
      Handler: gate.handler
  Rollback:
    Type: AWS::Lambda::Function
    Properties:
      Handler: rollback.handler
      Code: '../../functions'
  Canary:
    Type: AWS::Synthetics::Canary
    Properties:
      Code:
        Handler: canary.handler
        S3Bucket: packaged   # — replaced
        S3Key: ../../app/canary
  Inline:
    Type: AWS::Lambda::Function
    Properties:
      Code: {ZipFile: 'pass'}
  Elsewhere:
    Type: AWS::Synthetics::Canary
    Properties:
      Code: {Handler: canary.handler, S3Bucket: mine, S3Key: a/key}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "templates/pipeline/control.yaml": TEMPLATE,
        "functions/gate.py": "def handler(event, context): ...\n",
        "functions/rollback.py": "",
        "functions/README.md": "words",
        "functions/.hidden": "",
        "functions/__pycache__/gate.pyc": "",
        "functions/tests/test_gate.py": "",
        "app/canary/python/canary.py": "def handler(event, context): ...\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def plan(project: Path) -> packaging.Package:
    return packaging.plan(project / "templates/pipeline", "control", STORE)


def test_code_is_replaced_and_nothing_else(project: Path) -> None:
    package = plan(project)
    functions, canary = package.archives
    changed = [(old, new) for old, new in zip(TEMPLATE.splitlines(), package.root.text.splitlines(), strict=True) if old != new]
    both = f"{{S3Bucket: '012345678901', S3Key: '{functions.key}'}}"
    assert changed == [
        ("      Code: ../../functions   # one folder for both", f"      Code: {both}   # one folder for both"),
        ("      Code: '../../functions'", f"      Code: {both}"),
        ("        S3Bucket: packaged   # — replaced", "        S3Bucket: '012345678901'   # — replaced"),
        ("        S3Key: ../../app/canary", f"        S3Key: '{canary.key}'"),
    ]
    document = documents.parse(package.root.text, "packaged", documents.TemplateLoader)
    assert document["Resources"]["Gate"]["Properties"]["Code"] == {"S3Bucket": "012345678901", "S3Key": functions.key}


def test_the_code_of_canaries_may_be_missing_where_none_is_made(project: Path) -> None:
    shutil.rmtree(project / "app/canary")
    with pytest.raises(WrongUse, match="there is no such folder"):
        plan(project)
    package = packaging.plan(project / "templates/pipeline", "control", STORE, canaries=False)
    assert "        S3Key: ../../app/canary" in package.root.text
    assert [Path(archive.key).name for archive in package.archives] == ["functions.zip"]
    shutil.rmtree(project / "functions")
    with pytest.raises(WrongUse, match="functions"):
        packaging.plan(project / "templates/pipeline", "control", STORE, canaries=False)


def test_the_zip_holds_the_modules_at_its_top_and_no_tests(project: Path) -> None:
    functions, canary = plan(project).archives
    assert zipfile.ZipFile(io.BytesIO(functions.body)).namelist() == ["README.md", "gate.py", "rollback.py"]
    assert zipfile.ZipFile(io.BytesIO(canary.body)).namelist() == ["python/canary.py"]


def test_equal_files_give_equal_bytes_whenever_they_were_written(project: Path) -> None:
    first = archives.of_folder(project / "functions", "here")
    (project / "functions/gate.py").chmod(0o600)
    os.utime(project / "functions/gate.py", (1, 1))
    assert archives.of_folder(project / "functions", "here") == first
    (project / "functions/gate.py").chmod(0o700)
    assert archives.of_folder(project / "functions", "here").key != first.key


def test_what_was_packaged_can_be_read_by_everybody(project: Path) -> None:
    (project / "functions/gate.py").chmod(0o600)
    entries = zipfile.ZipFile(io.BytesIO(archives.of_folder(project / "functions", "here").body)).infolist()
    assert {entry.external_attr >> 16 for entry in entries} == {0o644}


def test_changed_code_changes_the_template(project: Path) -> None:
    before = plan(project)
    (project / "functions/gate.py").write_text("changed = True\n")
    after = plan(project)
    assert before.root.key != after.root.key and before.archives[1] == after.archives[1]


def test_code_is_uploaded_before_what_names_it_and_once(project: Path) -> None:
    package, s3 = plan(project), FakeS3()
    packaging.upload(package, s3, "123456789012")
    assert s3.puts == [*(archive.key for archive in package.archives), package.root.key]
    assert packaging.upload(package, s3, "123456789012") == ()
    packaging.write(package, project / "out")
    assert (project / "out/code/functions.zip").read_bytes() == package.archives[0].body


def test_a_missing_and_an_empty_folder_are_named(project: Path) -> None:
    (project / "app/canary/python/canary.py").unlink()
    with pytest.raises(WrongUse, match="the folder has no files") as caught:
        plan(project)
    assert "control.yaml: Canary: Code: ../../app/canary" in str(caught.value)
    (project / "functions").rename(project / "functs")
    with pytest.raises(WrongUse, match="there is no such folder") as caught:
        plan(project)
    assert f"it is looked for at {project / 'functions'}" in str(caught.value)


def test_code_in_s3_or_inline_is_left_alone() -> None:
    assert [code.logical_id for code in templates.codes(TEMPLATE)] == ["Gate", "Rollback", "Canary"]
