"""`tocsin serve`: the settings, the socket, the wiring, and uvicorn until somebody says stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn
import uvloop

from tocsin.api.settings import parse_listen
from tocsin.app.client import remove_address, write_address
from tocsin.app.config import Settings, load_settings
from tocsin.app.wiring import Server, open_server
from tocsin.app.world import real_world
from tocsin.model.errors import UserError
from tocsin.runtime.log import configure_logs, get_log
from tocsin.runtime.memory import forget_code, give_back_large_blocks
from tocsin.version import __version__

log = get_log("app")

BACKLOG = 2048
SHUTDOWN_GRACE_S = 5
RELOAD = "reload"
ENGINE_LIBRARY = "_chdb"
DEAD_CLIENT_MS = 30_000


def serve(config: Path | None, data_dir: Path, listen: str | None) -> None:
    """Returns when the server was told to stop and everything is closed. Raises UserError, StoreError."""
    settings = load_settings(config, os.environ, {("server", "listen"): listen})
    configure_logs(settings.log.level, settings.log.form)
    give_back_large_blocks()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, config, data_dir))


async def _serve(settings: Settings, config: Path | None, data_dir: Path) -> None:
    listener = bind(settings.server.listen)
    url = url_of(listener)
    password = os.environ.get("TOCSIN_ADMIN_PASSWORD") or None
    async with open_server(settings, data_dir, real_world(), url=url, admin_password=password) as server:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: _start_reload(server, config))
        web = uvicorn.Server(
            uvicorn.Config(
                server.api,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                ws="websockets-sansio",
                ws_max_size=64 * 1024,
                ws_per_message_deflate=False,  # one message goes to many: it would be packed for each
                timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
            )
        )
        for stop in (signal.SIGTERM, signal.SIGINT):
            # until uvicorn has set its own handlers, and when it raises the signal again after it has stopped
            loop.add_signal_handler(stop, lambda: setattr(web, "should_exit", True))
        write_address(data_dir, url)
        _greet(url, server.sign_in_link)
        forget_code(ENGINE_LIBRARY)
        try:
            await web.serve(sockets=[listener])
        finally:
            remove_address(data_dir)
            log.info("stopping")


def _start_reload(server: Server, config: Path | None) -> None:
    if RELOAD not in server.tasks.names:
        server.tasks.start(RELOAD, lambda: _reload(server, config))


async def _reload(server: Server, config: Path | None) -> None:
    """All that can fail first, then swap; a mistake leaves the old settings in force."""
    try:
        await server.reload(load_settings(config, os.environ, {}))
    except UserError as error:
        log.warning("the settings were not reloaded", reason=str(error))


def bind(listen: str) -> socket.socket:
    """A listening socket. Raises UserError where the address is wrong or taken."""
    host, port = parse_listen(listen)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a client that takes nothing for so long is cut off
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_CLIENT_MS)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(f"Cannot listen on {listen}: {error.strerror}. Choose another with --listen.") from error
    listener.settimeout(0)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds the listener."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - recognised, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greet(url: str, link: str | None) -> None:
    lines = [f"tocsin {__version__}: tocsin is ready at {url}"]
    if link is not None:
        lines += ["Sign in once with this link, and set a password:", f"  {url}/#/sign-in?link={link}"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
