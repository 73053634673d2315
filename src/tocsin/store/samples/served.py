"""ClickHouse as a server of its own, over HTTP.

How it is spoken to, and why:

- No session: every request carries its settings, so that a lost connection leaves nothing behind on the server and
  a balancer may send each request elsewhere.
- An insert is one request with one Native block, `async_insert = 0`: the server answers when the rows are in the
  table. `wait_end_of_query` keeps it from saying 200 before it knows.
- The outcome of an insert whose connection broke is unknown, so it is sent again, once. Its deduplication token
  makes the second do nothing where the first was done after all: the two could otherwise land in any order with the
  next insert, and of equal rows the one that lands last counts. The token also keeps a table from taking two
  different inserts of equal rows for one, as replicated tables do by their content.
- What was answered with an error is not sent again here: its sender hears of it and tries again.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tocsin.model.errors import StoreError, TocsinError, UserError
from tocsin.model.series import IdArray
from tocsin.store.samples.address import Address
from tocsin.store.samples.engine import IDS, LOCAL_PARTS, PARTS, refusal
from tocsin.store.samples.native import Columns, Shape, decode, encode
from tocsin.store.settings import StoreSettings
from tocsin.version import __version__

OLDEST = (24, 8)
"""Older servers read our statements in other ways; 24.8 is the oldest whose makers said it is supported for long."""
FEW_IDS = 256
"""Up to so many ids stand in the SQL itself; more go beside it as a table of their own."""
RETRY_AFTER_S = 1.0
ANSWER_MARGIN_S = 10.0
"""The server's own limit is to end a statement, not our patience with the connection."""

_ID_SHAPE = Shape({"id": "UInt64"})
_IDS_TABLE = "asked_ids"
_ONE = Shape({"n": "UInt64"})

_UNKNOWN_DATABASE, _READONLY, _ACCESS_DENIED, _CONSTRAINT = 81, 164, 497, 452
_NOT_LET_IN = (192, 193, 194, 516)
_NOT_ALLOWED = (_READONLY, _ACCESS_DENIED, _CONSTRAINT)


class ServedConnection:
    """One client of its own, with one connection that is opened again when it was lost."""

    def __init__(self, client: Any, address: Address, *, alp: bool) -> None:
        self._client = client
        self._address = address
        self._alp = alp

    def run(self, sql: str) -> None:
        with self._errors("write"):
            self._client.raw_query(self._within_reach(sql), settings=_waiting(**_once()))

    def insert(self, table: str, shape: Shape, columns: Columns) -> None:
        body = encode(shape, columns)
        with self._errors("write"):
            self._client.raw_insert(
                table,
                list(shape.types),
                _packed(body) if self._address.compress else body,
                settings=_waiting(**_once()),
                fmt="Native",
                compression="lz4" if self._address.compress else None,
            )

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        sql = sql.replace(PARTS, LOCAL_PARTS)
        beside = None
        if ids is not None:
            if 0 < len(ids) <= FEW_IDS:
                sql = sql.replace(IDS, f"({','.join(map(str, ids.tolist()))})")
            else:
                sql = sql.replace(IDS, f"(select id from {_IDS_TABLE})")  # noqa: S608 - our own name
                beside = _external(ids)
        with self._errors("read"):
            return decode(shape, self._fetch(sql, beside))

    def close(self) -> None:
        self._client.close()

    def _fetch(self, sql: str, beside: Any) -> bytes:
        packed = self._address.compress
        answer = self._client.raw_stream(
            sql,
            settings=_waiting(enable_http_compression=int(packed)),
            fmt="Native",
            external_data=beside,
            transport_settings={"Accept-Encoding": "lz4"} if packed else None,
        )
        try:
            data: bytes = answer.read()
        finally:
            answer.release_conn()
        return _unpacked(data) if answer.headers.get("Content-Encoding") == "lz4" else data

    def _within_reach(self, sql: str) -> str:
        """A server that is older than the codec ALP keeps those columns a little larger."""
        return sql if self._alp else re.sub(r"\bALP\b", "Delta", sql)

    def _errors(self, doing: str) -> Any:
        return meaningful_errors(self._address, doing)


class ServedEngine:
    """The database that `address` names; it is made where it is missing and the user may.

    Raises UserError where the server does not let us in, is too old or lacks the database, StoreError where it
    does not answer.
    """

    table_settings = "non_replicated_deduplication_window = 100"
    """So many inserts are remembered, to know one that comes again: one writer never has more on the way."""

    def __init__(self, address: Address, settings: StoreSettings) -> None:
        self._address = address
        self._settings = settings
        with meaningful_errors(address, "open"):
            client = _client(address, None, {}, address.write_timeout.seconds)
            try:
                check_version(str(client.server_version), address)
                self._alp = "enable_alp_codec" in client.server_settings
                _find_database(client, address)
            finally:
                client.close()

    def connect(self, *, reading: bool) -> ServedConnection:
        limit_s = (self._settings.read_timeout if reading else self._address.write_timeout).seconds
        session = _session(self._settings, self._address, reading=reading, alp=self._alp)
        with meaningful_errors(self._address, "open"):
            client = _client(self._address, self._address.database, session, limit_s + ANSWER_MARGIN_S)
        return ServedConnection(client, self._address, alp=self._alp)

    def close(self) -> None:
        """Nothing is held but the connections, which their holders close."""


