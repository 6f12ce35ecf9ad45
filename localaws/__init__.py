"""An AWS of one machine: the harness on which the templates and scripts of this repository run unchanged."""

import sys
from types import TracebackType

_report = sys.excepthook


def _hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Ctrl-C that nothing handles, as while Python still imports, says nothing: Python then ends itself by the signal, and a shell sees 130."""
    if not issubclass(kind, KeyboardInterrupt):
        _report(kind, error, traceback)


sys.excepthook = _hook
