"""A page of the report as a browser reads it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from scripts.reporting.page import page
from scripts.reporting.values import Report


class Reader(HTMLParser):
    """A page as a browser reads it: balanced, its text, its drawings, and what it refers to."""

    VOID = frozenset({"meta", "br", "hr", "col", "link", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())
        # The inner ones are parsed with those that hold them.
        self.drawings = [ElementTree.fromstring(found) for found in outermost(text)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> where {self.open[-3:]} is open"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag and all(given.get(key) == value for key, value in attributes.items())]


def outermost(text: str) -> list[str]:
    """The drawings of a page that are in no other."""
    found, depth, begin = [], 0, 0
    for match in re.finditer(r"<svg\b|</svg>", text):
        if match[0] == "</svg>":
            depth -= 1
            if depth == 0:
                found.append(text[begin : match.end()])
        else:
            begin = begin if depth else match.start()
            depth += 1
    return found


def read(report: Report) -> Reader:
    """The page of a report, checked for what holds of every page: well-formed, self-contained, drawings with a name."""
    text = page(report)
    reader = Reader(text)
    for tag, given in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base"}, tag
        assert not any(name.startswith("on") or name in {"src", "srcset", "xlink:href"} for name in given), given
        if "href" in given:
            assert tag == "a" and str(given["href"]).startswith("https://"), given
        for value in (value for name, value in given.items() if name not in {"href", "content"}):
            assert all(place == "#" for place in re.findall(r"url\((.)", value or "")), value
    assert "@import" not in text and not re.search(r"url\([^#)]", text)
    for drawing in reader.drawings:
        assert drawing.get("aria-hidden") == "true" or (drawing.get("role") == "img" and drawing.get("aria-label")), ElementTree.tostring(drawing)[:200]
    return reader
