"""Metric math: parse an expression once, evaluate it over time series. Pure.

A time series is a dict of value by timestamp; a timestamp that is not in it is missing. Served: + - * / ^, comparisons (1 or 0), AND
OR && ||, arrays `[m1, m2]`, and the functions of `_FUNCTIONS`. Source: "Using math expressions with CloudWatch metrics".
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

Values = dict[float, float]


class MathError(ValueError):
    """The expression cannot be parsed or evaluated; the text says where and why."""


_TOKEN = re.compile(r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|(?P<string>\"[^\"]*\"|'[^']*')|(?P<name>[A-Za-z_]\w*)"
                    r"|(?P<op>&&|\|\||[<>=!]=|[-+*/^()\[\],<>]))")

_BINARY: dict[str, tuple[int, Callable[[float, float], float]]] = {
    "OR": (1, lambda a, b: float(bool(a) or bool(b))), "||": (1, lambda a, b: float(bool(a) or bool(b))),
    "AND": (2, lambda a, b: float(bool(a) and bool(b))), "&&": (2, lambda a, b: float(bool(a) and bool(b))),
    "==": (3, lambda a, b: float(a == b)), "!=": (3, lambda a, b: float(a != b)),
    "<": (4, lambda a, b: float(a < b)), "<=": (4, lambda a, b: float(a <= b)),
    ">": (4, lambda a, b: float(a > b)), ">=": (4, lambda a, b: float(a >= b)),
    "+": (5, operator.add), "-": (5, operator.sub), "*": (6, operator.mul), "/": (6, operator.truediv), "^": (8, operator.pow),
}
_UNARY_BINDING = 7
_FUNCTIONS = ("ABS", "AVG", "CEIL", "FILL", "FLOOR", "IF", "MAX", "METRICS", "MIN", "PERIOD", "SUM")


def parse(expression: str) -> tuple[Any, ...]:
    """Return the expression's tree. Raises MathError."""
    return _Parser(expression).parse()


