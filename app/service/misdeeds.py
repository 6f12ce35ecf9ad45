"""What a bad release does beside answering requests. An adopter deletes this file with `behaviour.py`."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time

from service.behaviour import Behaviour

SLICE_SECONDS = 0.1


def begin(behaviour: Behaviour) -> None:
    """Start burning processors and the time to live, as far as the switches say. Before the process has threads and sockets: it forks."""
    if behaviour.cpu_percent:
        for _ in range(os.cpu_count() or 1):  # processes, because threads of one process share one processor
            multiprocessing.get_context("fork").Process(target=_burn, args=(behaviour.cpu_percent / 100, os.getpid()), daemon=True).start()
    if behaviour.die_every_seconds:
        end = threading.Timer(behaviour.die_every_seconds, _die)
        end.daemon = True
        end.start()


def _burn(share: float, parent: int) -> None:
    """Use this share of one processor until the service is gone, however it went."""
    while os.getppid() == parent:
        until = time.perf_counter() + share * SLICE_SECONDS
        while time.perf_counter() < until:
            pass
        time.sleep((1 - share) * SLICE_SECONDS)


def _die() -> None:
    print("The service ends, as behaviour.json says by die_every_seconds", file=sys.stderr, flush=True)
    os._exit(1)  # at once, whatever is under way
