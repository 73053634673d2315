"""The list of retention policies as people change it: saved and audited first, then in force at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.retention import Lengths, Policy, check_policies, policy_json
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.store.samples.cuts import Cuts
from tocsin.store.samples.enforcement import Loss, Partition

log = get_log("store")


class KeptSamples(Protocol):
    """What the book asks of a sample store."""

    @property
    def cuts(self) -> Cuts: ...

    async def keep(self, policies: tuple[Policy, ...]) -> None: ...

    async def preview(self, policies: tuple[Policy, ...]) -> Loss: ...

    async def partitions(self) -> tuple[Partition, ...]: ...


class PolicyStore(Protocol):
    """The list is replaced as a whole, with its audit entries in the same transaction. Raises StoreError."""

    async def policies(self) -> tuple[Policy, ...]: ...

    async def replace(
        self, before: Sequence[Policy], after: Sequence[Policy], entries: Sequence[AuditEntry]
    ) -> tuple[Policy, ...]:
        """Raises ConflictError where the saved list is not `before` any more."""
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What to set of a policy; a field that is not in `given` stays as it is."""

    given: frozenset[str]
    policy: Policy

    def on(self, before: Policy) -> Policy:
        return replace(before, **{name: getattr(self.policy, name) for name in self.given})


class RetentionBook:
    """One change at a time."""

    def __init__(self, samples: KeptSamples, store: PolicyStore, clock: Clock) -> None:
        self._samples = samples
        self._store = store
        self._clock = clock
        self._changing = asyncio.Lock()
        self._policies: tuple[Policy, ...] = ()

    async def load(self) -> None:
        """Put in force what is saved. Raises StoreError."""
        async with self._changing:
            self._policies = await self._store.policies()
            await self._samples.keep(self._policies)

    @property
    def defaults(self) -> Lengths:
        return self._samples.cuts.defaults

    def policies(self) -> tuple[Policy, ...]:
        """In their order: the first that fits a series wins."""
        return self._policies

    def policy(self, policy_id: int) -> Policy:
        """Raises NotFoundError."""
        for policy in self._policies:
            if policy.id == policy_id:
                return policy
        raise NotFoundError(f"There is no retention policy {policy_id}.")

    async def add(self, policy: Policy, position: int | None, actor: Actor) -> Policy:
        """At the end of the list unless a position (from 0) is given. Raises UserError."""
        async with self._changing:
            at = len(self._policies) if position is None else min(position, len(self._policies))
            after = (*self._policies[:at], policy, *self._policies[at:])
            return (await self._save(after, actor))[at]

    async def change(
        self, policy_id: int, changes: Changes, position: int | None, version: int | None, actor: Actor
    ) -> Policy:
        """Raises UserError, NotFoundError; ConflictError where `version` is not the newest."""
        async with self._changing:
            before = self.policy(policy_id)
            if version is not None and version != before.version:
                raise ConflictError(f"The policy {before.name!r} was changed meanwhile: read it.", field="version")
            others = [one for one in self._policies if one.id != policy_id]
            at = self._policies.index(before) if position is None else min(position, len(others))
            others.insert(at, changes.on(before))
            return (await self._save(tuple(others), actor))[at]

    async def delete(self, policy_id: int, actor: Actor) -> None:
        """Raises NotFoundError. Its series fall to the policies after it."""
        async with self._changing:
            gone = self.policy(policy_id)
            await self._save(tuple(one for one in self._policies if one is not gone), actor)

    async def replace(self, policies: Sequence[Policy], actor: Actor) -> tuple[Policy, ...]:
        """The whole list; those with an id keep it. Raises UserError, NotFoundError."""
        async with self._changing:
            return await self._save(self._checked(policies), actor)

    async def preview(self, policies: Sequence[Policy]) -> Loss:
        """What would no longer be kept with this list. Raises UserError, NotFoundError."""
        return await self._samples.preview(self._checked(policies))

    async def partitions(self) -> tuple[Partition, ...]:
        return await self._samples.partitions()

    def _checked(self, policies: Sequence[Policy]) -> tuple[Policy, ...]:
        ids = [one.id for one in policies if one.id]
        if len(ids) != len(set(ids)):
            raise UserError("A policy is in the list twice.", field="items")
        for policy_id in ids:
            self.policy(policy_id)
        return check_policies(policies)

    async def _save(self, policies: tuple[Policy, ...], actor: Actor) -> tuple[Policy, ...]:
        at_ms, before = self._clock.now_ms(), self._policies
        known = {one.id: one for one in before}
        new = tuple(
            replace(one, created_at_ms=known[one.id].created_at_ms if one.id in known else at_ms, updated_at_ms=at_ms)
            for one in check_policies(policies)
        )
        entries = list(_entries(before, new, at_ms, actor))
        if not entries:
            return before
        saved = await self._store.replace(before, new, entries)
        self._policies = saved
        await self._samples.keep(saved)
        log.info("retention policies changed", policies=len(saved), by=actor.name)
        return saved


def _entries(before: Sequence[Policy], after: Sequence[Policy], at_ms: int, actor: Actor) -> list[AuditEntry]:
    """One for each policy that is other than it was, and one where the order is."""
    known = {one.id: one for one in before}
    left = {one.id for one in after}
    found = [_entry("delete", one, at_ms, actor, before=one) for one in before if one.id not in left]
    for one in after:
        old = known.get(one.id)
        if old is None:
            found.append(_entry("add", one, at_ms, actor, after=one))
        elif not one.same_rule(old):
            found.append(_entry("change", old, at_ms, actor, before=old, after=one))
    order = [one.id for one in before if one.id in left]
    if order != [one.id for one in after if one.id in known]:
        names = {"order": [one.name for one in before]}, {"order": [one.name for one in after]}
        found.append(AuditEntry(at_ms, actor, "retention.order", "retention", *names))
    return found


def _entry(
    what: str, policy: Policy, at_ms: int, actor: Actor, *, before: Policy | None = None, after: Policy | None = None
) -> AuditEntry:
    seen = [None if one is None else policy_json(one) for one in (before, after)]
    return AuditEntry(at_ms, actor, f"retention.{what}", f"retention policy {policy.name}", *seen)