def names(tree: tuple[Any, ...]) -> set[str]:
    """Return the ids that the expression refers to by name; `METRICS()` adds "*" (all metrics that are not expressions)."""
    if tree[0] == "id":
        return {tree[1]}
    found: set[str] = set()
    if tree[0] == "call" and tree[1] == "METRICS":
        found.add("*")
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= names(part)
        elif isinstance(part, list):
            for each in part:
                found |= names(each)
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise MathError(f"Unexpected character at {position} in '{text}'")
            self._tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            position = match.end()
        self._at = 0

    def parse(self) -> tuple[Any, ...]:
        tree = self._expression(0)
        if self._at < len(self._tokens):
            raise MathError(f"Unexpected '{self._tokens[self._at][1]}' in '{self._text}'")
        return tree

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise MathError(f"'{self._text}' ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, text: str) -> None:
        if self._next()[1] != text:
            raise MathError(f"'{text}' is missing in '{self._text}'")

    def _expression(self, binding: int) -> tuple[Any, ...]:
        left = self._operand()
        while self._peek() in _BINARY and _BINARY[self._peek()][0] > binding:
            symbol = self._next()[1]
            power = _BINARY[symbol][0]
            left = ("binary", symbol, left, self._expression(power - 1 if symbol == "^" else power))
        return left

    def _operand(self) -> tuple[Any, ...]:
        kind, text = self._next()
        if kind == "number":
            return "number", float(text)
        if kind == "string":
            return "string", text[1:-1]
        if text == "-":
            return "negative", self._expression(_UNARY_BINDING)
        if text == "(":
            tree = self._expression(0)
            self._expect(")")
            return tree
        if text == "[":
            return "array", self._list("]")
        if kind == "name" and self._peek() == "(":
            self._next()
            if text not in _FUNCTIONS:
                raise MathError(f"The function {text} is not served by the local AWS")
            return "call", text, self._list(")")
        if kind == "name" and (text[0].islower() or text in ("REPEAT", "LINEAR", "TRUE", "FALSE")):
            return ("number", float(text == "TRUE")) if text in ("TRUE", "FALSE") else ("id", text) if text[0].islower() else ("word", text)
        raise MathError(f"Unexpected '{text}' in '{self._text}'")

    def _list(self, end: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        if self._peek() == end:
            self._next()
            return found
        while True:
            found.append(self._expression(0))
            separator = self._next()[1]
            if separator == end:
                return found
            if separator != ",":
                raise MathError(f"'{end}' is missing in '{self._text}'")


def evaluate(tree: tuple[Any, ...], series: dict[str, Values], grid: list[float], period: float, metrics: dict[str, Values]) -> Values:
    """Return the time series of an expression.

    `series` has the values of every id it may name, `grid` all timestamps of the asked range (what FILL fills), `metrics` what
    METRICS() means: the metrics, not the expressions, of the same request, by id. Raises MathError.
    """
    result = _Evaluator(series, grid, period, metrics).value(tree)
    if isinstance(result, list):
        raise MathError("The expression returns several time series")
    return result if isinstance(result, dict) else dict.fromkeys(grid, result)


class _Evaluator:
    def __init__(self, series: dict[str, Values], grid: list[float], period: float, metrics: dict[str, Values]) -> None:
        self._series, self._grid, self._period_seconds, self._all_metrics = series, grid, period, metrics

    def value(self, tree: tuple[Any, ...]) -> Any:
        kind = tree[0]
        if kind == "number":
            return tree[1]
        if kind == "id":
            if tree[1] not in self._series:
                raise MathError(f"The id '{tree[1]}' is not known")
            return self._series[tree[1]]
        if kind == "negative":
            return _map(lambda value: -value, self.value(tree[1]))
        if kind == "binary":
            return _combine(_BINARY[tree[1]][1], self.value(tree[2]), self.value(tree[3]))
        if kind == "array":
            return [each for part in map(self.value, tree[1]) for each in (part if isinstance(part, list) else [part])]
        if kind == "call":
            return getattr(self, f"_{tree[1].lower()}")(tree[2])
        raise MathError(f"'{tree[1]}' has no value here")

    def _arguments(self, name: str, arguments: list[tuple[Any, ...]], count: int) -> list[Any]:
        if len(arguments) != count:
            raise MathError(f"{name} takes {count} arguments")
        return [self.value(each) for each in arguments]

    def _abs(self, arguments: list[Any]) -> Any:
        return _map(abs, self._arguments("ABS", arguments, 1)[0])

    def _ceil(self, arguments: list[Any]) -> Any:
        return _map(lambda value: float(math.ceil(value)), self._arguments("CEIL", arguments, 1)[0])

    def _floor(self, arguments: list[Any]) -> Any:
        return _map(lambda value: float(math.floor(value)), self._arguments("FLOOR", arguments, 1)[0])

    def _period(self, arguments: list[Any]) -> Any:
        return self._period_seconds

    def _metrics(self, arguments: list[Any]) -> Any:
        part = self.word(arguments[0]) if arguments else ""
        return [values for name, values in self._all_metrics.items() if part in name]

    def word(self, tree: tuple[Any, ...]) -> str:
        if tree[0] not in ("string", "word"):
            raise MathError("METRICS takes a string")
        return str(tree[1])

    def _sum(self, arguments: list[Any]) -> Any:
        return _reduce(math.fsum, self._arguments("SUM", arguments, 1)[0])

    def _avg(self, arguments: list[Any]) -> Any:
        return _reduce(lambda values: math.fsum(values) / len(values), self._arguments("AVG", arguments, 1)[0])

    def _max(self, arguments: list[Any]) -> Any:
        return _reduce(max, self._arguments("MAX", arguments, 1)[0])

    def _min(self, arguments: list[Any]) -> Any:
        return _reduce(min, self._arguments("MIN", arguments, 1)[0])

    def _if(self, arguments: list[Any]) -> Any:
        if len(arguments) not in (2, 3):
            raise MathError("IF takes 2 or 3 arguments")
        condition, yes, *rest = [self.value(each) for each in arguments]
        otherwise: Any = rest[0] if rest else {}
        if not isinstance(condition, dict):
            return yes if condition else otherwise
        chosen: Values = {}
        for at, holds in condition.items():
            source = yes if holds else otherwise
            if not isinstance(source, dict):
                chosen[at] = source
            elif at in source:
                chosen[at] = source[at]
        return chosen

    def _fill(self, arguments: list[Any]) -> Any:
        if len(arguments) != 2:
            raise MathError("FILL takes 2 arguments")
        source = self.value(arguments[0])
        if isinstance(source, list):
            return [self._filled(each, arguments[1]) for each in source]
        return self._filled(source, arguments[1])

    def _filled(self, source: Any, how: tuple[Any, ...]) -> Any:
        if not isinstance(source, dict):
            return source
        if how == ("word", "REPEAT"):
            return self._repeated(source)
        if how == ("word", "LINEAR"):
            return self._interpolated(source)
        filler = self.value(how)
        filled = dict(source)
        for at in self._grid:
            if at not in filled:
                if not isinstance(filler, dict):
                    filled[at] = filler
                elif at in filler:
                    filled[at] = filler[at]
        return filled

    def _repeated(self, source: Values) -> Values:
        filled = dict(source)
        last: float | None = None
        for at in self._grid:
            last = source.get(at, last)
            if last is not None:
                filled[at] = last
        return filled

    def _interpolated(self, source: Values) -> Values:
        filled, known = dict(source), sorted(source)
        for at in self._grid:
            before = [each for each in known if each < at]
            after = [each for each in known if each > at]
            if at not in source and before and after:
                left, right = before[-1], after[0]
                filled[at] = source[left] + (source[right] - source[left]) * (at - left) / (right - left)
        return filled


def _map(function: Callable[[float], float], value: Any) -> Any:
    if isinstance(value, list):
        return [_map(function, each) for each in value]
    return {at: function(each) for at, each in value.items()} if isinstance(value, dict) else function(value)


def _combine(function: Callable[[float, float], float], left: Any, right: Any) -> Any:
    """Apply an operator; a data point is missing where either side is, or where the result is no number (division by zero)."""
    if isinstance(left, list):
        return [_combine(function, each, right) for each in left]
    if isinstance(right, list):
        return [_combine(function, left, each) for each in right]
    if not isinstance(left, dict) and not isinstance(right, dict):
        result = _number(function, left, right)
        if result is None:
            raise MathError("The expression divides a number by zero")
        return result
    stamps = [at for at in (left if isinstance(left, dict) else right)
              if not isinstance(right, dict) or at in right]
    found: Values = {}
    for at in stamps:
        result = _number(function, left[at] if isinstance(left, dict) else left, right[at] if isinstance(right, dict) else right)
        if result is not None:
            found[at] = result
    return found


def _number(function: Callable[[float, float], float], left: float, right: float) -> float | None:
    try:
        result = function(left, right)
    except (ZeroDivisionError, OverflowError):
        return None
    return float(result) if isinstance(result, (int, float)) and math.isfinite(result) else None


def _reduce(function: Callable[[list[float]], float], value: Any) -> Any:
    """Reduce several series to one, timestamp by timestamp (what is missing is left out); reduce one series to a number."""
    if isinstance(value, list):
        stamps = {at for each in value if isinstance(each, dict) for at in each}
        scalars = [each for each in value if not isinstance(each, dict)]
        return {at: function(scalars + [each[at] for each in value if isinstance(each, dict) and at in each]) for at in sorted(stamps)}
    if isinstance(value, dict):
        return function(list(value.values())) if value else {}
    return value
