"""The machines of the local AWS as the other services use them: EC2's hosts and CodeBuild's boxes.

`hosts` has no operations on the wire. EC2 calls `launch` and `terminate`, CodeBuild `start_box`, SSM `install_agent` and `may`, the
balancer `image`.
"""

from __future__ import annotations

import concurrent.futures
import json
import logging
import tarfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from localaws.hosts import driver, image
from localaws.hosts.box import Box
from localaws.service import Aws, Context, Service, ServiceError

log = logging.getLogger("localaws")

INSTANCE_LABEL = "localaws.instance"
BOX_LABEL = "localaws.box"
WATCH_SECONDS = 2.0
CPU_SECONDS = 5.0
REFRESH_SECONDS = 60.0
VCPUS = 2
"""Processors of the instance types that are small enough to be played here: a host that uses one of them fully shows 50 %."""
AT_ONCE = 8
"""Hosts started or stopped at the same time."""
AGENT_INSTALL_SECONDS = 60


@dataclass(frozen=True)
class Launch:
    """What EC2 knows of an instance when it starts: all that its host and its metadata service tell.

    `launched` is in seconds since the epoch; `role_arn`, `profile_arn`, `profile_id` are '' without an instance profile; `tokens` is
    required|optional; `instance_tags` enabled|disabled; `user_data` the script itself (not base64).
    """

    account: str
    region: str
    instance_id: str
    zone: str
    image_id: str
    instance_type: str
    launched: float
    role_arn: str = ""
    profile_arn: str = ""
    profile_id: str = ""
    user_data: str = ""
    hop_limit: int = 1
    tokens: str = "optional"
    instance_tags: str = "disabled"
    tags: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> str:
        """Return metadata.json, as localaws/hosts/metadata.py reads it."""
        return json.dumps({
            "account": self.account, "region": self.region, "zone": self.zone, "instanceId": self.instance_id, "imageId": self.image_id,
            "instanceType": self.instance_type, "launched": self.launched, "role": self.role_arn.rpartition("/")[2],
            "profileArn": self.profile_arn, "profileId": self.profile_id, "tags": self.tags, "instanceTags": self.instance_tags,
            "hopLimit": self.hop_limit, "tokens": self.tokens})


