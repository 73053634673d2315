"""How long series are kept: the policies, and what a change of them would remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage, page_of
from tocsin.api.shapes import disk
from tocsin.api.shapes import retention as shapes
from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher, parse_selector
from tocsin.model.retention import Policy
from tocsin.store.retention import Changes

router = family("retention")

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Reader = require(Permission.RETENTION_READ)
Editor = Annotated[Caller, require(Permission.RETENTION_WRITE)]

_LENGTHS = {"raw": "raw_ms", "five_minutes": "five_minutes_ms", "hours": "hours_ms"}


@router.get("/api/retention", dependencies=[Reader])
async def list_retention(wired: Wired, asked: AskedPage) -> shapes.RetentionList:
    """The policies in their order, of which the first that fits a series wins, and the defaults for all others."""
    policies = wired.retention.policies()
    page = page_of(tuple(enumerate(policies)), lambda one: one[0], asked)
    defaults = shapes.RetentionLengths.of(wired.retention.defaults)
    items = [shapes.RetentionPolicy.of(policy, at) for at, policy in page.items]
    return shapes.RetentionList(items=items, next=page.next, defaults=defaults)


@router.post("/api/retention", status_code=201)
async def create_retention(body: shapes.NewRetentionPolicy, wired: Wired, caller: Editor) -> shapes.RetentionPolicy:
    """A new policy, the last unless it has a position. It holds at once; ask for a preview before."""
    saved = await wired.retention.add(_policy(body), body.position, caller.actor)
    return _shape(wired, saved)


@router.put("/api/retention")
async def replace_retention(body: shapes.RetentionPolicies, wired: Wired, caller: Editor) -> shapes.RetentionList:
    """The whole list in its order. Items with an `id` are the policies that there are; those left out are deleted."""
    saved = await wired.retention.replace(_policies(body), caller.actor)
    items = [shapes.RetentionPolicy.of(policy, at) for at, policy in enumerate(saved)]
    defaults = shapes.RetentionLengths.of(wired.retention.defaults)
    return shapes.RetentionList(items=items, next=None, defaults=defaults)


@router.post("/api/retention/preview", dependencies=[require(Permission.RETENTION_WRITE)])
async def preview_retention(body: shapes.RetentionPolicies, wired: Wired) -> shapes.RetentionLoss:
    """What would no longer be kept if this were the list: nothing is changed."""
    loss = await wired.retention.preview(_policies(body))
    return shapes.RetentionLoss.of(loss.samples, loss.buckets, loss.series, approximate=loss.approximate)


@router.get("/api/retention/disk", dependencies=[Reader])
async def read_disk_use(wired: Wired) -> disk.DiskUse:
    """What samples and roll-ups take on the disk, what they may, and what was dropped last to keep to that."""
    return disk.DiskUse.of(await wired.disk.use())


@router.get("/api/retention/{policy_id}", dependencies=[Reader])
async def read_retention(policy_id: Id, wired: Wired) -> shapes.RetentionPolicy:
    """One policy."""
    return _shape(wired, wired.retention.policy(policy_id))


@router.patch("/api/retention/{policy_id}")
async def change_retention(
    policy_id: Id, body: shapes.RetentionPolicyChange, wired: Wired, caller: Editor
) -> shapes.RetentionPolicy:
    """Change some fields or the position. Send the `version` that you read, and no other change is overwritten."""
    saved = await wired.retention.change(policy_id, _changes(body), body.position, body.version, caller.actor)
    return _shape(wired, saved)


@router.delete("/api/retention/{policy_id}", status_code=204)
async def delete_retention(policy_id: Id, wired: Wired, caller: Editor) -> None:
    """Delete a policy. Its series fall to the policies after it."""
    await wired.retention.delete(policy_id, caller.actor)


def _shape(wired: Wired, policy: Policy) -> shapes.RetentionPolicy:
    return shapes.RetentionPolicy.of(policy, wired.retention.policies().index(policy))


def _policies(body: shapes.RetentionPolicies) -> tuple[Policy, ...]:
    return tuple(_policy(item, item.id or 0) for item in body.items)


def _policy(body: shapes.NewRetentionPolicy, policy_id: int = 0) -> Policy:
    return Policy(policy_id, body.name, _matchers(body.matchers), *_lengths(body))


def _changes(body: shapes.RetentionPolicyChange) -> Changes:
    """A length that is null is the default's from now on; one that was not sent stays."""
    sent = body.model_fields_set
    given = {field for name, field in _LENGTHS.items() if name in sent}
    given |= {name for name in ("name", "matchers") if getattr(body, name) is not None}
    return Changes(frozenset(given), Policy(0, body.name or "", _matchers(body.matchers or []), *_lengths(body)))


def _matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    try:
        return tuple(dict.fromkeys(matcher for text in texts for matcher in parse_selector(text)))
    except UserError as error:
        raise UserError(str(error), field="matchers") from error


def _lengths(
    body: shapes.NewRetentionPolicy | shapes.RetentionPolicyChange,
) -> tuple[int | None, int | None, int | None]:
    raw, five_minutes, hours = (_length_ms(getattr(body, name), name) for name in _LENGTHS)
    return raw, five_minutes, hours


def _length_ms(text: float | str | None, field: str) -> int | None:
    if text is None:
        return None
    try:
        return int(Duration.parse(text))
    except UserError as error:
        raise UserError(str(error), field=field) from error
