"""Column types that read and write the same values on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the columns hold UTC without a zone, alike in both databases
_MS = timedelta(milliseconds=1)


class UtcTime(sa.TypeDecorator[int]):
    """Int ms UTC in Python, a DATETIME without zone in the database: exact to the millisecond."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MS

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MS


class Reading(sa.TypeDecorator[float]):
    """A float64, NaN being NULL: SQLite cannot hold a NaN (nor the sign of a zero)."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: float | None, _dialect: sa.Dialect) -> float | None:
        return None if value is None or math.isnan(value) else value

    def process_result_value(self, value: float | None, _dialect: sa.Dialect) -> float:
        return math.nan if value is None else value


class Words(sa.TypeDecorator[str]):
    """Text from outside. What PostgreSQL or UTF-8 cannot hold (NUL, half a surrogate pair) is replaced.

    A receiver's strange answer must not keep a letter from being marked as sent.
    """

    impl: type[sa.String] = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Named(Words):
    """Words cut to the length of their VARCHAR(n)."""

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        clean = super().process_bind_param(value, _dialect)
        return None if clean is None else clean[: self.length]


class Json(sa.TypeDecorator[Any]):
    """JSON as text, so that both databases keep the very same bytes; None is NULL."""

    impl: type[sa.String] = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite makes ids only for columns of the type INTEGER."""
