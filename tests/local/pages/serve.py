"""A server of plain files, as nginx is one: `serve PORT FOLDER`. One event loop, no framework; it knows nothing of releases, health or settings."""

import asyncio
import mimetypes
import pathlib
import signal
import sys

PORT, ROOT = int(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()


def answer(path: str) -> tuple[str, str, bytes]:
    """Status line, media type and body."""
    file = (ROOT / path.partition("?")[0].lstrip("/")).resolve()
    file = file / "index.html" if file.is_dir() else file
    if not file.is_relative_to(ROOT) or not file.is_file():
        return "404 Not Found", "text/html", b"<h1>404 Not Found</h1>\n"
    return "200 OK", mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's one request."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        method, path, _ = head.decode("latin-1").split("\r\n", 1)[0].split(" ", 2)
        status, kind, body = answer(path)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(b"" if method == "HEAD" else body)
        await writer.drain()
        print(method, path, status, flush=True)
    except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until SIGTERM, then take no more and answer what has begun."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await asyncio.start_server(serve, "", PORT, backlog=256):
        await stop.wait()
    under_way = asyncio.all_tasks() - {asyncio.current_task()}
    if under_way:
        await asyncio.wait(under_way, timeout=20)


asyncio.run(main())
