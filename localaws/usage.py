"""What the local AWS uses of this machine: memory and processor time of its process and its containers over some seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.server import LABEL


@dataclass(frozen=True)
class Usage:
    """Bytes of memory (containers without page cache) and processor seconds per second, and of how many containers."""

    memory: int
    cores: float
    containers: int

    def __str__(self) -> str:
        return f"{self.memory / 1024**2:.0f} MiB of memory and {self.cores:.2f} cores, with {self.containers} containers"


def measure(client: Any, name: str, pid: int, seconds: float, sleep: Callable[[float], None] = time.sleep) -> Usage:
    """Measure the local AWS called `name`, whose process is `pid`, over `seconds`."""
    containers = client.containers.list(filters={"label": f"{LABEL}={name}"})
    with ThreadPoolExecutor(max_workers=16) as pool:
        before, began = list(pool.map(_container, containers)), _process(pid)
        sleep(seconds)
        after, ended = list(pool.map(_container, containers)), _process(pid)
    cores = ((ended[1] - began[1]) + sum(now[1] - then[1] for then, now in zip(before, after, strict=True))) / seconds
    return Usage(ended[0] + sum(memory for memory, _ in after), cores, len(containers))


def _container(container: Any) -> tuple[int, float]:
    stats = container.stats(stream=False, one_shot=True)
    memory = stats["memory_stats"]
    cache = memory.get("stats", {}).get("inactive_file", 0)
    return memory.get("usage", 0) - cache, stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9


def _process(pid: int) -> tuple[int, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
