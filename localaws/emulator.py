"""MiniStack, in this process: with delivery.py the only file that knows its private names.

MiniStack (PyPI, MIT, pinned) serves S3, KMS, IAM, STS, SSM, SNS, EventBridge, Lambda, DynamoDB, ECR, Logs and EC2's records. Its
services stay its own; ours are put beside or before them through the hooks below, each of which is asserted when it is taken, so
that another version fails at start with the hook's name and not later with a puzzle.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import importlib.metadata
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from localaws import forwarding, logpatterns, questions, wire
from localaws.service import Context, Service, ServiceError

log = logging.getLogger("localaws")

PINNED = "1.5.33"
ROOT_SECRET = "local"
"""Secret key of the root of every local account; its access key id is the account's number."""

_SESSION_SECONDS = 3600
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Any]


class EmulatorError(RuntimeError):
    """MiniStack is not the version, or does not have the hook, that this file was written for."""


def environment(state_dir: Path, port: int, account: str, region: str) -> dict[str, str]:
    """Return the environment that MiniStack reads while it is imported."""
    return {
        "AUTH": "true", "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": account, "MINISTACK_REGION": region, "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": ROOT_SECRET, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "PERSIST_STATE": "1", "STATE_DIR": str(state_dir / "ministack"), "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state_dir / "s3"), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "LOG_LEVEL": "WARNING",
        "DOCKER_HOST": "unix:///nonexistent",  # MiniStack starts no containers here, and reaps none of ours
    }


