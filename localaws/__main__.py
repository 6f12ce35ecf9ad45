"""Start, stop and look at the local AWS.

start, stop (state is kept), status, reset (nothing is left), env (the export
lines for any AWS client), connect (do what a person does in the console with
connections that are PENDING), usage (its memory and processor time over half a
minute), serve (what `start` runs in the background).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from localaws import emulator, server, usage

_START_SECONDS = 180
"""Hosts that stopped with it come back first, and balancers wait a minute for them."""
_STOP_SECONDS = 600
"""An hour's logs of twelve hosts take a minute to write on a busy machine: only one that hangs takes longer than this."""
_STOP_SAYS = 15


def main(argv: list[str] | None = None) -> int:
    """Run one control command. Exit code 0 done, 1 failed, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m localaws", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["start", "stop", "status", "env", "connect", "usage", "reset", "serve"])
    parser.add_argument("--state", type=Path, default=Path("build/local"), help="folder of its files (default: build/local)")
    parser.add_argument("--port", type=_port_number, default=4566, help="port on 127.0.0.1 (default: 4566)")
    parser.add_argument("--name", help="name of its Docker network and label (default: made from the folder's path, so that two never share one)")
    arguments = parser.parse_args(argv)
    state = arguments.state.resolve()
    options = server.Options(state, arguments.port, arguments.name or f"handsoff-{hashlib.sha256(bytes(state)).hexdigest()[:8]}")
    foreign = _drop_foreign_settings()
    try:
        commands = {"start": _start, "stop": _stop, "status": _status, "env": lambda of: _env(of, foreign),
                    "connect": _connect, "usage": _usage, "reset": _reset,
                    "serve": _serve}
        return commands[arguments.command](options)
    except server.StartError as error:
        print(f"local AWS: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if arguments.command == "serve" or not error.filename:
            raise
        print(f"local AWS: {error.filename} cannot be used: {error.strerror}. Next: see what it is and who may write it, or use LOCAL_STATE=<other>",
              file=sys.stderr)
        return 1


def _port_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: take a number from 1 to 65535 (LOCAL_PORT=)")
    return int(text)


def _drop_foreign_settings() -> list[str]:
    """Forget the user's own AWS settings and send nothing for this machine through a proxy, here and in what is started from here.

    Returns the names of the settings that were there.
    """
    foreign = sorted(name for name in os.environ if name.startswith("AWS_"))
    for name in foreign:
        del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = _no_proxy()
    return foreign


def _no_proxy() -> str:
    """The user's list of what no proxy is for, with this machine on it."""
    listed = [name for name in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",") if name]
    return ",".join(dict.fromkeys([*listed, "127.0.0.1", "localhost"]))


def _health(options: server.Options) -> dict[str, object] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{options.port}/_localaws/health", timeout=5) as response:
            return dict(json.load(response))
    except (urllib.error.URLError, ValueError, OSError):
        return None


