"""The one table that says what a role may do.

A role holds for everything a permission names. Roles that hold for some labels only would be a second
argument of `allows`; nothing else would have to change.
"""

from __future__ import annotations

from enum import StrEnum

from tocsin.model.people import Role


class Permission(StrEnum):
    METRICS_READ = "metrics.read"
    METRICS_WRITE = "metrics.write"
    ALERTS_READ = "alerts.read"
    ALERTS_ACKNOWLEDGE = "alerts.acknowledge"
    RULES_READ = "rules.read"
    RULES_WRITE = "rules.write"
    SCRAPE_READ = "scrape.read"
    SCRAPE_WRITE = "scrape.write"
    RETENTION_READ = "retention.read"
    RETENTION_WRITE = "retention.write"
    SERIES_DELETE = "series.delete"
    OUTBOX_READ = "outbox.read"
    OUTBOX_RESEND = "outbox.resend"
    PEOPLE_MANAGE = "people.manage"
    AUDIT_READ = "audit.read"
    BACKUPS_MANAGE = "backups.manage"
    SETTINGS_WRITE = "settings.write"


_VIEWER = frozenset(
    {
        Permission.METRICS_READ,
        Permission.ALERTS_READ,
        Permission.RULES_READ,
        Permission.SCRAPE_READ,
        Permission.RETENTION_READ,
    }
)
_OPERATOR = _VIEWER | {Permission.ALERTS_ACKNOWLEDGE, Permission.OUTBOX_READ, Permission.OUTBOX_RESEND}
_EDITOR = _OPERATOR | {
    Permission.RULES_WRITE,
    Permission.SCRAPE_WRITE,
    Permission.METRICS_WRITE,
    Permission.RETENTION_WRITE,
}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.WRITER: frozenset({Permission.METRICS_WRITE}),
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.EDITOR: _EDITOR,
    Role.ADMIN: frozenset(Permission),
}


def allows(role: Role, permission: Permission) -> bool:
    return permission in PERMISSIONS[role]


def roles_with(permission: Permission) -> tuple[Role, ...]:
    """From the least role up."""
    return tuple(role for role in PERMISSIONS if allows(role, permission))
