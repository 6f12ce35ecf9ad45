"""One line of JSON on a stream for each request."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timezone
from typing import TextIO


class AccessLog:
    """Writes whole lines, whatever number of threads call it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, **values: str | int | float | None) -> None:
        """Write one line: `time` (UTC, ISO 8601, milliseconds) and the values given."""
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, **values})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()
