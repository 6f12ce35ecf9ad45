"""Containers with a Docker engine of their own: made, run in, stopped, removed.

The flags are those with which an engine works inside a container on machines where `--privileged` is refused (see
docs/local-aws.md, Hosts). Containers have one network, the local AWS's internal one, so nothing leaves the machine.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localaws.hosts.image import tar_of

CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "MKNOD", "DAC_READ_SEARCH", "IPC_LOCK", "SYS_NICE", "SYSLOG"]
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CONFIG = "/etc/localaws"
PROGRAMS = "/opt/localaws"
STOP_SECONDS = 20
TIMED_OUT = 124


def programs() -> dict[str, bytes]:
    """Return the files that run inside hosts and boxes, by their path below PROGRAMS."""
    here = Path(__file__).parent
    files = [here / "boot.sh", here / "metadata.py", *sorted((here / "agent").glob("*"))]
    return {str(file.relative_to(here)): file.read_bytes() for file in files if file.is_file()}


@dataclass(frozen=True)
class Plan:
    """What a new container is to be.

    `files` go below CONFIG; `labels` are added to it and to its volume; `kind` is what boot.sh makes of it (`host` or `box`);
    `environment` is that of every process in it.
    """

    name: str
    image: str
    network: str
    gateway: str
    kind: str
    engine: bool
    files: dict[str, str]
    labels: dict[str, str]
    environment: dict[str, str]


class Machine:
    """One container of a Plan: `container` is the docker SDK's object, `address` its IPv4 address on the network ('' while stopped)."""

    def __init__(self, client: Any, container: Any, network: str) -> None:
        self.client, self.container, self.network = client, container, network

    @property
    def address(self) -> str:
        """The container's address on the local AWS's network, '' while it is stopped."""
        self.container.reload()
        return str(self.container.attrs["NetworkSettings"]["Networks"].get(self.network, {}).get("IPAddress", ""))

    def exec(self, argv: list[str], environment: dict[str, str] | None = None, cwd: str = "/",
             on_output: Callable[[str], None] | None = None, timeout: float | None = None) -> int:
        """Run `argv` as root; return its exit code, TIMED_OUT if it took longer than `timeout` seconds (TERM, then KILL after 5 s)."""
        command = argv if timeout is None else ["timeout", "-k", "5", f"{timeout:g}", *argv]
        api = self.client.api
        started = api.exec_create(self.container.id, command, environment=environment or {}, workdir=cwd)["Id"]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for piece in api.exec_start(started, stream=True):
            text = decoder.decode(piece)
            if text and on_output is not None:
                on_output(text)
        code = api.exec_inspect(started)["ExitCode"]
        if code is None:
            return 137  # the container was killed while the command ran
        return TIMED_OUT if timeout is not None and code == 137 else int(code)

    def output(self, argv: list[str], timeout: float = 60) -> tuple[int, str]:
        """Run `argv`; return its exit code and all that it wrote."""
        pieces: list[str] = []
        code = self.exec(argv, on_output=pieces.append, timeout=timeout)
        return code, "".join(pieces)

    def put(self, tar_bytes: bytes | IO[bytes], path: str) -> None:
        """Unpack a tar archive into the folder `path`, made if it is missing (then the container must run)."""
        import docker.errors

        try:
            self.client.api.put_archive(self.container.id, path, tar_bytes)
        except docker.errors.NotFound:
            code, text = self.output(["mkdir", "-p", path])
            if code != 0:
                raise OSError(f"{path} cannot be made in {self.container.name}: {text.strip()}") from None
            self.client.api.put_archive(self.container.id, path, tar_bytes)

    def get(self, path: str) -> bytes:
        """Return a file or folder as a tar archive; FileNotFoundError if there is none."""
        import docker.errors

        try:
            stream, _ = self.container.get_archive(path)
        except docker.errors.NotFound as error:
            raise FileNotFoundError(f"{path} in {self.container.name}") from error
        return b"".join(stream)

    def write(self, name: str, text: str) -> None:
        """Write one file below CONFIG, readable by root only."""
        self.container.put_archive(CONFIG, tar_of({name: text}, 0o600))

    def load_image(self, wrapped: Path) -> None:
        """Load an image into the engine inside: `wrapped` is a tar archive that holds an archive of `docker save` as image.tar."""
        folder = "/var/tmp/localaws-images"
        self.output(["mkdir", "-p", folder])
        with wrapped.open("rb") as archive:
            self.put(archive, folder)
        code, text = self.output(["docker", "load", "-q", "-i", f"{folder}/image.tar"], timeout=300)
        self.output(["rm", "-rf", folder])
        if code != 0:
            raise OSError(f"docker load in {self.container.name} failed: {text.strip()}")

    def wait_booted(self, seconds: float = 90) -> None:
        """Wait until boot.sh has done its part before user data; TimeoutError with the log's end if it does not."""
        code, _ = self.output(["sh", "-c", "until [ -e /run/localaws-booted ]; do sleep 0.1; done"], timeout=seconds)
        if code != 0:
            raise TimeoutError(f"{self.container.name} did not boot within {seconds:g} s: "
                               + self.output(["tail", "-n", "5", "/var/log/localaws.log", "/var/log/dockerd.log"])[1])

    def start(self) -> None:
        """Start it (again)."""
        self.container.start()

    def stop(self) -> None:
        """Stop it, giving its engine time to stop its containers; they come back by their restart policy at `start`."""
        self.container.stop(timeout=STOP_SECONDS)

    def remove(self) -> None:
        """Remove it and its volume; nothing happens if it is gone."""
        import docker.errors

        try:
            self.container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if "already in progress" not in str(error):
                raise


def create(client: Any, plan: Plan) -> Machine:
    """Create (not start) the container of `plan`. Raises docker.errors.APIError, e.g. for a name in use or a full disk."""
    from docker.types import Mount

    api = client.api
    options: dict[str, Any] = {"init": True, "network_mode": plan.network, "cap_add": ["NET_ADMIN"], "tmpfs": {"/run": "exec"}}
    if plan.engine:
        options |= {
            "cap_add": CAPABILITIES, "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
            "device_cgroup_rules": ["a *:* rwm"],
            # overlay2 does not stand on overlay2: the engine's data needs a volume.
            "mounts": [Mount("/var/lib/docker", None, type="volume", labels=plan.labels)],
        }
    host_config = api.create_host_config(**options)
    if plan.engine:  # what the CLI makes of --security-opt systempaths=unconfined
        host_config |= {"MaskedPaths": [], "ReadonlyPaths": []}
    created = api.create_container(
        plan.image, ["sh", f"{PROGRAMS}/boot.sh"], name=plan.name, hostname=plan.name, labels=plan.labels,
        environment={"AWS_CA_BUNDLE": CA_BUNDLE, **plan.environment}, host_config=host_config, stop_signal="SIGTERM")
    machine = Machine(client, client.containers.get(created["Id"]), plan.network)
    try:
        machine.put(tar_of(programs(), 0o755), PROGRAMS)
        boot = f"GATEWAY={plan.gateway}\nKIND={plan.kind}\nENGINE={'yes' if plan.engine else 'no'}\n"
        machine.put(tar_of({"boot.env": boot, **plan.files}, 0o600), CONFIG)
    except BaseException:
        machine.remove()
        raise
    return machine


def find(client: Any, labels: dict[str, str], network: str) -> list[Machine]:
    """Return the machines, running or not, that carry all of `labels`."""
    query = {"label": [f"{name}={value}" for name, value in labels.items()]}
    return [Machine(client, container, network) for container in client.containers.list(all=True, filters=query, ignore_removed=True)]
