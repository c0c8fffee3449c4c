"""Two servers that all tests share which need one, as starting a server takes a second."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, delete

from app.models import User
from tests.databases import new_database, new_engine, upgrade
from tests.system.server import Server, running_server


@pytest.fixture(scope="session")
def servers_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the database of the shared servers, and return its URL."""
    with new_database(tmp_path_factory.mktemp("servers")) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def running_servers(servers_url: str) -> Iterator[list[Server]]:
    """Start two servers at once, and stop them at once."""
    starting = [running_server(servers_url) for _ in range(2)]
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        servers = list(threads.map(stack.enter_context, starting))
        yield servers
        for server in servers:
            server.process.terminate()


@pytest.fixture
def servers_engine(servers_url: str) -> Iterator[Engine]:
    with new_engine(servers_url) as engine:
        yield engine


@pytest.fixture
def servers(running_servers: list[Server], servers_engine: Engine) -> Iterator[list[Server]]:
    """Share two servers on one database, and leave it empty."""
    yield running_servers
    with Session(servers_engine) as session:
        session.exec(delete(User))  # The posts go with their users.
        session.commit()


@pytest.fixture
def server(servers: list[Server]) -> Server:
    return servers[0]
