"""Hosts without Docker: the metadata service, images' recipes, boxes' credentials, and how lost hosts are told."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localaws.clock import VirtualClock
from localaws.hosts import api, box, driver, image, metadata
from localaws.service import ServiceError

DATA: dict[str, Any] = {
    "account": "000000000000", "region": "us-east-1", "zone": "us-east-1a", "instanceId": "i-1", "imageId": "ami-1", "instanceType": "t3.small",
    "launched": 1_700_000_000.0, "role": "host", "profileArn": "arn:p", "profileId": "AIPA", "tags": {"a": "b"}, "instanceTags": "disabled",
    "hopLimit": 1, "tokens": "required"}
CREDENTIALS = {"Code": "Success", "Updated": 1_700_000_000.0, "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t",
               "Expiration": 1_700_003_600.0}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, int]]:
    (tmp_path / "metadata.json").write_text(json.dumps(DATA))
    (tmp_path / "credentials.json").write_text(json.dumps(CREDENTIALS))
    server = metadata.Server("host", "127.0.0.1", "127.0.0.1", tmp_path, 0)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    server.server_close()


def ask(service: tuple[str, int], path: str, token: str | None = None, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*service, timeout=5)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={**sent, **({"X-aws-ec2-metadata-token": token} if token else {})})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def token_of(service: tuple[str, int]) -> str:
    return ask(service, "/latest/api/token", method="PUT", X_aws_ec2_metadata_token_ttl_seconds="60")[1]


def test_nothing_is_told_without_a_token(service: tuple[str, int]) -> None:
    assert ask(service, "/latest/meta-data/instance-id")[0] == 401
    assert ask(service, "/latest/meta-data/instance-id", "made-up")[0] == 401
    assert ask(service, "/latest/meta-data/instance-id", token_of(service)) == (200, "i-1")


@pytest.mark.parametrize("headers", [{}, {"X_aws_ec2_metadata_token_ttl_seconds": "0"}, {"X_aws_ec2_metadata_token_ttl_seconds": "21601"}])
def test_a_token_needs_a_lifetime_of_up_to_six_hours(service: tuple[str, int], headers: dict[str, str]) -> None:
    assert ask(service, "/latest/api/token", method="PUT", **headers)[0] == 400


def test_a_forwarded_request_gets_no_token(service: tuple[str, int]) -> None:
    headers = {"X_aws_ec2_metadata_token_ttl_seconds": "60", "X_Forwarded_For": "1.2.3.4"}
    assert ask(service, "/latest/api/token", method="PUT", **headers)[0] == 403


def test_requests_of_containers_come_from_other_addresses() -> None:
    own = metadata.own_addresses("169.254.169.254", "172.20.0.5")
    assert "172.17.0.2" not in own
    assert {"169.254.169.254", "172.20.0.5", "127.0.0.1"} <= own


def test_role_credentials_are_told_as_aws_tells_them(service: tuple[str, int]) -> None:
    token = token_of(service)
    assert ask(service, "/latest/meta-data/iam/security-credentials/", token) == (200, "host")
    told = json.loads(ask(service, "/latest/meta-data/iam/security-credentials/host", token)[1])
    assert told == {"Code": "Success", "LastUpdated": "2023-11-14T22:13:20Z", "Type": "AWS-HMAC", "AccessKeyId": "ASIA",
                    "SecretAccessKey": "s", "Token": "t", "Expiration": "2023-11-14T23:13:20Z"}
    assert ask(service, "/latest/meta-data/iam/security-credentials/other", token)[0] == 404


def test_listings_end_folders_with_a_slash(service: tuple[str, int]) -> None:
    told = ask(service, "/latest/meta-data/", token_of(service))[1].splitlines()
    assert "iam/" in told
    assert "instance-id" in told
    assert "tags/" not in told


def test_tags_are_told_only_where_enabled() -> None:
    assert "meta-data/tags/instance/a" not in metadata.instance_tree(DATA, {}, "10.0.0.1", None)
    assert metadata.instance_tree({**DATA, "instanceTags": "enabled"}, {}, "10.0.0.1", None)["meta-data/tags/instance/a"] == "b"


def test_a_role_that_cannot_be_assumed_is_said_and_gives_no_credentials() -> None:
    tree = metadata.instance_tree(DATA, {"Code": "AssumeRoleUnauthorizedAccess", "Updated": 0.0}, "10.0.0.1", None)
    assert json.loads(tree["meta-data/iam/info"])["Code"] == "AssumeRoleUnauthorizedAccess"
    assert not any(name.startswith("meta-data/iam/security-credentials") for name in tree)


def test_version_one_answers_where_the_instance_allows_it(tmp_path: Path, service: tuple[str, int]) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps({**DATA, "tokens": "optional"}))
    assert ask(service, "/latest/meta-data/instance-id") == (200, "i-1")
    assert ask(service, "/latest/meta-data/instance-id", "made-up")[0] == 401


def test_a_half_written_file_does_not_replace_what_was_known(tmp_path: Path) -> None:
    documents, file = metadata.Documents(tmp_path), tmp_path / "credentials.json"
    assert documents.read("credentials.json") == {}
    file.write_text('{"a": 1}')
    assert documents.read("credentials.json") == {"a": 1}
    file.write_text('{"a": ')
    assert documents.read("credentials.json") == {"a": 1}
    file.write_text('{"a": 22}')
    assert documents.read("credentials.json") == {"a": 22}


def test_a_recipe_changes_with_each_of_its_parts() -> None:
    assert len({image.recipe_hash("a", "b"), image.recipe_hash("a", "c"), image.recipe_hash("ab"), image.recipe_hash("b", "a")}) == 4


def test_an_image_of_another_recipe_is_not_taken() -> None:
    images = SimpleNamespace(get=lambda name: SimpleNamespace(labels={image.RECIPE_LABEL: "old"}))
    client = SimpleNamespace(images=images)
    assert image.find(client, image.PYTHON_IMAGE, "new") is None
    assert image.find(client, image.PYTHON_IMAGE, "old") is not None


def test_what_the_small_image_leaves_out(tmp_path: Path) -> None:
    source, target = io.BytesIO(image.tar_of({"usr/share/doc/x": "1", "./usr/bin/python3": "22", "var/cache/y": "1"})), io.BytesIO()
    image._filter(source, target, image.PYTHON_DROPPED)
    target.seek(0)
    with tarfile.open(fileobj=target) as kept:
        assert [member.name for member in kept] == ["./usr/bin/python3"]


def test_a_stream_of_chunks_reads_like_a_file() -> None:
    stream = image._Stream(iter([b"ab", b"cdef", b"g"]))
    assert [stream.read(3), stream.read(3), stream.read(3), stream.read(3)] == [b"abc", b"def", b"g", b""]


def test_no_mirror_is_written_in_the_repository() -> None:
    text = Path(image.__file__).read_text()
    assert "http://" not in text
    assert "https://" not in text


def test_every_program_of_a_host_is_sent_and_parses() -> None:
    programs = driver.programs()
    assert {"boot.sh", "metadata.py", "agent/__main__.py", "agent/install.sh", "agent/codedeploy-agent.sh"} <= set(programs)
    for name, text in programs.items():
        if name.endswith(".sh"):
            subprocess.run(["sh", "-n"], input=text, check=True)
        else:
            compile(text, name, "exec")


@pytest.mark.parametrize(("before", "now", "expected"), [
    (None, (5.0, 100.0), None), ((0.0, 100.0), (5.0, 110.0), 25.0), ((0.0, 100.0), (50.0, 110.0), 100.0), ((5.0, 100.0), (1.0, 110.0), None)])
def test_cpu_is_a_share_of_the_processors(before: tuple[float, float] | None, now: tuple[float, float], expected: float | None) -> None:
    assert api.cpu_percent(before, now) == expected


class FakeMachine:
    """A machine that notes what is written into it."""

    def __init__(self) -> None:
        self.container = SimpleNamespace(name="box")
        self.address = "172.20.0.9"
        self.written: list[dict[str, Any]] = []
        self.environments: list[dict[str, str]] = []
        self.removed = 0

    def write(self, name: str, text: str) -> None:
        self.written.append(json.loads(text))

    def exec(self, argv: list[str], environment: dict[str, str], cwd: str, on_output: Any, timeout: float | None) -> int:
        self.environments.append(environment)
        return 3

    def remove(self) -> None:
        self.removed += 1


def test_a_box_renews_credentials_before_they_expire() -> None:
    clock, machine, forgotten = VirtualClock(), FakeMachine(), []
    made = box.Box(machine, {"A": "1"}, lambda: {"AccessKeyId": "k", "Expiration": clock.now() + 3600}, clock.now, forgotten.append)  # type: ignore[arg-type]
    assert made.exec(["x"], {"B": "2"}) == 3
    assert machine.environments == [{"A": "1", "B": "2"}]
    made.exec(["x"])
    assert len(machine.written) == 1
    clock.advance(3600 - box.REFRESH_BEFORE_SECONDS + 1)
    made.exec(["x"])
    assert len(machine.written) == 2
    made.remove()
    assert forgotten == ["box"]
    assert machine.removed == 1


class FakeEngine:
    """Docker's list of containers, as Hosts asks it."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.containers = self

    def list(self, all: bool, filters: dict[str, Any], ignore_removed: bool) -> list[Any]:
        return [SimpleNamespace(labels={api.INSTANCE_LABEL: known}, status=state) for known, state in self.states.items()]


