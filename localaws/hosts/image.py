"""Make the images that the local AWS runs on, on a machine that may reach no registry.

    python -m localaws.hosts.image        build both, or say that they are there

Two images, each made again only when its recipe (this file's constants) changes:

- `localaws/host:<hash>`: Debian bookworm with a Docker engine, what hooks, user data and buildspecs may use (sh, aws, docker, curl,
  python3, git), and haproxy. Hosts, build containers and balancers run from it.
- `localaws/python:bookworm`: a small base for the app's image; its recipe's hash is in its label.

Both stand on `localaws/base:<hash>`: Docker Hub's `debian:bookworm-slim` where it answers within a few seconds, else the same made with
debootstrap from the mirror that this machine's apt uses. Needs root and debootstrap only in the second case.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

SUITE = "bookworm"
BASE = "debian:bookworm-slim"
PULL_SECONDS = 20.0
HOST_PACKAGES = ("awscli", "ca-certificates", "curl", "docker.io", "git", "haproxy", "iproute2", "iptables", "openssl", "procps",
                 "python3", "python3-yaml", "unzip", "zip")
PYTHON_PACKAGES = ("python3", "ca-certificates")
PYTHON_IMAGE = "localaws/python:bookworm"
RECIPE_LABEL = "localaws.recipe"
STEP_SECONDS = 900.0
TRUSTING_KEPT = 8

NO_DOCS = """path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
"""
"""dpkg's way of leaving documents out; debian:bookworm-slim has the same."""

INSTALL = """set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -q -y --no-install-recommends {packages}
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt /usr/share/doc /usr/share/man /usr/share/info
"""

HOST_CLEANUP = """
# Only the English help of aws and nothing of the services' examples: the CLI runs without them.
rm -rf /usr/share/awscli/examples /usr/lib/python3/dist-packages/awscli/examples
mkdir -p /opt/localaws /etc/localaws
"""

PYTHON_DROPPED = (
    "usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/perl5", "usr/share/bash-completion",
    "usr/share/zoneinfo", "usr/share/common-licenses", "usr/share/i18n", "usr/share/keyrings", "usr/lib/python3.11/ensurepip",
    "usr/lib/python3.11/lib2to3", "usr/lib/python3.11/idlelib", "usr/lib/python3.11/tkinter", "usr/lib/python3.11/distutils",
    "usr/lib/python3.11/pydoc_data", "usr/lib/apt", "usr/bin/perl", "usr/bin/perl5.36.0", "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/libapt-pkg.so", "usr/lib/x86_64-linux-gnu/libapt-private.so",
    "usr/lib/x86_64-linux-gnu/libstdc++.so", "usr/lib/x86_64-linux-gnu/libicu", "usr/lib/x86_64-linux-gnu/libgnutls.so",
    "usr/lib/x86_64-linux-gnu/libp11-kit.so", "usr/lib/x86_64-linux-gnu/libunistring.so", "usr/lib/locale",
    "usr/lib/aarch64-linux-gnu/perl-base", "usr/lib/aarch64-linux-gnu/gconv", "var/lib/apt", "var/lib/dpkg", "var/cache", "var/log",
    "tmp/", "root/", "dev/", "proc/", "sys/", "run/", "boot/", "media/", "mnt/", "srv/",
)
"""Path beginnings left out of the app's base: each host pulls and unpacks it, so what no HTTP service needs costs seconds."""


class ImageError(Exception):
    """An image could not be made; the message says which step, why, and what to do."""


def recipe_hash(*parts: str) -> str:
    """Return twelve hex digits that change with any of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


BASE_HASH = recipe_hash("base", SUITE, BASE, NO_DOCS)
HOST_HASH = recipe_hash("host", BASE_HASH, INSTALL, HOST_CLEANUP, *HOST_PACKAGES)
PYTHON_HASH = recipe_hash("python", BASE_HASH, INSTALL, *PYTHON_PACKAGES, *PYTHON_DROPPED)
BASE_IMAGE = f"localaws/base:{BASE_HASH}"
HOST_IMAGE = f"localaws/host:{HOST_HASH}"

Say = Callable[[str], None]


def _quiet(_: str) -> None:
    """The default progress: none."""


def find(client: Any, name: str, recipe: str | None = None) -> Any | None:
    """Return the engine's image `name`, if it is there and (where `recipe` is given) was made by that recipe."""
    import docker.errors

    try:
        image = client.images.get(name)
    except docker.errors.ImageNotFound:
        return None
    return image if recipe is None or image.labels.get(RECIPE_LABEL) == recipe else None


