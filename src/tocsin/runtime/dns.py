"""Asking the DNS, without blocking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from tocsin.model.errors import TransientError, UserError

KINDS = ("A", "AAAA", "SRV", "MX", "NS")


@dataclass(frozen=True, slots=True)
class Record:
    """An address, or the name that the record points to, without its last dot. Only SRV has a port."""

    target: str
    port: int = 0


class Resolver:
    """Uses the servers and the search list of `/etc/resolv.conf`, as they are at each question."""

    def __init__(
        self,
        open_resolver: Callable[[], dns.asyncresolver.Resolver] = dns.asyncresolver.Resolver,
        time_limit_s: float = 10.0,
    ) -> None:
        self._open = open_resolver
        self._time_limit_s = time_limit_s

    async def records(self, name: str, kind: str) -> tuple[Record, ...]:
        """Sorted; none where the name or its records of this kind do not exist.

        Raises TransientError where no server knows, UserError for what is no name.
        """
        try:
            answer = await self._open().resolve(name, kind, search=True, lifetime=self._time_limit_s)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, UnicodeError) as error:
            raise UserError(f"{name!r:.300} is not a name that the DNS could know: {error}.") from error
        except (dns.exception.DNSException, OSError) as error:
            raise TransientError(f"The DNS does not answer for {name} {kind}: {error}") from error
        return tuple(sorted(map(_record, answer), key=lambda one: (one.target, one.port)))


def _record(data: Any) -> Record:
    match data.rdtype.name:
        case "SRV":
            return Record(_name(data.target), data.port)
        case "MX":
            return Record(_name(data.exchange))
        case "NS":
            return Record(_name(data.target))
        case _:
            return Record(data.address)


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)
