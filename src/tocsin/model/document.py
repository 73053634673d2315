"""YAML and JSON with the place of each value, so that an error can say where it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import yaml

from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.place import Place

T = TypeVar("T")

NODES_MAX = 1_000_000
"""Values in one document, aliases written out: a few lines of aliases could stand for billions."""

DEPTH_MAX = 64
_SHOWN_MAX = 200
_HALF = re.compile("[\ud800-\udfff]")
_NO_TEXT = "The text holds a NUL character or half a surrogate pair."
_TOO_LARGE = "The document is too large or too deep."


class Kind(StrEnum):
    TEXT = "text"
    NUMBER = "a number"
    FLAG = "true or false"
    NULL = "nothing"
    LIST = "a list"
    MAP = "a map"


@dataclass(frozen=True, slots=True)
class Source:
    """The characters [start, end) of a document that a scalar was written in, quotes and indentation included."""

    document: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Node:
    """One value: `text` of a scalar as it was written, `items` of a list, `entries` of a map with each key's place."""

    kind: Kind
    place: Place
    text: str = ""
    items: tuple[Node, ...] = ()
    entries: Mapping[str, tuple[Place, Node]] = field(default_factory=dict)
    source: Source | None = field(default=None, compare=False, repr=False)

    def place_of(self, offset: int) -> Place:
        """Where the scalar's character `offset` stands, also within a block of several lines or between quotes."""
        if self.source is None:
            return self.place
        document = self.source.document
        at = written_at(self.text, document[self.source.start : self.source.end], offset) + self.source.start
        breaks = [found.end() for found in _LINE_BREAK.finditer(document, 0, at)]
        return Place(self.place.path, len(breaks) + 1, at - (breaks[-1] if breaks else 0) + 1)

    def plain(self) -> Any:
        """As JSON has it."""
        match self.kind:
            case Kind.MAP:
                return {key: node.plain() for key, (_, node) in self.entries.items()}
            case Kind.LIST:
                return [node.plain() for node in self.items]
            case Kind.NULL:
                return None
            case Kind.FLAG:
                return self.text.lower() in _TRUE
            case Kind.NUMBER:
                return _number(self.text)
            case _:
                return self.text


class FaultError(UserError):
    """A value is wrong; `place` says which. `named` writes it out for people."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(f"{place.path}: {message}" if place.path else message, field=place.path or None)
        self.place = place
        self.message = message
        """Without the path."""

    def named(self, source: str) -> UserError:
        """With the name of the file, the line and the column in front."""
        where = f"{source}, line {self.place.line}, column {self.place.column}" if self.place.line else source
        return UserError(f"{where}: {self}")


_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_BREAKS = " \t\r\n"
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What YAML counts as the end of a line."""
_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t\r\n]+)*")
"""An anchor or a tag in front of a value."""
_ESCAPE = re.compile(r"\\(?:x..|u....|U........|\n[ \t]*|.)", re.DOTALL)


def written_at(value: str, written: str, offset: int) -> int:
    """Which character of what was written became the character `offset` of a scalar's value.

    Folding and indentation only change white space, so the two run side by side: what is no white space is found
    again as it is, or as an escape between double quotes.
    """
    begin = _PROPERTIES.match(written).end()  # type: ignore[union-attr] # it matches nothing too
    quoted = written.startswith('"', begin)
    at = _scalar_start(written, begin)
    for char in value[:offset]:
        at = _after(written, _next(written, at, char, quoted=quoted), quoted=quoted)
    return min(_next(written, at, value[offset : offset + 1], quoted=quoted), len(written))


def _scalar_start(written: str, begin: int) -> int:
    """After a quote, or after the header of a block and its comment."""
    first = written[begin : begin + 1]
    if first in ("'", '"'):
        return begin + 1
    return written.find("\n", begin) + 1 if first in ("|", ">") else begin


def _next(written: str, at: int, char: str, *, quoted: bool) -> int:
    if char and char in _BREAKS:
        return at
    while at < len(written) and written[at] in _BREAKS:
        at += 1
    if quoted and (found := _ESCAPE.match(written, at)) and found[0][1] == "\n":
        return _next(written, found.end(), char, quoted=quoted)
    return at


