"""Connections, and pushes to the repositories behind them (real git, no network)."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from localaws_fakes import CALLER, FakeAws

from localaws.codeconnections.api import Api
from localaws.codeconnections.engine import Push, pushes
from localaws.codeconnections.git import Repositories
from localaws.service import Context, ServiceError


class Pipelines:
    """Notes the pushes that it is told of."""

    def __init__(self) -> None:
        self.pushes: list[tuple[str, str, str, list[str]]] = []

    def repositories(self, connection_arn: str) -> list[str]:
        return ["acme/sample"]

    def on_push(self, repository: str, branch: str, commit: Any, changed: list[str]) -> None:
        self.pushes.append((repository, branch, commit.message, changed))


def service(tmp_path: Path) -> tuple[Api, Pipelines]:
    aws = FakeAws(tmp_path)
    api, pipelines = Api(aws), Pipelines()  # type: ignore[arg-type]
    aws.services.update(codeconnections=api, codepipeline=pipelines)
    return api, pipelines


def push(repository: Path, work: Path, file: str, message: str, branch: str = "main") -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=Mary", "-c", "user.email=mary@example.com", *arguments], cwd=work, check=True,
                       capture_output=True)

    if not (work / ".git").exists():
        work.mkdir(exist_ok=True)
        git("init", "-q", "-b", "main")
    (work / file).write_text(message)
    git("add", "-A")
    git("commit", "-qm", message)
    git("push", "-q", str(repository), f"HEAD:{branch}")


def connect(api: Api) -> str:
    return str(api.create_connection(CALLER, {"ConnectionName": "github", "ProviderType": "GitHub"})["ConnectionArn"])


def test_a_connection_is_pending_until_a_person_completes_it(tmp_path: Path) -> None:
    api, _ = service(tmp_path)
    arn = connect(api)
    assert arn.startswith("arn:aws:codeconnections:us-east-1:000000000000:connection/")
    assert api.get_connection(CALLER, {"ConnectionArn": arn})["Connection"]["ConnectionStatus"] == "PENDING"
    assert [c["ConnectionArn"] for c in api.pending()] == [arn]
    api.complete(arn.rsplit("/", 1)[1])
    assert api.get_connection(CALLER, {"ConnectionArn": arn})["Connection"]["ConnectionStatus"] == "AVAILABLE"
    assert api.pending() == []
    assert (tmp_path / "git/acme/sample.git/HEAD").read_text() == "ref: refs/heads/main\n"


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    api, _ = service(tmp_path)
    for call in (api.get_connection, api.delete_connection):
        with pytest.raises(ServiceError) as refused:
            call(CALLER, {"ConnectionArn": "arn:none"})
        assert refused.value.code == "ResourceNotFoundException"
    with pytest.raises(ServiceError):
        api.complete("none")
    elsewhere = Context("111122223333", "us-east-1", "arn:x", "key")
    assert api.list_connections(elsewhere, {})["Connections"] == []
    assert connect(api)
    assert api.list_connections(elsewhere, {})["Connections"] == []


@pytest.mark.parametrize("prefix", ["codeconnections", "codestar-connections"])
def test_an_actions_prefix_is_that_of_the_connections_arn(tmp_path: Path, prefix: str) -> None:
    api, _ = service(tmp_path)
    arn = f"arn:aws:{prefix}:us-east-1:000000000000:connection/abc"
    assert list(api.permissions("GetConnection", {"ConnectionArn": arn}, CALLER)) == [(f"{prefix}:GetConnection", arn)]


@pytest.mark.parametrize("name", ["sample", "../etc/passwd", "acme/..", "/acme/sample", "acme//sample", ""])
def test_a_name_that_is_none_makes_no_folder(tmp_path: Path, name: str) -> None:
    api, _ = service(tmp_path)
    with pytest.raises(ValueError, match="full name of a repository"):
        api.repository(name)


def test_pushes_are_told_once_each_with_what_changed(tmp_path: Path) -> None:
    api, pipelines = service(tmp_path)
    path = api.repository("acme/sample")
    api.poll()
    assert pipelines.pushes == []
    push(path, tmp_path / "work", "a.txt", "first")
    api.poll()
    api.poll()
    push(path, tmp_path / "work", "b.txt", "second")
    push(path, tmp_path / "work", "c.txt", "aside", "side/branch")
    api.poll()
    assert pipelines.pushes == [
        ("acme/sample", "main", "first", ["a.txt"]), ("acme/sample", "main", "second", ["b.txt"]),
        ("acme/sample", "side/branch", "aside", ["a.txt", "b.txt", "c.txt"])]


def test_a_push_while_the_local_aws_was_down_is_noticed_by_the_next_start(tmp_path: Path) -> None:
    api, _ = service(tmp_path)
    path = api.repository("acme/sample")
    push(path, tmp_path / "work", "a.txt", "first")
    api.poll()
    state = json.loads(json.dumps(api.dump()))
    push(path, tmp_path / "work", "b.txt", "second")
    again, pipelines = service(tmp_path)
    again.load(state)
    again.poll()
    assert [message for _, _, message, _ in pipelines.pushes] == ["second"]


def test_a_repository_that_was_there_before_is_no_push(tmp_path: Path) -> None:
    api, _ = service(tmp_path)
    push(api.repositories.create("acme/old"), tmp_path / "work", "a.txt", "first")
    fresh, pipelines = service(tmp_path)
    fresh.poll()
    assert pipelines.pushes == []


def test_the_archive_holds_the_files_of_that_commit_with_their_modes(tmp_path: Path) -> None:
    api, _ = service(tmp_path)
    path = api.repository("acme/sample")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "work" / "run.sh").chmod(0o755)
    push(path, tmp_path / "work", "a.txt", "first")
    commit = api.repositories.commit("acme/sample", "refs/heads/main")
    assert commit is not None
    assert (commit.message, commit.author, commit.email) == ("first", "Mary", "mary@example.com")
    with zipfile.ZipFile(io.BytesIO(api.repositories.archive("acme/sample", commit.id))) as archive:
        assert sorted(archive.namelist()) == ["a.txt", "run.sh"]
        assert archive.getinfo("run.sh").external_attr >> 16 & 0o111
    assert api.repositories.commit("acme/sample", "refs/heads/none") is None


def test_a_deleted_branch_is_no_push() -> None:
    assert pushes({"main": "1", "gone": "2"}, {"main": "1"}) == []
    assert pushes({"main": "1"}, {"main": "3", "new": "4"}) == [Push("main", "1", "3"), Push("new", None, "4")]


def test_repositories_are_found_without_a_look_inside_where_pushes_come_and_go(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)
    for name in ("acme/sample", "acme/group/deep"):
        repositories.create(name)
    (tmp_path / "acme" / "sample.git" / "objects" / "other.git").mkdir()
    (tmp_path / "acme" / "sample.git" / "objects" / "other.git" / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / "acme" / "half.git").mkdir()
    assert repositories.all() == ["acme/group/deep", "acme/sample"]
