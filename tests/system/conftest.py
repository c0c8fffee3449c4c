"""Databases as in production, and two servers, which tests share because a start takes a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import SQLModel

from app.config import settings
from app.main import app
from tests.databases import delete_all_rows, new_database, new_engine, used_by_app_and_factories
from tests.system.server import Server, running_server


@pytest.fixture
def empty_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Configure the app to use a database without tables, with the real `get_session`."""
    with new_database(tmp_path) as url, new_engine(url) as engine:
        monkeypatch.setattr(settings, "database_url", url)
        monkeypatch.setattr("app.database.engine", engine)
        with used_by_app_and_factories(engine):
            app.dependency_overrides.clear()
            yield engine


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """Override the shared fixture."""
    SQLModel.metadata.create_all(empty_engine)
    return empty_engine


@pytest.fixture(scope="session")
def shared_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, list[Server]]]:
    with (
        new_database(tmp_path_factory.mktemp("servers")) as url,
        running_server(url) as one,
        running_server(url, FORWARDED_ALLOW_IPS="192.0.2.9") as other,  # It trusts none of ours.
        new_engine(url) as engine,
    ):
        yield engine, [one, other]


@pytest.fixture
def servers(shared_servers: tuple[Engine, list[Server]]) -> Iterator[list[Server]]:
    """Share two servers, and leave their database empty."""
    engine, servers = shared_servers
    yield servers
    delete_all_rows(engine)


@pytest.fixture
def server(servers: list[Server]) -> Server:
    return servers[0]
