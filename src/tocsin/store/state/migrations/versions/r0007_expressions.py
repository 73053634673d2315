"""Rules that are expressions, alerts of rules in files, and the files that people upload."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("metric_alert", sa.Column("expr", sa.Text(), server_default="", nullable=False))
    op.add_column("alert", sa.Column("expr", sa.Text(), server_default="", nullable=False))
    op.add_column("alert", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.add_column("alert", sa.Column("annotations", sa.Text(), server_default="[]", nullable=False))
    op.add_column("alert", sa.Column("gone_at_ms", sa.BigInteger(), server_default="0", nullable=False))
    open_rows = sa.text("source <> '' AND state IN ('pending', 'firing')")
    op.create_index(
        "uq_alert_open_source",
        "alert",
        ["source", "series"],
        unique=True,
        sqlite_where=open_rows,
        postgresql_where=open_rows,
    )
    op.create_table(
        "rule_file",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_rule_file"),
    )
