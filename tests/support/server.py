"""The whole server as a process of its own, as its users start it."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
PASSWORD = "correct horse battery"
_READY = re.compile(r"(http://[^\s/]+)")


class ServerProcess:
    """`tocsin serve` on a free port of loopback; `url` is known once it has said that it is ready."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.lines: list[str] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")},
            "TOCSIN_ADMIN_PASSWORD": PASSWORD,
            **(environment or {}),
        }
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[str | None] = queue.Queue()
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Returns when the server says where it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tocsin.app", "serve", "--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = _READY.search(self.wait_for_line("tocsin is ready"))
        assert found is not None
        self.url = found[1]
        return self

    def wait_for_line(self, text: str) -> str:
        """The next line of its output that holds the text."""
        while True:
            line = self._said.get(timeout=START_TIMEOUT_S)
            if line is None:
                raise AssertionError(f"the server ended without saying {text!r}:\n" + "".join(self.lines))
            if text in line:
                return line

    def hang_up(self) -> None:
        """SIGHUP: read the settings again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        return self._end(signal.SIGTERM)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Signed in as admin."""
        with httpx.Client(base_url=self.url, timeout=20.0, trust_env=False, headers={"Origin": self.url}) as client:
            client.post("/api/session", json={"username": "admin", "password": PASSWORD}).raise_for_status()
            yield client

    def run(self, *arguments: str) -> str:
        """What `tocsin ARGUMENTS` prints on standard output, with this server's data."""
        done = subprocess.run(
            [sys.executable, "-m", "tocsin.app", *arguments, "--data-dir", str(self.data_dir)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        assert self._reader is not None
        self._process.send_signal(number)
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        self._reader.join(STOP_TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            self._said.put(line)
        self._said.put(None)
