"""Makes stacks: carries out what engine decides, resource by resource, independent ones at once, and writes down events.

Every operation has a *job*: whose credentials make the resources, and whether it was told to stop. A nested stack is made by the
same functions, on the thread of its parent's resource.
"""

from __future__ import annotations

import concurrent.futures
import copy
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloudformation import engine, intrinsics, stacks, template
from localaws.cloudformation.book import Book
from localaws.cloudformation.engine import STACK, Walk
from localaws.cloudformation.intrinsics import canonical
from localaws.cloudformation.nested import NestedStack
from localaws.cloudformation.resources import Cancelled, Failed, Handler, Made, Request
from localaws.cloudformation.schema import Schemas
from localaws.cloudformation.stacks import Prepared
from localaws.cloudformation.template import TemplateError
from localaws.service import Clients, Context, ServiceError

log = logging.getLogger("localaws.cloudformation")
_CANCELLED = {"create": "Resource creation cancelled", "update": "Resource update cancelled", "delete": "Resource deletion cancelled"}


@dataclass
class Job:
    """One running operation: with whose credentials, and whether it must stop.

    `failed` is set once a resource failed, so that those still in progress give up; a child's job also stops with its parent's.
    """

    ctx: Context
    clients: Clients
    parent: Job | None = None
    failed: threading.Event = field(default_factory=threading.Event)
    cancelled: str = ""
    abandon: bool = False
    """Whether a creation that is stopped is left as it is, because its deletion is what stopped it."""

    def child(self) -> Job:
        """Return the job of a nested stack."""
        return Job(self.ctx, self.clients, self)

    def fresh(self) -> Job:
        """Return a job for the next phase (a rollback does not inherit that something failed)."""
        return Job(self.ctx, self.clients, self.parent.fresh() if self.parent else None)

    @property
    def stop(self) -> bool:
        """Whether resources in progress give up."""
        return self.failed.is_set() or bool(self.cancelled) or (self.parent is not None and self.parent.stop)


