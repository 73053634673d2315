"""What a cluster is told. None is here, so the statements themselves are compared, and parsed by the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.clickhouse import Front
from tests.support.samples import UNSYNCED

from tocsin.store.samples import layout
from tocsin.store.samples.address import parse_address
from tocsin.store.samples.layout import Cluster, Order
from tocsin.store.samples.native import Shape
from tocsin.store.samples.schema import MIGRATIONS
from tocsin.store.samples.served import ServedEngine

CLUSTER = Cluster("blue", "m")
STATEMENTS = [
    *(step for steps in MIGRATIONS for step in steps if isinstance(step, str)),
    "rename table samples to samples_of_floats",
    "alter table samples_of_floats modify setting old_parts_lifetime = 1",
    "alter table samples_of_floats drop partition id '1'",
    "drop table samples_of_floats sync",
    "alter table samples delete in partition id '1' where id in (select id from m.doomed where job = 1)",
    "kill mutation where database = currentDatabase() and table = 'samples' and not is_done",
    "delete from samples where id = 1",
    "truncate table doomed",
    "optimize table samples final",
]


def told(sql: str) -> list[str]:
    """Statements for the cluster, their white space made plain."""
    return [" ".join(order.sql.split()) for order in CLUSTER.spread(sql)]


def test_a_table_is_a_replicated_one_on_each_shard_and_a_distributed_one_over_them() -> None:
    sql = """
    create table if not exists samples (
        id UInt64 codec(Delta, ZSTD),
        t Int64 codec(DoubleDelta, ZSTD),
        v Float64 codec(ALP, ZSTD)
    ) engine = ReplacingMergeTree partition by intDiv(t, 86400000) - (t < 0 and t % 86400000 != 0) order by (id, t)
    """
    assert told(sql) == [
        (
            "create table if not exists m.samples_local on cluster 'blue' "
            "( id UInt64 codec(Delta, ZSTD), t Int64 codec(DoubleDelta, ZSTD), v Float64 codec(ALP, ZSTD) ) "
            "engine = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') "
            "partition by intDiv(t, 86400000) - (t < 0 and t % 86400000 != 0) order by (id, t)"
        ),
        (
            "create table if not exists m.samples on cluster 'blue' as m.samples_local "
            "engine = Distributed('blue', 'm', 'samples_local', id)"
        ),
    ]


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        (
            "create table x (name String) engine = MergeTree order by name",
            [
                (
                    "create table m.x_local on cluster 'blue' (name String) "
                    "engine = ReplicatedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') order by name"
                ),
                (
                    "create table m.x on cluster 'blue' as m.x_local "
                    "engine = Distributed('blue', 'm', 'x_local', sipHash64(name))"
                ),
            ],
        ),
        (
            (
                "create table if not exists d (id UInt64, f SimpleAggregateFunction(min, Int64)) "
                "engine = AggregatingMergeTree order by id settings index_granularity = 1024"
            ),
            [
                (
                    "create table if not exists m.d_local on cluster 'blue' "
                    "(id UInt64, f SimpleAggregateFunction(min, Int64)) "
                    "engine = ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') "
                    "order by id settings index_granularity = 1024"
                ),
                (
                    "create table if not exists m.d on cluster 'blue' as m.d_local "
                    "engine = Distributed('blue', 'm', 'd_local', id)"
                ),
            ],
        ),
        (
            "alter table samples drop partition id '1', drop partition id '2'",
            ["alter table m.samples_local on cluster 'blue' drop partition id '1', drop partition id '2'"],
        ),
        (
            "alter table samples modify setting fsync_after_insert = 1",
            ["alter table m.samples_local on cluster 'blue' modify setting fsync_after_insert = 1"],
        ),
        (
            "alter table series delete where labels = ''",
            ["alter table m.series_local on cluster 'blue' delete where labels = ''"],
        ),
        (
            "alter table samples add column if not exists n Int64 codec(Delta, ZSTD(1)) after t",
            [
                (
                    "alter table m.samples_local on cluster 'blue' "
                    "add column if not exists n Int64 codec(Delta, ZSTD(1)) after t"
                ),
                "alter table m.samples on cluster 'blue' add column if not exists n Int64 after t",
            ],
        ),
        (
            (
                "alter table samples delete in partition id '1' "
                "where (t < 5 and id in (select id from m.doomed where job = 1)) "
                "or (t < 6 and id in (select id from m.doomed where job = 2)) settings mutations_sync = 0"
            ),
            [
                "system sync replica on cluster 'blue' m.doomed_local",
                (
                    "alter table m.samples_local on cluster 'blue' delete in partition id '1' "
                    "where (t < 5 and id in (select id from m.doomed where job = 1)) "
                    "or (t < 6 and id in (select id from m.doomed where job = 2)) settings mutations_sync = 0"
                ),
            ],
        ),
        (
            "kill mutation where database = currentDatabase() and table = 'samples' and not is_done",
            ["kill mutation on cluster 'blue' where database = 'm' and table = 'samples_local' and not is_done"],
        ),
        ("optimize table samples final", ["optimize table m.samples_local on cluster 'blue' final"]),
        ("delete from samples where id = 1", ["delete from m.samples_local on cluster 'blue' where id = 1"]),
        ("truncate table x", ["truncate table m.x_local on cluster 'blue' sync"]),
        (
            "drop table if exists x",
            [
                "drop table if exists m.x on cluster 'blue' sync",
                "drop table if exists m.x_local on cluster 'blue' sync",
            ],
        ),
        (
            "rename table x to y",
            [
                "rename table if exists m.x_local to m.y_local on cluster 'blue'",
                (
                    "create table if not exists m.y on cluster 'blue' as m.y_local "
                    "engine = Distributed('blue', 'm', 'y_local', id)"
                ),
                "drop table if exists m.x on cluster 'blue' sync",
            ],
        ),
        ("drop table x sync", ["drop table m.x on cluster 'blue' sync", "drop table m.x_local on cluster 'blue' sync"]),
        ("insert into a select id from b", ["insert into a select id from b"]),
    ],
)
def test_a_statement_is_said_to_the_whole_cluster(sql: str, statements: list[str]) -> None:
    assert told(sql) == statements


def test_what_takes_nothing_away_from_a_reader_waits_for_no_server_that_is_away() -> None:
    (order,) = CLUSTER.spread("alter table samples drop partition id '1'")
    assert order == Order("alter table m.samples_local on cluster 'blue' drop partition id '1'", later=True)
    assert not any(order.later for order in CLUSTER.spread("create table x (a Int8) engine = MergeTree order by a"))
    assert not any(order.later for order in CLUSTER.spread("alter table x add column b Int8"))


def test_what_is_not_known_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="it is not known how to say this to a cluster: create view"):
        CLUSTER.spread("create view v as select 1")


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
def test_the_engine_can_read_what_a_cluster_is_told_of_every_migration(clickhouse_server: Front, number: int) -> None:
    engine = ServedEngine(parse_address(clickhouse_server.url("layout")), UNSYNCED)
    connection = engine.connect(reading=True)
    for order in CLUSTER.spread(STATEMENTS[number]):
        text = order.sql.replace("\\", "\\\\").replace("'", "\\'")
        assert connection.read(f"select formatQuery('{text}') as parsed", Shape({"parsed": "String"}))["parsed"]
    engine.close()


def test_parts_are_counted_on_one_replica_of_each_shard() -> None:
    assert CLUSTER.asked("select count() from {parts}") == (
        "select count() from (select replaceRegexpOne(it.table, '_local$', '') as table, _shard_num as shard, "
        "partition_id, name, rows, bytes_on_disk, hash_of_all_files, max_block_number "
        "from cluster('blue', system.parts) as it "
        "where active and it.database = 'm' and endsWith(it.table, '_local'))"
    )


def test_a_rewrite_is_done_when_every_replica_has_done_it() -> None:
    assert CLUSTER.asked("select count() from {mutations} where not is_done") == (
        "select count() from (select replaceRegexpOne(it.table, '_local$', '') as table, "
        "mutation_id, is_done, latest_fail_reason from clusterAllReplicas('blue', system.mutations) as it "
        "where 1 and it.database = 'm' and endsWith(it.table, '_local')) where not is_done"
    )


EMBEDDED_ONLY = {"embedded.py", "moving.py"}


def test_what_only_one_server_knows_of_itself_is_asked_through_the_layout() -> None:
    folder = Path(layout.__file__).parent
    asking = {
        file.name
        for file in folder.glob("*.py")
        for table in ("system.parts", "system.mutations")
        if table in file.read_text(encoding="utf-8")
    }
    assert asking - EMBEDDED_ONLY == {"engine.py"}


def test_old_parts_are_looked_for_on_every_server() -> None:
    assert CLUSTER.asked("{old_parts}") == (
        "(select replaceRegexpOne(it.table, '_local$', '') as table, hostName() as host, name "
        "from clusterAllReplicas('blue', system.parts) as it "
        "where not active and it.database = 'm' and endsWith(it.table, '_local'))"
    )


@pytest.mark.parametrize("quorum", ["", "&quorum=auto"])
def test_what_a_cluster_is_asked_of_every_statement(clickhouse_server: Front, quorum: str) -> None:
    url = clickhouse_server.url(options=f"?cluster=one&write_timeout=30s{quorum}")
    engine = ServedEngine(parse_address(url), UNSYNCED)
    together = {
        "load_balancing": "in_order",
        "prefer_localhost_replica": 0,
        "distributed_foreground_insert": 1,
        "parallel_distributed_insert_select": 0,
        "distributed_product_mode": "global",
    }
    reading, writing = (engine.connect(reading=reading)._session for reading in (True, False))
    assert together.items() <= reading.items()
    assert {
        **together,
        "allow_nondeterministic_mutations": 1,
        "distributed_ddl_task_timeout": 30,
    }.items() <= writing.items()
    wanted = {
        "insert_quorum": "auto",
        "insert_quorum_parallel": 0,
        "insert_quorum_timeout": 30_000,
        "select_sequential_consistency": 1,
    }
    assert (wanted.items() <= writing.items()) is bool(quorum)
    assert "insert_quorum" not in reading
    engine.close()