def _after(written: str, at: int, *, quoted: bool) -> int:
    found = _ESCAPE.match(written, at) if quoted else None
    if found:
        return found.end()
    return at + (2 if written.startswith("''", at) else 1)


_KINDS = {"int": Kind.NUMBER, "float": Kind.NUMBER, "bool": Kind.FLAG, "null": Kind.NULL}
_MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str, nodes_max: int = NODES_MAX) -> Node:
    """The only document of the text. Raises FaultError; an empty text is an empty map."""
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place("", mark.line + 1, mark.column + 1) if mark else Place()
        raise FaultError(place, f"This is not YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise FaultError(Place(), f"This is not YAML: {error}.") from error
    if root is None:
        return Node(Kind.MAP, Place())
    _check_size(root, nodes_max, {})
    return _read(root, "", text)


def from_plain(value: Any, path: str = "", depth: int = 0) -> Node:
    """What JSON was decoded to. Its places have no lines. Raises FaultError where it is too deep."""
    place = Place(path)
    if depth > DEPTH_MAX:
        raise FaultError(Place(path[:_SHOWN_MAX]), _TOO_LARGE)
    match value:
        case None:
            return Node(Kind.NULL, place)
        case bool():
            return Node(Kind.FLAG, place, str(value).lower())
        case int() | float():
            return Node(Kind.NUMBER, place, repr(value))
        case list() | tuple():
            items = tuple(from_plain(each, f"{path}[{at}]", depth + 1) for at, each in enumerate(value))
            return Node(Kind.LIST, place, items=items)
        case Mapping():
            entries = {
                str(key): (Place(_under(path, str(key))), from_plain(each, _under(path, str(key)), depth + 1))
                for key, each in value.items()
            }
            return Node(Kind.MAP, place, entries=entries)
        case _:
            return Node(Kind.TEXT, place, str(value))


def _check_size(node: yaml.Node, nodes_max: int, known: dict[int, int], depth: int = 0) -> int:
    """How many values it stands for. An alias is the very node that it names, so each is counted once."""
    size = known.get(id(node))
    if size is None:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [each for pair in node.value for each in pair]
        if depth > DEPTH_MAX:
            raise FaultError(_place(node, ""), _TOO_LARGE)
        size = known[id(node)] = 1 + sum(_check_size(each, nodes_max, known, depth + 1) for each in children)
    if size > nodes_max:
        raise FaultError(_place(node, ""), _TOO_LARGE)
    return size


def _read(node: yaml.Node, path: str, document: str) -> Node:
    place = _place(node, path)
    if isinstance(node, yaml.SequenceNode):
        items = tuple(_read(each, f"{path}[{at}]", document) for at, each in enumerate(node.value))
        return Node(Kind.LIST, place, items=items)
    if isinstance(node, yaml.MappingNode):
        return Node(Kind.MAP, place, entries=_entries(node, path, document))
    source = Source(document, node.start_mark.index, node.end_mark.index)
    return Node(_KINDS.get(node.tag.rpartition(":")[2], Kind.TEXT), place, str(node.value), source=source)


def _entries(node: yaml.MappingNode, path: str, document: str) -> dict[str, tuple[Place, Node]]:
    entries: dict[str, tuple[Place, Node]] = {}
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise FaultError(_place(key, path), "A key must be text.")
        if key.tag == _MERGE:
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            continue
        under = _under(path, str(key.value))
        if key.value in entries:
            raise FaultError(_place(key, under), "This key stands there twice.")
        entries[str(key.value)] = (_place(key, under), _read(value, under, document))
    for one in merged:  # what the map says itself wins over what it merges
        if not isinstance(one, yaml.MappingNode):
            raise FaultError(_place(one, path), "Only a map can be merged with `<<`.")
        entries = _entries(one, path, document) | entries
    return entries


def _place(node: yaml.Node, path: str) -> Place:
    return Place(path, node.start_mark.line + 1, node.start_mark.column + 1)


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


class Section:
    """A map whose keys are known. Raises FaultError for one that is not."""

    def __init__(
        self,
        node: Node,
        known: frozenset[str],
        refused: Mapping[str, str] | None = None,
        faults: list[FaultError] | None = None,
    ) -> None:
        """`refused` are keys that exist elsewhere, and why not here. With `faults`, unknown keys are only noted."""
        if node.kind is not Kind.MAP:
            wrong(node, Kind.MAP)
        self.node = node
        for key, (place, _) in node.entries.items():
            if refused and key in refused:
                raise FaultError(place, refused[key])
            if key not in known:
                fault = FaultError(place, f"There is no key {key!r:.80} here{_nearest(key, known)}")
                if faults is None:
                    raise fault
                faults.append(fault)

    def get(self, key: str) -> Node | None:
        """None where the key is missing or has no value."""
        entry = self.node.entries.get(key)
        return None if entry is None or entry[1].kind is Kind.NULL else entry[1]

    def read(self, key: str, reader: Callable[[Node], T], default: T) -> T:
        node = self.get(key)
        return default if node is None else reader(node)

    def text(self, key: str, default: str = "") -> str:
        return self.read(key, text, default)

    def items(self, key: str) -> Iterator[Node]:
        node = self.get(key)
        return iter(() if node is None else items(node))

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(map(text, self.items(key)))

    def fail(self, message: str, key: str = "") -> NoReturn:
        """Raises FaultError at the key, or at the map where it has none of that name."""
        entry = self.node.entries.get(key)
        place = entry[0] if entry else Place(_under(self.node.place.path, key) if key else self.node.place.path)
        if not entry:
            place = Place(place.path, self.node.place.line, self.node.place.column)
        raise FaultError(place, message)


def text(node: Node) -> str:
    """Any scalar is text where text is wanted: `port: 9100` means "9100"."""
    if node.kind in (Kind.MAP, Kind.LIST):
        wrong(node, Kind.TEXT)
    _check_text(node.text, node.place)
    return "" if node.kind is Kind.NULL else node.text


def items(node: Node) -> tuple[Node, ...]:
    if node.kind is not Kind.LIST:
        wrong(node, Kind.LIST)
    return node.items


def flag(node: Node) -> bool:
    word = node.text.lower()
    if node.kind not in (Kind.FLAG, Kind.TEXT) or word not in _TRUE | _FALSE:
        wrong(node, Kind.FLAG)
    return word in _TRUE


def count(node: Node) -> int:
    """A whole number from 0."""
    if node.kind not in (Kind.NUMBER, Kind.TEXT) or not (node.text.isascii() and node.text.isdigit()):
        raise FaultError(node.place, f"This must be a whole number from 0, and is {_shown(node)}.")
    return int(node.text[:18])


def duration_ms(node: Node) -> int:
    try:
        return int(Duration.parse(text(node)))
    except FaultError:
        raise
    except UserError as error:
        raise FaultError(node.place, str(error)) from error


_SIZES = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def size(node: Node) -> int:
    """Bytes, as in `10MB`. K, M and G are powers of 1024, as in Prometheus."""
    written = text(node).strip()
    digits = written.rstrip("BKMGibkmg")
    unit = written[len(digits) :].lower()
    if not (digits.isascii() and digits.isdigit() and unit in _SIZES):
        raise FaultError(node.place, f"{written!r:.80} is not a size; write it like 10MB.")
    return int(digits[:15]) * _SIZES[unit]


def mapping(node: Node) -> dict[str, Node]:
    """A map with keys of the writer's own."""
    if node.kind is not Kind.MAP:
        wrong(node, Kind.MAP)
    for key, (place, _) in node.entries.items():
        _check_text(key, place)
    return {key: value for key, (_, value) in node.entries.items()}


def _check_text(written: str, place: Place) -> None:
    """JSON can hold what no label, URL or header can."""
    if "\0" in written or (not written.isascii() and _HALF.search(written)):
        raise FaultError(Place(place.path.encode("utf-8", "replace").decode(), place.line, place.column), _NO_TEXT)


def wrong(node: Node, wanted: Kind) -> NoReturn:
    raise FaultError(node.place, f"This must be {wanted}, and is {_shown(node)}.")


def _shown(node: Node) -> str:
    return node.kind if node.kind in (Kind.MAP, Kind.LIST, Kind.NULL) else f"{node.text!r:.80}"


def _nearest(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}."


def _number(written: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return written