class Emulator:
    """MiniStack's ASGI application with our services beside its own."""

    def __init__(self, workers: int = 48) -> None:
        found = importlib.metadata.version("ministack")
        if found != PINNED:
            raise EmulatorError(f"MiniStack {PINNED} is needed, {found} is installed. Run: make setup")
        import ministack.app as application
        import ministack.core.iam_actions as iam_actions
        import ministack.core.iam_evaluator as iam_evaluator
        import ministack.core.responses as responses
        import ministack.core.router as router
        from ministack.services import cloudwatch_logs, ecr, eventbridge, iam, sts

        self._app, self._actions, self._evaluator = application, iam_actions, iam_evaluator
        self._responses, self._router, self._eventbridge, self._iam, self._sts = responses, router, eventbridge, iam, sts
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=workers, thread_name_prefix="localaws")
        for owner, names in {
            application: ("SERVICE_HANDLERS", "SERVICE_REGISTRY", "app", "AUTH", "_get_module"),
            iam_actions: ("SERVICE_TO_IAM_NAMESPACE", "extract_resource_arn", "request_tag_context"),
            iam_evaluator: ("EvalContext", "evaluate", "enforce", "evaluate_trust_policy", "caller_arn", "resolve_credential", "AuthError",
                            "EvalResult", "_resource_policy", "combine_resource_policy", "_POLICY_REQUIRED", "_resolve_condition_key",
                            "evaluate_resource_policy", "_principal_keys", "resolve_principal"),
            responses: ("request_scope", "get_account_id", "get_region"),
            router: ("SERVICE_PATTERNS", "extract_access_key_id"),
            cloudwatch_logs: ("_filter_log_events", "_compile_filter_pattern"), ecr: ("_describe_images", "_find_image"),
            eventbridge: ("_put_events",), iam: ("_roles",), sts: ("register_session", "_sessions"),
        }.items():
            for name in names:
                if not hasattr(owner, name):
                    raise EmulatorError(f"MiniStack {found} has no {owner.__name__}.{name}: localaws/emulator.py must be adapted.")
        if application.AUTH is not True:
            raise EmulatorError("MiniStack was imported before its environment was set: IAM would be off.")
        self.questions = questions.Questions()
        self._note_questions()
        self._cross_accounts()
        self._ask_kms_for_objects()
        self._name_resources()
        self._tell_through_whom()
        self._search_logs(cloudwatch_logs)
        self._measure_images(ecr)

    @property
    def application(self) -> Any:
        """The ASGI application."""
        return self._app.app

    # -- our services ------------------------------------------------------------------------------------------------------

    def register(self, key: str, service: Service, target_prefix: str = "") -> None:
        """Serve every request of the service that MiniStack calls `key` (credential scope) by `service`, and nothing of it otherwise."""
        if target_prefix:
            self._router.SERVICE_PATTERNS[key] = {"target_prefixes": [target_prefix], "host_patterns": []}
        elif key not in self._router.SERVICE_PATTERNS:
            self._router.SERVICE_PATTERNS[key] = {"host_patterns": []}
        self._app.SERVICE_REGISTRY.pop(key, None)
        # Without a namespace MiniStack only authenticates; `permissions()` then says which actions and resources are asked for.
        self._actions.SERVICE_TO_IAM_NAMESPACE.pop(key, None)
        self._app.SERVICE_HANDLERS[key] = self._handler(service)

    def extend(self, key: str, service: Service) -> None:
        """Serve the operations that `service` has, and leave the others of `key` to MiniStack."""
        original: Handler = self._app.SERVICE_HANDLERS[key]
        ours = self._handler(service)

        async def choose(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> Any:
            name = wire.operation_name(headers, path, body, query)
            if name and _method(service, name) is not None:
                return await ours(method, path, headers, body, query)
            answer = await original(method, path, headers, body, query)
            unknown = _NOT_OF_THE_SHAPE.get((key, name))
            return answer if unknown is None else (answer[0], answer[1], unknown.sub(b"", answer[2]))

        self._app.SERVICE_HANDLERS[key] = choose

    def guard(self, key: str, check: Callable[[Context, str, str, dict[str, str], bytes], None]) -> None:
        """Ask `check(ctx, method, path, headers, body)` before each request of a service of MiniStack's; a ServiceError is the answer."""
        original: Handler = self._app.SERVICE_HANDLERS[key]

        def ask(headers: dict[str, str], path: str, body: bytes, query: dict[str, list[str]], ctx: Context) -> Any:
            try:
                check(ctx, headers[":method"], path, headers, body)
            except ServiceError as error:
                return wire.respond_error("json" if headers.get("x-amz-target") else "rest-json", error, ctx.request_id)
            return None

        asked = self._threaded(ask)

        async def guarded(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> Any:
            return await asked(method, path, headers, body, query) or await original(method, path, headers, body, query)

        self._app.SERVICE_HANDLERS[key] = guarded

    def guard_registry(self, refusal: Callable[[str, str, Mapping[str, str]], Any]) -> None:
        """Let ECR's registry ask `refusal(method, path, headers)` before each request; what it returns is the answer, None lets it through."""
        module = self._app._get_module("ecr")
        if not hasattr(module, "handle_registry_request"):
            raise EmulatorError("MiniStack has no ministack.services.ecr.handle_registry_request: localaws/emulator.py must be adapted.")
        original: Handler = module.handle_registry_request

        async def guarded(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> Any:
            return refusal(method, path, headers) or await original(method, path, headers, body, query)

        module.handle_registry_request = guarded

    def register_commands(self, key: str, target_prefix: str, handle: Callable[[str, dict[str, Any], Context], dict[str, Any]]) -> None:
        """Serve a JSON service without a botocore model: `handle(operation, params, ctx)` answers its requests."""
        self._router.SERVICE_PATTERNS[key] = {"target_prefixes": [target_prefix], "host_patterns": []}
        self._actions.SERVICE_TO_IAM_NAMESPACE.pop(key, None)

        def answer(headers: dict[str, str], path: str, body: bytes, query: dict[str, list[str]], ctx: Context) -> Any:
            try:
                result = handle(wire.operation_name(headers, path, body, query), json.loads(body or b"{}"), ctx)
                return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(result or {}).encode()
            except ServiceError as error:
                return wire.respond_error("json", error, ctx.request_id)

        self._app.SERVICE_HANDLERS[key] = self._threaded(answer)

    def _handler(self, service: Service) -> Handler:
        def answer(headers: dict[str, str], path: str, body: bytes, query: dict[str, list[str]], ctx: Context) -> Any:
            return self._answer(service, headers, path, body, query, ctx)

        return self._threaded(answer)

    def _threaded(self, answer: Callable[..., Any]) -> Handler:
        async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> Any:
            # The context variables hold the request's account, Region and caller; the thread needs them too.
            ctx = Context(self._responses.get_account_id(), self._responses.get_region(), self._evaluator.caller_arn(),
                          self._router.extract_access_key_id(headers, query))
            headers = {**headers, ":method": method}  # REST services tell their operations by it
            run = contextvars.copy_context().run
            return await asyncio.get_running_loop().run_in_executor(self._pool, run, answer, headers, path, body, query, ctx)

        return handle

    def _answer(self, service: Service, headers: dict[str, str], path: str, body: bytes, query: dict[str, list[str]],
                ctx: Context) -> tuple[int, dict[str, str], bytes]:
        protocol = wire.protocol_of(service.name, headers, path)
        try:
            request = wire.parse(service.name, headers, path, body, query)
            method = _method(service, request.operation.name)
            if method is None:
                raise ServiceError("NotImplementedByLocalAws", f"The local AWS does not serve {service.name}:{request.operation.name}. "
                                   "docs/local-aws.md lists what it serves.", 501)
            for action, resource, *keys in service.permissions(request.operation.name, request.params, ctx):
                self.authorize(ctx, action, resource, *keys)
            return wire.respond(request, method(ctx, request.params), ctx.request_id)
        except ServiceError as error:
            return wire.respond_error(protocol, error, ctx.request_id)
        except Exception as error:
            log.exception("%s %s failed", service.name, wire.operation_name(headers, path, body, query))
            return wire.respond_error(protocol, ServiceError("InternalFailure", f"local AWS: {error!r}", 500), ctx.request_id)

    # -- IAM ---------------------------------------------------------------------------------------------------------------

    def authorize(self, ctx: Context, action: str, resource: str, keys: Mapping[str, Any] | None = None) -> None:
        """Raise AccessDenied unless the policies of the caller of `ctx` allow `action` on `resource`."""
        with self._responses.request_scope(ctx.account, ctx.region):
            principal = self._evaluator.resolve_principal(ctx.access_key_id, ctx.account)
            if isinstance(principal, self._evaluator.AuthError):
                raise ServiceError(principal.code, principal.message, 403)
            if principal.policies is None:  # the account's root
                return
            via = forwarding.keys(ctx.via)
            context = self._evaluator.EvalContext(
                principal_arn=principal.arn, principal_type=principal.type, principal_account=principal.account, action=action,
                resource_arn=resource, region=ctx.region, service_context={k.lower(): v for k, v in (keys or {}).items()},
                principal_keys={**principal.keys, **via}, secure_transport=True)  # what no request brought (background work) comes by TLS, too
            result = self._evaluator.evaluate(context, principal.policies, *principal.limits)
            kind = "resource" if result.decision == "Allow" else "identity"  # where the permission is missing, if it is
            namespace = action.split(":")[0]
            policy = self._evaluator._resource_policy(namespace, resource)
            if policy is not None:  # a KMS key's policy must allow it too, a bucket's may deny it
                result = self._evaluator.combine_resource_policy(
                    result, context, *policy, required=namespace in self._evaluator._POLICY_REQUIRED, limits=principal.limits)
        if result.decision != "Allow":
            reason = (f"with an explicit deny in {'a resource' if kind == 'resource' else 'an identity'}-based policy" if result.decision == "Deny"
                      else f"because no {kind}-based policy allows the {action} action")
            raise ServiceError("AccessDenied" if action.split(":")[0] in _QUERY_IAM else "AccessDeniedException",
                               f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} {reason}",
                               403 if action.split(":")[0] in _QUERY_IAM else 400)

    def role(self, role_arn: str) -> dict[str, Any]:
        """Return MiniStack's record of a role; raises NoSuchEntity where there is none."""
        parts = role_arn.split(":", 5)
        record = None
        if len(parts) == 6 and parts[2] == "iam" and parts[5].startswith("role/"):
            record = self._iam._roles.get_scoped(parts[4], None, parts[5].rpartition("/")[2])
        if record is None:
            raise ServiceError("NoSuchEntity", f"The role {role_arn} cannot be found.", 404)
        return dict(record)

    def assume(self, role_arn: str, service_principal: str, session_name: str, policy: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return fresh credentials of `role_arn` for an AWS service, if the role's trust policy lets that service in.

        `policy` is a session policy: what it does not allow the credentials may not do.
        """
        account = role_arn.split(":")[4] if role_arn.count(":") >= 5 else ""
        try:
            record = self.role(role_arn)
            context = self._evaluator.EvalContext(
                principal_arn=service_principal, principal_type="Service", principal_account=account, action="sts:AssumeRole",
                resource_arn=role_arn, region="", service_context={"aws:sourceaccount": account})
            trusted = self._evaluator.evaluate_trust_policy(_for_service(record.get("AssumeRolePolicyDocument", "{}"), service_principal),
                                                            service_principal, context)
        except ServiceError:
            trusted = False
        if not trusted:
            raise ServiceError("AccessDenied", f"{service_principal} is not authorized to perform: sts:AssumeRole on resource: {role_arn}", 403)
        name = role_arn.rpartition("/")[2]
        key = "ASIA" + secrets.token_hex(8).upper()
        session = {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}", "UserId": f"{record.get('RoleId', '')}:{session_name}",
            "SecretAccessKey": secrets.token_urlsafe(30), "SessionToken": secrets.token_urlsafe(48),
            "Expiration": time.time() + _SESSION_SECONDS, "AccountId": account, "PrincipalType": "AssumedRole",
        }
        if policy:
            session["SessionPolicies"] = {"Policy": json.dumps(policy), "PolicyArns": []}
        self._sts.register_session(key, session)
        return {"AccessKeyId": key, "SecretAccessKey": session["SecretAccessKey"], "Token": session["SessionToken"],
                "Expiration": session["Expiration"]}

    def credentials_of(self, ctx: Context) -> dict[str, Any]:
        """Return the credentials with which the caller of `ctx` signed, for what AWS does in the caller's name."""
        found = self._evaluator.resolve_credential(ctx.access_key_id, ctx.account)
        if not hasattr(found, "secret_access_key"):
            raise ServiceError(found.code, found.message, 403)
        return {"AccessKeyId": found.access_key_id, "SecretAccessKey": found.secret_access_key, "Token": found.session_token,
                "Expiration": found.expiration or time.time() + 10 * 365 * 86400}

    def forward(self, ctx: Context) -> dict[str, Any]:
        """Return credentials of the caller of `ctx` for a service of AWS's that works in its name: policies see through whom (`ctx.via`)."""
        found = self._evaluator.resolve_credential(ctx.access_key_id, ctx.account)
        if not hasattr(found, "secret_access_key"):
            raise ServiceError(found.code, found.message, 403)
        if found.principal_type == "Root":  # to whom no condition applies
            return self.credentials_of(ctx)
        key = "ASIA" + secrets.token_hex(8).upper()
        session = {**(self._sts._sessions.get(ctx.access_key_id) or {}), "Arn": found.principal_arn, "UserId": found.principal_id,
                   "PrincipalType": found.principal_type, "PrincipalName": found.principal_name, "AccountId": found.account_id,
                   "SecretAccessKey": secrets.token_urlsafe(30), "SessionToken": secrets.token_urlsafe(48),
                   "Expiration": time.time() + _FORWARDED_SECONDS, forwarding.VIA: list(ctx.via)}
        self._sts.register_session(key, session)
        return {"AccessKeyId": key, "SecretAccessKey": session["SecretAccessKey"], "Token": session["SessionToken"],
                "Expiration": session["Expiration"]}

    def root_credentials(self, account: str) -> dict[str, Any]:
        """Return the credentials of an account's root (service-linked work)."""
        return {"AccessKeyId": account, "SecretAccessKey": ROOT_SECRET, "Token": None, "Expiration": time.time() + 10 * 365 * 86400}

    def _note_questions(self) -> None:
        """Note what identity-based policies are asked, by MiniStack's services and by ours."""
        evaluate = self._evaluator.evaluate

        def noted(context: Any, policies: Any, *limits: Any) -> Any:
            result = evaluate(context, policies, *limits)
            self.questions.note(context, result.decision == "Allow")
            return result

        self._evaluator.evaluate = noted

    def _cross_accounts(self) -> None:
        """Let accounts reach each other's buckets, keys and repositories as their policies say, by the principal that AWS would judge.

        - aws:PrincipalArn of a role's session is the role's ARN (MiniStack: the session's).
        - A resource's policy is looked up where the resource is (MiniStack: in the caller's account and Region), so that across accounts both
          sides must allow.
        - A bucket's policy is asked about the caller itself (MiniStack: about its account's root).
        Source: IAM User Guide, "AWS global condition context keys" and "Cross-account policy evaluation logic".
        """
        evaluator, scope, s3 = self._evaluator, self._responses.request_scope, self._app._get_module("s3")
        for name in ("_bucket_owner_account", "_foreign_bucket_allows", "_bucket_policies", "_bucket_encryption"):
            if not hasattr(s3, name):
                raise EmulatorError(f"MiniStack has no ministack.services.s3.{name}: localaws/emulator.py must be adapted.")
        key_of, policy_of, foreign = evaluator._resolve_condition_key, evaluator._resource_policy, s3._foreign_bucket_allows

        def condition_key(key: str, context: Any) -> Any:
            if key.lower() == "aws:principalarn":
                return self._role_arn(context.principal_arn)
            if key.lower() in ("aws:resourceaccount", "s3:resourceaccount") and context.resource_arn.startswith("arn:aws:s3:::"):
                return s3._bucket_owner_account(_bucket(context.resource_arn)) or context.principal_account
            return key_of(key, context)

        def resource_policy(service: str, resource_arn: str) -> Any:
            parts = resource_arn.split(":", 5)
            if len(parts) < 6:
                return policy_of(service, resource_arn)
            owner = s3._bucket_owner_account(_bucket(resource_arn)) if service == "s3" and not parts[4] else parts[4]
            if not re.fullmatch(r"\d{12}", owner or ""):
                return policy_of(service, resource_arn)
            with scope(owner, parts[3] or self._responses.get_region()):
                return policy_of(service, resource_arn)

        def bucket_allows(owner: str, bucket: str, key: str, method: str, query: dict[str, list[str]], caller: str,
                          headers: dict[str, str] | None = None) -> bool:
            if not caller:
                return bool(foreign(owner, bucket, key, method, query, caller, headers))
            path = f"/{bucket}/{key}" if key else f"/{bucket}"
            action = f"s3:{self._actions._s3_action(method, path, query)}"
            with scope(owner, self._responses.get_region()):
                keys = self._actions.s3_service_context(action, query, path, headers or {})
            principal = evaluator.caller_arn()
            # A request to the bucket's own name (bucket.s3.….amazonaws.com) has its account's root pinned as its caller.
            signed = evaluator.resolve_principal(self._router.extract_access_key_id(headers or {}, query), caller)
            if principal.endswith(":root") and not isinstance(signed, evaluator.AuthError):
                principal = signed.arn
            context = evaluator.EvalContext(
                principal_arn=principal, principal_type="AssumedRole" if ":assumed-role/" in principal else "User" if ":user/" in principal else "Root",
                principal_account=caller, action=action, resource_arn=f"arn:aws:s3:::{path[1:]}", region=self._responses.get_region(),
                service_context={name.lower(): value for name, value in keys.items()})
            policy = s3._bucket_policies.get_scoped(owner, None, bucket)
            return bool(policy) and evaluator.evaluate_resource_policy(policy, context).decision == "Allow"

        evaluator._resolve_condition_key, evaluator._resource_policy, s3._foreign_bucket_allows = condition_key, resource_policy, bucket_allows

    def _role_arn(self, principal_arn: str) -> str:
        """The ARN of the role (with its path) behind an assumed role's ARN; another principal's ARN as it is."""
        match = re.fullmatch(r"arn:([^:]+):sts::(\d{12}):assumed-role/([^/]+)/.*", principal_arn)
        if match is None:
            return principal_arn
        record = self._iam._roles.get_scoped(match[2], None, match[3]) or {}
        return str(record.get("Arn") or f"arn:{match[1]}:iam::{match[2]}:role/{match[3]}")

    def _name_resources(self) -> None:
        """Let Logs and SSM ask about the ARNs that AWS asks about, where MiniStack asks about others.

        A log stream: MiniStack asks about the log group's bare ARN, so that a policy on `log-group:NAME:*`, which is what GetAtt Arn gives
        and AWS allows, would be refused (AWS's denials name `log-group:NAME:log-stream:STREAM`). A parameter path: MiniStack asks about `*`.
        Source: Service Authorization Reference, CloudWatch Logs and Systems Manager.
        """
        original = self._actions.extract_resource_arn

        def extract(service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]],
                    region: str, account: str) -> str:
            arn = str(original(service, method, path, headers, body, query, region, account))
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            if service == "logs" and operation in _STREAM_OPERATIONS and ":log-stream:" not in arn:
                return f"{arn.removesuffix(':*')}:log-stream:{json.loads(body or b'{}').get('logStreamName', '')}"
            if service == "ssm" and operation == "GetParametersByPath":
                return f"arn:aws:ssm:{region}:{account}:parameter/{json.loads(body or b'{}').get('Path', '').strip('/')}"
            if service == "ssm" and operation.endswith("Association"):
                return forwarding.association(json.loads(body or b"{}"), region, account)
            if service == "events" and operation != "PutEvents":
                return forwarding.rule(operation, json.loads(body or b"{}"), arn, region, account)
            if service == "lambda" and arn == "*" and method == "POST" and path.rstrip("/").endswith("/functions"):  # CreateFunction
                return f"arn:aws:lambda:{region}:{account}:function:{json.loads(body or b'{}').get('FunctionName', '*')}"
            if service == "ssm" and operation in ("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"):
                return forwarding.tagged_by_id(json.loads(body or b"{}"), arn, region, account)
            if operation in ("TagResource", "UntagResource", "ListTagsForResource", "ListTagsOfResource"):
                return forwarding.tagged(json.loads(body or b"{}"), arn)
            return forwarding.arn(service, _query_operation(query), query, arn, region, account)

        self._actions.extract_resource_arn = extract

    def _tell_through_whom(self) -> None:
        """Let policies see through which services a request came, and IAM's own condition keys, of which MiniStack knows neither."""
        principal_keys, context_of = self._evaluator._principal_keys, self._actions.request_tag_context

        def keys(credential: Any) -> dict[str, Any]:
            session = self._sts._sessions.get(credential.access_key_id) or {}
            return {**principal_keys(credential), **forwarding.keys(tuple(session.get(forwarding.VIA) or ()))}

        def context(service: str, action: str, body: bytes, given: dict[str, Any]) -> dict[str, Any]:
            found = dict(context_of(service, action, body, given))
            if service == "iam":
                role = (given.get("RoleName") or [""])[0]
                boundary = (self._iam._roles.get(role) or {}).get("PermissionsBoundary")
                found |= forwarding.iam_keys(action.partition(":")[2], given, boundary)
            return found

        self._evaluator._principal_keys, self._actions.request_tag_context = keys, context

    def _search_logs(self, module: Any) -> None:
        """Let FilterLogEvents understand patterns as AWS does; MiniStack's knows neither case nor phrases."""
        original = module._filter_log_events
        module._compile_filter_pattern = logpatterns.matcher

        def search(data: dict[str, Any]) -> Any:
            try:
                return original(data)
            except ServiceError as error:
                return self._responses.error_response_json(error.code, error.message, error.status)

        module._filter_log_events = search

    def _measure_images(self, module: Any) -> None:
        """Let DescribeImages give an image's size, not its manifest's, and refuse an image that is not there, as AWS does.

        Source: Amazon ECR API reference, ImageDetail, and DescribeImages' ImageNotFoundException.
        """
        original = module._describe_images

        def describe(data: dict[str, Any]) -> Any:
            repository = data.get("repositoryName", "")
            status, headers, body = original(data)
            if status != 200:
                return status, headers, body
            for wanted in data.get("imageIds") or ():
                if not module._find_image(repository, wanted):
                    digest, tag = wanted.get("imageDigest", "null"), wanted.get("imageTag", "null")
                    return self._responses.error_response_json(
                        "ImageNotFoundException", f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within "
                        f"the repository with name '{repository}' in the registry with id '{self._responses.get_account_id()}'", 400)
            answer = json.loads(body)
            for detail in answer["imageDetails"]:
                found = module._find_image(repository, {"imageDigest": detail["imageDigest"]})
                manifest = json.loads(found["imageManifest"])
                parts = [manifest.get("config", {}), *manifest.get("layers", ())]
                detail["imageSizeInBytes"] = sum(part.get("size", 0) for part in parts)
                detail["artifactMediaType"] = manifest.get("config", {}).get("mediaType", detail["imageManifestMediaType"])
            return status, headers, json.dumps(answer).encode()

        module._describe_images = describe

    def _ask_kms_for_objects(self) -> None:
        """Let S3 ask KMS in the caller's name for objects under a key, as AWS's does; MiniStack's asks nobody.

        `kms:GenerateDataKey` before a put, `kms:Decrypt` for a get and a head (what a head needs no document says: the stricter was chosen),
        with kms:ViaService and kms:CallerAccount.
        Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
        """
        module = self._app._get_module("s3")
        original: Handler = module.handle_request

        async def guarded(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], **more: Any) -> Any:
            bucket, _, key = path.lstrip("/").partition("/")
            plain = bool(key) and not _SUBRESOURCES & set(query)
            caller = self._responses.get_account_id()  # a request for another account's bucket goes on in that account
            if plain and (method == "PUT" or (method == "POST" and "uploads" in query)):
                key_arn = headers.get("x-amz-server-side-encryption-aws-kms-key-id", "")
                if not key_arn and "x-amz-server-side-encryption" not in headers:
                    default = module._bucket_encryption.get_scoped(module._bucket_owner_account(bucket) or caller, None, bucket)
                    found = re.search(r"<KMSMasterKeyID>([^<]+)</KMSMasterKeyID>", default or "")
                    key_arn = found[1] if found else ""
                if refusal := self._kms_refusal("kms:GenerateDataKey", key_arn, caller, headers, query):
                    return refusal
            response = await original(method, path, headers, body, query, **more)
            if plain and method in ("GET", "HEAD") and response[0] < 300:
                sent = {name.lower(): value for name, value in response[1].items()}
                used = sent.get("x-amz-server-side-encryption-aws-kms-key-id", "")
                if refusal := self._kms_refusal("kms:Decrypt", used, caller, headers, query):
                    return refusal
            return response

        module.handle_request = guarded

    def _kms_refusal(self, action: str, key_arn: str, caller: str, headers: dict[str, str], query: dict[str, list[str]]) -> Any:
        """Return S3's answer where the caller may not use a key, None where it may (or no key of the customer's is in play)."""
        if not key_arn.startswith("arn:") or ":alias/" in key_arn:
            return None
        region = key_arn.split(":")[3]
        ctx = Context(caller, region, "", self._router.extract_access_key_id(headers, query))
        try:
            self.authorize(ctx, action, key_arn, {"kms:ViaService": f"s3.{region}.amazonaws.com", "kms:CallerAccount": ctx.account})
            return None
        except ServiceError as error:
            body = f"<Error><Code>AccessDenied</Code><Message>{escape(error.message)}</Message><RequestId>{ctx.request_id}</RequestId></Error>"
            return 403, {"Content-Type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()

    # -- events ------------------------------------------------------------------------------------------------------------

    def put_event(self, account: str, region: str, entry: dict[str, Any]) -> None:
        """Put an AWS service's own event on the default bus of an account and Region."""
        with self._responses.request_scope(account, region):
            self._eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    def close(self) -> None:
        """End the worker threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


_FORWARDED_SECONDS = 12 * 3600  # an operation of CloudFormation may take longer than its caller's session lasts

_STREAM_OPERATIONS = {"CreateLogStream", "DeleteLogStream", "PutLogEvents", "GetLogEvents", "DescribeLogStreams", "FilterLogEvents"}

# What MiniStack's answers have and AWS's shapes do not.
_VPC = re.compile(rb"<(defaultNetworkAclId|defaultSecurityGroupId|mainRouteTableId)>[^<]*</\1>")
_NOT_OF_THE_SHAPE = {("ec2", "DescribeVpcs"): _VPC, ("ec2", "CreateVpc"): _VPC}

# Query parameters that make an object's request one about something else than its content.
_SUBRESOURCES = {"acl", "tagging", "retention", "legal-hold", "attributes", "torrent"}

# Services whose refusals are `AccessDenied` with status 403 (Query, EC2, S3); JSON services answer `AccessDeniedException`.
_QUERY_IAM = {"cloudformation", "autoscaling", "elasticloadbalancing", "cloudwatch", "ec2", "iam", "sts", "sns", "s3"}


def _query_operation(query: dict[str, list[str]]) -> str:
    """The operation of a Query request, '' of another."""
    found = query.get("Action") or [""]
    return str(found[0] if isinstance(found, list) else found)


def _bucket(resource_arn: str) -> str:
    """The bucket of an S3 ARN."""
    return resource_arn.removeprefix("arn:aws:s3:::").split("/", 1)[0]


def _for_service(document: str | dict[str, Any], service_principal: str) -> dict[str, Any]:
    """Return the statements of a trust policy that speak of an AWS service, as statements about everyone.

    MiniStack's matcher of trust policies knows no service principals but as a stand-in for root.
    """
    parsed = json.loads(document) if isinstance(document, str) else document
    statements = parsed.get("Statement", [])
    kept = []
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if principal == "*" or service_principal in ([services] if isinstance(services, str) else services):
            kept.append({**statement, "Principal": "*"})
    return {"Version": "2012-10-17", "Statement": kept}


def _method(service: Service, operation: str) -> Callable[[Context, dict[str, Any]], dict[str, Any] | None] | None:
    """Return the method of `service` that serves `operation` (snake_case of its name), None where it has none."""
    from botocore import xform_name

    return getattr(service, xform_name(operation), None)
