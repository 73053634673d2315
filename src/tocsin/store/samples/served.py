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
import os
import re
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import cramjam

from tocsin.model.duration import Duration
from tocsin.model.errors import StoreError, TocsinError, UserError
from tocsin.model.series import IdArray
from tocsin.store.samples.address import Address
from tocsin.store.samples.engine import IDS, locally, refusal
from tocsin.store.samples.layout import Cluster, Order
from tocsin.store.samples.native import Columns, Shape, decode, encode
from tocsin.store.settings import StoreSettings
from tocsin.version import __version__

OLDEST = (24, 8)
"""Older servers read our statements in other ways; 24.8 is the oldest whose makers said it is supported for long."""
TURNED_SINCE = (26, 1)
"""The first release that surely has ClickHouse's pull request 89432 (November 2025)."""
FEW_IDS = 256
"""Up to so many ids stand in the SQL itself; more go beside it as a table of their own."""
RETRY_AFTER_S = 1.0
LOCK_PATIENCE_S = 60
LOCK_STALE_S = 900
ANSWER_MARGIN_S = 10.0
"""The server's own limit is to end a statement, not our patience with the connection."""

_ID_SHAPE = Shape({"id": "UInt64"})
_IDS_TABLE = "asked_ids"
_LZ4_FAST = 1
"""The level of lz4's own default; cramjam's is 4, which takes six times as long for a twentieth of the bytes."""
_ONE = Shape({"n": "UInt64"})
_NAMES = Shape({"name": "String"})

_TABLE_EXISTS, _READONLY, _ACCESS_DENIED, _CONSTRAINT = 57, 164, 497, 452
_NOT_LET_IN = (192, 193, 194, 195, 516)
_NOT_ALLOWED = (_READONLY, _ACCESS_DENIED, _CONSTRAINT)

_TOGETHER = {
    # Reads and inserts go to the first replica of a shard that lives, whichever server they came to, so that a read
    # finds what was written just before: a replica that lags is read only where the one before it is away.
    "load_balancing": "in_order",
    "prefer_localhost_replica": 0,
    # an insert is answered when the shards have it, and goes there by way of the server that was asked
    "distributed_foreground_insert": 1,
    "parallel_distributed_insert_select": 0,
    # a set that is read from a table is gathered from all shards and sent to each
    "distributed_product_mode": "global",
}
_NOT_FOR_EVERYBODY = {"distributed_ddl_task_timeout": 10, "distributed_ddl_output_mode": "null_status_on_timeout"}
"""A server that is away does it when it comes back."""


@dataclass(frozen=True, slots=True)
class Codecs:
    """Which of the codecs in our statements a server has. Without them its columns are a little larger."""

    alp: bool
    turned: bool
    """Whether T64 may stand behind Delta. Older servers make such a table, but cannot write a row into it."""

    def within_reach(self, sql: str) -> str:
        if not self.alp:
            sql = re.sub(r"\bALP\b", "Delta", sql)
        return sql if self.turned else sql.replace("Delta, T64", "T64")