class Hosts(Service):
    """Every host and box of the local AWS."""

    name = "hosts"

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws)
        self._image_lock = threading.Lock()
        self._launches: dict[str, Launch] = {}
        self._machines: dict[str, driver.Machine] = {}
        self._busy: set[str] = set()
        self._boxes: dict[str, Box] = {}
        self._cpu: dict[str, tuple[float, float]] = {}
        self._lost: dict[str, str] = {}

    # -- images ------------------------------------------------------------------------------------------------------------

    def image(self) -> str:
        """Return the name of the image of hosts, boxes and balancers, with this AWS's CA trusted; made if missing (minutes)."""
        with self._image_lock:
            # Asked for each time: an image may be removed under a local AWS that runs.
            made = image.host_image(self.aws.docker, log.info)
            return image.trusting(self.aws.docker, made, self.aws.ca_file.read_bytes())

    # -- hosts -------------------------------------------------------------------------------------------------------------

    def launch(self, launch: Launch) -> str:
        """Start the host of an instance and return its private address; user data and all else follow in the background.

        Raises ServiceError("InternalError") if Docker cannot start it.
        """
        labels = {**self.aws.labels, INSTANCE_LABEL: launch.instance_id}
        files = {"metadata.json": launch.metadata(), "credentials.json": json.dumps(self._credentials(launch))}
        if launch.user_data:
            files["user-data"] = launch.user_data
        plan = driver.Plan(name=_container(launch.instance_id), image=self.image(), network=self.aws.network.name,
                           gateway=self.aws.network.gateway, kind="host", engine=True, files=files, labels=labels, environment={})
        with self.lock:
            self._launches[launch.instance_id] = launch
            self._busy.add(launch.instance_id)
        machine: driver.Machine | None = None
        try:
            machine = driver.create(self.aws.docker, plan)
            machine.start()
            with self.lock:
                self._machines[launch.instance_id] = machine
            return machine.address
        except Exception as error:
            if machine is not None:
                machine.remove()
            with self.lock:
                self._launches.pop(launch.instance_id, None)
            raise ServiceError("InternalError", f"the host of {launch.instance_id} cannot be started: {error}", 500) from error
        finally:
            with self.lock:
                self._busy.discard(launch.instance_id)

    def terminate(self, instance_id: str) -> None:
        """Remove the host of an instance with all that it holds; nothing happens if there is none."""
        with self.lock:
            self._busy.add(instance_id)
            machine = self._machines.pop(instance_id, None)
            self._launches.pop(instance_id, None)
            self._cpu.pop(instance_id, None)
            self._lost.pop(instance_id, None)
        try:
            if machine is not None:
                machine.remove()
        finally:
            with self.lock:
                self._busy.discard(instance_id)

    def address(self, instance_id: str) -> str:
        """Return the private address of a running instance, '' if it has none (stopped, gone)."""
        with self.lock:
            machine = self._machines.get(instance_id)
        if machine is None:
            return ""
        try:
            return machine.address
        except Exception:  # the container was removed by somebody else
            return ""

    def exec(self, instance_id: str, argv: list[str], timeout: float = 60) -> tuple[int, str]:
        """Run `argv` as root on the host of an instance: (exit code, output). Raises ServiceError if it has no host."""
        return self._machine(instance_id).output(argv, timeout)

    def may(self, instance_id: str, action: str, resource: str = "*") -> bool:
        """Return whether the role of an instance allows `action`: agents on it that are not there can do only that."""
        with self.lock:
            launch = self._launches.get(instance_id)
        if launch is None or not launch.role_arn:
            return False
        try:
            clients = self.aws.as_role(launch.role_arn, "ec2.amazonaws.com", instance_id)
            session = f"arn:aws:sts::{launch.account}:assumed-role/{launch.role_arn.rpartition('/')[2]}/{instance_id}"
            self.aws.authorize(Context(launch.account, launch.region, session, clients.credentials()["AccessKeyId"]), action, resource)
        except ServiceError as error:
            log.warning("%s: %s", instance_id, error)
            return False
        return True

    def install_agent(self, instance_id: str) -> tuple[int, str]:
        """Install and start the CodeDeploy agent on a host: (exit code, output)."""
        machine = self._machine(instance_id)
        machine.wait_booted()
        return machine.output(["sh", f"{driver.PROGRAMS}/agent/install.sh"], AGENT_INSTALL_SECONDS)

    # -- boxes -------------------------------------------------------------------------------------------------------------

    def start_box(self, name: str, environment: dict[str, str] | None = None, credentials: Callable[[], dict[str, Any]] | None = None,
                  docker: bool = False, preload: list[str] | None = None) -> Box:
        """Start a container of the host image for work such as a build, and return it when it can be worked in (1 to 3 s).

        `name` is the container's (letters, digits, - and _; unique); `environment` is what every command in it gets; `credentials`
        returns {AccessKeyId, SecretAccessKey, Token, Expiration (epoch seconds)}, is asked again before they expire, and is
        served at AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, which is set then. With `docker` the box has an engine of its own, into which the
        images `preload` (names in this machine's engine; image.PYTHON_IMAGE is made if missing) are loaded.
        Raises ServiceError("InternalError") with the reason if Docker cannot start it. The caller removes the box.
        """
        variables = dict(environment or {})
        if credentials is not None:
            variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/localaws"
        plan = driver.Plan(name=name, image=self.image(), network=self.aws.network.name, gateway=self.aws.network.gateway, kind="box",
                           engine=docker, files={}, labels={**self.aws.labels, BOX_LABEL: name}, environment={})
        machine: driver.Machine | None = None
        try:
            machine = driver.create(self.aws.docker, plan)
            machine.start()
            box = Box(machine, variables, credentials, self.aws.clock.now, self._forget)
            box.refresh()
            machine.wait_booted()
            for wanted in (preload or []) if docker else []:
                machine.load_image(self._archive(wanted))
        except ServiceError:
            if machine is not None:
                machine.remove()
            raise
        except Exception as error:
            if machine is not None:
                machine.remove()
            raise ServiceError("InternalError", f"the container {name} cannot be started: {error}", 500) from error
        with self.lock:
            self._boxes[name] = box
        return box

    def _forget(self, name: str) -> None:
        with self.lock:
            self._boxes.pop(name, None)

    def _archive(self, name: str) -> Path:
        """Return a file with image `name` as `Machine.load_image` takes it, made once per image."""
        file: Path
        with self._image_lock:
            if name == image.PYTHON_IMAGE:
                image.python_image(self.aws.docker, log.info)
            found = self.aws.docker.images.get(name)
            folder = self.aws.state_dir / "images"
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / (str(found.id).removeprefix("sha256:")[:24] + ".tar")
            if not file.exists():
                plain, wrapped = file.with_suffix(".save"), file.with_suffix(".part")
                with plain.open("wb") as out:
                    for chunk in found.save(named=name):
                        out.write(chunk)
                with tarfile.open(wrapped, "w") as archive:
                    archive.add(plain, "image.tar")
                plain.unlink()
                wrapped.rename(file)
            return file

    # -- life --------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring back the hosts that ran when the local AWS stopped; then watch them, their credentials and their CPU."""
        for machine in driver.find(self.aws.docker, {**self.aws.labels}, self.aws.network.name):
            instance_id = machine.container.labels.get(INSTANCE_LABEL)
            if instance_id in self._launches:
                self._machines[instance_id] = machine
            elif instance_id or machine.container.labels.get(BOX_LABEL):
                machine.remove()  # a build that the stop ended, or a host that no instance knows
        on_lost = getattr(self.aws.services.get("ec2"), "on_host_lost", None)
        for instance_id in [known for known in self._launches if known not in self._machines]:
            launch = self._launches.pop(instance_id)
            log.warning("the host of %s is gone", instance_id)
            if on_lost is not None:
                on_lost(launch.account, launch.region, instance_id, True)
        self._all(self._come_back, list(self._machines))
        self.aws.every(WATCH_SECONDS, "hosts-watch", self._watch)
        self.aws.every(CPU_SECONDS, "hosts-cpu", self._measure)
        self.aws.every(REFRESH_SECONDS, "hosts-credentials", self._refresh)

    def stop(self) -> None:
        """Stop every host and remove every box."""
        with self.lock:
            boxes, running = list(self._boxes.values()), [known for known in self._machines if known not in self._busy]
            self._stopping = True
        for box in boxes:
            box.remove()
        self._all(lambda instance_id: self._machines[instance_id].stop(), running)

    def dump(self) -> Any:
        """The hosts."""
        with self.lock:
            return {"launches": [asdict(launch) for launch in self._launches.values()]}

    def load(self, state: Any) -> None:
        """Take up the hosts of the last run; their containers are looked for in `start`."""
        self._launches = {entry["instance_id"]: Launch(**entry) for entry in state["launches"]}

    _stopping = False

    def _all(self, work: Callable[[str], Any], instance_ids: list[str]) -> None:
        """Do `work` for every instance, a few at once; a failure is logged and does not stop the others."""
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE, "hosts") as pool:
            for instance_id, future in [(known, pool.submit(work, known)) for known in instance_ids]:
                try:
                    future.result()
                except Exception:
                    log.exception("host %s", instance_id)

    def _come_back(self, instance_id: str) -> None:
        """Start a host that stopped with the local AWS, with fresh credentials; its address may be another one now."""
        launch, machine = self._launches[instance_id], self._machines[instance_id]
        self._write_credentials(launch, machine)
        machine.start()
        on_address = getattr(self.aws.services.get("ec2"), "on_host_address", None)
        if on_address is not None:
            on_address(launch.account, launch.region, instance_id, machine.address)

    def _machine(self, instance_id: str) -> driver.Machine:
        with self.lock:
            machine = self._machines.get(instance_id)
        if machine is None:
            raise ServiceError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return machine

    def _credentials(self, launch: Launch) -> dict[str, Any]:
        """Return credentials.json for an instance: its role's credentials, or why there are none."""
        if not launch.role_arn:
            return {}
        try:
            found = self.aws.as_role(launch.role_arn, "ec2.amazonaws.com", launch.instance_id).credentials()
        except ServiceError as error:
            log.warning("%s has no credentials: %s", launch.instance_id, error)
            return {"Code": "AssumeRoleUnauthorizedAccess", "Updated": self.aws.clock.now()}
        return {"Code": "Success", "Updated": self.aws.clock.now(), **found}

    def _write_credentials(self, launch: Launch, machine: driver.Machine) -> None:
        machine.write("credentials.json", json.dumps(self._credentials(launch)))

    def _refresh(self) -> None:
        """Give every host and box the credentials that are current now."""
        with self.lock:
            pairs = [(self._launches[known], machine) for known, machine in self._machines.items() if known not in self._busy]
            boxes = list(self._boxes.values())
        renewals: list[tuple[str, Callable[[], None]]] = [
            (launch.instance_id, partial(self._write_credentials, launch, machine)) for launch, machine in pairs if launch.role_arn]
        renewals += [(str(box.machine.container.name), box.refresh) for box in boxes]
        for what, renew in renewals:
            try:
                renew()
            except Exception as error:  # it begins or ends just now; the others wait for theirs
                log.warning("%s has not got new credentials: %s", what, error)

    def _watch(self) -> None:
        """Tell EC2 of hosts that ended without being asked to, or are gone."""
        states = {machine.container.labels.get(INSTANCE_LABEL): machine.container.status
                  for machine in driver.find(self.aws.docker, dict(self.aws.labels), self.aws.network.name)}
        with self.lock:
            if self._stopping:
                return
            lost = {known: states.get(known, "removed") for known in self._machines
                    if known not in self._busy and states.get(known, "removed") not in ("running", "created", "restarting")}
            news = {known: state for known, state in lost.items() if self._lost.get(known) != state}
            self._lost = lost
            launches = {known: self._launches[known] for known in news}
        on_lost = getattr(self.aws.services.get("ec2"), "on_host_lost", None)
        for known, state in news.items():
            log.warning("the host of %s is %s", known, state)
            if on_lost is not None:
                on_lost(launches[known].account, launches[known].region, known, state == "removed")

    def _measure(self) -> None:
        """Record AWS/EC2 CPUUtilization of every host, from the engine's counters."""
        record = getattr(self.aws.services.get("cloudwatch"), "record", None)
        with self.lock:
            pairs = [(self._launches[known], machine) for known, machine in self._machines.items()
                     if known not in self._busy and known not in self._lost]
        for launch, machine in pairs:
            try:
                stats = self.aws.docker.api.stats(machine.container.id, stream=False, one_shot=True)
            except Exception:  # it ends just now
                continue
            used, now = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, self.aws.clock.now()
            before = self._cpu.get(launch.instance_id)
            self._cpu[launch.instance_id] = (used, now)
            percent = cpu_percent(before, (used, now))
            if percent is None or record is None:
                continue
            group = launch.tags.get("aws:autoscaling:groupName")
            for dimensions in [{"InstanceId": launch.instance_id}, *([{"AutoScalingGroupName": group}] if group else [])]:
                record(launch.account, launch.region, "AWS/EC2", "CPUUtilization", dimensions, now, [percent], "Percent")


def cpu_percent(before: tuple[float, float] | None, now: tuple[float, float]) -> float | None:
    """Return the use of VCPUS processors in percent between two readings (seconds used, time); None without a first one."""
    if before is None or now[1] <= before[1] or now[0] < before[0]:
        return None
    return min(100.0, 100.0 * (now[0] - before[0]) / (now[1] - before[1]) / VCPUS)


def _container(instance_id: str) -> str:
    """The name of an instance's container, which is also its host name."""
    return f"localaws-{instance_id}"
