"""Run the service: `python3 -m service`. Exit 0 after a drained SIGTERM, 1 if it cannot run, 2 if its settings are wrong."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from service import misdeeds
from service.access_log import AccessLog
from service.behaviour import Behaviour
from service.server import Server
from service.settings import Settings, read_release

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Start, serve until SIGTERM or SIGINT, finish the requests that are under way, and stop."""
    try:
        settings = Settings.from_environment(os.environ)
        release = read_release(ROOT / "release-info.json")
        behaviour = Behaviour.load(ROOT / "behaviour.json").in_environment(os.environ)
    except ValueError as error:
        print(f"The service did not start: {error}", file=sys.stderr)
        return 2
    if behaviour.crash_on_start:
        print("The service did not start: behaviour.json says crash_on_start", file=sys.stderr)
        return 1
    misdeeds.begin(behaviour)
    try:
        server = Server(settings, release, behaviour, AccessLog(sys.stdout))
    except OSError as error:
        print(f"The service did not start: port {settings.port}: {error.strerror}", file=sys.stderr)
        return 1

    def stop(signum: int, frame: FrameType | None) -> None:
        server.stop_soon()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{release.service} {release.commit} listens on port {settings.port}", file=sys.stderr)
    server.serve_until_stopped()
    print("Stopped: every request that had begun was answered", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
