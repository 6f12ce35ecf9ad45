"""The HTTP service: its paths, and an end that loses no request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.access_log import AccessLog
from service.behaviour import Behaviour, FaultCounter
from service.settings import Release, Settings

# A balancer must never reuse a connection that we are about to close: stay open longer than its idle timeout (60 s by default).
KEEP_ALIVE_SECONDS = 75


class Server(ThreadingHTTPServer):
    """Serves one release. `stop_soon` may be called from a signal handler; `serve_until_stopped` returns when all is answered.

    `clock` gives seconds, from whenever it likes.
    """

    daemon_threads = False  # server_close() waits for every request that has begun
    request_queue_size = 256

    def __init__(
        self, settings: Settings, release: Release, behaviour: Behaviour, log: AccessLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.release = release
        self.behaviour = behaviour
        self.log = log
        self.faults = FaultCounter(behaviour.fault_percent)
        self.draining = False
        self._clock = clock
        self._began = clock()
        self._idle: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("", settings.port), Handler)

    def age(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def stop_soon(self) -> None:
        """Stop taking connections. Returns at once: shutdown() waits for the serving thread, which a signal handler runs on."""
        threading.Thread(target=self.shutdown, name="stop").start()

    def serve_until_stopped(self) -> None:
        """Serve; after `stop_soon` close idle connections, answer what has begun, and return."""
        self.serve_forever(poll_interval=0.1)
        with self._lock:
            self.draining = True
            for connection in self._idle:
                _end_reading(connection)
        self.server_close()

    def now_idle(self, connection: socket.socket) -> None:
        """A connection waits for its next request; while draining there will be none."""
        with self._lock:
            self._idle.add(connection)
            if self.draining:
                _end_reading(connection)

    def no_longer_idle(self, connection: socket.socket) -> None:
        """A request has begun on the connection, or it is closed."""
        with self._lock:
            self._idle.discard(connection)


def _end_reading(connection: socket.socket) -> None:
    """Let the handler read what has arrived already and then see the end of the connection."""
    with contextlib.suppress(OSError):  # the other side may have been quicker
        connection.shutdown(socket.SHUT_RD)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server_version = "sample"
    sys_version = ""
    timeout = KEEP_ALIVE_SECONDS
    _began = 0.0
    disable_nagle_algorithm = True
    server: Server

    def handle_one_request(self) -> None:
        """As the base class does, and tell the server when the connection is idle."""
        self.server.now_idle(self.connection)
        try:
            super().handle_one_request()
        finally:
            self.server.no_longer_idle(self.connection)

    def parse_request(self) -> bool:
        """The request line is here: the connection is not idle until the answer is written."""
        self.server.no_longer_idle(self.connection)
        self._began = time.monotonic()
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer a path: health, /version, or the service itself."""
        asked = urlsplit(self.path)
        path = asked.path
        release = {"service": self.server.release.service, "commit": self.server.release.commit}
        if path == self.server.settings.health_path:
            self._answer_health()
        elif path == "/version":
            self._answer(HTTPStatus.OK, release)
        elif path == "/":
            self._answer_as_service(release, parse_qs(asked.query).get("name", [""])[0])
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there is nothing at {path}"})

    do_HEAD = do_GET

    def _answer_health(self) -> None:
        if self.server.behaviour.is_healthy_at(self.server.age()):
            self._answer(HTTPStatus.OK, {"status": "ok"})
        else:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"status": "unhealthy, as behaviour.json asks"})

    def _answer_as_service(self, release: dict[str, str], name: str) -> None:
        behaviour = self.server.behaviour
        if behaviour.is_faulty_at(self.server.age()):
            time.sleep(behaviour.latency_ms / 1000)
            if self.server.faults.next_is_faulty():
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "a fault, as behaviour.json asks", **release})
                return
        greeted = "somebody else" if behaviour.wrong_greeting else name
        message = f"hello, {greeted}" if name else "hello"
        self._answer(HTTPStatus.OK, {"message": message, "host": socket.gethostname(), **release})

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Release", self.server.release.commit)
        if self.server.draining:
            self.send_header("Connection", "close")  # the base class then closes after this answer
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One access log line; the base class calls this for every answer, its own refusals included."""
        path = getattr(self, "path", "")
        status = int(code)
        # A balancer asks for health every few seconds: that it was answered is no news.
        if urlsplit(path).path == self.server.settings.health_path and status == HTTPStatus.OK:
            return
        headers = getattr(self, "headers", None) or {}
        self.server.log.write(
            method=self.command,
            path=path,
            status=status,
            milliseconds=round((time.monotonic() - self._began) * 1000, 1),
            client=self.client_address[0],
            trace=headers.get("X-Amzn-Trace-Id"),
            commit=self.server.release.commit,
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Drop the base class's own lines: the access log has all that they say."""