def _pid(options: server.Options) -> int | None:
    """Return the process id of this state folder's local AWS if it lives, else None."""
    try:
        pid = int((options.state_dir / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"localaws" in command and b"serve" in command else None


def _port(options: server.Options) -> int:
    """Return the port that this state folder's local AWS, which is up, was started with."""
    command = Path(f"/proc/{_pid(options)}/cmdline").read_bytes().split(b"\0")
    return int(command[command.index(b"--port") + 1])


def _start(options: server.Options) -> int:
    if _pid(options) is None:  # what makes a start impossible is said before anything is begun
        server.engine()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", options.port)) == 0:
                raise server.StartError(f"port {options.port} is in use by another process. Next: end it, or use LOCAL_PORT=<other>")
    options.state_dir.mkdir(parents=True, exist_ok=True)
    with (options.state_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two starts at once the second finds it up
        return _start_alone(options)


def _start_alone(options: server.Options) -> int:
    if _pid(options) and (options.state_dir / "ready").exists():
        port = _port(options)
        if port != options.port:
            raise server.StartError(f"the one of {options.state_dir} is up already, on port {port} and not {options.port}. "
                                    f"Next: use LOCAL_PORT={port}, or end it first: make local-down LOCAL_PORT={port}")
        print(f"local AWS: up already at http://127.0.0.1:{options.port} (process {_pid(options)})")
        return 0
    _recover(options)
    log_file = options.state_dir / "localaws.log"
    with log_file.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "localaws", "serve", "--state", str(options.state_dir), "--port", str(options.port),
             "--name", options.name],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
    (options.state_dir / "pid").write_text(str(process.pid))
    deadline = time.time() + _START_SECONDS
    while time.time() < deadline:
        if process.poll() is not None:
            tail = "\n".join(log_file.read_text().splitlines()[-15:])
            raise server.StartError(f"it ended with code {process.returncode} while starting. The end of {log_file}:\n{tail}")
        if (options.state_dir / "ready").exists() and _health(options):
            print(f"local AWS: up at http://127.0.0.1:{options.port} (process {process.pid}, log {log_file})")
            return 0
        time.sleep(0.1)
    raise server.StartError(f"it did not answer within {_START_SECONDS} s. Next: read {log_file}")


def _recover(options: server.Options) -> None:
    """After a kill nothing that was running can be trusted: say so and clear everything that carries our label."""
    if not (options.state_dir / "pid").exists():  # an orderly end removes it
        return
    print("local AWS: it was killed, not stopped; its state is lost. Clearing what it left:")
    for removed in server.clear(server.engine(), options.name):
        print(f"  removed {removed}")
    server.wipe(options.state_dir)


def _serve(options: server.Options) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s")
    for noisy in ("botocore", "urllib3", "boto3", "ministack", "hypercorn", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Clients that hang up without TLS's goodbye (Docker's does) are no fault of ours.
    logging.getLogger("asyncio").addFilter(lambda record: "SSL shutdown timed out" not in str(record.exc_info))
    server.LocalAws(options).run()
    for name in ("ready", "pid"):
        (options.state_dir / name).unlink(missing_ok=True)
    logging.shutdown()
    # The state is written; threads of operations that wait (a stack for a signal, say) must not hold the process.
    os._exit(0)


def _stop(options: server.Options) -> int:
    pid = _pid(options)
    if pid is None:
        print("local AWS: not running")
        return 0
    os.kill(pid, signal.SIGTERM)
    began = time.monotonic()
    said = _STOP_SAYS
    while _pid(options) and time.monotonic() - began < _STOP_SECONDS:
        time.sleep(0.1)
        if time.monotonic() - began > said:
            print(f"local AWS: still writing its state, {said} s", flush=True)
            said += _STOP_SAYS
    if _pid(options):
        print(f"local AWS: process {pid} did not end within {_STOP_SECONDS} s. Next: read {options.state_dir}/localaws.log", file=sys.stderr)
        return 1
    (options.state_dir / "pid").unlink(missing_ok=True)
    print("local AWS: stopped; its state is kept (`make local-reset` removes it)")
    return 0


def _status(options: server.Options) -> int:
    health = _health(options) if _pid(options) else None
    if health is None:
        print("local AWS: not running. Next: make local-up")
        return 1
    print(f"local AWS: up at http://127.0.0.1:{options.port} (process {health['pid']})")
    return 0


def _env(options: server.Options, foreign: list[str]) -> int:
    """Print the export lines; `foreign` are the AWS settings of the environment, none of which stays."""
    ours = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{options.port}", "AWS_ACCESS_KEY_ID": options.account,
        "AWS_SECRET_ACCESS_KEY": emulator.ROOT_SECRET, "AWS_DEFAULT_REGION": options.region, "AWS_REGION": options.region,
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": os.environ["NO_PROXY"], "no_proxy": os.environ["no_proxy"],
    }
    for name, value in ours.items():
        print(f"export {name}={shlex.quote(value)}")
    usual = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
    print("unset " + " ".join(sorted({*usual, *foreign} - ours.keys())))
    return 0


def _connect(options: server.Options) -> int:
    """Complete every connection that is PENDING."""
    base = f"http://127.0.0.1:{options.port}/_localaws/connections"
    try:
        with urllib.request.urlopen(base, timeout=10) as response:
            pending = json.load(response)["pending"]
        for arn in pending:
            with urllib.request.urlopen(urllib.request.Request(f"{base}/{arn}/complete", method="POST"), timeout=10):
                print(f"completed {arn}")
    except urllib.error.URLError as error:
        raise server.StartError(f"it does not answer ({error}). Next: make local-up") from error
    print(f"{len(pending)} connection(s) completed")
    return 0


def _usage(options: server.Options) -> int:
    pid = _pid(options)
    if pid is None:
        raise server.StartError("it is not running. Next: make local-up")
    print(f"local AWS: {usage.measure(server.engine(), options.name, pid, seconds=30)}")
    return 0


def _reset(options: server.Options) -> int:
    """Stop the local AWS and remove all of it: state, hosts, networks."""
    _stop(options)
    # First, so that nothing of it comes up again where the engine holds on to something.
    server.wipe(options.state_dir)
    for removed in server.clear(server.engine(), options.name):
        print(f"removed {removed}")
    print("local AWS: nothing of it is left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
