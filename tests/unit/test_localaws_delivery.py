"""What EventBridge, Lambda and SNS hand to one another: retries, beats, environments, and who is let in."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localaws import delivery, emulator

ACCOUNT, OTHER, REGION, WEST = "000000000000", "111122223333", "us-east-1", "us-west-2"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/watch"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:act"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:people"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-1111-1111-111111111111"


# --- pure -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "fired", "seconds", "counted"), [
    (None, 100.0, 60.0, 100.0),  # the first time
    (100.0, 160.7, 60.0, 160.0),  # found a little late: the beat goes on from when it was due
    (100.0, 400.0, 60.0, 400.0),  # after a pause (a stop): no burst to catch up
    (100.0, 100.0, 60.0, 100.0),  # did not fire
    (100.0, 161.0, None, 161.0),  # no rate
])
def test_scheduled_rules_keep_their_beat(before: float | None, fired: float, seconds: float | None, counted: float) -> None:
    assert delivery.steady(before, fired, seconds) == counted


@pytest.mark.parametrize(("results", "again", "calls", "waits"), [
    (["ok"], 2, 1, []),
    (["error", "ok"], 2, 2, [1.0]),
    (["error", "error", "error"], 2, 3, [1.0, 2.0]),
    (["error"], 0, 1, []),
    (["throttle", "throttle", "error", "ok"], 1, 4, [1.0, 2.0, 1.0]),  # throttles do not use up the tries
])
def test_asynchronous_invocations_are_tried_again(results: list[str], again: int, calls: int, waits: list[float]) -> None:
    left, waited = list(results), []
    answers = {"ok": {}, "error": {"error": True}, "throttle": {"error": True, "throttle": True}}
    last = delivery.attempt(lambda: answers[left.pop(0)], again, waited.append)
    assert (len(results) - len(left), waited) == (calls, waits)
    assert last == answers[results[-1]]


def test_throttles_are_given_up_after_six_hours() -> None:
    waited: list[float] = []
    assert delivery.attempt(lambda: {"error": True, "throttle": True}, 2, waited.append)["throttle"]
    assert 6 * 3600 <= sum(waited) < 6 * 3600 + 301


def test_retries_and_dead_letters_are_the_functions_own() -> None:
    assert delivery.retries({"config": {}}) == 2
    assert delivery.retries({"event_invoke_config": {"MaximumRetryAttempts": 0}}) == 0
    assert delivery.failure_destination({"config": {"DeadLetterConfig": {"TargetArn": "arn:queue"}}}) == "arn:queue"
    assert delivery.failure_destination({"event_invoke_configs": {"$LATEST": {"DestinationConfig": {"OnFailure": {"Destination": "d"}}}}}) == "d"
    assert delivery.failure_destination({"config": {}}) == ""


@pytest.mark.parametrize(("text", "name"), [
    ('did\nTraceback (most recent call last):\n  File "x.py", line 3, in handler\n    raise places.Lost("a: b")\nplaces.Lost: a: b\nmore', "Lost"),
    ('Traceback (most recent call last):\n  File "x.py", line 1\nKeyError', "KeyError"),
    ("no traceback", "Runtime.ExitError"),
])
def test_an_error_has_the_exceptions_name(text: str, name: str) -> None:
    assert delivery.error_type(text) == name


def test_a_function_sees_nothing_of_the_machine() -> None:
    machine = {"PATH": "/bin", "HOME": "/root", "SECRET": "s", "PYTHONPATH": "/x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    own = delivery.own_environment({**machine, "TABLE": "t", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "ASIA1"}, machine)
    assert "SECRET" not in own
    assert "PYTHONPATH" not in own
    assert own["HOME"] == "/tmp"
    assert (own["TABLE"], own["AWS_REGION"], own["AWS_ENDPOINT_URL"]) == ("t", "us-east-1", "http://127.0.0.1:1")
    assert own["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"


# --- over MiniStack -------------------------------------------------------------------------------------------------------


class House:
    """MiniStack with the hooks, and what they did."""

    def __init__(self, folder: Path) -> None:
        self.emulator = emulator.Emulator(workers=2)
        self.metrics: list[tuple[Any, ...]] = []
        from ministack.services import eventbridge, kms, lambda_svc, sns

        self.published: list[tuple[str, str]] = []
        eventbridge._dispatch_to_sns = lambda arn, payload: self.published.append((arn, payload))
        self.invoked: list[Any] = []
        self.hooks = delivery.Delivery(self.emulator, folder, lambda *sample: self.metrics.append(sample))
        self.later = self.hooks._invoke_later
        self.hooks._invoke_later = lambda func, event: self.invoked.append(event)  # type: ignore[method-assign]
        self.events, self.functions, self.sns, self.kms = eventbridge, lambda_svc, sns, kms

    def rule(self, target: dict[str, Any], region: str = REGION, account: str = ACCOUNT, name: str = "watch") -> None:
        with self.emulator._responses.request_scope(account, region):
            self.events._ensure_default_bus()
            self.events._put_rule({"Name": name, "EventPattern": json.dumps({"source": ["aws.codedeploy"]})})
            self.events._put_targets({"Rule": name, "Targets": [{"Id": "t", **target}]})

    def emit(self, region: str = REGION, account: str = ACCOUNT) -> None:
        self.emulator.put_event(account, region, {"Source": "aws.codedeploy", "DetailType": "d", "Detail": '{"state": "FAILURE"}', "Resources": []})

    def role(self, name: str, statements: list[dict[str, Any]], service: str = "events.amazonaws.com", account: str = ACCOUNT) -> str:
        arn = f"arn:aws:iam::{account}:role/{name}"
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
        with self.emulator._responses.request_scope(account, REGION):
            self.emulator._iam._roles[name] = {
                "RoleName": name, "Arn": arn, "RoleId": "AROA" + name.upper(), "AssumeRolePolicyDocument": json.dumps(trust),
                "InlinePolicies": {"p": json.dumps({"Version": "2012-10-17", "Statement": statements})}, "AttachedPolicies": []}
        return arn

    def function(self, policy: list[dict[str, Any]]) -> None:
        with self.emulator._responses.request_scope(ACCOUNT, REGION):
            self.functions._functions["act"] = {
                "config": {"FunctionName": "act", "FunctionArn": FUNCTION, "Runtime": "python3.13", "Version": "$LATEST"}, "versions": {}, "aliases": {},
                "policy": {"Version": "2012-10-17", "Statement": policy}}

    def topic(self, policy: list[dict[str, Any]], key_policy: list[dict[str, Any]] | None) -> None:
        with self.emulator._responses.request_scope(ACCOUNT, REGION):
            attributes = {"Policy": json.dumps({"Statement": policy})}
            if key_policy is not None:
                attributes["KmsMasterKeyId"] = KEY
                self.kms._keys[KEY.rpartition("/")[2]] = {"Arn": KEY, "Policy": json.dumps({"Statement": key_policy})}
            self.sns._topics[TOPIC] = {"arn": TOPIC, "attributes": attributes}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    before = dict(os.environ)
    os.environ.update(emulator.environment(Path(tmp_path_factory.mktemp("ministack")), 4998, ACCOUNT, REGION))
    house = House(tmp_path_factory.mktemp("functions"))
    yield house
    house.emulator.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def house(modules: House) -> House:
    modules.events._rules._data.clear()
    modules.events._targets._data.clear()
    modules.events._event_bus_policies._data.clear()
    for kept in (modules.invoked, modules.published, modules.metrics):
        kept.clear()
    return modules


def allow(service: str, action: str, resource: str, **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}


@pytest.mark.parametrize(("policy", "runs"), [
    ([allow("events.amazonaws.com", "lambda:InvokeFunction", FUNCTION, ArnLike={"AWS:SourceArn": RULE})], True),
    ([allow("events.amazonaws.com", "lambda:InvokeFunction", FUNCTION)], True),
    ([allow("events.amazonaws.com", "lambda:InvokeFunction", FUNCTION, ArnLike={"AWS:SourceArn": RULE + "-other"})], False),
    ([allow("s3.amazonaws.com", "lambda:InvokeFunction", FUNCTION)], False),
    ([], False),
])
def test_a_rule_reaches_a_function_that_lets_it_in(house: House, policy: list[dict[str, Any]], runs: bool) -> None:
    house.function(policy)
    house.rule({"Arn": FUNCTION, "InputTransformer": {"InputPathsMap": {"s": "$.detail.state"}, "InputTemplate": '{"was": <s>}'}})
    house.emit()
    assert house.invoked == ([{"was": "FAILURE"}] if runs else [])


EVENTS_PUBLISH = allow("events.amazonaws.com", "sns:Publish", TOPIC)
EVENTS_KEY = allow("events.amazonaws.com", ["kms:GenerateDataKey*", "kms:Decrypt"], "*")  # type: ignore[arg-type]


@pytest.mark.parametrize(("policy", "key_policy", "delivered"), [
    ([EVENTS_PUBLISH], None, True),
    ([EVENTS_PUBLISH], [EVENTS_KEY], True),
    ([], None, False),
    ([EVENTS_PUBLISH], [], False),
    ([EVENTS_PUBLISH], [{**EVENTS_KEY, "Action": "kms:Decrypt"}], False),
    # A condition on the source is never met at the key: EventBridge brings none along.
    ([EVENTS_PUBLISH], [{**EVENTS_KEY, "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}], False),
])
def test_a_rule_reaches_a_topic_whose_policy_and_key_let_it_in(house: House, policy: list[dict[str, Any]], key_policy: list[dict[str, Any]] | None,
                                                               delivered: bool) -> None:
    house.topic(policy, key_policy)
    house.rule({"Arn": TOPIC, "Input": '"hello"'})
    house.emit()
    assert house.published == ([(TOPIC, '"hello"')] if delivered else [])


def test_an_alarm_needs_the_topics_key_too(house: House) -> None:
    alarm = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:a"
    own = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "SNS:Publish", "Resource": TOPIC,
           "Condition": {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}}
    house.topic([own], None)
    assert house.hooks.topic_refusal(TOPIC, "cloudwatch.amazonaws.com", alarm) == "", "the default policy lets alarms of the same account in"
    assert "SNS:Publish" in house.hooks.topic_refusal(TOPIC, "events.amazonaws.com", RULE), "but not EventBridge"
    house.topic([own], [])
    assert "kms:GenerateDataKey" in house.hooks.topic_refusal(TOPIC, "cloudwatch.amazonaws.com", alarm)


HOME_BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
MAY_PUT = [{"Effect": "Allow", "Action": "events:PutEvents", "Resource": HOME_BUS}]


@pytest.mark.parametrize(("statements", "service", "arrives"), [(MAY_PUT, "events.amazonaws.com", True), ([], "events.amazonaws.com", False),
                                                                (MAY_PUT, "lambda.amazonaws.com", False)])
def test_events_go_to_the_bus_of_another_region_as_the_targets_role(house: House, statements: list[dict[str, Any]], service: str, arrives: bool) -> None:
    role = house.role("forwarder", statements, service)
    house.topic([EVENTS_PUBLISH], None)
    house.rule({"Arn": HOME_BUS, "RoleArn": role}, WEST, name="forward")
    house.rule({"Arn": TOPIC})
    house.emit(WEST)
    regions = [json.loads(payload)["region"] for _, payload in house.published]
    assert regions == ([WEST] if arrives else []), "the event keeps the Region of its origin"


@pytest.mark.parametrize(("policy", "arrives"), [
    ([{"Effect": "Allow", "Principal": {"AWS": [OTHER]}, "Action": "events:PutEvents", "Resource": HOME_BUS,
       "Condition": {"StringEquals": {"events:source": ["aws.codedeploy"]}}}], True),
    ([{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": "events:PutEvents", "Resource": HOME_BUS}], True),
    ([{"Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": "events:PutEvents", "Resource": HOME_BUS}], False),
    ([{"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "events:PutEvents", "Resource": HOME_BUS,
       "Condition": {"StringEquals": {"events:source": "aws.cloudwatch"}}}], False),
    (None, False),
])
def test_another_accounts_events_need_the_buss_policy(house: House, policy: list[dict[str, Any]] | None, arrives: bool) -> None:
    role = house.role("forwarder", MAY_PUT, account=OTHER)
    house.topic([EVENTS_PUBLISH], None)
    house.rule({"Arn": TOPIC})
    house.rule({"Arn": HOME_BUS, "RoleArn": role}, WEST, OTHER, "forward")
    if policy is not None:
        with house.emulator._responses.request_scope(ACCOUNT, REGION):
            house.events._put_permission({"Policy": json.dumps({"Version": "2012-10-17", "Statement": policy})})
    house.emit(WEST, OTHER)
    assert [json.loads(payload)["account"] for _, payload in house.published] == ([OTHER] if arrives else [])


def test_what_came_from_another_bus_is_not_sent_on(house: House) -> None:
    role = house.role("forwarder", [{"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*"}])
    house.topic([EVENTS_PUBLISH], None)
    house.rule({"Arn": HOME_BUS, "RoleArn": role}, "eu-west-1", name="first")
    house.rule({"Arn": f"arn:aws:events:{WEST}:{ACCOUNT}:event-bus/default", "RoleArn": role}, name="second")
    seen: list[str] = []
    dispatch = house.events._dispatch_event
    house.events._dispatch_event = lambda event, view=None: (seen.append(house.emulator._responses.get_region()), dispatch(event, view))
    try:
        house.emit("eu-west-1")
    finally:
        house.events._dispatch_event = dispatch
    assert seen == ["eu-west-1", REGION]


def test_a_function_logs_what_its_role_may_log(house: House) -> None:
    config = {"FunctionName": "act", "FunctionArn": FUNCTION, "Role": house.role("silent", [], "lambda.amazonaws.com")}
    assert "logs:CreateLogGroup" in house.hooks._log_refusal(config)
    streams = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
               "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/act:*"}
    config["Role"] = house.role("talking", [streams], "lambda.amazonaws.com")
    assert "logs:CreateLogGroup" in house.hooks._log_refusal(config), "the group is not there and may not be made"
    with house.emulator._responses.request_scope(ACCOUNT, REGION):
        house.hooks._logs._log_groups["/aws/lambda/act"] = {}
    assert house.hooks._log_refusal(config) == ""
    config["Role"] = house.role("foreign", [streams], "ec2.amazonaws.com")
    assert "cannot be assumed by Lambda" in house.hooks._log_refusal(config)


def test_a_changed_function_gets_another_process(house: House) -> None:
    config = {"FunctionName": "act", "FunctionArn": FUNCTION, "RevisionId": "1", "Runtime": "python3.13"}
    first, _ = house.functions.acquire_worker("act", config, b"one")
    house.hooks._runtime.release_worker(first)
    second, how = house.functions.acquire_worker("act", {**config, "RevisionId": "2"}, b"two")
    assert (second is first, how, second.config["RevisionId"], second.code_zip) == (True, "reused", "2", b"two")
    house.hooks._runtime.release_worker(second)
    house.hooks.close()


def test_a_burst_of_events_is_worked_off_two_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, here, most, done, free = threading.Lock(), [0], [0], threading.Semaphore(0), threading.Event()

    def execute(func: dict[str, Any], event: Any) -> dict[str, Any]:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        free.wait(10)
        with lock:
            here[0] -= 1
        done.release()
        return {}

    monkeypatch.setattr(house.functions, "_execute_function", execute)
    for number in range(6):
        house.later({"config": {"FunctionName": "act", "FunctionArn": FUNCTION}}, number)
    free.set()
    assert all(done.acquire(timeout=10) for _ in range(6))
    assert 1 <= most[0] <= delivery.AT_ONCE
