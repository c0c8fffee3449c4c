"""Two servers on one database, which tests share because a start takes a second."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.databases import delete_all_rows, new_database, new_engine, upgrade
from tests.system.server import Server, running_server


@pytest.fixture(scope="session")
def servers_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the database of the shared servers, and return its URL."""
    with new_database(tmp_path_factory.mktemp("servers")) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def running_servers(servers_url: str) -> Iterator[list[Server]]:
    with running_server(servers_url) as one, running_server(servers_url) as other:
        yield [one, other]


@pytest.fixture
def servers_engine(servers_url: str) -> Iterator[Engine]:
    with new_engine(servers_url) as engine:
        yield engine


@pytest.fixture
def servers(running_servers: list[Server], servers_engine: Engine) -> Iterator[list[Server]]:
    """Share two servers, and leave their database empty."""
    yield running_servers
    delete_all_rows(servers_engine)


@pytest.fixture
def server(servers: list[Server]) -> Server:
    return servers[0]
