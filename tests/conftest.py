"""What holds for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.clickhouse import Front, running_front

# A deadline would be a hidden assertion on the speed of the machine.
settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A ClickHouse server, as far as a client can tell; each `url()` of it names a database of its own."""
    with running_front(tmp_path_factory.mktemp("clickhouse") / "data") as front:
        yield front
