"""What can be set about backups."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.model.duration import Duration
from tocsin.model.errors import UserError


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Where backups go, how often, and how many are kept."""

    to: str = field(default="", metadata={"doc": "A folder, or `s3://bucket/prefix`. One place belongs to one server."})
    every: Duration = field(
        default=Duration(0), metadata={"doc": "A backup so often, such as `24h`; `0s` leaves it to you."}
    )
    keep: int = field(
        default=7, metadata={"doc": "Backups that are kept in `to`; older ones are removed after a new one is whole."}
    )
    share: float = field(
        default=0.5,
        metadata={
            "doc": "The share of the time that a backup works while the server runs; in the rest it waits, so that "
            "writes and reads go on. At most 1."
        },
    )
    s3_endpoint: str = field(
        default="", metadata={"doc": "The address of an S3-compatible storage; empty: Amazon's, or `AWS_ENDPOINT_URL`"}
    )
    s3_region: str = field(default="", metadata={"doc": "empty: `AWS_REGION`, or `us-east-1`"})
    s3_access_key: str = field(default="", metadata={"doc": "empty: `AWS_ACCESS_KEY_ID`"})
    s3_secret_key: str = field(default="", metadata={"doc": "empty: `AWS_SECRET_ACCESS_KEY`", "secret": True})
    s3_secret_key_file: str = field(default="", metadata={"doc": "a file that holds the secret key"})

    def __post_init__(self) -> None:
        if not 0.01 <= self.share <= 1:
            raise UserError("share must be between 0.01 and 1.")
        if self.keep < 1:
            raise UserError("keep must be at least 1.")
        if self.every and not self.to:
            raise UserError("every needs a place; set to.")
