"""The tables. A change here needs a migration; a test compares the two.

Columns named `*_ms` are int ms UTC, 0 or NULL where it has not happened. `metric_alert` and
`alert_history` keep the names and columns that older databases have.

Sealed is what the database need not search: settings, label values, text that people or other servers wrote, and
the audit log's before and after. Digests of passwords, sessions and tokens cannot be turned back and stay as they are.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, String

from tocsin.store.state.columns import Id, Named, Reading, Sealed, SealedWords, UtcTime, Words

NAMED_CHARS_MAX = 64
"""As long as `alert_history.acknowledged_by` is."""

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

FALSE, TRUE = sa.false(), sa.true()

metric_alert = sa.Table(
    "metric_alert",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("metric_name", String(255), nullable=False),
    Column("condition", String(16), nullable=False),
    Column("threshold", Double, nullable=False),
    Column("duration", Double, nullable=False, server_default="0"),  # seconds
    Column("severity", String(32), nullable=False, server_default="warning"),
    Column("enabled", Boolean, nullable=False, server_default=TRUE),
    Column("matchers", Sealed("metric_alert.matchers"), nullable=False, server_default="[]"),
    Column("description", SealedWords("metric_alert.description"), nullable=False, server_default=""),
    Column("template_key", String(255), nullable=False, server_default=""),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("updated_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("expr", SealedWords("metric_alert.expr"), nullable=False, server_default=""),  # in place of a threshold
    sqlite_autoincrement=True,
)

alert = sa.Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True),
    Column("rule_id", Id, ForeignKey("metric_alert.id", ondelete="SET NULL")),
    Column("rule_name", Words, nullable=False),
    Column("metric_name", Words, nullable=False),
    Column("condition", String(16), nullable=False),
    Column("threshold", Double, nullable=False),
    Column("severity", String(32), nullable=False),
    Column("labels", Sealed("alert.labels"), nullable=False),
    Column("series", BigInteger, nullable=False),  # Labels.series_id() as a signed number
    Column("state", String(16), nullable=False),
    Column("value", Reading),
    Column("peak", Reading),
    Column("since_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("fired_at_ms", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger, nullable=False),
    Column("acknowledged", Boolean, nullable=False, server_default=FALSE),
    Column("acknowledged_by", Words, nullable=False, server_default=""),
    Column("acknowledged_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("comment", SealedWords("alert.comment"), nullable=False, server_default=""),
    Column("announced", String(16)),
    Column("announced_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("notify_at_ms", BigInteger),
    # No foreign key: alert_history points here with one, and two would be a circle.
    Column("history_id", Id),
    Column("expr", SealedWords("alert.expr"), nullable=False, server_default=""),
    Column("source", Words, nullable=False, server_default=""),  # the rule, where it is in a file
    Column("annotations", Sealed("alert.annotations"), nullable=False, server_default="[]"),
    Column("gone_at_ms", BigInteger, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

is_open = sa.text("alert.state IN ('pending', 'firing')")
"""Written out, not bound: a database uses a partial index only where the query repeats its condition."""

_open_rows = sa.text("state IN ('pending', 'firing')")

Index(
    "uq_alert_open",
    alert.c.rule_id,
    alert.c.series,
    unique=True,
    sqlite_where=_open_rows,
    postgresql_where=_open_rows,
)
_open_of_files = sa.text("source <> '' AND state IN ('pending', 'firing')")
Index(
    "uq_alert_open_source",
    alert.c.source,
    alert.c.series,
    unique=True,
    sqlite_where=_open_of_files,
    postgresql_where=_open_of_files,
)
Index(
    "ix_alert_open_changed",
    alert.c.changed_at_ms,
    alert.c.id,
    sqlite_where=_open_rows,
    postgresql_where=_open_rows,
)
Index("ix_alert_changed", alert.c.changed_at_ms, alert.c.id)
Index("ix_alert_rule", alert.c.rule_id, alert.c.changed_at_ms, alert.c.id)
Index(
    "ix_alert_notify",
    alert.c.notify_at_ms,
    alert.c.id,
    sqlite_where=alert.c.notify_at_ms.is_not(None),
    postgresql_where=alert.c.notify_at_ms.is_not(None),
)

alert_history = sa.Table(
    "alert_history",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", Id, ForeignKey("metric_alert.id", ondelete="SET NULL")),  # the rule
    Column("triggered_at", UtcTime, nullable=False),
    Column("value", Reading),
    Column("acknowledged", Boolean, nullable=False, server_default=FALSE),
    Column("acknowledged_by", Named(NAMED_CHARS_MAX)),
    Column("alert_row_id", Id, ForeignKey("alert.id", ondelete="SET NULL"), index=True),
    Column("rule_name", Words, nullable=False, server_default=""),
    Column("severity", String(32), nullable=False, server_default="warning"),
    Column("labels", Sealed("alert_history.labels"), nullable=False, server_default="{}"),
    Column("peak", Reading),
    Column("resolved_at", UtcTime),
    Column("reason", Words, nullable=False, server_default=""),
    Column("acknowledged_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("comment", SealedWords("alert_history.comment"), nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
Index("ix_alert_history_triggered", alert_history.c.triggered_at, alert_history.c.id)
Index("ix_alert_history_rule", alert_history.c.alert_id, alert_history.c.triggered_at, alert_history.c.id)

outbox = sa.Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", String(255), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("receiver", String(64), nullable=False),
    Column("recipient", Words, nullable=False),
    # No foreign key: a letter and its copy of the alert outlive the alert.
    Column("alert_id", Id, nullable=False),
    Column("alert", Sealed("outbox.alert"), nullable=False),  # as codec.alert_document writes it
    Column("state", String(16), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", SealedWords("outbox.last_error"), nullable=False),
    Column("answer", SealedWords("outbox.answer"), nullable=False),
    Column("sent_at_ms", BigInteger, nullable=False),
    Column("claimed_until_ms", BigInteger, nullable=False),
    Column("claimed_by", String(64), nullable=False, server_default=""),  # who sends it, or did last
    # When a worker has to look at it: the next attempt of a queued letter, the end of the lease of one
    # that is being sent, NULL for one that is done.
    Column("due_at_ms", BigInteger),
    # When it was sent, replaced or given up, so that old ones can be forgotten; 0 until then.
    Column("done_at_ms", BigInteger, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)
_due = outbox.c.due_at_ms.is_not(None)
Index("ix_outbox_due", outbox.c.due_at_ms, outbox.c.id, sqlite_where=_due, postgresql_where=_due)
Index("ix_outbox_line", outbox.c.alert_id, outbox.c.id, sqlite_where=_due, postgresql_where=_due)
Index("ix_outbox_state", outbox.c.state, outbox.c.id)

users = sa.Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(NAMED_CHARS_MAX), nullable=False),
    Column("folded", String(3 * NAMED_CHARS_MAX), nullable=False, unique=True),  # the name without regard to case
    Column("role", String(16), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=TRUE),
    Column("created_at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

sessions = sa.Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column("address", Named(NAMED_CHARS_MAX), nullable=False),
)

sign_in_links = sa.Table(
    "sign_in_links",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at_ms", BigInteger, nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(NAMED_CHARS_MAX), nullable=False),
    Column("role", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_by", Named(NAMED_CHARS_MAX), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("labels", Sealed("tokens.labels"), nullable=False, server_default="{}"),  # put on all that it writes
    Column("rate", BigInteger),  # samples a second
    Column("series_max", BigInteger),
    Column("reads", Sealed("tokens.reads"), nullable=False, server_default="[]"),  # matchers of what it may read
    sqlite_autoincrement=True,
)

scrape_job = sa.Table(
    "scrape_job",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("config", Sealed("scrape_job.config"), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=TRUE),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

settings = sa.Table(
    "settings",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("value", Sealed("settings.value"), nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
)

retention_policy = sa.Table(
    "retention_policy",
    metadata,
    Column("id", Id, primary_key=True),
    Column("position", Integer, nullable=False),  # the first that fits a series wins
    Column("name", String(255), nullable=False),
    Column("matchers", Sealed("retention_policy.matchers"), nullable=False),
    Column("raw_ms", BigInteger),  # NULL: the default's
    Column("five_minutes_ms", BigInteger),
    Column("hours_ms", BigInteger),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

audit = sa.Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Words, nullable=False),
    Column("address", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("before", Sealed("audit.before")),
    Column("after", Sealed("audit.after")),
    sqlite_autoincrement=True,
)

rule_file = sa.Table(
    "rule_file",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("text", SealedWords("rule_file.text"), nullable=False),
    Column("updated_by", Words, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
)

backup = sa.Table(
    "backup",
    metadata,
    Column("id", Id, primary_key=True),
    Column("place", Words, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_by", Words, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=False),
    Column("name", String(64), nullable=False),
    Column("written", BigInteger, nullable=False),  # bytes
    Column("stored", BigInteger, nullable=False),  # bytes
    Column("samples", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("error", Words, nullable=False),
    sqlite_autoincrement=True,
)