class FakeEc2:
    """EC2 as Hosts tells it."""

    def __init__(self) -> None:
        self.lost: list[tuple[str, bool]] = []

    def on_host_lost(self, account: str, region: str, instance_id: str, gone: bool) -> None:
        self.lost.append((instance_id, gone))


def hosts_with(*instances: str) -> tuple[api.Hosts, FakeEngine, FakeEc2]:
    engine, ec2 = FakeEngine(), FakeEc2()
    aws: Any = SimpleNamespace(clock=VirtualClock(), services={"ec2": ec2}, docker=engine, labels={"l": "1"}, network=SimpleNamespace(name="n"))
    hosts = api.Hosts(aws)
    for known in instances:
        hosts._launches[known] = api.Launch("1", "us-east-1", known, "us-east-1a", "ami-1", "t3.small", 0.0)
        hosts._machines[known] = FakeMachine()  # type: ignore[assignment]
        engine.states[known] = "running"
    return hosts, engine, ec2


def test_a_host_that_goes_just_now_keeps_nobody_from_new_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, _, _ = hosts_with("i-1", "i-2")
    monkeypatch.setattr(hosts, "_credentials", lambda launch: {"Code": "Success"})
    for known, launch in list(hosts._launches.items()):
        hosts._launches[known] = replace(launch, role_arn="arn:aws:iam::1:role/host")
    going, staying = FakeMachine(), FakeMachine()
    monkeypatch.setattr(going, "write", lambda name, text: open("/nowhere/at/all"))  # noqa: SIM115
    hosts._machines = {"i-1": going, "i-2": staying}  # type: ignore[dict-item]
    hosts._refresh()
    assert staying.written == [{"Code": "Success"}]