def host_image(client: Any, say: Say = _quiet) -> str:
    """Return the name of the hosts' image, made first if it is missing (one to three minutes). Raises ImageError."""
    if find(client, HOST_IMAGE) is None:
        base = base_image(client, say)
        say(f"image {HOST_IMAGE}: installing {len(HOST_PACKAGES)} packages")
        container = _install(client, base, HOST_PACKAGES, HOST_CLEANUP, say)
        try:
            repository, tag = HOST_IMAGE.split(":")
            container.commit(repository, tag, conf={"Labels": {RECIPE_LABEL: HOST_HASH}, "Cmd": ["sh"]})
        finally:
            container.remove(force=True, v=True)
    return HOST_IMAGE


def python_image(client: Any, say: Say = _quiet) -> str:
    """Return the name of the app's local base image, made first if it is missing. Raises ImageError."""
    if find(client, PYTHON_IMAGE, PYTHON_HASH) is None:
        base = base_image(client, say)
        say(f"image {PYTHON_IMAGE}: installing {len(PYTHON_PACKAGES)} packages")
        container = _install(client, base, PYTHON_PACKAGES, "", say)
        try:
            with tempfile.TemporaryFile() as slim:
                _filter(cast(IO[bytes], _Stream(container.export())), slim, PYTHON_DROPPED)
                slim.seek(0)
                _import(client, slim, PYTHON_IMAGE, ["ENV PYTHONDONTWRITEBYTECODE=1", 'CMD ["python3"]',
                                                     f"LABEL {RECIPE_LABEL}={PYTHON_HASH}"])
        finally:
            container.remove(force=True, v=True)
    return PYTHON_IMAGE


def trusting(client: Any, image: str, ca_pem: bytes) -> str:
    """Return the name of `image` with the CA `ca_pem` in its system trust store; made once per CA (a few seconds).

    Doing this once in an image and not in each container's boot saves about a second of CPU per host.
    """
    name = f"{image}-{hashlib.sha256(ca_pem).hexdigest()[:12]}"
    if find(client, name) is None:
        repository, tag = name.split(":")
        _drop_old(client, image)
        container = client.containers.create(image, ["update-ca-certificates"], network_mode="none")
        try:
            container.put_archive("/usr/local/share/ca-certificates", tar_of({"localaws.crt": ca_pem}))
            container.start()
            if container.wait(timeout=60)["StatusCode"] != 0:
                raise ImageError(f"the CA could not be added to {image}: {container.logs(tail=5).decode(errors='replace')}")
            container.commit(repository, tag, conf={"Cmd": ["sh"]})
        finally:
            container.remove(force=True, v=True)
    return name


def _drop_old(client: Any, image: str) -> None:
    """Remove the oldest images made by `trusting` that no container uses; other local AWSes of this machine keep theirs."""
    import docker.errors

    made = [found for found in client.images.list(image.partition(":")[0]) if any(tag.startswith(f"{image}-") for tag in found.tags)]
    for old in sorted(made, key=lambda found: str(found.attrs["Created"]), reverse=True)[TRUSTING_KEPT:]:
        try:
            for tag in old.tags:
                client.images.remove(tag)
        except docker.errors.APIError:
            continue  # a container uses it


def base_image(client: Any, say: Say = _quiet) -> str:
    """Return the name of the Debian that both images stand on, pulled or made with debootstrap. Raises ImageError."""
    if find(client, BASE_IMAGE) is None:
        say(f"image {BASE_IMAGE}: asking Docker Hub for {BASE}")
        if _pull(client, BASE, PULL_SECONDS):
            client.images.get(BASE).tag(*BASE_IMAGE.split(":"))
        else:
            say(f"image {BASE_IMAGE}: no answer; making it with debootstrap")
            _debootstrap(client, say)
    return BASE_IMAGE


def tar_of(files: Mapping[str, bytes | str], mode: int = 0o644) -> bytes:
    """Return a tar archive of `files` (path → content), owned by root."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, int(time.time())
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def mirrors() -> list[tuple[str, str]]:
    """Return this machine's apt sources of Debian bookworm as (address, release), the main release first; [] if it has none."""
    if shutil.which("apt-get") is None:
        return []
    found = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Identifier: Packages"],
                           capture_output=True, text=True, check=False).stdout
    rows = [line.split() for line in found.splitlines()]
    pairs = [(row[0], row[1]) for row in rows if len(row) == 3 and row[2] == "main" and row[1].startswith(SUITE)]
    return sorted(dict.fromkeys(pairs), key=lambda pair: pair[1])


def _pull(client: Any, image: str, seconds: float) -> bool:
    """Try to pull `image`; True if it came within `seconds` (a pull that hangs is left to end by itself)."""
    done = threading.Event()

    def pull() -> None:
        try:
            client.images.pull(image)
            done.set()
        except Exception:  # whatever the reason, there is the other way
            pass

    thread = threading.Thread(target=pull, daemon=True)
    thread.start()
    thread.join(seconds)
    return done.is_set()