class ServedConnection:
    """A client, and the settings that go with every request."""

    def __init__(self, client: Any, address: Address, session: Mapping[str, Any], codecs: Codecs) -> None:
        self._client = client
        self._session = session
        self._address = address
        self._cluster = cluster_of(address)
        self._codecs = codecs

    def run(self, sql: str) -> None:
        orders = self._cluster.spread(sql) if self._cluster else (Order(sql),)
        with self._errors("write"):
            for order in orders:
                patience = _NOT_FOR_EVERYBODY if order.later else {}
                self._client.raw_query(self._codecs.within_reach(order.sql), settings=self._with(**_once(), **patience))

    def insert(self, table: str, shape: Shape, columns: Columns) -> None:
        body = encode(shape, columns)
        with self._errors("write"):
            self._client.raw_insert(
                table,
                list(shape.types),
                _packed(body) if self._address.compress else body,
                settings=self._with(**_once()),
                fmt="Native",
                compression="lz4" if self._address.compress else None,
            )

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        sql = self._cluster.asked(sql) if self._cluster else locally(sql)
        beside = None
        if ids is not None:
            if 0 < len(ids) <= FEW_IDS:
                sql = sql.replace(IDS, f"({','.join(map(str, ids.tolist()))})")
            else:
                sql = sql.replace(IDS, f"(select id from {_IDS_TABLE})")  # noqa: S608 - our own name
                beside = _external(ids)
        with self._errors("read"):
            return decode(shape, self._fetch(sql, beside))

    @contextmanager
    def alone(self, *, patience_s: int = LOCK_PATIENCE_S, stale_s: int = LOCK_STALE_S) -> Iterator[None]:
        """A table that only one can make is the lock. Who died with it is not waited for longer than `stale_s`."""
        name = f"{self._address.database}.schema_changing"
        where = f" {self._cluster.everywhere}" if self._cluster else ""
        waited_s = 0
        while not self._made(f"create table {name}{where} (holder String) engine = Memory"):
            if self._age_s("schema_changing") >= stale_s:
                self._give_up_lock(name, where)
            elif waited_s >= patience_s:
                raise StoreError(
                    f"Another tocsin has been changing the tables of {self._address} for {waited_s} seconds. "
                    f"If there is none, drop the table {name}."
                )
            else:
                self.read("select toUInt64(sleep(1)) as n", _ONE)  # the server waits for us
                waited_s += 1
        try:
            yield
        finally:
            self._give_up_lock(name, where)

    def _made(self, create: str) -> bool:
        from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - as above

        with self._errors("write"):
            try:
                self._client.raw_query(create, settings=self._with())
            except ClickHouseError as error:
                if getattr(error, "code", None) != _TABLE_EXISTS:
                    raise
                return False
        return True

    def _age_s(self, table: str) -> int:
        found = self.read(
            "select toUInt64(greatest(0, max(now() - metadata_modification_time))) as n from system.tables "  # noqa: S608
            f"where database = currentDatabase() and name = '{table}'",
            _ONE,
        )
        return int(found["n"][0])

    def _give_up_lock(self, name: str, where: str) -> None:
        with self._errors("write"):
            self._client.raw_query(f"drop table if exists {name}{where} sync", settings=self._with())

    def close(self) -> None:
        """Nothing is held: the client is the engine's."""

    def _with(self, **more: Any) -> dict[str, Any]:
        """`wait_end_of_query`: no answer before it is known whether all went well."""
        return {**self._session, "wait_end_of_query": "1", **more}

    def _fetch(self, sql: str, beside: Any) -> bytes:
        packed = self._address.compress
        answer = self._client.raw_stream(
            sql,
            settings=self._with(enable_http_compression=int(packed)),
            fmt="Native",
            external_data=beside,
            transport_settings={"Accept-Encoding": "lz4"} if packed else None,
        )
        try:
            data: bytes = answer.read()
        finally:
            answer.release_conn()
        return bytes(cramjam.lz4.decompress(data)) if answer.headers.get("Content-Encoding") == "lz4" else data

    def _errors(self, doing: str) -> Any:
        return meaningful_errors(self._address, doing)


class ServedEngine:
    """The database that `address` names; it is made where it is missing and the user may.

    Raises UserError where the server does not let us in, is too old or lacks the database, StoreError where it
    does not answer.
    """

    def __init__(self, address: Address, settings: StoreSettings) -> None:
        self._address = address
        # So many inserts are remembered, to know one that comes again. Replicated tables do it unasked.
        self.table_settings = "" if address.cluster else "non_replicated_deduplication_window = 100"
        with ExitStack() as stack, meaningful_errors(address, "open"):
            self._writer = _client(address, address.write_timeout)
            stack.callback(self._writer.close)
            check_version(str(self._writer.server_version), address)
            if address.cluster:
                _find_cluster(self._writer, address)
            _find_database(self._writer, address)
            self._reader = _client(address, settings.read_timeout)
            self._writer.database = self._reader.database = address.database
            stack.pop_all()
        self._codecs = Codecs(
            "enable_alp_codec" in self._writer.server_settings,
            _release(str(self._writer.server_version)) >= TURNED_SINCE,
        )
        self._for_reading = _reading(settings, address)
        self._for_writing = _writing(address, alp=self._codecs.alp)

    def connect(self, *, reading: bool) -> ServedConnection:
        """Connections of one kind share a client, which opens as many sockets as they need."""
        if reading:
            return ServedConnection(self._reader, self._address, self._for_reading, self._codecs)
        return ServedConnection(self._writer, self._address, self._for_writing, self._codecs)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