def test_a_host_that_ends_by_itself_is_told_once() -> None:
    hosts, engine, ec2 = hosts_with("i-1", "i-2")
    hosts._watch()
    assert ec2.lost == []
    engine.states["i-1"] = "exited"
    hosts._watch()
    hosts._watch()
    assert ec2.lost == [("i-1", False)]
    del engine.states["i-1"]
    hosts._watch()
    assert ec2.lost == [("i-1", False), ("i-1", True)]


def test_a_host_that_is_being_ended_is_not_lost() -> None:
    hosts, engine, ec2 = hosts_with("i-1")
    hosts._busy.add("i-1")
    engine.states["i-1"] = "exited"
    hosts._watch()
    assert ec2.lost == []


def test_a_host_that_does_not_exist_is_named() -> None:
    hosts, _, _ = hosts_with()
    with pytest.raises(ServiceError, match="The instance ID 'i-9' does not exist"):
        hosts.exec("i-9", ["true"])
    assert hosts.address("i-9") == ""


def test_hosts_keep_what_they_know_over_a_stop() -> None:
    hosts, _, _ = hosts_with("i-1")
    again, _, ec2 = hosts_with()
    again.load(json.loads(json.dumps(hosts.dump())))
    assert again._launches == hosts._launches
    again.aws.every = lambda *_: None  # type: ignore[method-assign]
    again.start()  # its container is gone: somebody removed it while the local AWS was down
    assert (again._launches, ec2.lost) == ({}, [("i-1", True)])
