"""A folder in which a shell script runs with the fake commands of this folder first on its PATH."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAKES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Result:
    """What a script did: exit code and all that it said."""

    code: int
    said: str


class Sandbox:
    """`folder` holds state.json (see world.py), calls.log, a home, and a folder for temporary files that scripts must leave empty."""

    def __init__(self, folder: Path, **state: Any) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.temporary = folder / "temporary"
        for new in (self.home, self.temporary):
            new.mkdir(parents=True)
        self.environment = {
            # This very Python next: a version manager's stand-in for python3 would cost each call a tenth of a second.
            "PATH": os.pathsep.join([str(FAKES), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "FAKE_WORLD": str(folder),
            "LANG": "C.UTF-8",
        }
        self.put(**{"images": [], "tags": {}, "containers": {}, "registry": {}, "parameters": {}, "fail": {}, **state})

    @property
    def state(self) -> dict[str, Any]:
        """The world as the fakes left it."""
        return dict(json.loads((self.folder / "state.json").read_text()))

    def put(self, **changes: Any) -> None:
        """Change the world."""
        file = self.folder / "state.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**before, **changes}))

    @property
    def calls(self) -> list[str]:
        """The calls of fake commands so far, a line each."""
        log = self.folder / "calls.log"
        return log.read_text().splitlines() if log.exists() else []

    def start(self, command: list[str], cwd: Path, **environment: str) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own, as the CodeDeploy agent does."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: list[str], cwd: Path, **environment: str) -> Result:
        """Run a command to its end, at most 30 s."""
        process = self.start(command, cwd, **environment)
        said, _ = process.communicate(timeout=30)
        return Result(process.returncode, said)
