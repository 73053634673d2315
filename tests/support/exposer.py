"""A target for scrapers: it counts its scrapes, and remembers what it has shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERIES = 50


class Exposer:
    """Scrape n shows the value n of every series: a counter, and gauges with a label that needs escaping."""

    def __init__(self) -> None:
        self.url = ""
        self.shown = 0
        self.enough = threading.Event()
        self._lock = threading.Lock()
        self._wanted = 0

    def wait_for(self, scrapes: int, timeout_s: float = 60.0) -> None:
        with self._lock:
            self._wanted = scrapes
            if self.shown >= scrapes:
                return
            self.enough.clear()
        assert self.enough.wait(timeout_s), f"{self.shown} scrapes came, not {scrapes}"

    def text(self) -> str:
        with self._lock:
            self.shown += 1
            number = self.shown
            if self._wanted and number >= self._wanted:
                self.enough.set()
        lines = ["# TYPE shown counter", "# HELP shown Scrapes so far.", f"shown {number}", "# TYPE level gauge"]
        lines += [f'level{{at="{at}",path="C:\\\\a \\"b\\""}} {number + at / 100}' for at in range(SERIES)]
        return "\n".join(lines) + "\n"


@contextmanager
def exposer() -> Iterator[Exposer]:
    shown = Exposer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = shown.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    shown.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shown
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