def _debootstrap(client: Any, say: Say) -> None:
    """Make BASE_IMAGE from the machine's Debian mirror."""
    if shutil.which("debootstrap") is None:
        raise ImageError(f"{BASE} cannot be pulled and debootstrap is not installed: apt-get install debootstrap (make setup does)")
    if os.geteuid() != 0:
        raise ImageError("debootstrap needs root: run this as root once, or let Docker reach Docker Hub")
    sources = mirrors()
    mirror = [site for site, release in sources if release == SUITE][:1]
    with tempfile.TemporaryDirectory(prefix="localaws-base-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates",
                   *([f"--keyring={keyring}"] if keyring.exists() else []), SUITE, str(root), *mirror]
        _run(command, say)
        (root / "etc/dpkg/dpkg.cfg.d/no-docs").write_text(NO_DOCS, encoding="utf-8")
        if sources:
            (root / "etc/apt/sources.list").write_text("".join(f"deb {site} {release} main\n" for site, release in sources),
                                                       encoding="utf-8")
        with tempfile.TemporaryFile(dir=folder) as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(root, arcname=".", filter=_strip)
            archive.seek(0)
            _import(client, archive, BASE_IMAGE, ['CMD ["sh"]', f"LABEL {RECIPE_LABEL}={BASE_HASH}"])


def _strip(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave documents, caches and device files out of an archive of a root file system."""
    name = info.name.removeprefix("./")
    if name.startswith(("usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "var/cache/apt/",
                        "var/lib/apt/lists/", "var/log/", "proc/", "sys/", "dev/", "debootstrap/")):
        return None
    return info


def _install(client: Any, base: str, packages: tuple[str, ...], then: str, say: Say) -> Any:
    """Return a stopped container of `base` with `packages` installed; the caller removes it.

    It runs on the machine's own network, so apt reaches what the machine's apt reaches.
    """
    proxies = {key: value for key, value in os.environ.items() if key.lower() in ("http_proxy", "https_proxy", "no_proxy")}
    container = client.containers.create(base, ["sh", "-c", INSTALL.format(packages=" ".join(packages)) + then],
                                         network_mode="host", environment=proxies, labels={"handsoff.local": "1"})
    try:
        container.start()
        tail: list[str] = []
        for line in container.logs(stream=True, follow=True):
            text = line.decode(errors="replace").rstrip()
            tail = [*tail[-7:], text]
            if text.startswith(("Setting up", "Fetched")):
                say("  " + text)
        status = container.wait(timeout=STEP_SECONDS)["StatusCode"]
        if status != 0:
            raise ImageError(f"installing packages into {base} failed ({status}):\n" + "\n".join(tail))
        return container
    except BaseException:
        container.remove(force=True, v=True)
        raise


def _run(command: list[str], say: Say) -> None:
    """Run a command, its output as progress; ImageError with its last lines if it fails."""
    tail: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail = [*tail[-7:], line.rstrip()]
            if line.startswith(("I: Unpacking", "I: Configuring")):
                continue
            if line.startswith(("I: Retrieving", "I: Validating")):
                continue
            say("  " + line.rstrip())
    if process.returncode != 0:
        raise ImageError(f"{command[0]} failed ({process.returncode}):\n" + "\n".join(tail))


def _import(client: Any, archive: IO[bytes], name: str, changes: list[str]) -> None:
    """Make an image of one layer from a tar archive."""
    repository, tag = name.split(":")
    client.api.import_image_from_data(archive, repository=repository, tag=tag, changes=changes)
    if find(client, name) is None:
        raise ImageError(f"the engine did not import {name}; is its disk full?")


def _filter(source: IO[bytes], target: IO[bytes], dropped: tuple[str, ...]) -> None:
    """Copy a tar archive without the entries whose path begins with one of `dropped` (folders ending in / stay, empty)."""
    with tarfile.open(fileobj=source, mode="r|") as old, tarfile.open(fileobj=target, mode="w") as new:
        for info in old:
            name = info.name.removeprefix("./")
            if name.startswith(dropped):
                continue
            new.addfile(info, old.extractfile(info) if info.isreg() else None)


class _Stream(io.RawIOBase):
    """A readable file over an iterator of byte chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        if size < 0:
            size = len(self._rest)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def main(argv: list[str] | None = None) -> int:
    """Build both images, with progress on standard error."""
    parser = argparse.ArgumentParser(prog="python -m localaws.hosts.image", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    import docker
    import docker.errors

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        client = docker.from_env(timeout=600)
        for make in (host_image, python_image):
            began = time.monotonic()
            name = make(client, say)
            size = client.images.get(name).attrs["Size"] / 1e6
            say(f"image {name}: {size:.0f} MB, {time.monotonic() - began:.1f} s")
    except docker.errors.DockerException as error:
        say(f"The Docker engine does not answer: {error}. Start it, or install it with: make setup")
        return 1
    except ImageError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
