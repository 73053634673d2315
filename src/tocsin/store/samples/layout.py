"""The tables of `schema` on a cluster: the same statements, said to every server.

A table T is then two. `T_local` holds the rows of a shard, is replicated, and exists on every server; T itself is a
Distributed table over them. Reads and inserts name T on one server and on a cluster alike, so that all SQL but
these statements is the same: what makes, changes, shrinks or tidies a table.

Rows go to shards by what a table is ordered by first, so that all rows of a series, and with them all versions of
one sample, meet on one shard. There `final` and the merges find them together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tocsin.store.samples.engine import MUTATIONS, MUTATIONS_COLUMNS, OLD_PARTS, PARTS, PARTS_COLUMNS

LOCAL = "_local"
PATH = "/clickhouse/tables/{uuid}/{shard}"
"""In the keeper. A table that was renamed keeps its path, so a name in it would keep the next one from being made."""

_CREATE = re.compile(
    r"\s*create table (?P<lenient>if not exists )?(?P<table>\w+)\s*(?P<columns>\(.*\))\s*"
    r"engine = (?P<engine>\w*MergeTree)(?P<rest>\s.*?\border by \(?(?P<first>\w+).*)",
    re.DOTALL,
)
_ALTER = re.compile(r"\s*alter table (?P<table>\w+)\s+(?P<what>.*)", re.DOTALL)
_COLUMNS = re.compile(r"\b(?:add|drop|modify|rename|clear) column\b")
_OPTIMIZE = re.compile(r"\s*optimize table (?P<table>\w+)(?P<rest>.*)", re.DOTALL)
_DELETE = re.compile(r"\s*delete from (?P<table>\w+)\s+(?P<rest>.*)", re.DOTALL)
_DROP = re.compile(r"\s*(?P<verb>drop|truncate) table (?P<lenient>if exists )?(?P<table>\w+)(?: sync)?\s*")
_KILL = re.compile(
    r"\s*kill mutation where database = currentDatabase\(\) and table = '(?P<table>\w+)' and (?P<rest>.*)"
)
_SUBQUERY = re.compile(r"\bfrom (?P<database>\w+)\.(?P<table>\w+)")
_RENAME = re.compile(r"\s*rename table (?P<table>\w+) to (?P<to>\w+)\s*")
_INSERT = re.compile(r"\s*insert into \w+")


@dataclass(frozen=True, slots=True)
class Order:
    """A statement. With `later` a server that is away may do it when it comes back; nobody waits for that."""

    sql: str
    later: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as its servers know it (`remote_servers`), and our database there."""

    name: str
    database: str

    def spread(self, sql: str) -> tuple[Order, ...]:
        """Statements that do on the cluster what `sql` does on one server.

        Raises ValueError for a statement that is not known here; a test takes every migration through it.
        """
        if _INSERT.match(sql):
            return (Order(sql),)
        for pattern, say in (
            (_CREATE, self._create),
            (_ALTER, self._alter),
            (_OPTIMIZE, self._optimize),
            (_DELETE, self._delete),
            (_DROP, self._drop),
            (_RENAME, self._rename),
            (_KILL, self._kill),
        ):
            if found := pattern.fullmatch(sql):
                return say(found)
        raise ValueError(f"it is not known how to say this to a cluster: {sql.strip()[:200]}")

    def asked(self, sql: str) -> str:
        """Parts are counted on one replica of each shard; a rewrite is done, and old parts are gone, on every one."""
        parts = self._of("cluster", "parts", f"_shard_num as shard, {PARTS_COLUMNS}", "active")
        mutations = self._of("clusterAllReplicas", "mutations", MUTATIONS_COLUMNS, "1")
        old = self._of("clusterAllReplicas", "parts", "hostName() as host, name", "not active")
        return sql.replace(PARTS, parts).replace(MUTATIONS, mutations).replace(OLD_PARTS, old)

    def _of(self, function: str, table: str, columns: str, where: str) -> str:
        return (
            f"(select replaceRegexpOne(it.table, '{LOCAL}$', '') as table, {columns} "  # noqa: S608 - plain names
            f"from {function}('{self.name}', system.{table}) as it "
            f"where {where} and it.database = '{self.database}' and endsWith(it.table, '{LOCAL}'))"
        )

    def _create(self, found: re.Match[str]) -> tuple[Order, ...]:
        table, lenient = found["table"], found["lenient"] or ""
        return (
            Order(
                f"create table {lenient}{self._local(table)} {self.everywhere} {found['columns']} "
                f"engine = Replicated{found['engine']}('{PATH}', '{{replica}}'){found['rest'].rstrip()}"
            ),
            self._over(table, lenient, _shard_by(found["first"])),
        )

    def _known_to_all(self, table: str) -> Order:
        return Order(f"system sync replica {self.everywhere} {self._local(table)}")

    def _kill(self, found: re.Match[str]) -> tuple[Order, ...]:
        where = f"database = '{self.database}' and table = '{found['table']}{LOCAL}' and {found['rest']}"
        return (Order(f"kill mutation {self.everywhere} where {where}", later=True),)

    def _over(self, table: str, lenient: str, key: str) -> Order:
        return Order(
            f"create table {lenient}{self.database}.{table} {self.everywhere} as {self._local(table)} "
            f"engine = Distributed('{self.name}', '{self.database}', '{table}{LOCAL}', {key})"
        )

    def _rename(self, found: re.Match[str]) -> tuple[Order, ...]:
        """Can be said again after a part of it was done. Only tables of series are renamed."""
        table, to = found["table"], found["to"]
        return (
            Order(f"rename table if exists {self._local(table)} to {self._local(to)} {self.everywhere}"),
            self._over(to, "if not exists ", _shard_by("id")),
            Order(f"drop table if exists {self.database}.{table} {self.everywhere} sync"),
        )

    def _optimize(self, found: re.Match[str]) -> tuple[Order, ...]:
        return (Order(f"optimize table {self._local(found['table'])} {self.everywhere}{found['rest']}", later=True),)

    def _delete(self, found: re.Match[str]) -> tuple[Order, ...]:
        local = self._local(found["table"])
        return (Order(f"delete from {local} {self.everywhere} {found['rest']}", later=True),)  # noqa: S608 - ours

    def _alter(self, found: re.Match[str]) -> tuple[Order, ...]:
        table, what = found["table"], found["what"]
        local = f"alter table {self._local(table)} {self.everywhere} {what}"
        if not _COLUMNS.search(what):
            # a deletion that names its rows by a table: each replica reads it by itself, so it must be there before
            named = dict.fromkeys(found["table"] for found in _SUBQUERY.finditer(what))
            return (*map(self._known_to_all, named), Order(local, later=True))
        return (Order(local), Order(f"alter table {self.database}.{table} {self.everywhere} {_without_codecs(what)}"))

    def _drop(self, found: re.Match[str]) -> tuple[Order, ...]:
        verb, lenient, table = found["verb"], found["lenient"] or "", found["table"]
        local = Order(f"{verb} table {lenient}{self._local(table)} {self.everywhere} sync")
        if verb == "truncate":
            return (local,)
        return (Order(f"drop table {lenient}{self.database}.{table} {self.everywhere} sync"), local)

    def _local(self, table: str) -> str:
        return f"{self.database}.{table}{LOCAL}"

    @property
    def everywhere(self) -> str:
        return f"on cluster '{self.name}'"


def _shard_by(first: str) -> str:
    """An id is a hash already. The hash of anything else must be one that no version computes in another way."""
    return "id" if first == "id" else f"sipHash64({first})"


def _without_codecs(what: str) -> str:
    """A Distributed table stores nothing."""
    return re.sub(r"\s*codec\([^()]*(?:\([^()]*\)[^()]*)*\)", "", what)
