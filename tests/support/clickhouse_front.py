"""ClickHouse's HTTP interface over the embedded engine, as far as a client can tell: `python -m` this file runs it.

What it does as a server does, from ClickHouse's own documentation and sources (interfaces/http, HTTPHandler,
exceptionCodeToHTTPStatus): the query in the URL, the body, or both joined; `default_format`, `database`, settings as
parameters, `readonly` for GET; user and password in the Authorization header, in X-ClickHouse-User and -Key, or as
parameters; sessions with their own settings and temporary tables, one query at a time; external data as
multipart/form-data; lz4 and gzip bodies either way; exceptions in the body with their code in the header and the
status that belongs to it; query ids, formats and summaries in headers.

What it does not: answers as a stream (every answer is whole, as with `wait_end_of_query`), progress headers,
native compression (`compress=1`), roles, quotas. It says that it is the one server of a cluster `one`, without
having what a cluster needs: `on cluster 'one'` is taken out of a statement, a Replicated table is made as a plain one,
and a Distributed table as a Buffer that holds nothing back. So names and statements meet as on a cluster; no row goes
to another server, and nothing is replicated.

Faults for tests come to `POST /front/fault`, outside of ClickHouse's paths.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import queue
import re
import secrets
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import lz4.frame

CONNECTIONS = 6

_STATUS = {
    **dict.fromkeys(
        (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
        400,
    ),
    194: 401,
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    159: 408,
    381: 411,
    229: 413,
    779: 415,
    48: 501,
    **dict.fromkeys((76, 209, 439), 503),
}
"""HTTP status by exception code, 500 for all others."""

_TRANSPORT = {
    "query", "database", "default_format", "user", "password", "quota_key", "role", "session_id", "session_timeout",
    "session_check", "close_session", "query_id", "wait_end_of_query", "buffer_size", "compress", "decompress",
    "stacktrace", "client_protocol_version", "enable_http_compression", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
}  # fmt: skip
"""Parameters of the interface itself; every other one is a setting of the query."""

_INSERT = re.compile(
    rb"\s*insert\s+into\s+(?P<target>[^\s(]+\s*(?:\([^)]*\))?)\s*format\s+(?P<format>\w+)[ \t]*\r?\n?", re.IGNORECASE
)
_INTO = re.compile(r"^(?P<before>\s*insert\s+into\s+)(?P<table>\w+)", re.IGNORECASE)
_TABLE = re.compile(r"\w+")
_WRITES = re.compile(
    r"\s*(insert|create|alter|drop|truncate|optimize|rename|delete|update|grant|kill)\b", re.IGNORECASE
)
_FORMAT = re.compile(r"\bformat\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)\.")
CLUSTER = "one"
_ALONE = (
    (re.compile(rf"\bon cluster '{CLUSTER}'"), ""),
    (re.compile(r"\bengine = Replicated(\w*MergeTree)\('[^']+', '\{replica\}'\)"), r"engine = \1"),
    (
        re.compile(rf"\bengine = Distributed\('{CLUSTER}', '(\w+)', '(\w+)', (?:\w+|\w+\(\w+\))\)"),
        r"engine = Buffer('\1', '\2', 1, 0, 0, 0, 0, 0, 0)",
    ),
    (
        re.compile(rf"\b(?:cluster|clusterAllReplicas)\('{CLUSTER}', (system\.\w+)\)"),
        r"(select *, toUInt32(1) as _shard_num from \1)",
    ),
    (re.compile(r"^\s*system sync replica .*"), "select 1"),
    (re.compile(r"\bsystem\.clusters\b"), f"(select '{CLUSTER}' as cluster)"),
)
"""What a server of a cluster would do, as one alone does it."""
_IN_ORDER = "settings max_threads = 1, max_insert_threads = 1, input_format_parallel_parsing = 0"


class Refused(Exception):
    """An exception as ClickHouse would answer it."""

    def __init__(self, code: int, name: str, said: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {said}. ({name}) (version 26.9.2.1)")


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` queries in which `match` is found.

    `kind`: `drop_before` and `drop_after` close the connection without an answer, before or after the query was
    done; `error` answers with exception `code` (as status `status`); `slow` waits `seconds` before it is done.
    """

    kind: str
    match: str = ""
    times: int = 1
    code: int = 999
    status: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, with all its parts found."""

    sql: bytes
    parameters: dict[str, str]
    files: dict[str, bytes] = field(default_factory=dict)
    read_only: bool = False

    @property
    def settings(self) -> dict[str, str]:
        about_files = {f"{name}_{what}" for name in self.files for what in ("format", "structure", "types")}
        return {
            name: value for name, value in self.parameters.items() if name not in _TRANSPORT and name not in about_files
        }


class Memory:
    """Bytes that the engine reads as a file."""

    def __init__(self, data: bytes) -> None:
        self._fd = os.memfd_create("front")
        with os.fdopen(os.dup(self._fd), "wb") as file:
            file.write(data)
        self.path = f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        os.close(self._fd)


class Server:
    """The engine on a path, and what is shared by its requests."""

    def __init__(self, path: Path, user: str, password: str) -> None:
        import chdb

        self._chdb = chdb
        self._path = str(path)
        self.user, self.password = user, password
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(CONNECTIONS):
            self._free.put(chdb.connect(self._path))
        self._sessions: dict[str, tuple[Any, threading.Lock]] = {}
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def set_fault(self, fault: Fault | None) -> None:
        """One more, or none of them any more."""
        with self._lock:
            if fault is None:
                self._faults.clear()
            else:
                self._faults.append(fault)

    def fault_of(self, sql: bytes) -> Fault | None:
        text = sql[:4_000].decode(errors="replace").lower()
        with self._lock:
            for fault in self._faults:
                if fault.match.lower() in text:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def answer(self, asked: Asked) -> tuple[Any, str]:
        """The engine's result, and its format. Raises RuntimeError with the engine's exception, or Refused."""
        with self._connection(asked.parameters) as connection, prepared(connection, asked):
            return run(connection, asked)

    @contextmanager
    def _connection(self, parameters: dict[str, str]) -> Iterator[Any]:
        session = parameters.get("session_id")
        if not session:
            connection = self._free.get()
            try:
                yield connection
            finally:
                self._free.put(connection)
            return
        with self._lock:
            if session not in self._sessions:
                if parameters.get("session_check") == "1":
                    raise Refused(372, "SESSION_NOT_FOUND", "Session not found")
                self._sessions[session] = (self._chdb.connect(self._path), threading.Lock())
            connection, lock = self._sessions[session]
        if not lock.acquire(blocking=False):
            raise Refused(373, "SESSION_IS_LOCKED", f"Session {session} is locked by a concurrent client")
        try:
            yield connection
        finally:
            lock.release()

    def close(self) -> None:
        for _ in range(CONNECTIONS):
            self._free.get().close()
        for connection, _ in self._sessions.values():
            connection.close()


@contextmanager
def prepared(connection: Any, asked: Asked) -> Iterator[None]:
    """The database, settings and temporary tables of one request, all taken back after it."""
    memories: list[Memory] = []
    tables: list[str] = []
    changed: list[str] = []
    try:
        connection.query(f"use {asked.parameters.get('database') or 'default'}", "Null")
        for name, data in asked.files.items():
            memories.append(Memory(data))
            make_table(connection, name, asked.parameters, memories[-1].path)
            tables.append(name)
        for name, value in asked.settings.items():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            connection.query(f"set {name} = '{escaped}'", "Null")
            changed.append(name)
        yield
    finally:
        for name in changed:
            connection.query(f"set {name} = default", "Null")
        for name in tables:
            connection.query(f"drop temporary table if exists {name}", "Null")
        for memory in memories:
            memory.close()


def make_table(connection: Any, name: str, parameters: dict[str, str], path: str) -> None:
    structure = parameters.get(f"{name}_structure")
    if structure is None:
        types = parameters.get(f"{name}_types")
        if types is None:
            raise Refused(36, "BAD_ARGUMENTS", f"Neither structure nor types have not been provided for {name}")
        structure = ", ".join(f"_{number} {kind}" for number, kind in enumerate(types.split(","), 1))
    form = parameters.get(f"{name}_format", "TabSeparated")
    connection.query(f"create temporary table {name} ({structure})", "Null")
    connection.query(f"insert into {name} select * from file('{path}', '{form}', '{structure}')", "Null")


def behind(connection: Any, table: str) -> str:
    """The table that takes the rows: a Buffer would forget the settings of the insert."""
    asked = f"select engine from system.tables where database = currentDatabase() and name = '{table}'"
    return f"{table}_local" if b"Buffer" in connection.query(asked, "TabSeparated").bytes() else table


def run(connection: Any, asked: Asked) -> tuple[Any, str]:
    insert = _INSERT.match(asked.sql)
    if insert is None:
        sql = asked.sql.decode()
        for pattern, instead in _ALONE:
            sql = pattern.sub(instead, sql)
        sql = _INTO.sub(lambda into: into["before"] + behind(connection, into["table"]), sql)
        if asked.read_only and _WRITES.match(sql):
            raise Refused(164, "READONLY", "Cannot execute query in readonly mode")
        found = _FORMAT.search(sql)
        form = found[1] if found else asked.parameters.get("default_format", "TabSeparated")
        return connection.query(sql, form), form
    if asked.read_only:
        raise Refused(164, "READONLY", "Cannot execute query in readonly mode")
    memory = Memory(asked.sql[insert.end() :])
    try:
        target, form = (
            _TABLE.sub(lambda table: behind(connection, table[0]), insert["target"].decode(), 1),
            insert["format"].decode(),
        )
        columns = target[target.index("(") + 1 : target.rindex(")")] if "(" in target else "*"
        sql = f"insert into {target} select {columns} from file('{memory.path}', '{form}') {_IN_ORDER}"
        return connection.query(sql, "Null"), ""
    finally:
        memory.close()


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open from request to request."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests say what went wrong."""

    def _serve(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        where = urlsplit(self.path)
        body = self._body()
        engine: Server = self.server.engine
        if where.path == "/front/fault":
            asked = json.loads(body)
            engine.set_fault(Fault(**asked) if asked else None)
            self._send(200, b"Ok.\n", {})
        elif where.path == "/ping" or (where.path == "/" and not where.query and not body):
            self._send(200, b"Ok.\n", {})
        elif where.path not in {"/", ""}:
            self._send(404, b"There is no handle " + where.path.encode() + b"\n", {})
        else:
            self._query(engine, dict(parse_qsl(where.query, keep_blank_values=True)), body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks: list[bytes] = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return b"".join(chunks)

    def _query(self, engine: Server, parameters: dict[str, str], body: bytes) -> None:
        query_id = parameters.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Server-Display-Name": "front",
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": "UTC",
        }
        started = time.monotonic_ns()
        try:
            self._let_in(engine, parameters)
            asked = self._asked(parameters, body)
            fault = engine.fault_of(asked.sql)
            if fault is not None and self._break(fault, headers):
                return
            result, form = engine.answer(asked)
        except (RuntimeError, Refused) as error:
            self._send_exception(str(error), headers)
            return
        if fault is not None and fault.kind == "drop_after":
            self._drop()
            return
        summary = {
            "read_rows": str(result.rows_read()),
            "read_bytes": str(result.bytes_read()),
            "written_rows": str(result.rows_written()),
            "written_bytes": str(result.bytes_written()),
            "elapsed_ns": str(time.monotonic_ns() - started),
        }
        headers["X-ClickHouse-Summary"] = json.dumps(summary)
        if form:
            headers["X-ClickHouse-Format"] = form
        data = bytes(result.bytes()) if result.size() else b""
        self._send(200, data, headers, packed=parameters.get("enable_http_compression") == "1")

    def _let_in(self, engine: Server, parameters: dict[str, str]) -> None:
        user, password = parameters.get("user", "default"), parameters.get("password", "")
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        user = self.headers.get("X-ClickHouse-User", user)
        password = self.headers.get("X-ClickHouse-Key", password)
        right = secrets.compare_digest(password.encode(), engine.password.encode())
        if user != engine.user or not right:
            raise Refused(
                516,
                "AUTHENTICATION_FAILED",
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name",
            )

    def _asked(self, parameters: dict[str, str], body: bytes) -> Asked:
        body = self._unpacked(body)
        kind = self.headers.get("Content-Type", "")
        read_only = self.command == "GET"
        if kind.startswith("multipart/form-data"):
            fields, files = parts_of(kind, body)
            together = {**parameters, **fields}
            return Asked(together.get("query", "").encode(), together, files, read_only)
        query = parameters.get("query", "").encode()
        return Asked(query + b"\n" + body if query else body, parameters, read_only=read_only)

    def _unpacked(self, body: bytes) -> bytes:
        encoding = self.headers.get("Content-Encoding", "")
        try:
            if encoding == "lz4":
                return bytes(lz4.frame.decompress(body))
            if encoding == "gzip":
                return gzip.decompress(body)
        except (RuntimeError, OSError) as error:
            raise Refused(271, "CANNOT_DECOMPRESS", f"Cannot decompress: {error}") from error
        if encoding and encoding != "identity":
            raise Refused(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method {encoding}")
        return body

    def _break(self, fault: Fault, headers: dict[str, str]) -> bool:
        """Whether nothing is left to do."""
        if fault.kind == "drop_before":
            self._drop()
            return True
        if fault.kind == "error":
            text = f"Code: {fault.code}. DB::Exception: A fault was asked for. (FAULT) (version 26.9.2.1)"
            self._send_exception(text, headers, fault.status)
            return True
        if fault.kind == "slow":
            self.server.stopping.wait(fault.seconds)
        return False

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send_exception(self, text: str, headers: dict[str, str], status: int = 0) -> None:
        found = _CODE.search(text)
        code = int(found[1]) if found else 1001
        headers["X-ClickHouse-Exception-Code"] = str(code)
        self._send(status or _STATUS.get(code, 500), text.encode() + b"\n", headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str], *, packed: bool = False) -> None:
        accepted = self.headers.get("Accept-Encoding", "") if packed else ""
        if "lz4" in accepted:
            data, headers["Content-Encoding"] = lz4.frame.compress(data), "lz4"
        elif "gzip" in accepted:
            data, headers["Content-Encoding"] = gzip.compress(data, 1), "gzip"
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=UTF-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def parts_of(kind: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Fields and files of a form."""
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        said = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
        if "filename" in said:
            files[said["name"]] = data
        else:
            fields[said["name"]] = data.decode()
    return fields, files


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, engine: Server) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.engine = engine
        self.stopping = threading.Event()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--path", type=Path, required=True)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--user", default="default")
    options.add_argument("--password", default="")
    options.add_argument("--cert")
    options.add_argument("--key")
    options.add_argument("--client-ca")
    given = options.parse_args()
    listener = Listener(given.port, Server(given.path, given.user, given.password))
    if given.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.cert, given.key)
        if given.client_ca:
            context.load_verify_locations(given.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    sys.stdout.write(f"{listener.server_address[1]}\n")
    sys.stdout.flush()
    # it ends with whoever started it: standard input is closed then
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    while os.read(0, 1):
        pass
    listener.stopping.set()
    listener.shutdown()
    listener.engine.close()


if __name__ == "__main__":
    main()
