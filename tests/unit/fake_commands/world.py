"""What the fake `docker` and `aws` share: a world of one file, state.json in $FAKE_WORLD, and a log of the calls.

Shape: {"images": [reference], "tags": {local name: reference}, "containers": {name: {"status", "exit", "restarts", "image", "log", "environment"}},
"registry": {repository with host: {tag or digest: digest}}, "parameters": {name: value}, "fail": {"docker pull": times (-1: always)},
"says": {"docker pull": words of that failure},
"next": {"status", "exit", "restarts", "log"} of the next container, "stop_exit": exit code after a stop,
"fail_after": ["run"]: the container is made and does not start}.
Few imports and no site-packages (see the fakes' first lines): a test of a hook starts a dozen of these.
"""

import json
import os
import sys

FOLDER = os.environ["FAKE_WORLD"]


def read(path: str) -> str:
    """A file's text."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Replace a file's text."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def load() -> dict:
    """The world as it is."""
    return dict(json.loads(read(FOLDER + "/state.json")))


def save(state: dict) -> None:
    """The world as it is from now on."""
    write(FOLDER + "/state.json", json.dumps(state, indent=1))


def record(command: str) -> None:
    """Add a line to calls.log."""
    with open(FOLDER + "/calls.log", "a", encoding="utf-8") as log:
        log.write(" ".join([command, *sys.argv[1:]]) + "\n")


def die(message: str, code: int = 1) -> None:
    """End as a real command does that fails."""
    print(message, file=sys.stderr)
    sys.exit(code)


def fail_if_told(state: dict, what: str) -> None:
    """Fail if the test wants this call to fail, as often as it wants."""
    times = state.get("fail", {}).get(what, 0)
    if times:
        state["fail"][what] = times - 1
        save(state)
        die(state.get("says", {}).get(what) or f"{what}: refused by the test")


def option(name: str) -> str:
    """The value after an option, which must be there."""
    return sys.argv[sys.argv.index(name) + 1]
