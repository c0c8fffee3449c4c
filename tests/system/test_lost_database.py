"""A database that is locked or gone gives a 503 and a line in the log, until it is back."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, NullPool, create_engine
from sqlmodel import Session, SQLModel, delete, update

from app import sqlite
from app.database import POOL_SIZE, lock_users
from app.main import app
from app.models import User
from tests.databases import TEST_DATABASE_URL, new_database, new_engine, used_by_app_and_factories
from tests.factories import PASSWORD

REGISTRATION = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}

needs_postgres = pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs TEST_DATABASE_URL")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Override the shared fixture: the real `get_session`, and only a moment to wait for locks."""
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0.1)
    if TEST_DATABASE_URL:
        monkeypatch.setattr("app.postgres.STATEMENT_SECONDS", 0.1)
    directory = tmp_path / "data"
    directory.mkdir()
    with new_database(directory) as url, new_engine(url) as engine:
        SQLModel.metadata.create_all(engine)
        with used_by_app_and_factories(engine):
            app.dependency_overrides.clear()
            monkeypatch.setattr("app.database.engine", engine)
            yield engine


@contextmanager
def taken_away(engine: Engine) -> Iterator[None]:
    """Move the file away, or close PostgreSQL to this database."""
    if engine.dialect.name == "sqlite":
        engine.dispose()  # Or SQLite would go on with the file that it has open.
        directory = Path(str(engine.url.database)).parent
        moved = directory.rename(directory.with_name("moved"))
        yield
        moved.rename(directory)
        return
    name = engine.url.database
    other = create_engine(
        engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    with other.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        yield
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_app_says_that_the_database_is_lost_and_recovers_by_itself(
    user_client: TestClient, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with taken_away(engine):
        response = user_client.get("/users/me")

    assert response.status_code == 503
    assert response.json() == {"detail": "Database unavailable"}
    assert response.headers["Retry-After"] == "5"
    assert "Database unavailable: OperationalError" in caplog.text
    assert user_client.get("/users/me").status_code == 200


@needs_postgres
def test_client_does_not_notice_that_idle_connections_were_lost(
    user_client: TestClient, engine: Engine
) -> None:
    before = user_client.get("/users/me")
    with taken_away(engine):
        pass
    after = user_client.get("/users/me")

    assert [before.status_code, after.status_code] == [200, 200]


def test_write_waits_only_so_long_for_a_lock(user_client: TestClient, engine: Engine) -> None:
    with Session(engine) as other:
        other.exec(update(User).values(username="uncommitted"))
        response = user_client.patch("/users/me", json={"username": "after"})
        reading = user_client.get("/users/me")

    assert response.status_code == 503
    assert reading.json()["username"] == "user"
    assert user_client.patch("/users/me", json={"username": "after"}).status_code == 200


def test_registering_while_the_database_is_locked_is_no_conflict(
    client: TestClient, user: User, engine: Engine
) -> None:
    with Session(engine) as other:
        lock_users(other)
        response = client.post("/auth/register", json=REGISTRATION)

    assert response.status_code == 503
    assert client.post("/auth/register", json=REGISTRATION).status_code == 201


@needs_postgres
def test_service_is_healthy_while_an_account_is_deleted(
    client: TestClient, user: User, engine: Engine
) -> None:
    """With many rows that go with it, that can take two seconds."""
    with Session(engine) as other:
        lock_users(other)
        other.exec(delete(User))
        response = client.get("/health")

    assert response.status_code == 200


@needs_postgres
def test_service_that_can_only_read_is_not_healthy(
    client: TestClient, user_client: TestClient, engine: Engine
) -> None:
    name = engine.url.database
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    engine.dispose()

    assert user_client.get("/users/me").status_code == 200
    assert client.get("/health").status_code == 503


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Give up the rights of root, who may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_service_with_a_directory_that_it_cannot_write_is_not_healthy(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite can't write to a file without making another one beside it."""
    with TemporaryDirectory() as directory:
        file = Path(directory, "test.db")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE users (id INTEGER)")
        file.chmod(0o666)
        Path(directory).chmod(0o555)
        engine = sqlite.build_engine(f"sqlite:///{file}", POOL_SIZE)
        monkeypatch.setattr("app.database.engine", engine)
        with as_ordinary_user():
            health = client.get("/health")
        engine.dispose()
        Path(directory).chmod(0o700)

    assert health.status_code == 503


def test_service_with_a_broken_database_is_not_healthy(
    client: TestClient, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Elsewhere, such an error is a 500, as it may be a bug."""
    engine.dispose()
    if TEST_DATABASE_URL:
        SQLModel.metadata.drop_all(engine)
    else:
        Path(str(engine.url.database)).write_text("This is no database.", encoding="utf-8")

    response = client.get("/health")

    assert response.status_code == 503
    assert "The database can't be written: " in caplog.text
