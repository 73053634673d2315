"""Labels name a series: sorted pairs of strings, `__name__` being the metric."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

METRIC_NAME = "__name__"
_UNESCAPED = {"n": "\n", '"': '"', "\\": "\\"}
_PLAIN_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Labels:
    """The identity of a series. Build it with `Labels.of`, which sorts and drops empty values.

    An empty value means that the label is absent (Prometheus, data model).
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = (), /, **more: str) -> Labels:
        merged = dict(pairs) | more
        return cls(tuple(sorted((name, value) for name, value in merged.items() if value)))

    @classmethod
    def metric(cls, name: str, tags: Mapping[str, str] | None = None) -> Labels:
        return cls.of({**(tags or {}), METRIC_NAME: name})

    @property
    def name(self) -> str:
        """The metric's name, or the empty string."""
        return self.get(METRIC_NAME)

    @property
    def tags(self) -> dict[str, str]:
        """Every label but the metric's name."""
        return {name: value for name, value in self.pairs if name != METRIC_NAME}

    def get(self, name: str, default: str = "") -> str:
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def as_dict(self) -> dict[str, str]:
        return dict(self.pairs)

    def with_(self, /, **more: str) -> Labels:
        return Labels.of(self.pairs, **more)

    def without(self, *names: str) -> Labels:
        return Labels(tuple(pair for pair in self.pairs if pair[0] not in names))

    def series_id(self) -> int:
        """64 bits of BLAKE2b over the sorted pairs: the same on every machine and after every restart.

        Each string is preceded by its length, so that no two label sets share the hashed bytes.
        """
        return int.from_bytes(blake2b(b"".join(map(_hashed, self.pairs)), digest_size=8).digest(), "little")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __str__(self) -> str:
        """For people, with names as they are; `Rule.expression` writes what PromQL reads."""
        inner = ", ".join(f"{name}={quote(value)}" for name, value in self.pairs if name != METRIC_NAME)
        return f"{self.name}{{{inner}}}" if inner or not self.name else self.name


@lru_cache(maxsize=20_000)
def _hashed(pair: tuple[str, str]) -> bytes:
    """What of a pair goes into the id. Most pairs are those of many series."""
    name, value = (text.encode() for text in pair)
    return b"".join((len(name).to_bytes(4, "little"), name, len(value).to_bytes(4, "little"), value))


def quote(value: str) -> str:
    """A label value as Prometheus writes it: double quotes, with backslash, quote and newline escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def label_name(name: str) -> str:
    """A label's name as PromQL writes it: bare where it can be, otherwise quoted, as in `"service.name"`."""
    return name if _PLAIN_LABEL.fullmatch(name) else quote(name)


def unquote(text: str) -> str:
    """The inverse of `quote`, for text without its surrounding quotes.

    A backslash before any other character stands for itself, so that a regular expression which was
    typed as "sd\\d" keeps its meaning (Alertmanager reads matchers in the same way).
    """
    out: list[str] = []
    chars = iter(text)
    for char in chars:
        if char == "\\":
            escaped = next(chars, "")
            out.append(_UNESCAPED.get(escaped, char + escaped))
        else:
            out.append(char)
    return "".join(out)