class Runner:
    """Carries out operations on stacks.

    `handlers` make the resource types (see resources), `pause(seconds)` waits, `pool()` gives an executor for the resources
    that are made at once, `watch(record, job)` returns why the operation must be rolled back ('' while nothing asks for it).
    """

    def __init__(self, book: Book, handlers: Mapping[str, Handler], schemas: Callable[[str], Schemas],
                 exported: Callable[[str], Callable[[str], str]], authorize: Callable[[Job, str, str], None],
                 endpoint: str = "", pause: Callable[[float], None] = time.sleep,
                 pool: Callable[[], concurrent.futures.Executor] = lambda: concurrent.futures.ThreadPoolExecutor(8, "cfn"),
                 ) -> None:
        self.book, self._schemas, self._exported, self.authorize = book, schemas, exported, authorize
        self.handlers = {**handlers, STACK: NestedStack(self)}
        self.endpoint, self.pause, self._pool = endpoint, pause, pool

    # --- shared -------------------------------------------------------------------------------------------------------

    def schemas(self, record: Mapping[str, Any]) -> Schemas:
        """Return the schemas of the stack's Region."""
        return self._schemas(record["StackId"].split(":")[3])

    def prepare(self, record: Mapping[str, Any], job: Job) -> Prepared:
        """Bind the stack's template to its parameters."""
        return stacks.prepare(record["template"], record["parameters"], record["StackId"], job.clients, self.schemas(record),
                              self._exported(record["StackId"]), strict=False)

    def _walk(self, record: dict[str, Any], walk: Walk, job: Job, work: Callable[[str], bool],
              watch: Callable[[], str] = lambda: "") -> str:
        """Work through a walk; return why it was stopped from outside, or ''."""
        stopped = ""
        with self._pool() as pool:
            running: dict[concurrent.futures.Future[bool], str] = {}
            while not walk.over:
                for name in walk.take():
                    running[pool.submit(work, name)] = name
                ended, _ = concurrent.futures.wait(running, timeout=1.0, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    name = running.pop(future)
                    succeeded = future.result()
                    if not succeeded and not walk.persevere:
                        job.failed.set()
                    walk.finish(name, succeeded)
                if not stopped and not walk.stopped and (stopped := job.cancelled or watch()):
                    job.failed.set()
                if job.stop and not walk.persevere:
                    walk.stop()
        return stopped

    def request(self, record: dict[str, Any], name: str, job: Job, kind: str, properties: dict[str, Any],
                before: Mapping[str, Any] | None, physical_id: str, **more: Any) -> Request:
        """Return what a handler gets."""

        def claim(physical: str) -> None:
            with self.book.lock:
                resource = record["resources"][name]
                if resource["physical_id"] != physical:
                    resource["physical_id"] = physical
                    self.book.resource(record, name, resource["status"], "Resource creation Initiated")

        def note(reason: str) -> None:
            resource = record["resources"][name]
            self.book.event(record, name, kind, resource["physical_id"], resource["status"], reason)

        return Request(
            stack_id=record["StackId"], stack_name=record["StackName"], logical_id=name, type=kind,
            properties=copy.deepcopy(properties), before=copy.deepcopy(dict(before or {})), physical_id=physical_id,
            clients=job.clients, clock=self.book.clock, claim=claim, note=note, pause=self.pause, stop=lambda: job.stop,
            signals=lambda: self.book.signals(record["StackId"], name),
            clear_signals=lambda: self.book.clear_signals(record["StackId"], name), job=job, record=record, **more)

    def _attempt(self, record: dict[str, Any], name: str, verb: str, job: Job, action: Callable[[], Made | None]) -> Made | None:
        """Run one action of a handler; on failure set the resource's status and event, and return None."""
        failed = f"{verb.upper()}_FAILED"
        try:
            made = action()
            if job.stop and verb == "create":
                raise Cancelled()
            return made or Made(record["resources"][name]["physical_id"])
        except Cancelled:
            self.book.resource(record, name, failed, _CANCELLED[verb])
        except (Failed, TemplateError) as error:
            self.book.resource(record, name, failed, str(error))
        except ServiceError as error:
            self.book.resource(record, name, failed, f"{error.message} (Error Code: {error.code})")
        except ClientError as error:
            self.book.resource(record, name, failed, reason_of(error, record["resources"][name]["type"]))
        except BotoCoreError as error:
            self.book.resource(record, name, failed, f"{type(error).__name__}: {error}")
        except Exception as error:  # a fault of ours must end as a failed resource, not as a stack that hangs
            log.exception("%s %s of %s", verb, name, record["StackName"])
            self.book.resource(record, name, failed, f"Internal Failure ({type(error).__name__}: {error})")
        return None

    def _make(self, record: dict[str, Any], name: str, prepared: Prepared, job: Job) -> bool:
        """Bring one resource to what the template says, inside a create or an update."""
        operation = record["operation"]
        source = prepared.effective.resources[name]
        kind = source["Type"]
        schemas = self.schemas(record)
        old = record["resources"].get(name)
        if old is not None and not old["physical_id"]:
            old = None
        blank = {"type": kind, "physical_id": "", "properties": {}, "attributes": {}, "status": "", "reason": "",
                 "time": self.book.clock.now(), "deletion_policy": source.get("DeletionPolicy", "Delete"),
                 "update_replace_policy": source.get("UpdateReplacePolicy", "Delete"),
                 "needs": sorted(prepared.effective.needs[name]), "metadata": {}, "creation_policy": {}, "update_policy": {}}
        policies: dict[str, Any] = {}
        try:
            scope = stacks.live_scope(prepared, record)
            properties = engine.with_tags(kind, intrinsics.resolve(source.get("Properties") or {}, scope), record["tags"], schemas)
            policies = {key: intrinsics.resolve(source.get(attribute) or {}, scope) for key, attribute in (
                ("creation_policy", "CreationPolicy"), ("update_policy", "UpdatePolicy"))}
            blank.update(policies)
            blank.update({key: intrinsics.resolve(blank[key], scope) for key in ("deletion_policy", "update_replace_policy")},
                         metadata=intrinsics.resolve(source.get("Metadata") or {}, scope))
            problem = ""
        except TemplateError as error:
            properties, problem = {}, error.message
        decision = engine.decide(kind, old["properties"] if old else None, properties, schemas)
        if old is not None and not problem and decision.action == "none" and not self._half_made(old):
            with self.book.lock:
                old.update({key: blank[key] for key in ("deletion_policy", "update_replace_policy", "needs", "metadata",
                                                         "creation_policy", "update_policy")})
            return True
        action = "create" if old is None else decision.action if decision.action != "none" else "update"
        unborn = old is not None and old["status"].startswith("CREATE_") and self._half_made(old)
        action = "replace" if unborn else action
        if not problem and (found := schemas.problems(kind, properties)):
            problem = f"Properties validation failed for resource {name} with message:\n" + "\n".join(found)
        if not problem and kind not in self.handlers:
            problem = f"Resource type {kind} is not served by the local AWS"
        if not problem and action == "replace" and not unborn and (taken := engine.name_in_the_way(kind, old["properties"], properties, schemas)):
            problem = (f"CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {taken} "
                       "and update the stack again.")
        verb = "create" if action == "create" else "update"
        with self.book.lock:
            if operation is not None:
                operation["touched"][name] = action
            if action == "update":
                record["resources"][name] = {**blank, "physical_id": old["physical_id"], "attributes": old["attributes"],
                                             "properties": old["properties"]}
            else:
                record["resources"][name] = blank
            if action == "create":
                record["resources"][name]["properties"] = properties
        if problem:
            if action == "replace":
                record["resources"][name].update(physical_id=old["physical_id"], attributes=old["attributes"],
                                                 properties=old["properties"])
                operation["touched"][name] = "update"
            self.book.resource(record, name, f"{verb.upper()}_FAILED", problem)
            return False
        handler = self.handlers[kind]
        self.book.clear_signals(record["StackId"], name)
        note = "Requested update requires the creation of a new physical resource; hence creating one." if action == "replace" else ""
        record["resources"][name]["properties"] = properties
        self.book.resource(record, name, f"{verb.upper()}_IN_PROGRESS", note)
        request = self.request(record, name, job, kind, properties, old["properties"] if old else None,
                               "" if action != "update" else old["physical_id"], undoing=False, **policies)
        if action != "update":
            def create() -> Made:
                made = handler.create(request)
                request.claim(made.physical_id)
                return made
            made = self._attempt(record, name, verb, job, create)
        else:
            made = self._attempt(record, name, verb, job, lambda: handler.update(request))
        if made is None:
            return False
        with self.book.lock:
            resource = record["resources"][name]
            if action == "update" and not made.attributes:
                made = Made(made.physical_id, old["attributes"])
            resource.update(physical_id=made.physical_id, attributes=made.attributes)
            self.book.resource(record, name, f"{verb.upper()}_COMPLETE")
        return True

    @staticmethod
    def _half_made(resource: Mapping[str, Any]) -> bool:
        """Whether an earlier attempt left the resource unfinished, so that it is made again although nothing changed."""
        return resource["status"] in ("CREATE_FAILED", "UPDATE_FAILED", "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")

    def _unmake(self, record: dict[str, Any], name: str, resource: dict[str, Any], job: Job, policy: str, undoing: bool) -> bool:
        """Delete one physical resource (of the record's resources or of a clean-up list), or keep it by policy."""
        def event(status: str, reason: str = "") -> None:
            with self.book.lock:
                resource.update(status=status, reason=reason, time=self.book.clock.now())
                self.book.event(record, name, resource["type"], resource["physical_id"], status, reason, resource["properties"])

        if not resource["physical_id"]:
            return True
        if engine.kept(policy, undoing):
            event("DELETE_SKIPPED")
            return True
        event("DELETE_IN_PROGRESS")
        request = self.request(record, name, job, resource["type"], resource["properties"], None, resource["physical_id"],
                               undoing=undoing)
        request.claim = lambda physical: None
        try:
            self.handlers[resource["type"]].delete(request)
        except ClientError as error:
            event("DELETE_FAILED", reason_of(error, resource["type"]))
            return False
        except (Failed, TemplateError, ServiceError, BotoCoreError) as error:
            event("DELETE_FAILED", str(error))
            return False
        except Exception as error:
            log.exception("delete %s of %s", name, record["StackName"])
            event("DELETE_FAILED", f"Internal Failure ({type(error).__name__}: {error})")
            return False
        event("DELETE_COMPLETE")
        return True

    def _settle(self, record: dict[str, Any], prepared: Prepared) -> str:
        """Compute outputs and imports once all resources are there; return what is wrong with them, or ''."""
        try:
            scope = stacks.live_scope(prepared, record)
            outputs = stacks.outputs_of(prepared, scope)
            imports = stacks.imports_of(prepared, scope)
            problem = self.authorize_exports(record, outputs)
        except TemplateError as error:
            return error.message
        if problem:
            return problem
        with self.book.lock:
            record["outputs"], record["imports"] = outputs, imports
            record["description"] = prepared.data.get("Description", "") or ""
        return ""

    authorize_exports: Callable[[dict[str, Any], dict[str, Any]], str] = staticmethod(lambda record, outputs: "")
    """Returns why the outputs' exports cannot be had ('' if they can); the Api puts its own in."""

    watch: Callable[[dict[str, Any], Job], str] = staticmethod(lambda record, job: "")
    """Returns why rollback triggers ask for a rollback, or ''; the Api puts its own in."""

    def _monitor(self, record: dict[str, Any], job: Job) -> str:
        """Watch the rollback triggers for the monitoring time after all resources are made; return why to roll back."""
        if record["ParentId"] or not record["rollback"].get("RollbackTriggers"):
            return ""
        end = self.book.clock.now() + 60 * float(record["rollback"].get("MonitoringTimeInMinutes") or 0)
        while not (reason := self.watch(record, job) or job.cancelled) and self.book.clock.now() < end:
            self.pause(min(5.0, max(0.1, end - self.book.clock.now())))
        return reason

    # --- operations ---------------------------------------------------------------------------------------------------

    def create(self, record: dict[str, Any], job: Job, on_failure: str = "ROLLBACK") -> bool:
        """Create a stack whose record holds its template and parameters; ends in a final status. Returns success.

        `on_failure`: ROLLBACK, DELETE or DO_NOTHING. A nested stack stays CREATE_FAILED; its parent takes it down.
        """
        self.book.status(record, "CREATE_IN_PROGRESS", "" if record["ParentId"] else "User Initiated")
        reason = self._forward(record, job)
        if not reason:
            self.book.status(record, "CREATE_COMPLETE")
            return True
        if record["ParentId"] or on_failure == "DO_NOTHING" or job.abandon:
            self.book.status(record, "CREATE_FAILED", reason)
            return False
        if on_failure == "DELETE":
            self.delete(record, job.fresh(), undoing=True, reason=f"{reason} Delete requested by user.")
            return False
        self.book.status(record, "ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
        left = self._take_down(record, job.fresh(), undoing=True)
        if left:
            self.book.status(record, "ROLLBACK_FAILED", engine.failure_reason((), (), left))
        else:
            self.book.status(record, "ROLLBACK_COMPLETE")
        return False

    def _forward(self, record: dict[str, Any], job: Job) -> str:
        """Make every resource of the record's template; return why that failed, or ''."""
        try:
            prepared = self.prepare(record, job)
        except TemplateError as error:
            return error.message
        except ClientError as error:
            return reason_of(error)
        walk = Walk({name: prepared.effective.needs[name] for name in template.check_cycles(prepared.effective.needs)})
        watched = [0.0]

        def watch() -> str:
            if record["ParentId"] or not record["rollback"].get("RollbackTriggers") or self.book.clock.now() - watched[0] < 5:
                return ""
            watched[0] = self.book.clock.now()
            return self.watch(record, job)

        if reason := watch():
            return reason
        def work(name: str) -> bool:
            try:
                return self._make(record, name, prepared, job)
            except Exception as error:  # a fault of ours must end as a failed resource, not as a stack that hangs
                log.exception("%s of %s", name, record["StackName"])
                if name in record["resources"]:
                    self.book.resource(record, name, "CREATE_FAILED", f"Internal Failure ({type(error).__name__}: {error})")
                return False

        stopped = self._walk(record, walk, job, work, watch)
        if stopped:
            return stopped
        if walk.failed:
            created = [name for name in walk.failed if record["resources"].get(name, {}).get("status") != "UPDATE_FAILED"]
            return engine.failure_reason(created, [name for name in walk.failed if name not in created])
        if not walk.complete:
            return "The operation of the parent stack was stopped."
        return self._settle(record, prepared) or self._monitor(record, job)

    def delete(self, record: dict[str, Any], job: Job, undoing: bool = False, reason: str = "", retain: Iterable[str] = ()) -> bool:
        """Delete a stack; `undoing`: as the rollback of its creation. Returns success."""
        undoing = undoing or record["status"] in ("CREATE_FAILED", "ROLLBACK_FAILED")
        self.book.status(record, "DELETE_IN_PROGRESS", reason or ("" if record["ParentId"] else "User Initiated"))
        left = self._take_down(record, job, undoing, frozenset(retain))
        if left:
            self.book.status(record, "DELETE_FAILED", engine.failure_reason((), (), left))
            return False
        with self.book.lock:
            record["outputs"], record["operation"] = {}, None
            self.book.status(record, "DELETE_COMPLETE")
        return True

    def _take_down(self, record: dict[str, Any], job: Job, undoing: bool, retain: frozenset[str] = frozenset()) -> list[str]:
        """Delete all resources (and what an unfinished update left beside them); return those that failed."""
        for entry in self._beside(record):
            self._unmake(record, entry["name"], entry["resource"], job, entry["policy"], False)
        present = {name: resource for name, resource in record["resources"].items()
                   if resource["physical_id"] and resource["status"] not in ("DELETE_COMPLETE", "DELETE_SKIPPED")}
        needs = engine.reverse({name: [need for need in resource["needs"] if need in present]
                                for name, resource in present.items()})
        walk = Walk(needs, persevere=True)

        def work(name: str) -> bool:
            if name in retain:
                self.book.resource(record, name, "DELETE_SKIPPED")
                return True
            return self._unmake(record, name, present[name], job, present[name]["deletion_policy"], undoing)

        self._walk(record, walk, job, work)
        return sorted(set(walk.failed) | {name for name in present if name not in walk.done and name not in walk.failed and walk.failed
                                          and present[name]["status"] == "DELETE_FAILED"})

    @staticmethod
    def _beside(record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what an unfinished update left beside the resources that count: to be cleaned up with the next operation."""
        operation = record["operation"]
        if not operation:
            return []
        before, held = operation["before"]["resources"], {item["physical_id"] for item in record["resources"].values()}
        entries = list(operation["cleanup"])
        entries += [{"name": name, "resource": copy.deepcopy(before[name]), "policy": before[name]["update_replace_policy"]}
                    for name, action in operation["touched"].items() if action == "replace"]
        unique = {entry["resource"]["physical_id"]: entry for entry in entries}
        return [entry for physical, entry in unique.items() if physical and physical not in held]

    def begin_update(self, record: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Put the new template and settings into the record, and keep the old ones for the way back."""
        with self.book.lock:
            before = {key: copy.deepcopy(record[key]) for key in (
                "template", "parameters", "tags", "capabilities", "description", "rollback", "outputs", "imports", "resources")}
            leftovers = self._beside(record)
            record["operation"] = {"before": before, "touched": {}, "restored": [], "back": False,
                                   "cleanup": [{**entry, "left": True} for entry in leftovers]}
            record.update(changes)
            self.book.status(record, "UPDATE_IN_PROGRESS", "" if record["ParentId"] else "User Initiated")

    def update(self, record: dict[str, Any], job: Job, rollback: bool = True) -> str:
        """Carry out an update that was begun; return '' or why it failed.

        A root ends in a final status. A nested stack that succeeded waits in UPDATE_COMPLETE_CLEANUP_IN_PROGRESS for
        `clean_up`, one that failed has gone back and waits in UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS.
        """
        reason = self._forward(record, job)
        if reason and not rollback:
            for child in self._waiting(record):
                self.clean_up(child, job.fresh())
            self.book.status(record, "UPDATE_FAILED", reason)
            return reason
        if reason:
            self.roll_back(record, job.fresh(), reason)
            return reason
        gone = [name for name in record["resources"] if name not in self._expected(record, job)]
        with self.book.lock:
            operation = record["operation"]
            before = operation["before"]["resources"]
            for name, action in operation["touched"].items():
                if action == "replace":
                    operation["cleanup"].append({"name": name, "resource": copy.deepcopy(before[name]),
                                                 "policy": before[name]["update_replace_policy"]})
            for name in gone:
                resource = record["resources"].pop(name)
                operation["cleanup"].append({"name": name, "resource": resource, "policy": resource["deletion_policy"]})
            self.book.status(record, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        if not record["ParentId"]:
            self.clean_up(record, job)
        return ""

    def _waiting(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the children that wait for this stack's clean-up."""
        children = (self.book.stack(resource["physical_id"]) for resource in record["resources"].values() if resource["type"] == STACK)
        return [child for child in children if child and child["status"].endswith("COMPLETE_CLEANUP_IN_PROGRESS")]

    def _expected(self, record: dict[str, Any], job: Job) -> set[str]:
        return set(self.prepare(record, job).effective.resources)

    def clean_up(self, record: dict[str, Any], job: Job) -> None:
        """Delete what the update (or its rollback) left behind, in this stack and in its children; ends the operation."""
        back = record["status"].startswith("UPDATE_ROLLBACK")
        nodes: dict[str, tuple[str, dict[str, Any], str | None]] = {
            f"old {index} {entry['name']}": (entry["name"], entry["resource"], entry["policy"])
            for index, entry in enumerate(record["operation"]["cleanup"])}
        for name, resource in record["resources"].items():
            child = self.book.stack(resource["physical_id"]) if resource["type"] == STACK else None
            if child and child["status"].endswith("COMPLETE_CLEANUP_IN_PROGRESS"):
                nodes[f"child {name}"] = (name, resource, None)
        needs = {key: {other for other, (name, _, _) in nodes.items() if name in resource["needs"] and other != key}
                 for key, (_, resource, _) in nodes.items()}
        needs = engine.reverse(needs)

        def work(key: str) -> bool:
            name, resource, policy = nodes[key]
            if policy is None:
                if child := self.book.stack(resource["physical_id"]):
                    self.clean_up(child, job.child())
                return True
            return self._unmake(record, name, resource, job, policy, back)

        for attempt in range(3):  # AWS tries three times, then leaves the resource behind
            walk = Walk(needs, persevere=True)
            self._walk(record, walk, job, work)
            needs = {key: wanted - walk.done for key, wanted in needs.items() if key not in walk.done}
            if not needs:
                break
            if attempt < 2:
                self.pause(1.0)
            else:
                for key in needs:  # what the failed ones held up is tried once more, on its own
                    if key not in walk.failed:
                        work(key)
        with self.book.lock:
            record["operation"] = None
            self.book.status(record, "UPDATE_ROLLBACK_COMPLETE" if back else "UPDATE_COMPLETE")

    def roll_back(self, record: dict[str, Any], job: Job, reason: str, skip: Iterable[str] = ()) -> bool:
        """Bring an update (failed, cancelled, or undone by the parent) back; returns success.

        Ends in UPDATE_ROLLBACK_COMPLETE for a root, waits for the parent's clean-up in a nested stack.
        """
        operation = record["operation"]
        self.book.status(record, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        before = operation["before"]["resources"]
        with self.book.lock:
            for name in skip:
                operation["restored"].append(name)
                if name in record["resources"]:
                    record["resources"][name] = {**copy.deepcopy(before.get(name, record["resources"][name])),
                                                 "physical_id": record["resources"][name]["physical_id"]}
                    self.book.resource(record, name, "UPDATE_COMPLETE")
            leftovers = [entry for entry in operation["cleanup"] if entry.get("left")]
            for entry in operation["cleanup"]:  # a child that had succeeded: what it meant to delete is what it goes back to
                if not entry.get("left") and entry["name"] not in record["resources"] and not operation["back"]:
                    record["resources"][entry["name"]] = entry["resource"]
            undo = engine.undo(operation["touched"], before, operation["restored"])
            if not operation["back"]:
                operation["cleanup"] = leftovers + [
                    {"name": name, "resource": copy.deepcopy(record["resources"][name]),
                     "policy": record["resources"][name]["deletion_policy"]}
                    for name in undo.remove if name in record["resources"]]
                operation["back"] = True

        def work(name: str) -> bool:
            if name in undo.put_back:
                with self.book.lock:
                    record["resources"][name] = copy.deepcopy(before[name])
                    self.book.resource(record, name, "UPDATE_IN_PROGRESS")
                    self.book.resource(record, name, "UPDATE_COMPLETE")
                    operation["restored"].append(name)
                return True
            current = record["resources"][name]
            self.book.resource(record, name, "UPDATE_IN_PROGRESS")
            refused = canonical(current["properties"]) == canonical(before[name]["properties"]) and current["type"] != STACK
            if refused:  # the update was refused before anything was done
                with self.book.lock:
                    record["resources"][name] = copy.deepcopy(before[name])
                    self.book.resource(record, name, "UPDATE_COMPLETE")
                    operation["restored"].append(name)
                return True
            request = self.request(record, name, job, current["type"], before[name]["properties"], current["properties"],
                                   before[name]["physical_id"], undoing=True,
                                   update_policy=before[name].get("update_policy") or {})
            made = self._attempt(record, name, "update", job, lambda: self.handlers[current["type"]].update(request))
            if made is None:
                return False
            with self.book.lock:
                record["resources"][name] = {**copy.deepcopy(before[name]), "attributes": made.attributes or before[name]["attributes"]}
                self.book.resource(record, name, "UPDATE_COMPLETE")
                operation["restored"].append(name)
            return True

        walk = Walk(undo.restore)
        self._walk(record, walk, job, work)
        if not walk.complete:
            self.book.status(record, "UPDATE_ROLLBACK_FAILED", engine.failure_reason((), walk.failed) or "The rollback was stopped.")
            return False
        with self.book.lock:
            made = [entry["name"] for entry in operation["cleanup"]]
            for name in [name for name in record["resources"] if name not in before]:
                if name not in made:
                    operation["cleanup"].append({"name": name, "resource": record["resources"][name],
                                                 "policy": record["resources"][name]["deletion_policy"]})
                del record["resources"][name]
            record.update({key: value for key, value in operation["before"].items() if key != "resources"})
            self.book.status(record, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        if not record["ParentId"]:
            self.clean_up(record, job)
        return True


_HANDLER_CODES = (("AccessDenied", "AccessDenied"), ("Unauthorized", "AccessDenied"), ("AlreadyExists", "AlreadyExists"),
                  ("AlreadyOwned", "AlreadyExists"), ("Duplicate", "AlreadyExists"), ("NotFound", "NotFound"),
                  ("NoSuch", "NotFound"), ("DoesNotExist", "NotFound"), ("Throttl", "Throttling"), ("LimitExceeded", "ServiceLimitExceeded"),
                  ("Validation", "InvalidRequest"), ("Invalid", "InvalidRequest"), ("Malformed", "InvalidRequest"))


def reason_of(error: ClientError, kind: str = "AWS::CloudFormation::Stack") -> str:
    """Return the sentence with which the resource handler of a type reports its service's error."""
    code, message = error.response["Error"].get("Code", "Unknown"), error.response["Error"].get("Message", "")
    handler_code = next((name for part, name in _HANDLER_CODES if part in code), "GeneralServiceException")
    meta = error.response.get("ResponseMetadata") or {}
    return (f'Resource handler returned message: "{message} (Service: {kind.split("::")[1]}, Error Code: {code}, Status Code: '
            f'{meta.get("HTTPStatusCode", 400)}, Request ID: {meta.get("RequestId", "")})" (HandlerErrorCode: {handler_code})')
