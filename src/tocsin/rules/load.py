"""Prometheus' rule files to values, with everything that is wrong with a file and where.

Source: Prometheus docs, configuration/recording_rules; model/rulefmt/rulefmt.go for what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from tocsin.model import document
from tocsin.model.document import FaultError, Kind, Node, Section, parse_yaml
from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME
from tocsin.model.place import Place
from tocsin.model.rule_group import AlertingRule, GroupRule, Pairs, RecordingRule, RuleGroup
from tocsin.model.templates.errors import TemplateError
from tocsin.model.templates.expand import parse_template
from tocsin.promql.ast import ValueType, type_of
from tocsin.promql.engine import parsed
from tocsin.promql.parse_error import ParseError

FILE_CHARS_MAX = 1_000_000
"""Some four thousand rules; to read so much takes a few seconds, so servers read on a thread."""
NODES_MAX = 200_000
"""Values of a file, aliases written out."""
PROBLEMS_MAX = 200
"""As many of a file are told; reading ends there."""

T = TypeVar("T")

_FILE = frozenset({"groups"})
_GROUP = frozenset({"name", "interval", "query_offset", "limit", "labels", "rules"})
_RULE = frozenset({"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"})
_KUBERNETES = dict.fromkeys(
    ("apiVersion", "kind", "metadata", "spec"),
    "This is a resource of Kubernetes (PrometheusRule); its rule file is what stands under `spec`.",
)
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+|0")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, and where; `rule` is the alert or record that it is about, if it has a name."""

    file: str
    place: Place
    message: str
    group: str = ""
    rule: str = ""

    def __str__(self) -> str:
        """`rules.yml:12:9: group "disks", rule "Full": …`, as compilers and editors write places."""
        where = f"{self.file}:{self.place.line}:{self.place.column}" if self.place.line else self.file
        about = [f"{kind} {name!r:.80}" for kind, name in (("group", self.group), ("rule", self.rule)) if name]
        return f"{where}: {', '.join(about) + ': ' if about else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What of a file can be used; where there are problems, some of it is missing."""

    groups: tuple[RuleGroup, ...]
    problems: tuple[Problem, ...] = ()

    def checked(self) -> tuple[RuleGroup, ...]:
        """The groups of a file without problems. Raises UserError that tells all of them, a line each."""
        if self.problems:
            raise UserError("\n".join(map(str, self.problems)))
        return self.groups


def load(text: str, file: str) -> Loaded:
    """The groups of a file's text, YAML or JSON; `file` is its name."""
    reader = _Reader(file)
    groups: tuple[RuleGroup, ...] = ()
    with suppress(_EnoughError), reader.noting():
        if len(text) > FILE_CHARS_MAX:
            raise FaultError(Place(), f"The file is longer than {FILE_CHARS_MAX:,} characters.")
        groups = reader.file(parse_yaml(text, NODES_MAX))
    problems = sorted(reader.problems, key=lambda each: (each.place.line, each.place.column))
    return Loaded(groups, tuple(problems))


