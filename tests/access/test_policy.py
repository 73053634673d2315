from __future__ import annotations

from itertools import pairwise

import pytest

from tocsin.access.policy import PERMISSIONS, Permission, allows, roles_with
from tocsin.model.people import Role

READS = {"metrics.read", "alerts.read", "rules.read", "scrape.read", "retention.read"}


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (Role.WRITER, {"metrics.write"}),
        (Role.VIEWER, READS),
        (Role.OPERATOR, READS | {"alerts.acknowledge", "outbox.read", "outbox.resend"}),
        (
            Role.EDITOR,
            READS
            | {"alerts.acknowledge", "outbox.read", "outbox.resend"}
            | {"rules.write", "scrape.write", "metrics.write", "retention.write"},
        ),
        (Role.ADMIN, set(Permission)),
    ],
)
def test_a_role_may_exactly_what_the_reference_says(role: Role, permissions: set[str]) -> None:
    assert {permission.value for permission in Permission if allows(role, permission)} == permissions


def test_every_role_has_its_row() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_each_role_from_viewer_up_may_all_that_the_one_before_may() -> None:
    ladder = [PERMISSIONS[role] for role in (Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN)]
    assert all(lower < higher for lower, higher in pairwise(ladder))


def test_roles_are_named_from_the_least_up() -> None:
    assert roles_with(Permission.ALERTS_ACKNOWLEDGE) == (Role.OPERATOR, Role.EDITOR, Role.ADMIN)
    assert roles_with(Permission.METRICS_WRITE) == (Role.WRITER, Role.EDITOR, Role.ADMIN)
