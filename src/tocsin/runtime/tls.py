"""TLS contexts of clients, from what a configuration says."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field

from tocsin.model.errors import UserError

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
"""Older ones are broken, and Debian's OpenSSL does not speak them."""


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca`, `cert` and `key` are PEM text, or stand in the files of those paths."""

    ca: str = ""
    ca_file: str = ""
    cert: str = ""
    cert_file: str = ""
    key: str = field(default="", repr=False)
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: str = ""
    max_version: str = ""


def client_context(tls: Tls) -> ssl.SSLContext:
    """Reads files, so not on the event loop. Raises UserError where one cannot be used."""
    context = ssl.create_default_context()
    if tls.ca or tls.ca_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no authority but the given one
        _load_authority(context, tls)
    if tls.min_version:
        context.minimum_version = VERSIONS[tls.min_version]
    if tls.max_version:
        context.maximum_version = VERSIONS[tls.max_version]
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert or tls.cert_file:
        _load_certificate(context, tls)
    return context


def _load_authority(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        context.load_verify_locations(cafile=tls.ca_file or None, cadata=tls.ca or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UserError(f"ca cannot be used{_of(tls.ca_file)}: {_why(error)}.", field="ca") from error


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Python reads certificates from files alone, so text goes through one that only we can read."""
    with tempfile.NamedTemporaryFile() as cert, tempfile.NamedTemporaryFile() as key:
        for opened, text in ((cert, tls.cert), (key, tls.key)):
            opened.write(text.encode())
            opened.flush()
        try:
            context.load_cert_chain(tls.cert_file or cert.name, tls.key_file or key.name)
        except (OSError, ValueError) as error:
            raise UserError(f"cert and key cannot be used{_of(tls.cert_file)}: {_why(error)}.", field="cert") from error


def _of(path: str) -> str:
    return f" ({path})" if path else ""


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
