"""Tree to text: PromQL as Prometheus prints it, on one line or laid out in lines of at most 100 characters.

Source of the forms: Prometheus promql/parser/printer.go and prettier.go.
"""

from __future__ import annotations

import re

from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.promql import ast
from tocsin.promql.ast import Card
from tocsin.promql.numerals import general, positional

LINE_BYTES_MAX = 100
INDENT = "  "
_PLAIN_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}
# Years and weeks only where nothing is left over: 90d is easier to read than 12w6d.
_EXACT_UNITS_MS = (("y", 31_536_000_000), ("w", 604_800_000))
_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def text_of(expr: ast.Expr) -> str:  # noqa: PLR0911 - one a kind of node
    """One line, from which `parse` makes the same tree but for places and the order of matchers."""
    match expr:
        case ast.Number():
            return positional(expr.value)
        case ast.String():
            return quoted(expr.value)
        case ast.Selector():
            return _series(expr) + _moved(expr)
        case ast.RangeSelector():
            return f"{_series(expr.selector)}[{duration(expr.range_ms)}]{_moved(expr.selector)}"
        case ast.Subquery():
            return text_of(expr.expr) + _window(expr)
        case ast.Call():
            return f"{expr.function}({', '.join(map(text_of, expr.args))})"
        case ast.Aggregate():
            return f"{_aggregation(expr)}({', '.join(map(text_of, ast.children(expr)))})"
        case ast.Binary():
            return f"{_base(expr)} {_operation(expr)} {text_of(expr.right)}"
        case ast.Unary():
            return expr.op + text_of(expr.expr)
        case ast.Paren():
            return f"({text_of(expr.expr)})"


def pretty(expr: ast.Expr, level: int = 0) -> str:  # noqa: PLR0911 - as many
    """Split wherever one line would be longer than 100 bytes, each level two blanks further in."""
    indent = INDENT * level
    line = text_of(expr)
    if len(line.encode()) <= LINE_BYTES_MAX:
        return indent + line
    match expr:
        case ast.Aggregate():
            return f"{indent}{_aggregation(expr)}(\n{_lines(ast.children(expr), level + 1)}\n{indent})"
        case ast.Call():
            return f"{indent}{expr.function}(\n{_lines(expr.args, level + 1)}\n{indent})"
        case ast.Binary():
            left, right = pretty(expr.left, level + 1), pretty(expr.right, level + 1)
            return f"{left}\n{indent}{_operation(expr)}\n{right}"
        case ast.Paren():
            return f"{indent}(\n{pretty(expr.expr, level + 1)}\n{indent})"
        case ast.Subquery():
            return pretty(expr.expr, level) + _window(expr)
        case ast.Unary():
            return indent + expr.op + pretty(expr.expr, level).strip()
        case _:
            return indent + line


def quoted(value: str) -> str:
    """In double quotes, as Go's strconv.Quote: what cannot be printed is written as an escape."""
    return '"' + "".join(char if _plain(char) else _escaped(char) for char in value) + '"'


def duration(ms: int) -> str:
    """`1h30m`, `90d`, `2w`; 0 is `0s`. Not negative."""
    if ms == 0:
        return "0s"
    for unit, size in _EXACT_UNITS_MS:
        if ms % size == 0:
            return f"{ms // size}{unit}"
    parts = []
    for unit, size in _UNITS_MS:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _lines(parts: tuple[ast.Expr, ...], level: int) -> str:
    return ",\n".join(pretty(part, level) for part in parts)


def _plain(char: str) -> bool:
    return char.isprintable() and char not in '\\"'


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _series(selector: ast.Selector) -> str:
    inner = sorted(map(_matcher, (each for each in selector.matchers if not _is_name(each, selector.name))))
    return selector.name + ("{" + ",".join(inner) + "}" if inner else "")


def _is_name(matcher: Matcher, name: str) -> bool:
    """Whether the matcher is said by the name before the braces."""
    return bool(name) and matcher == Matcher(METRIC_NAME, MatchOp.EQUAL, name)


def _matcher(matcher: Matcher) -> str:
    return f"{_name(matcher.label)}{matcher.op.value}{quoted(matcher.value)}"


def _name(label: str) -> str:
    return label if _PLAIN_NAME.fullmatch(label) else quoted(label)


def _names(labels: tuple[str, ...]) -> str:
    return f"({', '.join(map(_name, labels))})"


def _moved(node: ast.Selector | ast.Subquery) -> str:
    at = ""
    if isinstance(node.at, ast.Edge):
        at = f" @ {node.at.value}()"
    elif node.at is not None:
        seconds, ms = divmod(abs(node.at), 1_000)
        at = f" @ {'-' if node.at < 0 else ''}{seconds}.{ms:03d}"
    sign = "-" if node.offset_ms < 0 else ""
    return at + (f" offset {sign}{duration(abs(node.offset_ms))}" if node.offset_ms else "")


def _window(node: ast.Subquery) -> str:
    step = "" if node.step_ms is None else duration(node.step_ms)
    return f"[{duration(node.range_ms)}:{step}]{_moved(node)}"


def _aggregation(node: ast.Aggregate) -> str:
    if node.without:
        return f"{node.op} without {_names(node.labels)} "
    return f"{node.op} by {_names(node.labels)} " if node.labels else node.op


def _base(node: ast.Binary) -> str:
    """The left side. The sign of `+Inf` would take a power with it."""
    text = text_of(node.left)
    return text.removeprefix("+") if node.op == "^" and isinstance(node.left, ast.Number) else text


def _operation(node: ast.Binary) -> str:
    text = node.op + (" bool" if node.as_bool else "")
    matching = node.matching
    if matching is None:
        return text
    grouped = {Card.MANY_TO_ONE: "group_left", Card.ONE_TO_MANY: "group_right"}.get(matching.card)
    if matching.labels or matching.on or grouped:
        text += f" {'on' if matching.on else 'ignoring'} {_names(matching.labels)}"
    if grouped:
        text += f" {grouped} {_names(matching.include)}"
    return text + _fills(matching.fill_left, matching.fill_right)


def _fills(left: float | None, right: float | None) -> str:
    if left is not None and right is not None and general(left) == general(right):
        return f" fill ({general(left)})"
    sides = (("left", left), ("right", right))
    return "".join(f" fill_{side} ({general(value)})" for side, value in sides if value is not None)
