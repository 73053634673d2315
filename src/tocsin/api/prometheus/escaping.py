"""Names that older clients cannot write, in letters that they can.

Source: Prometheus' proposal on UTF-8 names; prometheus/common, model/metric.go (EscapeName, UnescapeName).
"""

from __future__ import annotations

import re

PREFIX = "U__"
_PLAIN = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_ESCAPE = re.compile(r"_([0-9a-fA-F]{1,6}|)_")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9:]|__|_[0-9a-fA-F]{1,6}_)*")


def is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None


def unescaped(name: str) -> str:
    """`U__system_2e_cpu` is `system.cpu`; what is no escaped name stays as it is."""
    inner = name.removeprefix(PREFIX)
    if inner == name or not _ESCAPED.fullmatch(inner):
        return name
    codes = [int(code, 16) for code in _ESCAPE.findall(inner) if code]
    if any(code > 0x10FFFF or 0xD800 <= code < 0xE000 for code in codes):
        return name
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else "_", inner)


def escaped(name: str) -> str:
    """Whatever `unescaped` reads back."""
    if is_plain(name) and not name.startswith(PREFIX):
        return name
    return PREFIX + "".join(map(_escaped, name, range(len(name))))


def underscored(name: str) -> str:
    """With an underscore for each character that older clients cannot read: not to be read back."""
    return re.sub(r"[^A-Za-z0-9_:]", "_", f"_{name}" if name[:1].isdigit() else name)


def _escaped(char: str, at: int) -> str:
    if char == "_":
        return "__"
    plain = char.isascii() and (char.isalpha() or char == ":" or (char.isdigit() and at > 0))
    return char if plain else f"_{ord(char):x}_"
