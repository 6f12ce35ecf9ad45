"""Filter patterns of CloudWatch Logs, as far as they search unstructured messages.

Terms are case-sensitive and all of them must be there; a phrase in double quotes is looked for as it stands; `-` excludes; terms with
`?` are alternatives, and count for nothing beside others; `%…%` is a regular expression. Patterns for JSON and for fields between
blanks are refused. Source: CloudWatch Logs User Guide, "Filter pattern syntax".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from localaws.service import ServiceError

# What a regular expression may be made of: AWS knows no groups, and no other signs than these.
_EXPRESSION = re.compile(r"[A-Za-z0-9_#=@/;,:\\^$?\[\]{}|*+.-]+")
_TERM = re.compile(r'\s*(?P<sign>[-?]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|%(?P<expression>[^%]+)%|(?P<word>[^\s"%]+))(?=\s|$)')


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what says whether a message matches. ServiceError (InvalidParameterException) for a pattern that is none."""
    text = pattern.strip()
    if text[:1] in ("{", "["):
        raise ServiceError("NotImplementedByLocalAws", "The local AWS knows filter patterns of terms, phrases and %regular expressions%, "
                           f"not those for JSON or for fields: {text}", 501)
    required: list[Callable[[str], bool]] = []
    excluded: list[Callable[[str], bool]] = []
    optional: list[Callable[[str], bool]] = []
    place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            raise ServiceError("InvalidParameterException", f"Invalid filter pattern: {pattern}")
        {"": required, "-": excluded, "?": optional}[found["sign"]].append(_finder(found, pattern))
        place = found.end()

    def matches(message: str) -> bool:
        if any(finds(message) for finds in excluded) or not all(finds(message) for finds in required):
            return False
        return bool(required or excluded or not optional) or any(finds(message) for finds in optional)

    return matches


def _finder(found: re.Match[str], pattern: str) -> Callable[[str], bool]:
    if found["expression"] is not None:
        try:
            if not _EXPRESSION.fullmatch(found["expression"]):
                raise re.error("a sign that AWS does not know")
            expression = re.compile(found["expression"])
        except re.error as error:
            raise ServiceError("InvalidParameterException", f"Invalid filter pattern: {pattern}") from error
        return lambda message: expression.search(message) is not None
    term = found["word"] if found["word"] is not None else re.sub(r"\\(.)", r"\1", found["phrase"])
    return lambda message: term in message
