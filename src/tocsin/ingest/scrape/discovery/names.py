"""Records of the DNS as targets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tocsin.ingest.scrape.discovery.source import Found
from tocsin.ingest.scrape.job import DnsDiscovery, TargetGroup
from tocsin.runtime.dns import Record, Resolver

META = "__meta_dns_"


@dataclass(slots=True)
class DnsSource:
    wanted: DnsDiscovery
    resolver: Resolver

    @property
    def period_ms(self) -> int:
        return self.wanted.refresh_ms

    async def find(self) -> Found:
        """Raises TransientError where one of the names cannot be asked for, so that all keep their targets."""
        wanted = self.wanted
        found = await asyncio.gather(*(self.resolver.records(name, wanted.kind) for name in wanted.names))
        return Found(
            tuple(
                group(wanted, name, record)
                for name, records in zip(wanted.names, found, strict=True)
                for record in records
            )
        )

    async def close(self) -> None:
        pass


def group(wanted: DnsDiscovery, name: str, record: Record) -> TargetGroup:
    port = record.port if wanted.kind == "SRV" else wanted.port
    labels = [(f"{META}name", name)]
    if wanted.kind in ("SRV", "MX", "NS"):
        labels.append((f"{META}{wanted.kind.lower()}_record_target", f"{record.target}."))
    if wanted.kind == "SRV":
        labels.append((f"{META}srv_record_port", str(record.port)))
    host = f"[{record.target}]" if ":" in record.target else record.target
    return TargetGroup((f"{host}:{port}",), tuple(labels), f"{wanted.kind} {name}")
