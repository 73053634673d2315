"""The server itself."""

from __future__ import annotations

from pydantic import Field

from tocsin.api.shapes.base import Seconds, Shape


class About(Shape):
    version: str
    started_at: str
    smtp: bool = Field(description="whether e-mail is set up")
    encrypted: bool = Field(description="whether the data directory is encrypted")
    host_interval: Seconds | None = Field(description="seconds between readings of this machine; null: not read")
