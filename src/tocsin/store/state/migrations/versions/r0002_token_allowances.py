"""Tokens are held to labels, a rate and a number of series."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("labels", sa.Text(), server_default="{}", nullable=False))
    op.add_column("tokens", sa.Column("rate", sa.BigInteger()))
    op.add_column("tokens", sa.Column("series_max", sa.BigInteger()))
