"""How the app uses its connections. Most of it is only noticed when something goes wrong."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from app import sqlite
from app.database import POOL_SIZE
from app.main import app
from tests.client import client_of
from tests.databases import (
    TEST_DATABASE_URL,
    delete_all_rows,
    new_database,
    new_engine,
    upgrade,
    used_by_app_and_factories,
)
from tests.factories import UserFactory
from tests.operations import OPERATIONS, make_rows, send
from tests.system.server import running_server

if TEST_DATABASE_URL:
    from app import postgres

needs_postgres = pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs TEST_DATABASE_URL")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Override the shared fixture: an engine as in production, with the real `get_session`."""
    with new_database(tmp_path) as url, new_engine(url) as engine:
        SQLModel.metadata.create_all(engine)
        with used_by_app_and_factories(engine):
            app.dependency_overrides.clear()
            monkeypatch.setattr("app.database.engine", engine)
            yield engine


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("busy_timeout", 4000),
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("secure_delete", 2),
    ],
)
def test_sqlite_connection_is_set_up(tmp_path: Path, pragma: str, value: object) -> None:
    engine = sqlite.build_engine(f"sqlite:///{tmp_path}/test.db", POOL_SIZE)

    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value

    engine.dispose()


def test_server_closes_its_database_when_it_stops(tmp_path: Path) -> None:
    """SQLite then has everything in one file, which can be copied."""
    with running_server(f"sqlite:///{tmp_path}/test.db") as server, server.client() as client:
        assert client.get("/health").status_code == 200
        assert (tmp_path / "test.db-wal").exists()

    assert [file.name for file in tmp_path.iterdir()] == ["test.db"]


def test_pool_has_five_connections_and_never_grows(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as threads:
        with ExitStack() as connections:
            for _ in range(5):
                connections.enter_context(engine.connect())
            another = threads.submit(engine.connect)
            with pytest.raises(TimeoutError):
                another.result(timeout=0.2)
        another.result().close()


def test_row_is_not_read_again_after_a_commit(user_client: TestClient, engine: Engine) -> None:
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    response = user_client.patch("/users/me", json={"username": "renamed"})

    assert response.status_code == 200
    assert statements == ["SELECT", "UPDATE"]


@needs_postgres
def test_session_is_closed_in_a_thread(user_client: TestClient, engine: Engine) -> None:
    """It sends a rollback to PostgreSQL, and other requests must not wait for that."""
    threads: list[str] = []

    @event.listens_for(engine, "reset")
    def note(*_: object) -> None:
        threads.append(threading.current_thread().name)

    response = user_client.get("/users/me")

    assert response.status_code == 200
    assert threads == ["AnyIO worker thread"]


def test_values_stay_out_of_the_log_when_a_statement_fails(engine: Engine) -> None:
    statement = text("SELECT * FROM nowhere WHERE password = :password")

    with engine.connect() as connection, pytest.raises(DBAPIError) as failure:
        connection.execute(statement, {"password": "hunter2"})

    assert "nowhere" in str(failure.value)
    assert "hunter2" not in str(failure.value)


@needs_postgres
def test_request_to_a_silent_server_takes_less_than_five_seconds() -> None:
    seconds = (postgres.STATEMENT_SECONDS, postgres.CANCEL_SECONDS, postgres.CONNECT_SECONDS)
    assert seconds == (2, 0.5, 2)


@needs_postgres
@pytest.mark.parametrize(
    ("query", "seconds", "encoding", "memory"),
    [
        ({}, "2", "UTF8", "4MB"),
        (
            {"connect_timeout": "9", "client_encoding": "latin1", "options": "-c work_mem=9MB"},
            "9",
            "LATIN1",
            "9MB",
        ),
    ],
)
def test_postgres_connection_is_set_up_unless_the_url_says_otherwise(
    engine: Engine, query: dict[str, str], seconds: str, encoding: str, memory: str
) -> None:
    url = engine.url.update_query_dict(query).render_as_string(hide_password=False)
    for each in (postgres.build_engine(url, 1), postgres.build_migration_engine(url)):
        with each.connect() as connection:
            driver_connection = connection.connection.driver_connection
            assert driver_connection
            # Behind PgBouncer, prepared statements of several clients would get mixed up.
            assert driver_connection.prepare_threshold is None
            assert driver_connection.info.get_parameters()["connect_timeout"] == seconds
            assert connection.exec_driver_sql("SHOW client_encoding").scalar() == encoding
            assert connection.exec_driver_sql("SHOW work_mem").scalar() == memory
        each.dispose()


@needs_postgres
@pytest.mark.parametrize(
    ("whose", "style"),
    [("DATABASE {}", "German"), ("ROLE CURRENT_USER IN DATABASE {}", "SQL, DMY")],
)
def test_defaults_of_the_database_or_the_role_make_no_difference(
    engine: Engine, whose: str, style: str
) -> None:
    """With another isolation level, for example, several first users could become admins."""
    user = UserFactory.create(email="漢字@example.com")
    with engine.begin() as connection:
        for default in (
            f"DateStyle = {style}",
            "TimeZone = 'Asia/Kathmandu'",
            "client_encoding = latin1",
            "default_transaction_isolation = serializable",
        ):
            target = whose.format(engine.url.database)
            connection.exec_driver_sql(f"ALTER {target} SET {default}")
    engine.dispose()

    shown = client_of(user).get("/users/me").json()

    assert shown["email"] == "漢字@example.com"
    url = engine.url.render_as_string(hide_password=False)
    for each in (engine, postgres.build_migration_engine(url)):
        with each.connect() as connection:
            isolation = connection.exec_driver_sql("SHOW transaction_isolation").scalar()
            encoding = connection.exec_driver_sql("SHOW client_encoding").scalar()
            now = connection.exec_driver_sql("SELECT now()").scalar()
        assert (isolation, encoding) == ("read committed", "UTF8")
        assert isinstance(now, datetime)


@pytest.fixture
def limited_engine(engine: Engine) -> Iterator[Engine]:
    """Connect as a role that may only read and write rows."""
    upgrade(engine.url.render_as_string(hide_password=False))
    role = f"test_{uuid4().hex}"
    url = engine.url.update_query_dict({"options": f"-c role={role}"})
    with engine.begin() as connection:
        for statement in (
            f"CREATE ROLE {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        ):
            connection.exec_driver_sql(statement)
    with new_engine(url.render_as_string(hide_password=False)) as limited_engine:
        yield limited_engine
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@needs_postgres
def test_role_that_may_only_read_and_write_rows_can_start_and_do_everything(
    engine: Engine, limited_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.engine", limited_engine)

    upgrade(limited_engine.url.render_as_string(hide_password=False))
    statuses = set()
    for operation in OPERATIONS:
        delete_all_rows(engine)
        actor = UserFactory.create(admin=True)
        ids = make_rows(operation, UserFactory.create(), actor)
        statuses.add(send(client_of(actor), operation, ids).status_code)

    assert statuses <= {200, 201, 204, 409}, statuses
