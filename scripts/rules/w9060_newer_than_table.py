"""W9060: a name that no table has, and that AWS may have made since."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.rules import _rule
else:
    sys.path.append(str(Path(__file__).parent))
    import _rule


class NewerThanTable(_rule.Rule):
    """Has no resources of its own: the rules that ask tables report by it what may be newer than they are."""

    id = _rule.NEWER
    shortdesc = "Name is not in the table, and may be newer"
    description = (
        "A provider, an image, a metric and the like that is well formed, is no slip of one that is known, and is not in the table that the rules judge "
        "by. AWS may have it by now; the table is then to be completed."
    )
    source_url = "https://aws.amazon.com/new/"
    next_step = "check the name in AWS's documentation; if AWS has it, add it to the table"
    tags = ("resources",)
