"""What can be set about the sample store."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.model.duration import DAY_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.retention import Lengths
from tocsin.model.size import parse_size
from tocsin.store.sealing import parse_key

DISK_FREE_MIN_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The engine that keeps samples: how it commits, how much it takes, and what a read may cost."""

    encryption_key: str = field(
        default="",
        repr=False,
        metadata={
            "doc": "32 bytes as base64 or hex, from `tocsin key new`; empty: nothing is encrypted (see the guide)",
            "secret": True,
        },
    )
    encryption_key_file: str = field(default="", metadata={"doc": "a file that holds the key, to keep it out of here"})
    url: str = field(
        default="",
        repr=False,
        metadata={
            "doc": "`clickhouse://user:password@host:8123/database` (`clickhouses://` with TLS): keep samples on a "
            "ClickHouse server (see the guide); empty: in process, in the data directory",
            "secret": True,
        },
    )
    url_file: str = field(default="", metadata={"doc": "a file that holds the URL, to keep its password out of here"})
    commit_wait: Duration = field(
        default=Duration(100),
        metadata={
            "doc": "With a server: inserts of a busy writer start at least this far apart, of an idle one at once. "
            "More saves the server work where many senders push a little each; less answers a sender sooner."
        },
    )
    flush_wait: Duration = field(
        default=Duration(5_000),
        metadata={
            "doc": "Acknowledged samples are in the journal. They go into the engine when the first of them is this "
            "old, or a read wants them."
        },
    )
    flush_rows: int = field(
        default=250_000,
        metadata={"doc": "So many samples in the journal go into the engine without further waiting."},
    )
    batch_rows_max: int = field(
        default=200_000,
        metadata={"doc": "Samples that are written to the journal, or inserted into a server, at once."},
    )
    queue_rows_max: int = field(
        default=2_000_000,
        metadata={"doc": "Samples in the queue and the journal (24 bytes each). Beyond it senders are told 429."},
    )
    series_max: int = field(
        default=1_000_000,
        metadata={
            "doc": "Series that are known at once, a few hundred bytes of memory each. Samples of further new ones are "
            "refused. Where the room is nearly used up, series of which only roll-ups are left make way."
        },
    )
    metric_series_max: int = field(
        default=200_000,
        metadata={
            "doc": "Series that one metric may have, so that a careless label of one metric does not use up "
            "series_max for all. Samples of further new ones are refused. 0: no limit of its own."
        },
    )
    fsync: bool = field(
        default=True,
        metadata={"doc": "Acknowledge samples after they are on the disk itself, so that they survive a power cut."},
    )
    readers: int = field(default=2, metadata={"doc": "Reads that run side by side."})
    read_series_max: int = field(default=50_000, metadata={"doc": "Series that one read may return."})
    read_points_max: int = field(
        default=10_000_000,
        metadata={"doc": "Samples, or series times steps, that one read may return (about 24 bytes each)."},
    )
    read_timeout: Duration = field(default=Duration(30_000), metadata={"doc": "How long one read may take."})
    read_memory_max_mb: int = field(
        default=1_024, metadata={"doc": "Megabytes of memory that one read may take inside the engine."}
    )
    head_mb: int = field(
        default=64,
        metadata={
            "doc": "Megabytes of memory for the newest samples of all series, about 2 bytes each, so that queries, "
            "rules and charts of recent times need not read the disk; beyond it the oldest make way. 0: none. Not "
            "with a server, as others may write to it."
        },
    )
    cache_mb: int = field(
        default=32, metadata={"doc": "Megabytes that the engine may keep of marks, and again of primary indexes."}
    )
    disk_budget: str = field(
        default="",
        metadata={
            "doc": "What samples and roll-ups may take on the disk, such as `50GB`; beyond it the oldest days are "
            "dropped (see the guide). Empty: no limit but the disk's."
        },
    )
    disk_free_min: str = field(
        default="",
        metadata={
            "doc": "What must stay free on the disk, such as `2GB`; below it the oldest days are dropped. Empty: 5 % "
            "of the disk or 1 GB, whichever is less; 0: nothing."
        },
    )

    def __post_init__(self) -> None:
        """Raises UserError that says which setting is wrong."""
        for name in ("disk_budget", "disk_free_min"):
            if getattr(self, name):
                try:
                    parse_size(getattr(self, name))
                except UserError as error:
                    raise UserError(f"{name}: {error}", field=name) from error

    @property
    def disk_budget_bytes(self) -> int | None:
        return parse_size(self.disk_budget) if self.disk_budget else None

    def disk_free_min_bytes(self, total: int) -> int:
        """Of a disk of so many bytes."""
        return parse_size(self.disk_free_min) if self.disk_free_min else min(total // 20, DISK_FREE_MIN_MOST)


def check_encryption(settings: StoreSettings) -> None:
    """Raises UserError where the key is none; it does not repeat the key."""
    if settings.encryption_key:
        parse_key(settings.encryption_key)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long things are kept."""

    raw: Duration = field(
        default=Duration(7 * DAY_MS),
        metadata={"doc": "How long samples are kept. Older ones are never returned, whatever is still on the disk."},
    )
    five_minutes: Duration = field(
        default=Duration(90 * DAY_MS),
        metadata={"doc": "How long the minimum, maximum, sum and count of every 5 minutes are kept, for long charts."},
    )
    hours: Duration = field(
        default=Duration(730 * DAY_MS),
        metadata={"doc": "How long the minimum, maximum, sum and count of every hour are kept, for long charts."},
    )

    @property
    def lengths(self) -> Lengths:
        return Lengths(int(self.raw), int(self.five_minutes), int(self.hours))
