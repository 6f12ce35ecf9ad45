"""How EventBridge, Lambda and SNS hand things to one another over MiniStack, where MiniStack does it otherwise than AWS.

With emulator.py the only file that knows MiniStack's private names; each is asserted when it is taken. What AWS would drop in silence is
dropped here too, with a line in the local AWS's log that says why.

- A target gets an event only if its own policy lets events.amazonaws.com in (a function's, a topic's, a topic's key's).
- Events go to buses of other Regions and accounts, as the target's role, if that and (for another account) the bus's policy allow it.
- Asynchronous invocations are tried again: twice after an error, for six hours after a throttle.
- A function is a process with nothing of this machine's environment; it logs only what its role may log.
- Scheduled rules do not drift.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localaws.emulator import Emulator, EmulatorError
from localaws.service import Context, ServiceError

log = logging.getLogger("localaws.delivery")

EVENTS, CLOUDWATCH, LAMBDA = "events.amazonaws.com", "cloudwatch.amazonaws.com", "lambda.amazonaws.com"
RETRY_SECONDS = (1.0, 2.0)
"""Waits before the second and third try of an asynchronous invocation that failed (AWS: one and two minutes)."""
AT_ONCE = 2
"""How many asynchronous invocations of one function go on at once; more wait: each is a process of this machine."""
THROTTLED_SECONDS = 6 * 3600.0
SCHEDULER_SECONDS = 1.0
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "NO_PROXY", "no_proxy")

Record = Callable[[str, str, str, str, dict[str, str], float, list[float], str], None]
"""(account, Region, namespace, metric, dimensions, timestamp, values, unit): publishes samples."""


class Delivery:
    """The hooks; made once, after the emulator."""

    def __init__(self, emulator: Emulator, folder: Path, record: Record) -> None:
        """`folder` takes the functions' unpacked code, `record` their metrics."""
        from ministack.core import lambda_runtime
        from ministack.services import cloudwatch_logs, eventbridge, kms, lambda_svc, sns

        self._emulator, self._record, self._folder = emulator, record, folder
        self._evaluator, self._scope = emulator._evaluator, emulator._responses.request_scope
        self._events, self._functions, self._runtime, self._logs = eventbridge, lambda_svc, lambda_runtime, cloudwatch_logs
        self._sns, self._kms = sns, kms
        self._lock = threading.Lock()
        self._turns: dict[str, threading.BoundedSemaphore] = {}
        self._rule: contextvars.ContextVar[tuple[dict[str, Any], dict[str, Any]]] = contextvars.ContextVar("rule and target")
        for owner, names in {
            eventbridge: ("_invoke_target", "_dispatch_to_lambda", "_dispatch_to_event_bus", "_dispatch_to_sns", "_put_permission",
                          "_tick_scheduled_rules", "_SCHEDULER_TICK_INTERVAL", "_rule_last_fired", "_parse_rate_seconds", "_rules",
                          "_dispatch_event", "_ensure_default_bus", "_event_buses", "_event_bus_policies", "_event_bus_name_from_ref"),
            lambda_svc: ("invoke_async_with_retry", "_emit_lambda_logs", "_emit_lambda_metrics", "_execute_function_dispatch", "acquire_worker",
                         "_execute_function", "_get_func_record_for_ref", "_execution_record_for_config", "function_policy_for_arn",
                         "_route_async_failure", "_account_region_from_function_config"),
            lambda_runtime: ("execution_credentials", "subprocess", "tempfile", "reset"),
            sns: ("topic_policy_for_arn", "_topic_by_arn_any_scope"), kms: ("_resolve_key",), cloudwatch_logs: ("_log_groups",),
            self._evaluator: ("evaluate_resource_policy",),
        }.items():
            for name in names:
                if not hasattr(owner, name):
                    raise EmulatorError(f"MiniStack has no {owner.__name__}.{name}: localaws/delivery.py must be adapted.")
        self._take_events()
        self._take_functions()

    # -- who may ---------------------------------------------------------------------------------------------------------------

    def _lets_in(self, policy: str | dict[str, Any] | None, service: str, action: str, resource: str, keys: Mapping[str, str]) -> bool:
        """Tell whether a resource's policy allows an AWS service an action."""
        context = self._evaluator.EvalContext(
            principal_arn=service, principal_type="Service", principal_account="", action=action, resource_arn=resource, region="",
            service_context={name.lower(): value for name, value in keys.items()})
        return bool(self._evaluator.evaluate_resource_policy(policy, context, service=service).decision == "Allow")

    def topic_refusal(self, topic_arn: str, service: str, source_arn: str) -> str:
        """Return why SNS would not take a message from an AWS service for a topic; '' if it would.

        The topic's policy must let the service publish, and where the topic is encrypted its key's policy must let it make and read data
        keys: EventBridge brings no source along there, so conditions on it are never met. Source: SNS developer guide, "Enable
        compatibility between event sources from AWS services and encrypted topics".
        """
        region, account = topic_arn.split(":")[3:5]
        with self._scope(account, region):
            found, topic = self._sns.topic_policy_for_arn(topic_arn), self._sns._topic_by_arn_any_scope(topic_arn)
            if found is None:
                return f"Topic does not exist: {topic_arn}"
            keys = {"aws:SourceArn": source_arn, "aws:SourceAccount": source_arn.split(":")[4]}
            # An alarm's action counts as its account's own under a topic's default policy.
            owned = {"aws:SourceOwner": source_arn.split(":")[4]} if service == CLOUDWATCH else {}
            if not self._lets_in(found[0], service, "sns:Publish", topic_arn, {**keys, **owned}):
                return f"{service} is not authorized to perform: SNS:Publish on resource: {topic_arn}"
            key_name = topic.get("attributes", {}).get("KmsMasterKeyId", "")
            if not key_name:
                return ""
            key = self._kms._resolve_key(key_name)
            if key is None:
                return f"the topic's key {key_name} lets no AWS service in, or is not there"
            for action in ("kms:GenerateDataKey", "kms:Decrypt"):
                if not self._lets_in(key.get("Policy"), service, action, key["Arn"], {} if service == EVENTS else keys):
                    return f"{service} is not authorized to perform: {action} on resource: {key['Arn']}"
        return ""

    # -- EventBridge -----------------------------------------------------------------------------------------------------------

    def _take_events(self) -> None:
        events = self._events
        invoke, to_bus, to_topic, permit, tick = (events._invoke_target, events._dispatch_to_event_bus, events._dispatch_to_sns,
                                                  events._put_permission, events._tick_scheduled_rules)

        def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
            token = self._rule.set((rule, target))
            try:
                invoke(target, event, rule, view)
            finally:
                self._rule.reset(token)

        def event_bus(spec: Any, event: dict[str, Any], rule: dict[str, Any], path: set[str], payload: str | None = None) -> None:
            if event.get("_Forwarded"):
                log.warning("rule %s: an event that came from another bus is not sent on to a third: %s", rule.get("Arn"), spec)
            elif f":{spec.region}:{spec.account_id}:" in rule["Arn"]:
                to_bus(spec, {**event, "_Forwarded": True}, rule, path, payload)
            else:
                self._forward(spec, event, rule, payload)

        def topic(arn: str, payload: str) -> None:
            if refusal := self.topic_refusal(arn, EVENTS, self._rule.get()[0]["Arn"]):
                log.warning("rule %s: not delivered: %s", self._rule.get()[0]["Arn"], refusal)
            else:
                to_topic(arn, payload)

        def put_permission(data: dict[str, Any]) -> Any:
            if not data.get("Policy"):
                return permit(data)
            bus, problem = events._event_bus_name_from_ref(data.get("EventBusName") or "default")
            if problem:
                return self._emulator._responses.error_response_json(*problem, 400)
            if bus not in events._event_buses:
                return self._emulator._responses.error_response_json("ResourceNotFoundException", f"Event bus {bus} does not exist.", 400)
            events._event_bus_policies[bus] = json.loads(data["Policy"])
            return self._emulator._responses.json_response({})

        def scheduled() -> None:
            before = dict(events._rule_last_fired)
            tick()
            for key, at in list(events._rule_last_fired.items()):
                events._rule_last_fired[key] = steady(before.get(key), at, self._seconds_of(key))

        events._invoke_target, events._dispatch_to_event_bus, events._dispatch_to_sns = invoke_target, event_bus, topic
        events._dispatch_to_lambda, events._put_permission = self._invoke_for_rule, put_permission
        events._tick_scheduled_rules, events._SCHEDULER_TICK_INTERVAL = scheduled, SCHEDULER_SECONDS

    def _seconds_of(self, key: tuple[str, str, str]) -> float | None:
        """Return the seconds of a rule's rate expression, None for rules without one."""
        rule = self._events._rules._data.get(key)
        found = self._events._parse_rate_seconds(rule.get("ScheduleExpression", "")) if rule else None
        return float(found) if found is not None else None

    def _invoke_for_rule(self, arn: str, payload: str) -> None:
        """Invoke a function for a rule, if the function's policy lets EventBridge do that."""
        rule = self._rule.get()[0]
        record, config, name = self._functions._get_func_record_for_ref(arn)
        if not record or not config:
            log.warning("rule %s: not delivered: the function %s does not exist", rule["Arn"], name)
            return
        account, region = self._functions._account_region_from_function_config(config)
        found = self._functions.function_policy_for_arn(f"arn:aws:lambda:{region}:{account}:function:{name}")
        keys = {"aws:SourceArn": rule["Arn"], "aws:SourceAccount": rule["Arn"].split(":")[4]}
        if not self._lets_in(found[0] if found else None, EVENTS, "lambda:InvokeFunction", arn, keys):
            log.warning("rule %s: not delivered: the policy of %s does not let %s in", rule["Arn"], arn, EVENTS)
            return
        try:
            event = json.loads(payload)
        except ValueError:
            log.warning("rule %s: not delivered: the input of %s is no JSON", rule["Arn"], arn)
            return
        self._invoke_later(self._functions._execution_record_for_config(record, config), event)

    def _forward(self, spec: Any, event: dict[str, Any], rule: dict[str, Any], payload: str | None) -> None:
        """Put an event on a bus of another Region or account, as the target's role."""
        bus_arn, account = str(spec), rule["Arn"].split(":")[4]
        role = self._rule.get()[1].get("RoleArn", "")
        try:
            session = self._emulator.assume(role, EVENTS, "forward")
            caller = Context(account, spec.region, "", session["AccessKeyId"])
            self._emulator.authorize(caller, "events:PutEvents", bus_arn)
            with self._scope(spec.account_id, spec.region):
                self._events._ensure_default_bus()
                bus = spec.resource.partition("/")[2]
                if bus not in self._events._event_buses:
                    raise ServiceError("ResourceNotFoundException", f"Event bus {bus_arn} does not exist.")
                if spec.account_id != account and not self._bus_lets_in(
                        self._events._event_bus_policies.get(bus), role, bus_arn, rule["Arn"], event):
                    raise ServiceError("AccessDeniedException", f"the policy of {bus_arn} does not let {role} put events")
                # Account, Region, id and time stay those of the event's origin.
                forwarded = {**event, "EventBusName": bus, "_Forwarded": True, "_DispatchPath": []}
                if payload is not None:
                    forwarded["Detail"] = payload
                self._events._dispatch_event(forwarded)
        except ServiceError as error:
            log.warning("rule %s: not forwarded: %s", rule["Arn"], error)

    def _bus_lets_in(self, policy: Any, role: str, bus_arn: str, rule_arn: str, event: dict[str, Any]) -> bool:
        name, account = role.rpartition("/")[2], rule_arn.split(":")[4]
        context = self._evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/forward", principal_type="AssumedRole", principal_account=account,
            action="events:PutEvents", resource_arn=bus_arn, region="",
            service_context={"aws:sourcearn": rule_arn, "aws:sourceaccount": account, "events:source": event.get("Source", ""),
                             "events:detail-type": event.get("DetailType", "")})
        return bool(self._evaluator.evaluate_resource_policy(policy, context).decision == "Allow")

    # -- Lambda ----------------------------------------------------------------------------------------------------------------

    def _take_functions(self) -> None:
        functions, runtime = self._functions, self._runtime
        execute, acquire, emit, credentials = (functions._execute_function_dispatch, functions.acquire_worker, functions._emit_lambda_logs,
                                               runtime.execution_credentials)

        def executed(func: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float) -> Any:
            result = execute(func, config, event, request_id, started)
            failed = bool(isinstance(result, dict) and result.get("error"))
            if failed and result.get("body", {}).get("errorType") == "Runtime.HandlerError":
                result["body"]["errorType"] = error_type(result.get("log", ""))
            account, region = functions._account_region_from_function_config(config)
            for metric, value, unit in (("Invocations", 1.0, "Count"), ("Errors", float(failed), "Count"),
                                        ("Duration", (time.time() - started) * 1000, "Milliseconds")):
                self._record(account, region, "AWS/Lambda", metric, {"FunctionName": config["FunctionName"]}, time.time(), [value], unit)
            return result

        def throttled(name: str, duration_ms: float, error: bool, throttle: bool) -> None:
            if throttle:
                responses = self._emulator._responses
                self._record(responses.get_account_id(), responses.get_region(), "AWS/Lambda", "Throttles", {"FunctionName": name},
                             time.time(), [1.0], "Count")

        def acquired(name: str, config: dict[str, Any], code: bytes, *arguments: Any, **more: Any) -> Any:
            worker, how = acquire(name, config, code, *arguments, **more)
            if worker is not None and worker.config.get("RevisionId") != config.get("RevisionId"):
                worker.kill()  # made for an older configuration, whose role or log group may have been another
                worker.config, worker.code_zip = config, code
            return worker, how

        def logged(func: dict[str, Any], request_id: str, text: str, *arguments: Any, **more: Any) -> None:
            config = func.get("config") or func
            if refusal := self._log_refusal(config):
                log.info("function %s: nothing is logged: %s", config.get("FunctionName"), refusal)
            else:
                emit(func, request_id, text, *arguments, **more)

        def assumed(config: dict[str, Any]) -> Any:
            try:
                self._emulator.assume(config.get("Role", ""), LAMBDA, config.get("FunctionName", "function"))
            except ServiceError as error:
                raise RuntimeError(f"The role defined for the function cannot be assumed by Lambda. ({error.message})") from error
            return credentials(config)

        functions._execute_function_dispatch, functions._emit_lambda_metrics = executed, throttled
        functions.acquire_worker, functions._emit_lambda_logs = acquired, logged
        functions.invoke_async_with_retry = self._invoke_later
        runtime.execution_credentials = assumed
        runtime.subprocess, runtime.tempfile = _Processes(), _Folders(self._folder)

    def _log_refusal(self, config: dict[str, Any]) -> str:
        """Return why a function's role may not log; '' if it may."""
        account, region = self._functions._account_region_from_function_config(config)
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"
        arn = f"arn:aws:logs:{region}:{account}:log-group:{group}"
        try:
            caller = Context(account, region, "", self._runtime.execution_credentials(config)["AWS_ACCESS_KEY_ID"])
            with self._scope(account, region):
                if group not in self._logs._log_groups:
                    self._emulator.authorize(caller, "logs:CreateLogGroup", arn)
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                self._emulator.authorize(caller, action, f"{arn}:log-stream:function")
        except (ServiceError, RuntimeError) as error:
            return str(error)
        return ""

    def _invoke_later(self, func: dict[str, Any], event: Any) -> None:
        """Invoke a function asynchronously: on a thread of its own, again after errors and throttles, then to its dead letters."""
        config = func.get("config") or func

        with self._lock:
            turn = self._turns.setdefault(str(config.get("FunctionArn")), threading.BoundedSemaphore(AT_ONCE))

        def call() -> Any:
            with turn:
                return self._functions._execute_function(func, event)

        def run() -> None:
            result = attempt(call, retries(func), time.sleep)
            destination = failure_destination(func)
            if destination and result.get("error"):
                self._functions._route_async_failure(destination, config.get("FunctionName", ""), event, result)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), daemon=True, name=f"function {config.get('FunctionName')}").start()

    def close(self) -> None:
        """End the functions' processes."""
        self._runtime.reset()


