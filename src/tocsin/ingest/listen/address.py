"""Where a listener listens."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from tocsin.model.errors import UserError

SOCKET_MODE = 0o666
"""UDP on loopback is open to every user too; a folder that only some may enter keeps others away."""


def parse_address(listen: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`; an IPv6 host is written in brackets. Raises UserError."""
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UserError(f"listen must be HOST:PORT, such as 127.0.0.1:2003, and is {listen!r}.", field="listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


def bound_socket(listen: str, kind: socket.SocketKind, key: str) -> socket.socket:
    """A socket at that address that does not block. Raises UserError, which names the setting `key`."""
    host, port = parse_address(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _cannot(listen, key, error) from error
    bound.settimeout(0)
    return bound


def bound_path(path: str, key: str) -> socket.socket:
    """A Unix datagram socket at that path, for every user of the machine. Raises UserError, as `bound_socket`.

    What an earlier run left there is replaced; what another process listens on is not.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        if _is_left(path):
            Path(path).unlink()
        bound.bind(path)
        Path(path).chmod(SOCKET_MODE)
    except OSError as error:
        bound.close()
        raise _cannot(path, key, error) from error
    bound.settimeout(0)
    return bound


def _is_left(path: str) -> bool:
    """Whether there is a socket on which nobody listens."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def _cannot(where: str, key: str, error: OSError) -> UserError:
    reason = "something else listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return UserError(f"Cannot listen on {where}: {reason}. Change {key}, or stop what is in the way.", field=key)
