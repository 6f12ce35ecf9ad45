"""The pipeline's rollback function as a person at `make rollback`, `make unblock` … meets it: commands, and how an environment stands."""

from __future__ import annotations

import json
from typing import Any


class Refused(RuntimeError):
    """The function did not do it; the message is its own."""


class Control:
    """Asks the function `name` by the Lambda client `client`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self.name = client, name

    def ask(self, command: str, environment: str, **fields: Any) -> dict[str, Any]:
        """Give one command and return the answer. Raises Refused when it is not done, with the reason."""
        payload = {"command": command, "environment": environment, **fields}
        answered = self._client.invoke(FunctionName=self.name, Payload=json.dumps(payload).encode())
        answer = json.loads(answered["Payload"].read() or b"{}")
        if answered.get("FunctionError") or not answer.get("ok"):
            raise Refused(f"{command} {environment}: {answer.get('error') or answer.get('errorMessage') or answer}")
        return dict(answer)

    def record(self, environment: str) -> dict[str, Any]:
        """The environment's item of the ledger ({} before there is one)."""
        return dict(self.ask("describe", environment).get("record") or {})