# --- pure -----------------------------------------------------------------------------------------------------------------


def steady(before: float | None, fired: float, seconds: float | None) -> float:
    """Return when a rule counts as fired that was found due at `fired`: at its own beat, unless that is more than a beat ago."""
    if before is None or seconds is None or fired == before or fired - before >= 2 * seconds:
        return fired
    return before + seconds


def retries(func: Mapping[str, Any]) -> int:
    """Return how often a function's asynchronous invocation is tried again after an error (AWS's default: twice)."""
    found = _invoke_config(func).get("MaximumRetryAttempts")
    return 2 if found is None else int(found)


def failure_destination(func: Mapping[str, Any]) -> str:
    """Return the ARN that takes an event that could not be worked off, '' if there is none."""
    config = func.get("config") or func
    return str(_invoke_config(func).get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
               or (config.get("DeadLetterConfig") or {}).get("TargetArn") or "")


def _invoke_config(func: Mapping[str, Any]) -> dict[str, Any]:
    return dict(func.get("event_invoke_config") or (func.get("event_invoke_configs") or {}).get("$LATEST") or {})


def attempt(call: Callable[[], dict[str, Any]], again: int, pause: Callable[[float], None]) -> dict[str, Any]:
    """Call until there is no error, at most `again` times more; throttles do not count, for six hours. Return the last result.

    Source: Lambda developer guide, "Error handling for asynchronous invocation".
    """
    failures, waited = 0, 0.0
    while True:
        result = call()
        if result.get("throttle") and waited < THROTTLED_SECONDS:
            delay = min(1.0 + waited, 300.0)
            waited += delay
        elif result.get("error") and not result.get("throttle") and failures < again:
            delay = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
        else:
            return result
        pause(delay)


