"""Against a name server of the test's own, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tocsin.model.errors import TransientError, UserError
from tocsin.runtime.dns import Record, Resolver

ZONE = {
    "web.example. A": ["10.0.0.2", "10.0.0.1"],
    "web.example. AAAA": ["2001:db8::1"],
    "_http._tcp.example. SRV": ["0 0 9100 a.example.", "0 0 9101 a.example."],
    "example. MX": ["10 mail.example."],
    "example. NS": ["ns1.example."],
}


class _Server(asyncio.DatagramProtocol):
    def __init__(self, rcode: dns.rcode.Rcode | None) -> None:
        self._rcode = rcode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = dns.message.from_wire(data)
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        (question,) = asked.question
        kind = question.rdtype.name
        texts = ZONE.get(f"{question.name.to_text()} {kind}")
        if self._rcode is not None:
            answer.set_rcode(self._rcode)
        elif texts is not None:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        elif not any(key.startswith(f"{question.name.to_text()} ") for key in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def asking(rcode: dns.rcode.Rcode | None = None) -> AsyncIterator[Resolver]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Server(rcode), local_addr=("127.0.0.1", 0)
    )

    def opened() -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        return resolver

    try:
        yield Resolver(opened, time_limit_s=2.0)
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("web.example", "A", (Record("10.0.0.1"), Record("10.0.0.2"))),
        ("web.example.", "AAAA", (Record("2001:db8::1"),)),
        ("_http._tcp.example", "SRV", (Record("a.example", 9100), Record("a.example", 9101))),
        ("example", "MX", (Record("mail.example"),)),
        ("example", "NS", (Record("ns1.example"),)),
        ("none.example", "A", ()),
        ("web.example", "MX", ()),
    ],
)
async def test_records_are_found_in_a_fixed_order(name: str, kind: str, records: tuple[Record, ...]) -> None:
    async with asking() as resolver:
        assert await resolver.records(name, kind) == records


async def test_a_server_that_fails_is_no_answer() -> None:
    async with asking(dns.rcode.SERVFAIL) as resolver:
        with pytest.raises(TransientError, match=r"The DNS does not answer for web.example A"):
            await resolver.records("web.example", "A")


async def test_what_can_be_no_name_is_told() -> None:
    async with asking() as resolver:
        with pytest.raises(UserError, match="is not a name"):
            await resolver.records("a" * 70 + ".example", "A")
