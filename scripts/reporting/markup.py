"""HTML and SVG from Python, escaped by default: text is text unless it is Markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_EMPTY = frozenset({"meta", "br", "hr", "col", "rect", "line", "path", "circle", "polygon", "use"})
# What XML 1.0 does not allow at all, escaped or not: log lines and commit messages may hold it (colours of a terminal).
_FORBIDDEN = dict.fromkeys((*range(0, 9), 11, 12, *range(14, 32), 127, *range(55296, 57344), 65534, 65535), "�")


class Markup(str):
    """Text that is markup already."""


def element(name: str, /, *content: object, **attributes: object) -> Markup:
    """`<name …>content</name>`, well-formed as HTML and as XML.

    Content that is not Markup is escaped; None is left out; lists and the like are taken apart. Attributes: `_` becomes `-`, a trailing one is
    dropped (class_); None and False leave one out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text("" if value is True else value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _EMPTY and not content:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def join(content: Iterable[object]) -> Markup:
    """The pieces one after the other."""
    return Markup("".join(_piece(piece) for piece in content))


def _piece(piece: object) -> str:
    if piece is None:
        return ""
    if isinstance(piece, Markup):
        return piece
    if isinstance(piece, (list, tuple)):
        return join(piece)
    return _text(piece)


def _text(value: object) -> str:
    return escape(str(value).translate(_FORBIDDEN))
