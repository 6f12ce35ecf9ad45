"""taskcat 0.9.58 for the local AWS, run by taskcat's own Python. Whoever runs it on AWS needs nothing of this.

Nothing leaves this machine: not the look-up of newer versions, not the download of the report's style. And it asks for news of its stacks every
few seconds instead of every 60: the local AWS is quick, and has no call limits.
"""

from __future__ import annotations

import datetime
import importlib
import sys
from typing import Any

_SECONDS = 3
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #1b1f24; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .4rem .6rem; border-bottom: 1px solid #d0d7de; text-align: left; }
.test-green { background: #d1f5d8; } .test-red { background: #ffd7d5; } .test-footer td { padding: 0; border: 0; } h3 { margin: 0; }
"""


class _Requests:
    """What taskcat's report asks of `requests`."""

    class Answer:
        text = _STYLE

    @classmethod
    def get(cls, url: str, **_: Any) -> Answer:
        return cls.Answer()


def _shortened(*values: Any, **named: Any) -> datetime.timedelta:
    return datetime.timedelta(seconds=_SECONDS) if named == {"seconds": 60} else datetime.timedelta(*values, **named)


def main() -> None:
    importlib.import_module("taskcat._generate_reports").requests = _Requests  # type: ignore[attr-defined]
    importlib.import_module("taskcat._cfn.stack").timedelta = _shortened  # type: ignore[attr-defined]
    command = importlib.import_module("taskcat._cli")
    command.check_for_update = lambda: None  # type: ignore[attr-defined]
    sys.argv[0] = "taskcat"
    command.main()


if __name__ == "__main__":
    main()
