"""The functions are imported as Lambda imports them: their folder is the top of the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "functions"))
