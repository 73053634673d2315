"""The functions that Go's templates bring: comparisons, lengths, printing, escaping.

`and` and `or` are not here: they look at no more than they need, and so belong to the evaluator.
Source: Go's text/template, funcs.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote_plus

from tocsin.model.templates.errors import CallError
from tocsin.model.templates.formatting import sprint, sprintf
from tocsin.model.templates.functions import Function, Takes
from tocsin.model.templates.values import TemplateValue, is_true, type_name


def _length(value: TemplateValue) -> int:
    match value:
        case str():
            return len(value.encode("utf-8", "replace"))
        case tuple() | Mapping():
            return len(value)
        case None:
            raise CallError("len of nil pointer")
    raise CallError(f"len of type {type_name(value)}")


def _index(value: TemplateValue, *keys: TemplateValue) -> TemplateValue:
    if value is None:
        raise CallError("index of untyped nil")
    for key in keys:
        value = _at(value, key)
    return value


def _at(value: TemplateValue, key: TemplateValue) -> TemplateValue:
    match value:
        case Mapping():
            if not isinstance(key, str):
                raise CallError(f"value has type {type_name(key)}; should be string")
            return value.get(key, "")
        case tuple():
            return value[_position(key, len(value) - 1)]
        case str():
            raw = value.encode("utf-8", "replace")
            return raw[_position(key, len(raw) - 1)]
    raise CallError(f"can't index item of type {type_name(value)}")


def _position(key: TemplateValue, last: int) -> int:
    if not isinstance(key, int) or isinstance(key, bool):
        raise CallError(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key <= last:
        raise CallError(f"index out of range: {key}")
    return key


def _slice(value: TemplateValue, *bounds: TemplateValue) -> TemplateValue:
    if not isinstance(value, str | tuple):
        raise CallError(f"can't slice item of type {type_name(value)}")
    whole = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(bounds) > 2:
        raise CallError(f"too many slice indexes: {len(bounds)}")
    places = [_position(bound, len(whole)) for bound in bounds]
    start, end = (*places, *(0, len(whole))[len(places) :])
    if start > end:
        raise CallError(f"invalid slice index: {start} > {end}")
    cut = whole[start:end]
    return cut.decode("utf-8", "replace") if isinstance(cut, bytes) else cut


def _kind(value: TemplateValue) -> type:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind
    raise CallError("invalid type for comparison")


def _equal(first: TemplateValue, *others: TemplateValue) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(left: TemplateValue, right: TemplateValue) -> bool:
    if left is None or right is None:
        return left is right
    if _kind(left) is not _kind(right):
        raise CallError("incompatible types for comparison")
    return left == right


def _less(left: TemplateValue, right: TemplateValue) -> bool:
    kind = _kind(left)
    if kind is not _kind(right):
        raise CallError("incompatible types for comparison")
    if kind is bool:
        raise CallError("invalid type for comparison")
    return bool(left < right)  # type: ignore[operator]


def _at_most(left: TemplateValue, right: TemplateValue) -> bool:
    return _less(left, right) or _same(left, right)


_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"})
_JS = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
    | {chr(code): f"\\u{code:04X}" for code in range(32)}
)


def _escaping(change: Callable[[str], str]) -> Function:
    return Function(
        lambda *values: change(sprint(["<no value>" if each is None else each for each in values])), (), Takes.ANY
    )


BUILTINS: Mapping[str, Function] = {
    "not": Function(lambda value: not is_true(value), (Takes.ANY,)),
    "len": Function(_length, (Takes.ANY,)),
    "index": Function(_index, (Takes.ANY,), Takes.ANY),
    "slice": Function(_slice, (Takes.ANY,), Takes.ANY),
    "eq": Function(_equal, (Takes.ANY,), Takes.ANY),
    "ne": Function(lambda left, right: not _same(left, right), (Takes.ANY, Takes.ANY)),
    "lt": Function(_less, (Takes.ANY, Takes.ANY)),
    "le": Function(_at_most, (Takes.ANY, Takes.ANY)),
    "gt": Function(lambda left, right: not _at_most(left, right), (Takes.ANY, Takes.ANY)),
    "ge": Function(lambda left, right: not _less(left, right), (Takes.ANY, Takes.ANY)),
    "print": Function(lambda *values: sprint(values), (), Takes.ANY),
    "println": Function(lambda *values: " ".join(sprint((each,)) for each in values) + "\n", (), Takes.ANY),
    "printf": Function(lambda form, *values: sprintf(form, values), (Takes.TEXT,), Takes.ANY),
    "html": _escaping(lambda text: text.translate(_HTML)),
    "js": _escaping(lambda text: text.translate(_JS)),
    "urlquery": _escaping(lambda text: quote_plus(text.encode("utf-8", "replace"), safe="")),
}
