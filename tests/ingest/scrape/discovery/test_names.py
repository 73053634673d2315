from __future__ import annotations

from collections.abc import Mapping

import pytest

from tocsin.ingest.scrape.discovery.names import DnsSource
from tocsin.ingest.scrape.job import DnsDiscovery, TargetGroup
from tocsin.model.errors import TransientError
from tocsin.runtime.dns import Record, Resolver


class Zone(Resolver):
    """Knows what the test says."""

    def __init__(self, records: Mapping[tuple[str, str], tuple[Record, ...]]) -> None:
        super().__init__()
        self.known = records

    async def records(self, name: str, kind: str) -> tuple[Record, ...]:
        if name == "broken":
            raise TransientError("The DNS does not answer.")
        return self.known.get((name, kind), ())


@pytest.mark.parametrize(
    ("wanted", "record", "address", "labels"),
    [
        (DnsDiscovery(("x",), "A", 80), Record("10.0.0.1"), "10.0.0.1:80", {}),
        (DnsDiscovery(("x",), "AAAA", 80), Record("::1"), "[::1]:80", {}),
        (
            DnsDiscovery(("x",)),
            Record("web", 9100),
            "web:9100",
            {"__meta_dns_srv_record_target": "web.", "__meta_dns_srv_record_port": "9100"},
        ),
        (DnsDiscovery(("x",), "MX", 25), Record("mail"), "mail:25", {"__meta_dns_mx_record_target": "mail."}),
        (DnsDiscovery(("x",), "NS", 53), Record("ns1"), "ns1:53", {"__meta_dns_ns_record_target": "ns1."}),
    ],
)
async def test_a_record_is_a_target_with_labels_that_say_where_it_is_from(
    wanted: DnsDiscovery, record: Record, address: str, labels: dict[str, str]
) -> None:
    found = await DnsSource(wanted, Zone({("x", wanted.kind): (record,)})).find()
    assert found.groups == (
        TargetGroup((address,), tuple({"__meta_dns_name": "x", **labels}.items()), f"{wanted.kind} x"),
    )


async def test_a_name_that_does_not_exist_has_no_targets() -> None:
    assert (await DnsSource(DnsDiscovery(("none",)), Zone({})).find()).groups == ()


async def test_a_name_that_cannot_be_asked_for_fails_the_whole_so_that_all_stays() -> None:
    with pytest.raises(TransientError):
        await DnsSource(DnsDiscovery(("x", "broken")), Zone({("x", "SRV"): (Record("a", 1),)})).find()
