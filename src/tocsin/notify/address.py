"""E-mail addresses, as people write them: `ops@example.org` or `Operations <ops@example.org>`."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr

from tocsin.model.errors import UserError

_CHARS_MAX = 320  # 64 of the local part, 255 of the domain and the @ (RFC 5321, 4.5.3.1)


def parse_address(text: str) -> Address:
    """One address, its domain in ASCII. Raises UserError for anything else, a line break above all."""
    display, spec = parseaddr(text)
    local, _, domain = spec.rpartition("@")
    wrong = UserError(f"{text!r} is not an e-mail address; write it like ops@example.org.")
    if not local or not domain or len(spec) > _CHARS_MAX or not text.isprintable() or _stray(text, display, spec):
        raise wrong
    try:
        return Address(display, addr_spec=f"{local}@{_ascii(domain)}")
    except (MessageError, ValueError, IndexError) as error:  # what the standard library's parser raises
        raise wrong from error


def _stray(text: str, display: str, spec: str) -> bool:
    """Whether something is left that is neither the name nor the address: a second one, a comment."""
    if "=?" in text or any(char.isspace() or char in '<>,;:()"\\' for char in spec):
        return True
    bare = text.strip()
    return not bare.endswith(f"<{spec}>") if display else bare not in (spec, f"<{spec}>")


def _ascii(domain: str) -> str:
    """An international domain as DNS knows it, so that no server needs SMTPUTF8 for it."""
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")
