"""docs/permissions.md is what the templates say today."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.iam import mutate, table
from tests.iam.handlers import Call
from tests.iam.mutate import Permission


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_is_not_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(table, "PAGE", tmp_path / "permissions.md")
    assert table.main(["--check"]) == 1
    assert "python -m tests.iam.table" in capsys.readouterr().err
    assert table.main([]) == 0
    assert table.main(["--check"]) == 0
    table.PAGE.write_text(table.PAGE.read_text().replace("`s3:GetObject`", "`s3:*`", 1))
    assert table.main(["--check"]) == 1


def test_reasons_are_the_templates_comments() -> None:
    found = table.comments("pipeline/access.yaml", "PipelineRole")
    assert found["ReadTheRepository"] == "Both prefixes: the same connection answers to the old one."
    assert found["FindTheGate"].startswith("'*': the action knows no resource")
    assert found["AskTheGate"] == ""
    assert table.comments("environment/deployment.yaml", "DeploymentRole")[""].startswith("Not the managed AWSCodeDeployRole")
    assert "interfaces are Lambda's to name" in table.comments("environment/canary.yaml", "CanaryRole")["RunInTheVpc"]


def test_every_role_statement_and_action_is_on_the_page() -> None:
    page = table.page()
    for permission in mutate.permissions(table.roles.resolve()):
        assert f"`{permission.action}`" in page
        assert table.sentence(permission.statement) in page
    for role in table.roles.resolve().roles:
        assert f"### {role.logical_id}\n" in page


def test_words() -> None:
    assert table.sentence("UseTheKeyOfTheBucket") == "Use the key of the bucket"
    assert table.short("arn:aws:s3:::b/*", "us-east-1", "1") == "s3 b/*"
    assert table.short("arn:aws:events:eu-west-1:2:event-bus/default", "us-east-1", "1") == "events event-bus/default in eu-west-1 of account 2"
    assert table.short("*", "us-east-1", "1") == "*"


def test_a_permission_that_nobody_missed_stands_below_its_role(monkeypatch: pytest.MonkeyPatch) -> None:
    left = {Permission("pipeline/access.yaml PipelineRole", "FindTheGate", "lambda:ListFunctions"): "CodePipeline's page has it"}
    monkeypatch.setattr(mutate, "unused", lambda: left)
    assert "- `lambda:ListFunctions`: CodePipeline's page has it" in table.page()


def test_what_was_recorded_what_is_declared_and_what_stays_are_told_apart() -> None:
    declared = {Permission("a.yaml R", "S", "ecr:DeleteRepository"): Call("ecr:DeleteRepository", ("AWS::ECR::Repository",)),
                Permission("b.yaml R", "S", "ecr:CreateRepository"): Call("ecr:CreateRepository", ("AWS::ECR::Repository",))}
    stays = {Permission("a.yaml R", "S", "ecr:PutImage"): "because"}
    said = list(table._not_recorded("a.yaml R", stays, declared))
    assert said[0].startswith("No run has called these. AWS declares") and "- `ecr:DeleteRepository`: AWS::ECR::Repository" in said
    assert said.index("- `ecr:DeleteRepository`: AWS::ECR::Repository") < said.index("- `ecr:PutImage`: because")
    assert not any("CreateRepository" in line for line in said)
    assert list(table._not_recorded("c.yaml R", stays, declared)) == ["Every action was missed by a recorded call when it was taken away.", ""]
    assert list(table._not_recorded("a.yaml R", None, declared)) == []