def repeated(groups: Iterable[RuleGroup]) -> tuple[Problem, ...]:
    """Rules of one name and the same labels: where they are not meant to be alternatives, one hides the other."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
    problems = []
    for group in groups:
        for rule in group.rules:
            key = (rule.name, frozenset(group.labels_of(rule)))
            if key in found:
                told = f"There is a rule of this name with the same labels in line {found[key]} already."
                problems.append(Problem(group.file, rule.place, told, group.name, rule.name))
            found.setdefault(key, rule.place.line)
    return tuple(problems)


class _EnoughError(Exception):
    """There are as many problems as are told; to look for more would take long."""


class _Reader:
    """Reads on after a problem, so that all of them are told at once."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._group = ""
        self._rule = ""

    @contextmanager
    def noting(self) -> Iterator[None]:
        try:
            yield
        except FaultError as fault:
            self._note(fault.place, fault.message)

    def file(self, root: Node) -> tuple[RuleGroup, ...]:
        section = self._section(root, _FILE, _KUBERNETES)
        groups: dict[str, RuleGroup] = {}
        lines: dict[str, int] = {}
        for node in section.items("groups"):
            self._group = self._rule = ""
            with self.noting():
                group = self._read_group(node)
                if group.name and group.name in groups:
                    place = _named_at(node, "name")
                    self._note(place, f"There is a group of this name in line {lines[group.name]} already.")
                groups[group.name] = group
                lines.setdefault(group.name, node.place.line)
        return tuple(groups.values())

    def _read_group(self, node: Node) -> RuleGroup:
        section = self._section(node, _GROUP)
        self._group = name = self._read(section, "name", document.text, "")
        if not name.strip():
            self._note(_named_at(node, "name"), "Give the group a name.")
        return RuleGroup(
            name=name,
            interval_ms=self._read(section, "interval", _duration_ms, 0) or None,
            limit=self._read(section, "limit", document.count, 0),
            query_offset_ms=self._read(section, "query_offset", _duration_ms, None),
            labels=self._labels(section, "labels"),
            rules=tuple(self._rules(self._read(section, "rules", document.items, ()))),
            file=self._file,
        )

    def _rules(self, nodes: tuple[Node, ...]) -> Iterator[GroupRule]:
        for node in nodes:
            with self.noting():
                yield self._read_rule(node)
            self._rule = ""

    def _read_rule(self, node: Node) -> GroupRule:
        section = self._section(node, _RULE)
        record = self._read(section, "record", document.text, "")
        alert = self._read(section, "alert", document.text, "")
        self._rule = record or alert
        if record and alert:
            self._note(_named_at(node, "alert"), "A rule either records or alerts: leave out `record` or `alert`.")
        elif not self._rule:
            self._note(node.place, "Say what the rule records (`record: NAME`) or raises (`alert: NAME`).")
        expr = self._expression(section)
        labels = self._labels(section, "labels", templates=bool(alert))
        annotations = self._labels(section, "annotations", templates=bool(alert))
        lasting = {key: self._read(section, key, _duration_ms, 0) for key in ("for", "keep_firing_for")}
        if alert:
            return AlertingRule(
                alert, expr, lasting["for"], lasting["keep_firing_for"], labels, annotations, node.place
            )
        for key in ("for", "keep_firing_for", "annotations"):
            if section.get(key) is not None:
                self._note(_named_at(node, key), f"A rule that records has no `{key}`.")
        self._check_record(node, record)
        return RecordingRule(record, expr, labels, node.place)

    def _check_record(self, node: Node, record: str) -> None:
        # Prometheus takes any text as a name; braces are the usual sign of a selector in the wrong place.
        if any(brace in record for brace in "{}"):
            place = node.entries["record"][1].place
            self._note(place, "A metric's name has no braces; should this stand in `expr`, or under `labels`?")

    def _expression(self, section: Section) -> str:
        text = self._read(section, "expr", document.text, None)
        node = section.get("expr")
        if text is None or node is None:
            if node is None:
                self._note(_named_at(section.node, "expr"), "Give the rule an expression in `expr`.")
            return ""
        try:
            tree = parsed(text)
        except ParseError as error:
            before = text.split("\n")[: error.line - 1]
            offset = sum(len(line) + 1 for line in before) + error.column - 1
            self._note(node.place_of(min(offset, len(text.rstrip()))), str(error).partition(": ")[2])
            return text
        kind = type_of(tree)
        if kind not in (ValueType.SCALAR, ValueType.VECTOR):
            self._note(node.place, f"A {kind} cannot be alerted on or recorded: the expression must give a vector.")
        return text

    def _labels(self, section: Section, key: str, *, templates: bool = False) -> Pairs:
        """Names and values; of an alert they are templates, which are parsed here to see whether they can be."""
        pairs: list[tuple[str, str]] = []
        node = section.get(key)
        if node is None:
            return ()
        if node.kind is not Kind.MAP:
            self._note(node.place, f"This must be a map of names and values, and is {node.kind}.")
            return ()
        for name, (place, value) in node.entries.items():
            if not name:
                self._note(place, "A name is missing.")
            elif name == METRIC_NAME and key == "labels":
                self._note(place, f"{METRIC_NAME} is the metric's name, which no label of a rule can be.")
            with self.noting():
                text = document.text(value)
                pairs.append((name, text))
                if templates:
                    _check_template(value, text)
        return tuple(pairs)

    def _read(self, section: Section, key: str, reader: Callable[[Node], T], default: T) -> T:
        with self.noting():
            return section.read(key, reader, default)
        return default

    def _section(self, node: Node, known: frozenset[str], refused: Mapping[str, str] | None = None) -> Section:
        faults: list[FaultError] = []
        section = Section(node, known, refused, faults)
        for fault in faults:
            self._note(fault.place, fault.message, says_key=True)
        return section

    def _note(self, place: Place, message: str, *, says_key: bool = False) -> None:
        """`says_key` is whether the message itself says which key it is about."""
        field = "" if says_key or "`" in message else _WITHIN.sub("", place.path)
        told = f"{field}: {message}" if field else message
        self.problems.append(Problem(self._file, place, told, self._group, self._rule))
        if len(self.problems) >= PROBLEMS_MAX:
            raise _EnoughError


_WITHIN = re.compile(r"^groups(\[\d+\](\.rules(\[\d+\])?)?)?\.?")
"""What of a path the names of group and rule say better."""


def _named_at(node: Node, key: str) -> Place:
    """Where the key stands, or its map where it is missing."""
    entry = node.entries.get(key)
    return entry[0] if entry else node.place


def _check_template(node: Node, text: str) -> None:
    try:
        parse_template(text)
    except TemplateError as error:
        raise FaultError(node.place_of(error.offset), f"The template cannot be parsed: {error}.") from error


def _duration_ms(node: Node) -> int:
    """A duration with units; Prometheus reads no bare numbers here, nor fractions."""
    text = document.text(node)
    if not _DURATION.fullmatch(text):
        raise FaultError(node.place, f"{text!r:.80} is not a duration; write it like 30s, 5m or 1h30m.")
    try:
        return int(Duration.parse(text))
    except UserError as error:
        raise FaultError(node.place, str(error)) from error
