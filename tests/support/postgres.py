"""A real PostgreSQL for tests: a throw-away cluster from Debian's package, one a test process."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest

START_TIMEOUT_S = 60
_UNPRIVILEGED = "postgres"
_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=50",
    "shared_buffers=32MB",
    "log_min_messages=fatal",
)


class Cluster:
    """Listens on a socket in its own folder; PostgreSQL refuses to run as root, so root runs it as `postgres`."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
        self._data = self.folder / "data"
        self._numbers = count(1)
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        atexit.register(self.close)
        self._run("initdb", "--auth=trust", f"--username={_UNPRIVILEGED}", "--no-sync", "--encoding=UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        options = " ".join(["-k", str(self.folder), *(f'-c "{setting}"' for setting in _SETTINGS)])
        wait = ("--wait", f"--timeout={START_TIMEOUT_S}")
        self._run("pg_ctl", "start", *wait, f"--log={self.folder / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """At once, as a power cut would; every connection breaks."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait")

    def close(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://{_UNPRIVILEGED}@/{database}?host={self.folder}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a database of its own, dropped afterwards."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        # Files for the output: pg_ctl's server would hold a pipe open for as long as it lives.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [self._programs / program, "-D", self._data, *arguments],
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
            )
            said.seek(0)
            assert done.returncode == 0, f"{program} failed: {said.read()}{self._log()}"

    def _log(self) -> str:
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""


@cache
def cluster() -> Cluster:
    """The one of this test process, started when it is first wanted and ended with the process."""
    return Cluster()


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail("These tests start a real PostgreSQL and its server is not installed: `make setup` installs it.")
    return found[-1].parent
