"""Asking hosts what they run: a real server behind `/version`, CodeDeploy's simulated deployments, and what comes of answers that differ."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from inprocess import InProcess
from scripts_fakes import FakeClock

from localaws.codedeploy.simulator import REGION, Simulation, failing
from scripts.core import hosts, settings
from scripts.core.hosts import Unanswered

GOOD, BAD = "a" * 40, "b" * 40
HOST = "sample-1.us-east-1.elb.amazonaws.com"
PROD = settings.from_document("prod", {"template": "environment", "account": "111122223333", "regions": [REGION], "parameters": {"ServiceName": "sample"}}, "f")
OUTPUTS = {"EndpointUrl": f"http://{HOST}/", "ApplicationName": "app", "FleetDeploymentGroupName": "fleet"}


class Server:
    """Answers each path with what `give` says: (status, body)."""

    def __init__(self, give: Callable[[str], tuple[int, str]]) -> None:
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                status, body = give(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], tuple[int, str]]], Server]]:
    running: list[Server] = []

    def start(give: Callable[[str], tuple[int, str]]) -> Server:
        running.append(Server(give))
        return running[-1]

    yield start
    for server in running:
        server.close()


def an_aws(simulation: Simulation | None = None, **outputs: str) -> InProcess:
    aws = InProcess({"codedeploy": simulation.api} if simulation else {})
    stack = {"StackId": "s", "StackName": "sample-environment-prod", "StackStatus": "UPDATE_COMPLETE", "CreationTime": 1.7e9,
             "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in (outputs or OUTPUTS).items()]}
    aws.record("cloudformation", "DescribeStacks", {"Stacks": [stack]})
    return aws


def look(aws: InProcess, known: dict[str, str], clock: FakeClock | None = None, asks: hosts.Ask | None = None) -> hosts.Region:
    return hosts.look(aws, PROD, GOOD, known, clock or FakeClock(), asks)[0]


def test_hosts_that_all_answer_with_the_release(serve: Any) -> None:
    simulation = Simulation()
    simulation.ship("one")
    server = serve(lambda path: (200, json.dumps({"service": "sample", "commit": GOOD})))
    found = look(an_aws(simulation), {HOST: server.url})
    assert not found.wrong(GOOD) and found.behind == ()
    assert found.line(GOOD) == f"us-east-1: GET {server.url}/version answered aaaaaaaaaaaa 20 of 20 times"
    assert server.paths == ["/version"] * 20
    assert len(found.groups) == 1 and found.groups[0].endswith("Succeeded on 3 of 3 instances")


def test_one_host_with_another_release_is_seen_and_told() -> None:
    answers = itertools.cycle([GOOD, GOOD, BAD])
    clock = FakeClock()
    found = look(an_aws(EndpointUrl=f"http://{HOST}/"), {HOST: "http://127.0.0.1:1"}, clock, lambda url: next(answers))
    assert found.wrong(GOOD) and "aaaaaaaaaaaa" in found.line(GOOD) and "bbbbbbbbbbbb" in found.line(GOOD)
    assert 60 <= clock.passed <= 66


def test_a_host_that_is_still_being_drained_is_waited_for() -> None:
    clock = FakeClock()
    found = look(an_aws(EndpointUrl=f"http://{HOST}/"), {HOST: "http://127.0.0.1:1"}, clock, lambda url: GOOD if clock.passed > 5 else BAD)
    assert not found.wrong(GOOD) and clock.passed < 10


@pytest.mark.parametrize(("answer", "told"), [((503, ""), "status 503"), ((200, "<html>"), "no JSON with a commit"), ((200, "[]"), "no JSON with a commit"),
                                              ((200, '{"version": 1}'), "no JSON with a commit")])
def test_answers_without_a_commit_are_wrong(serve: Any, answer: tuple[int, str], told: str) -> None:
    server = serve(lambda path: answer)
    found = look(an_aws(EndpointUrl=f"http://{HOST}/"), {HOST: server.url})
    assert found.wrong(GOOD) and f"of 3 times: {told} 3 times" in found.line(GOOD)


def test_an_endpoint_that_lets_nobody_in_from_here_is_not_taken_for_a_wrong_answer() -> None:
    found = look(an_aws(EndpointUrl=f"http://{HOST}/"), {HOST: "http://127.0.0.1:1"})
    assert not found.asked and not found.wrong(GOOD) and "Scheme, IngressCidr" in found.line(GOOD)


def test_no_name_is_asked_on_the_local_aws_that_is_not_of_this_machine() -> None:
    def never(url: str) -> str:
        raise AssertionError(url)

    found = look(an_aws(EndpointUrl=f"http://{HOST}/"), {}, None, never)
    assert not found.asked and "answers on no address of this machine that is known" in found.line(GOOD)


def test_instances_that_the_deployment_did_not_reach_are_named() -> None:
    simulation = Simulation()
    next(iter(simulation.world.hosts.values())).behave = failing("one", "ValidateService")
    simulation.ship("one")
    found = look(an_aws(simulation), {HOST: "http://127.0.0.1:1"}, None, lambda url: GOOD)
    assert any("i-0000 (us-east-1/fleet) is Failed" in each for each in found.behind)


def test_a_deployment_that_has_not_begun_is_no_refusal() -> None:
    simulation = Simulation()
    simulation.deploy("one")
    found = look(an_aws(simulation), {HOST: "http://127.0.0.1:1"}, None, lambda url: GOOD)
    assert found.groups[0].endswith("Succeeded on 0 of 0 instances") and found.behind == ()


def test_what_may_not_be_read_is_said() -> None:
    aws = an_aws()
    aws.denied = {"cloudformation:DescribeStacks"}
    assert "Access denied: cloudformation:DescribeStacks" in look(aws, {}).line(GOOD)
    aws.denied = {"codedeploy:*"}
    assert "CodeDeploy was not asked: Access denied: codedeploy:GetDeploymentGroup" in look(aws, {}).groups[0]


def test_where_balancers_answer_is_read_from_what_lists_it(serve: Any) -> None:
    server = serve(lambda path: (200, json.dumps({HOST: "http://127.0.0.1:9"})) if path == "/list" else (404, ""))
    assert hosts.addresses(f"{server.url}/list") == {HOST: "http://127.0.0.1:9"} and hosts.addresses("") == {}
    with pytest.raises(Unanswered):
        hosts.addresses(f"{server.url}/other")


def test_a_proxy_of_the_users_is_not_asked_for_this_machine(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = serve(lambda path: (200, json.dumps({"commit": GOOD})))
    assert hosts.ask(f"{server.url}/version", direct=True) == GOOD