def _client(address: Address, database: str | None, session: dict[str, Any], answer_s: float) -> Any:
    import clickhouse_connect  # noqa: PLC0415 - 20 MB and 0.1 s, paid only where a server is used

    files = {"ca_cert": address.ca_cert, "client_cert": address.client_cert, "client_cert_key": address.client_key}
    tls: dict[str, Any] = {name: path for name, path in files.items() if path}
    return clickhouse_connect.get_client(
        interface="https" if address.secure else "http",
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        database=database,
        settings=session,
        # the name that the client makes up by itself tells the server who runs us, and where
        headers={"User-Agent": f"tocsin/{__version__}"},
        compress=False,  # the client's own reads and inserts are compressed, but we send and take raw bytes
        verify=address.verify,
        # whole seconds, as the client wants them
        connect_timeout=max(1, math.ceil(address.connect_timeout.seconds)),
        send_receive_timeout=max(1, math.ceil(answer_s)),
        query_retries=0,
        autogenerate_session_id=False,
        dedicated_pool=True,
        **tls,
    )


def _session(settings: StoreSettings, address: Address, *, reading: bool, alp: bool) -> dict[str, Any]:
    """Settings that go with every request of a connection."""
    if reading:
        return {
            "do_not_merge_across_partitions_select_final": 1,
            "max_execution_time": settings.read_timeout.seconds,
            "max_memory_usage": settings.read_memory_max_mb * 1_000_000,
        }
    return {
        "async_insert": 0,
        "max_partitions_per_insert_block": 0,
        "max_execution_time": address.write_timeout.seconds,
        **({"enable_alp_codec": 1} if alp else {}),
    }


def _waiting(**more: Any) -> dict[str, Any]:
    return {"wait_end_of_query": "1", **more}


def _once() -> dict[str, str]:
    """A mark of its own for every insert. (Whether equal rows are taken for one is another setting in each version.)"""
    return {"insert_deduplication_token": str(uuid.uuid4())}


def _external(ids: IdArray) -> Any:
    from clickhouse_connect.driver.external import ExternalData  # noqa: PLC0415 - as above

    data = encode(_ID_SHAPE, {"id": ids})
    return ExternalData(file_name=_IDS_TABLE, data=data, fmt="Native", structure=str(_ID_SHAPE))


def _packed(data: bytes) -> bytes:
    import lz4.frame  # noqa: PLC0415 - it comes with the client

    packed: bytes = lz4.frame.compress(data)
    return packed


def _unpacked(data: bytes) -> bytes:
    import lz4.frame  # noqa: PLC0415 - as above

    unpacked: bytes = lz4.frame.decompress(data)
    return unpacked


def check_version(said: str, address: Address) -> None:
    found = re.match(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UserError(f"ClickHouse at {address} is {said}; tocsin needs {oldest} or newer. Update it.")


def _find_database(client: Any, address: Address) -> None:
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - as above

    name = address.database
    there = f"select count() as n from system.databases where name = '{name}'"  # noqa: S608 - a plain name
    if decode(_ONE, client.raw_query(there, fmt="Native"))["n"][0]:
        return
    try:
        client.raw_query(f"create database if not exists {name}")
    except ClickHouseError as error:
        if getattr(error, "code", None) in _NOT_ALLOWED:
            raise UserError(
                f"ClickHouse at {address.host}:{address.port} has no database {name}, and {address.user} may not "
                f"make one. Make it (create database {name}) and grant the user its rights there."
            ) from error
        raise


@contextmanager
def meaningful_errors(address: Address, doing: str) -> Iterator[None]:
    """Turns what the client raises into what its caller can do about it."""
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - as above
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as above

    try:
        yield
    except ClickHouseError as error:
        raise _refused(error, address, doing) from error
    except HTTPError as error:
        raise _away(error, address) from error


def _refused(error: Any, address: Address, doing: str) -> TocsinError:
    from clickhouse_connect.driver.exceptions import ProgrammingError  # noqa: PLC0415 - as above

    code = getattr(error, "code", None)
    if isinstance(error, ProgrammingError):  # the client's own word, such as on a setting that the user may not change
        return UserError(f"ClickHouse at {address}: {error}") if doing == "open" else StoreError(str(error))
    if code is None and "HTTP driver received HTTP status" not in str(error):
        return _away(error, address)
    if code in _NOT_LET_IN:
        said = f"ClickHouse at {address} does not let {address.user} in: check user and password in store.url."
        return UserError(said) if doing == "open" else StoreError(said)
    if code in _NOT_ALLOWED:
        said = f"ClickHouse at {address} does not allow this to {address.user}: {_sentence(error)}"
        return UserError(said) if doing == "open" else StoreError(said)
    return refusal(error, doing)


def _away(error: BaseException, address: Address) -> StoreError:
    return StoreError(f"ClickHouse at {address} does not answer: {_cause(error)}.", retry_after_s=RETRY_AFTER_S)


def _cause(error: BaseException) -> str:
    """The system's own word for it: the client's text holds the request with its SQL."""
    from urllib3 import exceptions  # noqa: PLC0415 - as above

    chain = list(_chain(error))
    for each in reversed(chain):
        if isinstance(each, exceptions.SSLError):
            return f"its TLS cannot be trusted: {str(each).split(':')[-1].strip(' )')}"
        if isinstance(each, OSError) and each.strerror:
            return each.strerror[0].lower() + each.strerror[1:]
    if any(isinstance(each, exceptions.TimeoutError) for each in chain):
        return "no word within the time that it has"
    return "the connection was lost"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__ or getattr(error, "reason", None)


def _sentence(error: Any) -> str:
    found = re.search(r"DB::\w*Exception: (.*?)(?: \(version|\(for url|$)", str(error), re.DOTALL)
    return found[1].splitlines()[0][:300] if found else "no reason given"
