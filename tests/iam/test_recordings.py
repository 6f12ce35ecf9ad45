"""What roles really asked for, against the policies of today; and the mutation itself, on recordings made up for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.iam import mutate, recordings, roles
from tests.iam.mutate import Permission
from tests.iam.recordings import Question
from tests.iam.roles import World

QUESTIONS = recordings.load()
BUILD = "pipeline/build.yaml BuildRole"
PLACE = ("sample-pipeline", "us-east-1", "Build/BuildRole")
S3 = (("kms:viaservice", "s3.us-east-1.amazonaws.com"),)


def test_every_recorded_call_is_allowed_by_the_policies_of_today(local: World) -> None:
    refused = [f"{' '.join(question.place)} {question.action} {question.resource} {dict(question.keys)}: {decision}" for question in QUESTIONS
               if question.allowed and not (decision := mutate.ask(local, question)).allowed]
    assert refused == []


def test_every_permission_is_missed_or_has_its_reason(local: World) -> None:
    assert mutate.problems(list(mutate.mutants(local, QUESTIONS)), mutate.unused()) == []


def _question(action: str, resource: str, keys: tuple[tuple[str, object], ...] = (), allowed: bool = True) -> Question:
    return Question(*PLACE, action, resource, keys, allowed)


def _missed(world: World, *questions: Question) -> set[Permission]:
    return {mutant.permission for mutant in mutate.mutants(world, questions, {}) if mutant.killed_by is not None}


def test_a_permission_is_missed_by_the_call_that_needs_it(local: World) -> None:
    bundle = "arn:aws:s3:::sample-release-store-artifactbucket-us-east-1/sample/Release/x.zip"
    call = _question("s3:PutObject", bundle)
    assert mutate.ask(local, call).allowed
    assert _missed(local, call) == {Permission(BUILD, "ReadSourceAndWriteBundle", "s3:PutObject")}


def test_a_call_that_was_refused_misses_nothing(local: World) -> None:
    bundle = "arn:aws:s3:::sample-release-store-artifactbucket-us-east-1/sample/Release/x.zip"
    assert _missed(local, _question("s3:PutObject", bundle, allowed=False)) == set()


def test_a_keys_own_policy_is_missed_too(local: World) -> None:
    key = local.physical["sample-release-store", "us-east-1", "ArtifactKey"]["Arn"]
    assert _missed(local, _question("kms:Decrypt", key, S3)) == {
        Permission(BUILD, "UseTheKeyOfTheBucket", "kms:Decrypt"),
        Permission("release-store.yaml ArtifactKey", "AccountUsesTheKeyThroughTheStores", "kms:Decrypt")}


def test_what_two_statements_give_neither_is_missed(local: World) -> None:
    """One of two that give the same could go: both survive."""
    role = local.role(*(PLACE[0], PLACE[2], PLACE[1]))
    twice = {**role.policies, "Again": {"Version": "2012-10-17", "Statement": [
        {"Sid": "Again", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}]}}
    doubled = dataclasses.replace(local, roles=tuple(dataclasses.replace(one, policies=twice) if one.place == PLACE else one for one in local.roles))
    call = _question("ecr:GetAuthorizationToken", "*")
    assert _missed(local, call) == {Permission(BUILD, "LogInToTheRegistry", "ecr:GetAuthorizationToken")}
    assert _missed(doubled, call) == set()


def test_a_wildcard_is_missed_by_any_call_that_it_covers(local: World) -> None:
    bundle = "arn:aws:s3:::sample-release-store-artifactbucket-eu-west-1/sample/Release/x.zip"
    call = Question("sample-environment-prod", "eu-west-1", "Control/DeployRole", "s3:GetObjectVersion", bundle, (), True)
    assert _missed(local, call) == {Permission("environment/control.yaml DeployRole", "ReadBundles", "s3:GetObject*")}


def test_survivors_and_reasons_have_to_be_the_same(local: World) -> None:
    found = list(mutate.mutants(local, [_question("ecr:GetAuthorizationToken", "*")]))
    survivors = {mutant.permission for mutant in found if mutant.survives}
    assert mutate.problems(found, dict.fromkeys(survivors, "because")) == []
    some = sorted(survivors)[0]
    (missing,) = mutate.problems(found, dict.fromkeys(survivors - {some}, "because"))
    assert str(some) in missing and "no recorded call misses it" in missing
    (gone,) = mutate.problems(found, dict.fromkeys([*survivors, Permission(BUILD, "S", "s3:GetObject")], "because"))
    assert "no policy has it" in gone
    (needed,) = mutate.problems(found, dict.fromkeys([*survivors, Permission(BUILD, "LogInToTheRegistry", "ecr:GetAuthorizationToken")], "because"))
    assert "a recorded call misses it" in needed


def test_every_action_of_every_role_is_taken_away(local: World) -> None:
    written = {(role.declared, statement.get("Sid"), action) for role in local.roles for _, _, statement in role.statements()
               if statement["Effect"] == "Allow" for action in roles.lists(statement["Action"])}
    tried = {(one.policy, one.statement, one.action) for one in mutate.permissions(local)}
    assert written <= tried


def test_a_role_that_is_gone_is_said(local: World) -> None:
    with pytest.raises(KeyError, match="record again"):
        list(mutate.mutants(local, [Question("sample-pipeline", "us-east-1", "Build/OldRole", "s3:GetObject", "*", (), True)]))


def test_an_entry_without_a_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unused.yaml"
    path.write_text("- { role: r, statement: S, actions: [a], reason: ' ' }\n")
    with pytest.raises(ValueError, match="no reason"):
        mutate.unused(path)
    path.write_text("- { role: r, statement: S, actions: [a, a], reason: because }\n")
    with pytest.raises(ValueError, match="twice"):
        mutate.unused(path)


def test_the_command_fails_without_recordings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(recordings, "load", lambda: ())
    assert mutate.main([]) == 2
    assert "nothing was recorded" in capsys.readouterr().err


def test_the_command_fails_on_a_survivor_without_a_reason(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(recordings, "load", lambda: (_question("ecr:GetAuthorizationToken", "*"),))
    monkeypatch.setattr(mutate, "unused", dict)
    assert mutate.main(["--all"]) == 1
    printed = capsys.readouterr()
    assert "recorded  pipeline/build.yaml BuildRole LogInToTheRegistry" in printed.out
    assert "BuildRole PushImages ecr:PutImage: no recorded call misses it" in printed.err
