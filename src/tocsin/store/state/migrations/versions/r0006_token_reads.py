"""Tokens are held to what they may read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("reads", sa.Text(), server_default="[]", nullable=False))
