"""Relabelling: rules that choose targets and series, and rewrite their labels. Pure.

Source: Prometheus model/relabel/relabel.go; Go's regexp.Expand for `$1` and `${name}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import md5
from typing import Any

from tocsin.model.errors import UserError
from tocsin.model.matcher import compiled

REGEX_CHARS_MAX = 64 * 1024
"""Lists of names in `keep` and `drop` are written by machines and grow long."""

ANYTHING = "(.*)"

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")


class Action(StrEnum):
    REPLACE = "replace"
    KEEP = "keep"
    DROP = "drop"
    KEEPEQUAL = "keepequal"
    DROPEQUAL = "dropequal"
    HASHMOD = "hashmod"
    LABELMAP = "labelmap"
    LABELDROP = "labeldrop"
    LABELKEEP = "labelkeep"
    LOWERCASE = "lowercase"
    UPPERCASE = "uppercase"


_NEED_TARGET = frozenset(
    {Action.REPLACE, Action.HASHMOD, Action.LOWERCASE, Action.UPPERCASE, Action.KEEPEQUAL, Action.DROPEQUAL}
)
_FIXED_TARGET = _NEED_TARGET - {Action.REPLACE}


@dataclass(frozen=True, slots=True)
class Relabel:
    """One rule. Raises UserError, with the key as its field, where its parts do not fit together."""

    action: Action = Action.REPLACE
    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    regex: str = ANYTHING
    modulus: int = 0
    target_label: str = ""
    replacement: str = "$1"

    def __post_init__(self) -> None:
        try:
            compiled(self.regex, REGEX_CHARS_MAX)
        except UserError as error:
            raise UserError(str(error), field="regex") from error
        if self.action in _NEED_TARGET and not self.target_label:
            raise UserError(f"Action {self.action} needs a target_label.", field="target_label")
        if self.action in _FIXED_TARGET and "$" in self.target_label:
            raise UserError(f"The target_label of action {self.action} is taken as it stands.", field="target_label")
        if self.action is Action.HASHMOD and self.modulus < 1:
            raise UserError("Action hashmod needs a modulus of at least 1.", field="modulus")
        if self.action in (Action.LABELDROP, Action.LABELKEEP) and (self.source_labels or self.target_label):
            raise UserError(f"Action {self.action} looks at every label's name; give it only a regex.", field="action")
        if self.action in (Action.KEEPEQUAL, Action.DROPEQUAL) and self.regex != ANYTHING:
            raise UserError(f"Action {self.action} compares whole values; give it no regex.", field="regex")


def apply(rules: Sequence[Relabel], labels: Mapping[str, str]) -> dict[str, str] | None:
    """The labels after all rules, without empty ones; None where a rule dropped them."""
    changed = {name: value for name, value in labels.items() if value}
    for rule in rules:
        if not _apply(rule, changed):
            return None
    return changed


def _apply(rule: Relabel, labels: dict[str, str]) -> bool:
    """Change the labels in place. False: they are dropped."""
    match rule.action:
        case Action.LABELMAP | Action.LABELDROP | Action.LABELKEEP:
            _apply_to_names(rule, labels)
            return True
        case _:
            text = rule.separator.join([labels.get(name, "") for name in rule.source_labels])
            return _apply_to_text(rule, text, labels)


def _apply_to_text(rule: Relabel, text: str, labels: dict[str, str]) -> bool:
    match rule.action:
        case Action.KEEP:
            return _match(rule, text) is not None
        case Action.DROP:
            return _match(rule, text) is None
        case Action.KEEPEQUAL:
            return labels.get(rule.target_label, "") == text
        case Action.DROPEQUAL:
            return labels.get(rule.target_label, "") != text
        case Action.HASHMOD:
            # the last 8 bytes of MD5: every Prometheus shards in this way
            digest = md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
            _set(labels, rule.target_label, str(int.from_bytes(digest[8:], "big") % rule.modulus))
        case Action.LOWERCASE:
            _set(labels, rule.target_label, text.lower())
        case Action.UPPERCASE:
            _set(labels, rule.target_label, text.upper())
        case _:
            found = _match(rule, text)
            if found is not None and (name := expand(rule.target_label, found)):
                _set(labels, name, expand(rule.replacement, found))
    return True


def _apply_to_names(rule: Relabel, labels: dict[str, str]) -> None:
    for name, value in list(labels.items()):
        found = _match(rule, name)
        if rule.action is Action.LABELMAP:
            if found is not None and (target := expand(rule.replacement, found)):
                labels[target] = value
        elif (found is None) is (rule.action is Action.LABELKEEP):
            del labels[name]


def _set(labels: dict[str, str], name: str, value: str) -> None:
    """An empty value means that the label is absent."""
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _match(rule: Relabel, text: str) -> Any:
    return compiled(rule.regex, REGEX_CHARS_MAX).fullmatch(text)


def expand(template: str, found: Any) -> str:
    """The template with the match's groups in the place of `$1`, `${1}` and `${name}`; `$$` is a dollar.

    A group that there is not, or that took no part, is empty. As in Go, `$1x` means the group named `1x`.
    """
    if "$" not in template:
        return template
    groups = found.re.groupindex
    return "".join(part if type(part) is str else _group(found, groups, part) for part in _parts(template))


def _group(found: Any, names: Mapping[str, int], wanted: object) -> str:
    number = wanted if type(wanted) is int else names.get(str(wanted).removeprefix("$"), -1)
    return (found.group(number) or "") if 0 <= number <= found.re.groups else ""


@dataclass(frozen=True, slots=True)
class _Named:
    name: str

    def __str__(self) -> str:
        return self.name


@lru_cache(maxsize=1_024)
def _parts(template: str) -> tuple[str | int | _Named, ...]:
    """Text as it is, groups as their number or name. A `$` that begins no reference is itself."""
    parts: list[str | int | _Named] = []
    at = 0
    for found in _REFERENCE.finditer(template):
        parts.append(template[at : found.start()])
        at = found.end()
        name = found[2] or found[3]
        if found[1]:
            parts.append("$")
        else:
            parts.append(int(name) if name.isascii() and name.isdigit() and len(name) < 6 else _Named(name))
    parts.append(template[at:])
    return tuple(part for part in parts if part != "")
