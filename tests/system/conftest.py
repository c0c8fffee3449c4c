"""Servers that tests share, and processes that take a second or more.

All that a run needs are started at its first test of this directory. They get ready while other
tests run, as these use only one core.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, delete

from app.models import User
from tests.databases import new_database, new_engine, upgrade
from tests.system.migrations import ROOT, copy_app, write_migration
from tests.system.server import SERVE, Server, starting_server


@pytest.fixture(scope="session", autouse=True)
def start_early(request: pytest.FixtureRequest) -> None:
    """Start the processes that the tests of this run will wait for."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    needed = {name for test in tests for name in test.fixturenames}
    for fixture in ("running_servers", "refusals"):
        if fixture in needed:
            request.getfixturevalue(fixture)


@pytest.fixture(scope="session")
def servers_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the database of the shared servers, and return its URL."""
    with new_database(tmp_path_factory.mktemp("servers")) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def running_servers(servers_url: str) -> Iterator[list[Server]]:
    """Start two servers, and stop them at once."""
    with starting_server(servers_url) as one, starting_server(servers_url) as other:
        yield [one, other]
        one.process.terminate()


@pytest.fixture
def servers_engine(servers_url: str) -> Iterator[Engine]:
    with new_engine(servers_url) as engine:
        yield engine


@pytest.fixture
def servers(running_servers: list[Server], servers_engine: Engine) -> Iterator[list[Server]]:
    """Share two servers on one database, and leave it empty."""
    for server in running_servers:
        server.wait_until_started()
    yield running_servers
    with Session(servers_engine) as session:
        session.exec(delete(User))  # The posts go with their users.
        session.commit()


@pytest.fixture
def server(servers: list[Server]) -> Server:
    return servers[0]


@pytest.fixture(scope="session")
def refused_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make an empty database, for servers that can't migrate it."""
    with new_database(tmp_path_factory.mktemp("refused")) as url:
        yield url


@pytest.fixture(scope="session")
def refusals(
    tmp_path_factory: pytest.TempPathFactory, refused_url: str, servers_url: str
) -> Iterator[dict[str, Popen[str]]]:
    """Start servers that can't start."""
    failing = copy_app(tmp_path_factory.mktemp("failing"))
    create, fail = "CREATE TABLE scratch (id INTEGER)", "SELECT nonsense FROM users"
    write_migration(failing, "bad", f"op.execute('{create}'); op.execute('{fail}')")
    branched = copy_app(tmp_path_factory.mktemp("branched"))
    write_migration(branched, "one", "pass")
    write_migration(branched, "two", "pass")
    directory = tmp_path_factory.mktemp("no settings")

    def start(app: Path = ROOT, **settings: str) -> Popen[str]:
        command = [*SERVE, "--app-dir", str(app)]
        environment = os.environ | settings
        return Popen(command, env=environment, cwd=directory, stdout=PIPE, stderr=STDOUT, text=True)

    lost_redis = "redis://127.0.0.1:1"
    processes = {
        "no secret key": start(SECRET_KEY=""),
        "SQLite in a missing directory": start(DATABASE_URL="sqlite:////nowhere/at/all.db"),
        "failing migration": start(failing, DATABASE_URL=refused_url),
        "two newest migrations": start(branched, DATABASE_URL=refused_url),
        "lost Redis": start(DATABASE_URL=servers_url, RATE_LIMIT_STORAGE_URI=lost_redis),
    }
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()