def error_type(text: str) -> str:
    """Return the name of the exception whose traceback ends a function's output."""
    found = re.findall(r"^([A-Za-z_][\w.]*)(?::.*)?$", text.rpartition("Traceback (most recent call last):")[2], re.MULTILINE)
    return found[0].rpartition(".")[2] if found else "Runtime.ExitError"


def own_environment(given: Mapping[str, str], machine: Mapping[str, str]) -> dict[str, str]:
    """Return what a function's process gets: what Lambda and its configuration set, and nothing of the machine's own environment."""
    own = {name: value for name, value in given.items() if name in _KEPT or name.startswith("AWS_") or machine.get(name) != value}
    # Neither the user's configuration nor a metadata service may be asked for credentials.
    return {**own, "HOME": "/tmp", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true", "PYTHONDONTWRITEBYTECODE": "1"}


class _Processes:
    """The module `subprocess`, with processes that get an environment of their own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    @staticmethod
    def Popen(*arguments: Any, env: Mapping[str, str], **more: Any) -> Any:
        """See subprocess.Popen."""
        popen: Any = subprocess.Popen
        return popen(*arguments, env=own_environment(env, os.environ), **more)


class _Folders:
    """The module `tempfile`, with folders that go away with the local AWS's state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getattr__(self, name: str) -> Any:
        return getattr(tempfile, name)

    def mkdtemp(self, prefix: str = "") -> str:
        """See tempfile.mkdtemp."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=prefix, dir=self._folder)
