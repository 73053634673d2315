"""Where a listener listens."""

from __future__ import annotations

import socket

from tocsin.model.errors import UserError


def parse_address(listen: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`; an IPv6 host is written in brackets. Raises UserError."""
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UserError(f"listen must be HOST:PORT, such as 127.0.0.1:2003, and is {listen!r}.", field="listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


def bound_socket(listen: str, kind: socket.SocketKind) -> socket.socket:
    """A socket at that address that does not block. Raises UserError for the text, OSError where it is taken."""
    host, port = parse_address(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.settimeout(0)
    return bound
