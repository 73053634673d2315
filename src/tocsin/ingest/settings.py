"""What may be sent, and how this machine is read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from tocsin.ingest.listen.address import parse_address
from tocsin.model.duration import MINUTE_MS, SECOND_MS, Duration
from tocsin.model.errors import UserError

UNIX_PATH_BYTES_MAX = 107
"""Of Linux' sockaddr_un, without the NUL at its end."""


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Limits on samples from senders. What breaks one is refused by itself, counted, and told to its sender."""

    samples_max: int = field(default=50_000, metadata={"doc": "samples in one request"})
    labels_max: int = field(default=64, metadata={"doc": "tags of one sample"})
    name_chars_max: int = field(default=255, metadata={"doc": "characters in a metric's or a tag's name"})
    value_chars_max: int = field(default=2_048, metadata={"doc": "characters in a tag's value"})
    future_max: Duration = field(
        default=Duration(10 * MINUTE_MS), metadata={"doc": "how far ahead of this server's clock a sample may be"}
    )

    def __post_init__(self) -> None:
        for name in ("samples_max", "labels_max", "name_chars_max", "value_chars_max"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1.", field=name)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Readings of the machine that tocsin runs on."""

    enabled: bool = field(default=True, metadata={"doc": "read this machine"})
    interval: Duration = field(default=Duration(5 * SECOND_MS), metadata={"doc": "how often"})
    host: str = field(default="", metadata={"doc": "the `host` label; empty: the machine's own name"})
    per_core: bool = field(default=False, metadata={"doc": "also read each CPU core by itself"})
    interfaces_ignored: tuple[str, ...] = field(
        default=(
            *("lo", "veth*", "docker*", "br-*", "virbr*", "vnet*", "lxc*", "lxd*", "cali*", "cni*", "flannel*"),
            *("cilium*", "kube-*", "ifb*", "dummy*", "sit*", "tunl*", "ip6tnl*", "gre*", "erspan*"),
        ),
        metadata={"doc": "network interfaces to leave out (`*` and `?` stand for any text)"},
    )
    disks_ignored: tuple[str, ...] = field(
        default=("loop*", "ram*", "zram*", "fd*", "sr*", "dm-*", "md*"),
        metadata={"doc": "disks to leave out of disk I/O; those that only pass I/O on would count it twice"},
    )
    mounts_ignored: tuple[str, ...] = field(default=(), metadata={"doc": "mount points to leave out"})
    mount_timeout: Duration = field(
        default=Duration(SECOND_MS), metadata={"doc": "how long a file system may take to answer"}
    )

    def __post_init__(self) -> None:
        if self.interval < SECOND_MS:
            raise UserError("interval must be at least 1s.", field="interval")
        if self.mount_timeout <= 0:
            raise UserError("mount_timeout must be longer than 0s.", field="mount_timeout")


@dataclass(frozen=True, slots=True)
class ScrapeSettings:
    """Targets that are asked for their metrics over HTTP, as Prometheus does. Without jobs, nothing is asked."""

    config_file: str = field(
        default="", metadata={"doc": "a file in Prometheus' form, such as `prometheus.yml`; read again on SIGHUP"}
    )
    concurrency: int = field(default=500, metadata={"doc": "targets that are asked at once"})
    body_max: int = field(
        default=64 * 1024 * 1024,
        metadata={"doc": "bytes of one answer, also when it is unpacked, for jobs without a `body_size_limit`"},
    )

    def __post_init__(self) -> None:
        for name in ("concurrency", "body_max"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1.", field=name)


@dataclass(frozen=True, slots=True)
class GraphiteSettings:
    """Graphite's plaintext protocol over TCP. It knows no passwords: whoever reaches the port may write."""

    listen: str = field(default="", metadata={"doc": "`HOST:PORT`, such as `127.0.0.1:2003`; empty: off"})
    connections: int = field(default=256, metadata={"doc": "connections at once"})
    idle: Duration = field(
        default=Duration(10 * MINUTE_MS), metadata={"doc": "how long a connection may be silent before it is closed"}
    )
    line_bytes: int = field(default=16_384, metadata={"doc": "bytes in one line"})

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise UserError("connections must be at least 1.", field="connections")
        if self.idle <= 0:
            raise UserError("idle must be longer than 0s.", field="idle")
        if self.line_bytes < 1:
            raise UserError("line_bytes must be at least 1.", field="line_bytes")
        if self.listen:
            parse_address(self.listen)


@dataclass(frozen=True, slots=True)
class StatsdSettings:
    """StatsD and DogStatsD over UDP or a Unix socket. They know no passwords: whoever reaches them may write."""

    listen: str = field(default="", metadata={"doc": "`HOST:PORT`, such as `127.0.0.1:8125`; empty: off"})
    socket: str = field(
        default="", metadata={"doc": "path of a Unix datagram socket, such as `/run/tocsin/statsd.sock`; empty: off"}
    )
    flush: Duration = field(default=Duration(10 * SECOND_MS), metadata={"doc": "how often the aggregates are stored"})
    idle_flushes: int = field(
        default=30,
        metadata={"doc": "flushes without news after which a series is forgotten; a counter starts anew then"},
    )
    series_max: int = field(default=20_000, metadata={"doc": "series that are aggregated at once"})

    def __post_init__(self) -> None:
        if self.flush < SECOND_MS:
            raise UserError("flush must be at least 1s.", field="flush")
        if len(os.fsencode(self.socket)) > UNIX_PATH_BYTES_MAX:
            raise UserError(f"socket must be a path of at most {UNIX_PATH_BYTES_MAX} bytes.", field="socket")
        for name in ("idle_flushes", "series_max"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1.", field=name)
        if self.listen:
            parse_address(self.listen)
