"""Trees without the places of their nodes, so that two texts can be compared."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


def bare(node: Any) -> Any:
    if is_dataclass(node) and not isinstance(node, type):
        named = ((field.name, getattr(node, field.name)) for field in fields(node))
        return (type(node).__name__, *(bare(value) for name, value in named if name != "span"))
    if isinstance(node, tuple):
        return tuple(map(bare, node))
    return repr(node) if isinstance(node, float) else node
