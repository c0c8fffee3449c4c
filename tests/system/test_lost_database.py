"""A database that is locked or gone gives a 503 and a line in the log, until it is back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlmodel import Session, SQLModel, delete, update

from app import sqlite
from app.config import settings
from app.database import lock_users
from app.models import User
from tests.databases import TEST_DATABASE_URL, execute_on_server, needs_postgres, new_engine
from tests.system.server import ACCOUNT


@pytest.fixture(autouse=True)
def wait_only_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_MILLISECONDS", 100)
    if TEST_DATABASE_URL:
        monkeypatch.setattr("app.postgres.STATEMENT_SECONDS", 0.1)


@contextmanager
def taken_away(engine: Engine) -> Iterator[None]:
    """Move the file away, or close PostgreSQL to this database."""
    name = str(engine.url.database)
    if TEST_DATABASE_URL:
        execute_on_server(
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        yield
        execute_on_server(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    else:
        engine.dispose()  # Or SQLite would go on with the file that it has open.
        directory = Path(name).parent
        moved = directory.rename(directory.with_name("moved"))
        yield
        moved.rename(directory)


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


def test_lost_idle_connections_go_unnoticed(user_client: TestClient, engine: Engine) -> None:
    with taken_away(engine):
        pass

    assert user_client.get("/users/me").status_code == 200


def test_write_waits_only_so_long_for_a_lock(user_client: TestClient, engine: Engine) -> None:
    with Session(engine) as other:
        lock_users(other)
        other.exec(update(User).values(username="uncommitted"))
        registration = user_client.post("/auth/register", json=ACCOUNT)
        change = user_client.patch("/users/me", json={"username": "after"})
        reading = user_client.get("/users/me")

    # The registration is not answered as a conflict.
    assert [registration.status_code, change.status_code] == [503, 503]
    assert reading.json()["username"] == "user"
    assert user_client.post("/auth/register", json=ACCOUNT).status_code == 201
    assert user_client.patch("/users/me", json={"username": "after"}).status_code == 200


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


def test_service_that_can_only_read_is_not_healthy(
    user_client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = engine.url.database
    if TEST_DATABASE_URL:
        execute_on_server(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        url = settings.database_url
    else:
        url = f"sqlite:///file:{name}?mode=ro&uri=true"

    with new_engine(url) as read_only_engine:
        monkeypatch.setattr("app.database.engine", read_only_engine)

        assert user_client.get("/users/me").status_code == 200
        assert user_client.get("/health").status_code == 503


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
