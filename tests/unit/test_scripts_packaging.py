"""Packaging: content-addressed keys, untouched text, uploads of what is missing only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scripts_fakes import PROJECT, FakeS3, refusal

from scripts.core import documents, packaging, templates
from scripts.core.errors import WrongUse
from scripts.core.packaging import Store

STORE = Store("the-bucket", "us-east-1", "amazonaws.com")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT / "templates", tmp_path / "templates"))


def test_only_the_template_urls_are_replaced(folder: Path) -> None:
    package = packaging.plan(folder, "environment", STORE)
    before, after = (folder / "environment.yaml").read_text().splitlines(), package.root.text.splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    url = STORE.url(package.files[0].key)
    assert changed == [
        ("      TemplateURL: environment/inner.yaml   # a path in the tree", f"      TemplateURL: {url}   # a path in the tree"),
        ("      TemplateURL: 'environment/inner.yaml'", f"      TemplateURL: {url}"),
    ]
    assert url.startswith("https://the-bucket.s3.us-east-1.amazonaws.com/templates/") and url.endswith("/inner.yaml")


def test_children_come_first_and_once(folder: Path) -> None:
    assert [str(file.relative) for file in packaging.plan(folder, "environment", STORE).files] == [
        "environment/inner.yaml",
        "environment.yaml",
    ]


def test_same_input_same_keys_and_a_changed_child_changes_its_parent(folder: Path) -> None:
    first, again = packaging.plan(folder, "environment", STORE), packaging.plan(folder, "environment", STORE)
    assert [file.key for file in first.files] == [file.key for file in again.files]
    with (folder / "environment/inner.yaml").open("a") as file:
        file.write("# a comment\n")
    changed = packaging.plan(folder, "environment", STORE)
    assert not {file.key for file in first.files} & {file.key for file in changed.files}


def test_uploads_what_is_missing_only(folder: Path) -> None:
    s3 = FakeS3()
    package = packaging.plan(folder, "environment", STORE)
    assert packaging.upload(package, s3, "123456789012") == tuple(file.key for file in package.files)
    assert packaging.upload(package, s3, "123456789012") == ()
    with (folder / "environment.yaml").open("a") as file:
        file.write("# a comment\n")
    changed = packaging.plan(folder, "environment", STORE)
    assert packaging.upload(changed, s3, "123456789012") == (changed.root.key,)


def test_an_error_that_is_not_absence_is_raised(folder: Path) -> None:
    class Broken(FakeS3):
        def head_object(self, Bucket: str, Key: str, ExpectedBucketOwner: str) -> dict[str, object]:
            raise refusal("NoSuchBucket", "gone", "HeadObject")

    with pytest.raises(Exception, match="gone"):
        packaging.upload(packaging.plan(folder, "environment", STORE), Broken(), "123456789012")


def test_a_missing_child_and_a_circle_are_named(folder: Path) -> None:
    (folder / "environment/inner.yaml").unlink()
    with pytest.raises(WrongUse, match="there is no such file") as caught:
        packaging.plan(folder, "environment", STORE)
    assert "environment/inner.yaml" in str(caught.value)
    shutil.copy(folder / "environment.yaml", folder / "environment/inner.yaml")
    (folder / "environment/environment").mkdir()
    (folder / "environment/inner.yaml").write_text(
        (folder / "environment.yaml").read_text().replace("environment/inner.yaml", "../environment.yaml")
    )
    with pytest.raises(WrongUse, match="circle"):
        packaging.plan(folder, "environment", STORE)


def test_urls_and_computed_values_are_left_alone() -> None:
    text = """
Resources:
  A: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: 'https://b.s3.amazonaws.com/k'}}
  B: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: !Sub 'https://${X}/k'}}
  C: {Type: 'AWS::SNS::Topic', Properties: {TemplateURL: 'no/stack.yaml'}}
  D: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: d.yaml}}
"""
    assert [(child.logical_id, child.location, text[child.start : child.end]) for child in templates.children(text)] == [
        ("D", "d.yaml", "d.yaml")
    ]


def test_places_hold_with_characters_of_several_bytes(folder: Path) -> None:
    path = folder / "environment.yaml"
    path.write_text(path.read_text().replace("survive packaging", "survive — “packaging” é"), encoding="utf-8")
    document = documents.parse(packaging.plan(folder, "environment", STORE).root.text, "packaged", documents.TemplateLoader)
    assert document["Resources"]["Inner"]["Properties"]["TemplateURL"].startswith("https://")


def test_a_quick_create_link_fills_in_the_parameters() -> None:
    link = packaging.quick_create_link("https://b.s3.us-east-1.amazonaws.com/k", "us-east-1", "sample", {"VpcCidr": "10.0.0.0/16"})
    assert link == (
        "https://console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate"
        "?templateURL=https%3A%2F%2Fb.s3.us-east-1.amazonaws.com%2Fk&stackName=sample&param_VpcCidr=10.0.0.0%2F16"
    )


def test_a_copy_is_laid_out_like_the_tree(folder: Path, tmp_path: Path) -> None:
    package = packaging.plan(folder, "environment", STORE)
    packaging.write(package, tmp_path / "out")
    assert (tmp_path / "out/environment.yaml").read_text() == package.root.text
    assert (tmp_path / "out/environment/inner.yaml").exists()


def test_a_templates_parameters_are_texts() -> None:
    specs = templates.parameter_specs(
        {"Parameters": {"A": {"Type": "String", "Default": True, "AllowedValues": [True, False]}, "B": {"Type": "Number", "MinValue": 2}}}
    )
    assert specs["A"].default == "true" and specs["A"].allowed_values == ("true", "false")
    assert specs["B"].default is None and specs["B"].min_value == "2"


def test_what_a_template_keeps() -> None:
    document = {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "RetainExceptOnCreate"},
            "Topic": {"Type": "AWS::SNS::Topic", "DeletionPolicy": "Delete"},
        }
    }
    assert [item.logical_id for item in templates.kept(document)] == ["Bucket"]
