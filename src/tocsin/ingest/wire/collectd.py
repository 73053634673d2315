r"""collectd's JSON, as its plugin write_http sends it.

    [{"values": [12, 7], "dstypes": ["derive", "derive"], "dsnames": ["rx", "tx"], "time": 1769850000.123,
      "interval": 10, "host": "web1", "plugin": "interface", "plugin_instance": "eth0", "type": "if_octets",
      "type_instance": ""}]

Names are those that Prometheus' collectd exporter gives, so that its dashboards and rules fit: the above becomes
`collectd_interface_if_octets_rx_total{interface="eth0", instance="web1"}` and `…_tx_total`. `null` is NaN. A list that
is wrong is refused with all its values, and the others are taken.

Source: collectd, src/utils/format_json; Prometheus, collectd_exporter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import nan
from typing import NamedTuple

import msgspec

from tocsin.ingest import naming
from tocsin.ingest.columns import Columns
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels

SERIES_REMEMBERED = 65_536
REMEMBERED_CHARS_MAX = 2_048
"""Longer names are read anew each time, so that nobody fills the memory with them."""

_SECONDS_MAX = 1e11  # the year 5138
_TYPES = frozenset(("gauge", "derive", "counter", "absolute"))
_RISING = frozenset(("derive", "counter"))


class _List(msgspec.Struct, gc=False):
    """A value list. What else there is (`interval`, `meta`) says nothing about a sample."""

    values: list[float | None]
    dstypes: list[str]
    dsnames: list[str]
    time: float
    host: str
    plugin: str
    type: str
    plugin_instance: str = ""
    type_instance: str = ""


class ValueLists(NamedTuple):
    """What a body held. `index` of rows and rejections is the list's place, counted from 0."""

    rows: Rows
    rejected: tuple[Rejection, ...]


_lists = msgspec.json.Decoder(list[_List])
_list = msgspec.json.Decoder(_List)
_raw_lists = msgspec.json.Decoder(list[msgspec.Raw])

# All that msgspec raises: text that is not UTF-8 and hostile nesting have no error of their own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(body: bytes, limits: IngestSettings) -> ValueLists:
    """Raises UserError where the body is no list in JSON, TooLargeError where it holds more than a request may."""
    if body.count(b",") > limits.samples_max * _COMMAS_PER_SAMPLE:
        raise _too_many(limits)
    columns, rejected = Columns(), list[Rejection]()
    labels_of = _series_memory(limits)
    for at, one in _decode(body, rejected):
        fault = _fault_of(one)
        if fault is not None:
            rejected += [Rejection(at, *fault)] * max(1, len(one.values))
            continue
        time_ms = round(one.time * 1_000)
        for value, kind, name in zip(one.values, one.dstypes, one.dsnames, strict=True):
            key = (one.host, one.plugin, one.plugin_instance, one.type, one.type_instance, name, kind in _RISING)
            remembered = sum(map(len, key[:-1])) <= REMEMBERED_CHARS_MAX
            labels = labels_of(*key) if remembered else _series(limits, *key)
            if isinstance(labels, Fault):
                rejected.append(Rejection(at, *labels))
            else:
                columns.add(labels, time_ms, nan if value is None else value, at)
        if len(columns) + len(rejected) > limits.samples_max:
            raise _too_many(limits)
    return ValueLists(columns.rows(), tuple(rejected))


_COMMAS_PER_SAMPLE = 20
"""A list of one value has ten and its texts and `meta` some."""


def _too_many(limits: IngestSettings) -> TooLargeError:
    return TooLargeError(f"One request may hold {limits.samples_max} values; lower BufferSize in collectd.")


def _decode(body: bytes, rejected: list[Rejection]) -> Iterable[tuple[int, _List]]:
    """All at once where all are right, as they nearly always are; one by one where they are not."""
    try:
        return enumerate(_lists.decode(body))
    except _UNREADABLE:
        pass
    try:
        parts = _raw_lists.decode(body)
    except _UNREADABLE as error:
        raise UserError("The body is not a list of value lists in JSON, as collectd's write_http sends it.") from error
    readable: list[tuple[int, _List]] = []
    for at, part in enumerate(parts):
        try:
            readable.append((at, _list.decode(part)))
        except _UNREADABLE as error:
            rejected.append(Rejection(at, _unreadable(error)))
    return readable


_MISSING = re.compile(r"missing required field `(.*?)`")
_PATH = re.compile(r" - at `\$\.(\w+)")


def _unreadable(error: Exception) -> str:
    said = str(error)
    if found := _MISSING.search(said):
        return f"`{found[1]}` is missing in a value list."
    if found := _PATH.search(said):
        return f"`{found[1]}` of a value list is not what it should be."
    return "A value list cannot be read."


def _fault_of(one: _List) -> Fault | None:
    if not one.host or not one.plugin or not one.type:
        return Fault("A value list needs a host, a plugin and a type.")
    if not len(one.values) == len(one.dstypes) == len(one.dsnames):
        return Fault("A value list needs as many dstypes and dsnames as values.")
    if not 0 <= one.time < _SECONDS_MAX:
        return Fault(f"The time must be in seconds since 1970, and is {one.time:g}.")
    wrong = next((kind for kind in one.dstypes if kind not in _TYPES), None)
    return None if wrong is None else Fault(f"There is no type {shown(wrong)}; there are {', '.join(sorted(_TYPES))}.")


@lru_cache(maxsize=4)
def _series_memory(limits: IngestSettings) -> Callable[[str, str, str, str, str, str, bool], Labels | Fault]:
    """What names a value → labels, remembering as many as large senders repeat."""

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def series_of(
        host: str, plugin: str, instance: str, type_: str, type_instance: str, name: str, rising: bool
    ) -> Labels | Fault:
        return _series(limits, host, plugin, instance, type_, type_instance, name, rising)

    return series_of


def _series(
    limits: IngestSettings,
    host: str,
    plugin: str,
    instance: str,
    type_: str,
    type_instance: str,
    name: str,
    rising: bool,
) -> Labels | Fault:
    parts = ["collectd", plugin]
    if type_ != plugin:
        parts.append(type_)
    if name != "value":
        parts.append(name)
    if rising:
        parts.append("total")
    tags: dict[str, str] = {}
    if instance:
        tags[plugin] = instance
    if type_instance:
        tags["type" if instance else plugin] = type_instance
    tags["instance"] = host
    return naming.series_of("_".join(parts), tags, limits)