def _client(address: Address, patience: Duration) -> Any:
    files = {"ca_cert": address.ca_cert, "client_cert": address.client_cert, "client_key": address.client_key}
    for option, file in files.items():
        if file and not os.access(file, os.R_OK):
            raise UserError(f"store.url: {option}: cannot read {file}.")
    import clickhouse_connect  # noqa: PLC0415 - 20 MB and 0.1 s, paid only where a server is used

    names = {"client_key": "client_cert_key"}
    tls: dict[str, Any] = {names.get(option, option): file for option, file in files.items() if file}
    if address.client_cert and address.password:
        tls["tls_mode"] = "strict"  # else the certificate stands in the place of the password
    return clickhouse_connect.get_client(
        interface="https" if address.secure else "http",
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        # the name that the client makes up by itself tells the server who runs us, and where
        headers={"User-Agent": f"tocsin/{__version__}"},
        compress=False,  # the client's own reads and inserts are compressed, but we send and take raw bytes
        verify=address.verify,
        # whole seconds, as the client wants them
        connect_timeout=max(1, math.ceil(address.connect_timeout.seconds)),
        send_receive_timeout=math.ceil(patience.seconds + ANSWER_MARGIN_S),
        query_retries=0,
        autogenerate_session_id=False,
        dedicated_pool=True,
        **tls,
    )


def _reading(settings: StoreSettings, address: Address) -> dict[str, Any]:
    """Settings that go with every request of a connection for reading."""
    return {
        **(_TOGETHER if address.cluster else {}),
        "do_not_merge_across_partitions_select_final": 1,
        "max_execution_time": settings.read_timeout.seconds,
        "max_memory_usage": settings.read_memory_max_mb * 1_000_000,
    }


def _writing(address: Address, *, alp: bool) -> dict[str, Any]:
    """And of one for writing."""
    wanted: dict[str, Any] = {
        "async_insert": 0,
        "max_partitions_per_insert_block": 0,
        "optimize_on_insert": 0,
        "max_execution_time": address.write_timeout.seconds,
    }
    if alp:
        wanted["enable_alp_codec"] = 1
    if address.cluster:
        wanted |= {
            **_TOGETHER,
            # a deletion names its series by a table; see `Cluster.spread` for why all replicas read the same there
            "allow_nondeterministic_mutations": 1,
            "distributed_ddl_task_timeout": math.ceil(address.write_timeout.seconds),
        }
    if address.quorum:
        # an insert counts when so many replicas have it, and roll-ups are computed where all such inserts are
        wanted |= {
            "insert_quorum": address.quorum,
            "insert_quorum_parallel": 0,
            "insert_quorum_timeout": int(address.write_timeout),
            "select_sequential_consistency": 1,
        }
    return wanted


def cluster_of(address: Address) -> Cluster | None:
    return Cluster(address.cluster, address.database) if address.cluster else None


def _once() -> dict[str, str]:
    """A mark of its own for every insert. (Whether equal rows are taken for one is another setting in each version.)"""
    return {"insert_deduplication_token": str(uuid.uuid4())}


def _external(ids: IdArray) -> Any:
    from clickhouse_connect.driver.external import ExternalData  # noqa: PLC0415 - as above

    data = encode(_ID_SHAPE, {"id": ids})
    return ExternalData(file_name=_IDS_TABLE, data=data, fmt="Native", structure=str(_ID_SHAPE))


def _packed(data: bytes) -> bytes:
    return bytes(cramjam.lz4.compress(data, level=_LZ4_FAST))


def check_version(said: str, address: Address) -> None:
    if _release(said) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UserError(f"ClickHouse at {address} is {said}; tocsin needs {oldest} or newer. Update it.")


def _release(said: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _find_cluster(client: Any, address: Address) -> None:
    rows = decode(_NAMES, client.raw_query("select distinct cluster as name from system.clusters", fmt="Native"))
    if address.cluster not in rows["name"]:
        known = ", ".join(sorted(rows["name"])) or "none"
        raise UserError(f"ClickHouse at {address} knows no cluster {address.cluster}; it knows {known}.")


def _find_database(client: Any, address: Address) -> None:
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - as above

    name = address.database
    there = f"select count() as n from system.databases where name = '{name}'"  # noqa: S608 - a plain name
    if decode(_ONE, client.raw_query(there, fmt="Native"))["n"][0]:
        return
    try:
        cluster = cluster_of(address)
        client.raw_query(f"create database if not exists {name}" + (f" {cluster.everywhere}" if cluster else ""))
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
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({each.verify_message})"
        if isinstance(each, ssl.SSLError):
            return f"TLS failed ({each.reason or each})"
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
        reason = getattr(error, "reason", None)
        error = error.__cause__ or error.__context__ or (reason if isinstance(reason, BaseException) else None)


def _sentence(error: Any) -> str:
    found = re.search(r"DB::\w*Exception: (.*?)(?: \(version|\(for url|$)", str(error), re.DOTALL)
    return found[1].splitlines()[0][:300] if found else "no reason given"
