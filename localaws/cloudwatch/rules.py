"""The rule of a composite alarm: ALARM, OK, INSUFFICIENT_DATA of an alarm; AND, OR, NOT; TRUE, FALSE; parentheses. Pure.

Source: PutCompositeAlarm in the API reference. NOT binds closest, then AND, then OR.
"""

from __future__ import annotations

import re
from typing import Any

STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
_TOKEN = re.compile(r"\s*(?:(?P<quoted>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')|(?P<bracket>[()])|(?P<word>[^\s()\"']+))")


class RuleError(ValueError):
    """The rule cannot be parsed; the text is what AWS says of it, as far as it is known."""


def parse(rule: str) -> tuple[Any, ...]:
    """Return the rule's tree: ("state", state, name), ("not", x), ("and"|"or", x, y), ("constant", bool). Raises RuleError."""
    if not 0 < len(rule) <= 10240:
        raise RuleError("AlarmRule must not be empty or longer than 10240 characters")
    tokens: list[tuple[str, str, int]] = []
    position = 0
    while rule[position:].strip():
        match = _TOKEN.match(rule, position)
        if match is None:
            raise RuleError(f"Error in AlarmRule [Unsupported token at char {position}]")
        kind = str(match.lastgroup)
        tokens.append((kind, match.group(kind), match.start(kind)))
        position = match.end()
    return _Parser(tokens).parse()


def children(tree: tuple[Any, ...]) -> list[str]:
    """Return the names of the alarms in the rule, in order of appearance, each once."""
    if tree[0] == "state":
        return [tree[2]]
    found: list[str] = []
    for part in tree[1:]:
        if isinstance(part, tuple):
            found += [name for name in children(part) if name not in found]
    return found


def holds(tree: tuple[Any, ...], states: dict[str, str]) -> bool:
    """Whether the rule is true for the alarms' states; an alarm that is not there is in none of them."""
    if tree[0] == "state":
        return bool(states.get(tree[2]) == tree[1])
    if tree[0] == "constant":
        return bool(tree[1])
    if tree[0] == "not":
        return not holds(tree[1], states)
    if tree[0] == "and":
        return holds(tree[1], states) and holds(tree[2], states)
    return holds(tree[1], states) or holds(tree[2], states)


class _Parser:
    def __init__(self, tokens: list[tuple[str, str, int]]) -> None:
        self._tokens, self._at = tokens, 0

    def parse(self) -> tuple[Any, ...]:
        tree = self._either()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return tree

    def _unexpected(self) -> RuleError:
        if self._at >= len(self._tokens):
            return RuleError("Error in AlarmRule [Unexpected end of rule]")
        _, text, position = self._tokens[self._at]
        return RuleError(f"Error in AlarmRule [Unsupported token '{text}' at char {position}]")

    def _word(self, *words: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][1] in words and self._tokens[self._at][0] != "quoted":
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _either(self) -> tuple[Any, ...]:
        tree = self._both()
        while self._word("OR"):
            tree = ("or", tree, self._both())
        return tree

    def _both(self) -> tuple[Any, ...]:
        tree = self._single()
        while self._word("AND"):
            tree = ("and", tree, self._single())
        return tree

    def _single(self) -> tuple[Any, ...]:
        if self._word("NOT"):
            return "not", self._single()
        if self._word("("):
            tree = self._either()
            self._close()
            return tree
        if constant := self._word("TRUE", "FALSE"):
            return "constant", constant == "TRUE"
        if state := self._word(*STATES):
            if not self._word("("):
                raise self._unexpected()
            name = self._name()
            self._close()
            return "state", state, name
        raise self._unexpected()

    def _name(self) -> str:
        """An alarm's name or ARN; without quotes it may still hold spaces, as AWS's own examples do."""
        parts = []
        while self._at < len(self._tokens) and self._tokens[self._at][0] != "bracket":
            kind, text, _ = self._tokens[self._at]
            parts.append(re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text)
            self._at += 1
        if not parts:
            raise self._unexpected()
        name = " ".join(parts)
        return name.split(":alarm:", 1)[1] if name.startswith("arn:") and ":alarm:" in name else name

    def _close(self) -> None:
        if not self._word(")"):
            raise self._unexpected()
