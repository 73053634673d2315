"""Column types that read and write the same values on SQLite and PostgreSQL.

A sealed column needs a cipher, and a column type is handed nothing but its dialect. Each engine has a dialect of its
own, which lives as long as the engine does: `give_cipher` puts the cipher there, so that it is no global, and two
databases in one process may have two.
"""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tocsin.model.errors import UserError
from tocsin.store.sealing import Cipher, SealError, key_of

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


SEALED = "\x1asealed:"
"""Begins what is sealed. No JSON does, and a text that does loses that character."""

_CIPHER = "tocsin_cipher"


def give_cipher(engine: sa.Engine, cipher: Cipher | None) -> None:
    """Let the sealed columns of this engine's database be sealed with it. Before its first statement."""
    setattr(engine.dialect, _CIPHER, cipher)


def _cipher_of(dialect: sa.Dialect) -> Cipher | None:
    return getattr(dialect, _CIPHER, None)


def seal_text(text: str, cipher: Cipher, context: str) -> str:
    """As it stands in the database."""
    return SEALED + base64.b64encode(cipher.seal(text.encode(), context.encode())).decode()


def is_sealed_by(stored: str, cipher: Cipher | None) -> bool:
    """Whether it was sealed with that cipher's current key; for None, whether it is plain."""
    if cipher is None or not stored.startswith(SEALED):
        return cipher is None and not stored.startswith(SEALED)
    return key_of(base64.b64decode(stored[len(SEALED) :])) == cipher.ring.current.id


def open_text(stored: str, cipher: Cipher | None, context: str) -> str:
    """The text behind what stands in the database, sealed or not. Raises SealError, UserError without a cipher."""
    if not stored.startswith(SEALED):
        return stored
    if cipher is None:
        raise UserError(f"{context} is encrypted: set store.encryption_key_file to the key's file.")
    try:
        return cipher.open(base64.b64decode(stored[len(SEALED) :], validate=True), context.encode()).decode()
    except (SealError, ValueError) as error:
        raise SealError(f"{context} in the state database cannot be read. {error}") from error


class Sealed(Json):
    """JSON that is sealed where the engine has a cipher; what was written without one is read as it is.

    `context` is the table.column: what was sealed for one column does not open in another. The database can
    neither compare nor search such a column: the same value is sealed differently each time.
    """

    cache_ok = True

    def __init__(self, context: str) -> None:
        super().__init__()
        self.context = context

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        text = super().process_bind_param(value, dialect)
        cipher = _cipher_of(dialect)
        return text if text is None or cipher is None else seal_text(text, cipher, self.context)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        text = None if value is None else open_text(value, _cipher_of(dialect), self.context)
        return super().process_result_value(text, dialect)


class SealedWords(Words):
    """Words, sealed as `Sealed` is."""

    cache_ok = True

    def __init__(self, context: str) -> None:
        super().__init__()
        self.context = context

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        text = super().process_bind_param(value, dialect)
        cipher = _cipher_of(dialect)
        if text is None or cipher is None:
            return None if text is None else text.removeprefix(SEALED[0])
        return seal_text(text, cipher, self.context)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else open_text(value, _cipher_of(dialect), self.context)


Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite makes ids only for columns of the type INTEGER."""
