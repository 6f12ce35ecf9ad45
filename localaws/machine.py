"""Set up this machine for the local AWS: a Docker engine, and the base images.

    python -m localaws.machine [--yes]

Installs with apt what is missing (docker.io, debootstrap), after asking; YES=1,
CI=true or --yes answer for you. Run again at any time: what is there is left
alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import docker
import docker.errors

_PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap", "openssl": "openssl", "git": "git", "iptables": "iptables"}
_ENGINE_SECONDS = 40
_FREE_BYTES = 6 * 1024**3


class SetUpError(RuntimeError):
    """This machine cannot be set up; the message names the thing, the reason and the next step."""


def main(argv: list[str] | None = None) -> int:
    """Set the machine up. Exit code 0 ready, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m localaws.machine", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yes", action="store_true", help="install what is missing without asking")
    arguments = parser.parse_args(argv)
    agreed = arguments.yes or os.environ.get("YES") == "1" or os.environ.get("CI") == "true"
    try:
        ensure_space(shutil.disk_usage("/var/lib").free)
        client = ensure_engine(agreed)
        from localaws.hosts import image

        image.host_image(client, _say)
        image.python_image(client, _say)
    except SetUpError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    return 0


def ensure_space(free: int) -> None:
    """Raise SetUpError where `free` bytes are too few for images and hosts."""
    if free < _FREE_BYTES:
        raise SetUpError(f"{free / 1024**3:.1f} GiB are free under /var/lib, {_FREE_BYTES / 1024**3:.0f} are needed for images and hosts. "
                         "Next: free some space and run the command again")


def ensure_engine(agreed: bool) -> docker.DockerClient:
    """Return a client of this machine's Docker engine, installing and starting the engine where it is missing."""
    client = _answers()
    if client is None and os.environ.get("DOCKER_HOST"):
        raise SetUpError(f"the Docker engine of DOCKER_HOST={os.environ['DOCKER_HOST']} does not answer. "
                         "Next: start it, or unset DOCKER_HOST to use this machine's own")
    missing = [package for program, package in _PACKAGES.items() if shutil.which(program) is None
               and not (client and program in ("dockerd", "iptables"))]
    if missing:
        install(missing, agreed, _ask, subprocess.run)
    if client is None:
        _start_engine()
        client = _answers()
    if client is None:
        raise SetUpError("the Docker engine was started but does not answer. Next: read build/dockerd.log")
    return client


def install(packages: Sequence[str], agreed: bool, ask: Callable[[str], bool], run: Callable[..., object]) -> None:
    """Install Debian packages with apt, after asking.

    Raises SetUpError where that is refused, or where this is not a Debian-like machine on which we are root.
    """
    what = " ".join(packages)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SetUpError(f"needs {what}, and can only install with apt as root. Next: install them yourself and run the command again")
    if not agreed and not ask(f"Install {what} with apt-get? [y/N] "):
        raise SetUpError(f"needs {what}. Next: run again and say y, or set YES=1")
    print(f"set-up: installing {what}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(["apt-get", "update", "-qq"], check=True, env=environment, stdout=subprocess.DEVNULL)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=True, env=environment,
            stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise SetUpError(f"apt-get failed with code {error.returncode} while installing {what}. Next: see its output above") from error


def _say(text: str) -> None:
    print(f"set-up: {text}", flush=True)


def _ask(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(question).strip().lower() in ("y", "yes")


def _answers() -> docker.DockerClient | None:
    try:
        client = docker.from_env(timeout=120)
        client.ping()
        return client
    except docker.errors.DockerException:
        return None


def _start_engine() -> None:
    if os.geteuid() != 0:
        raise SetUpError("no Docker engine answers, and starting one needs root. Next: start it (systemctl start docker) and run again")
    print("set-up: starting the Docker engine", flush=True)
    os.makedirs("build", exist_ok=True)
    with open("build/dockerd.log", "a") as output:
        # Not `service docker start`: containers and new machines often have no init that could do it.
        process = subprocess.Popen(["dockerd"], stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   start_new_session=True)
    deadline = time.time() + _ENGINE_SECONDS
    while time.time() < deadline and process.poll() is None:
        if _answers():
            return
        time.sleep(0.3)
    raise SetUpError(f"the Docker engine does not start (code {process.poll()}). Next: read build/dockerd.log")


if __name__ == "__main__":
    sys.exit(main())
