"""How the app uses its connections, and what it does while its database is locked or gone."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import get_args
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, QueuePool, event, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, delete, update

from app import sqlite
from app.config import settings
from app.database import POOL_SIZE, SessionDep, lock_users, upgrade_database
from app.models import User
from tests.client import client_of
from tests.databases import (
    TEST_DATABASE_URL,
    delete_all_rows,
    execute_on_server,
    needs_postgres,
    new_engine,
    other_defaults,
)
from tests.factories import UserFactory
from tests.operations import OPERATIONS, make_rows, send
from tests.system.server import ALICE

if TEST_DATABASE_URL:
    from app import postgres


def test_sqlite_connection_is_set_up(tmp_path: Path) -> None:
    pragmas = {
        "busy_timeout": 4000,
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 2,
    }
    engine = sqlite.build_engine(f"sqlite:///{tmp_path}/test.db", POOL_SIZE)

    with engine.connect(), engine.connect() as connection:  # Not only the first one.
        values = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas}

    engine.dispose()
    assert values == pragmas


def test_pool_has_five_connections_and_never_grows(engine: Engine) -> None:
    """Five requests use them at once, and others wait without a thread."""
    assert get_args(SessionDep)[1].max_concurrency == 5
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


def test_connection_is_given_back_after_an_error(user_client: TestClient, engine: Engine) -> None:
    UserFactory.create(username="taken")

    response = user_client.patch("/users/me", json={"username": "taken"})

    assert response.status_code == 409
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0


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
@pytest.mark.parametrize(("query", "seconds"), [({}, "2"), ({"connect_timeout": "9"}, "9")])
def test_url_sets_up_a_connection_and_the_defaults_of_the_database_do_not(
    engine: Engine, query: dict[str, str], seconds: str
) -> None:
    """With another isolation level, for example, several first users could become admins."""
    execute_on_server(*other_defaults(f"DATABASE {engine.url.database}"))
    url = engine.url.update_query_dict(query).render_as_string(hide_password=False)

    for each in (postgres.build_engine(url, 1), postgres.build_migration_engine(url)):
        with each.connect() as connection:
            isolation = connection.exec_driver_sql("SHOW transaction_isolation").scalar()
            assert isolation == "read committed"
            assert connection.exec_driver_sql("SHOW client_encoding").scalar() == "UTF8"
            assert isinstance(connection.exec_driver_sql("SELECT now()").scalar(), datetime)
            driver_connection = connection.connection.driver_connection
            assert driver_connection
            assert driver_connection.info.get_parameters()["connect_timeout"] == seconds
            # Behind PgBouncer, prepared statements of several clients would get mixed up.
            assert driver_connection.prepare_threshold is None
        each.dispose()


@pytest.fixture
def limited_role() -> Iterator[str]:
    """Make a role that may only read and write rows."""
    role = f"test_{uuid4().hex}"
    execute_on_server(f"CREATE ROLE {role} IN ROLE pg_read_all_data, pg_write_all_data")
    yield role
    execute_on_server(f"DROP ROLE {role}")


@needs_postgres
def test_role_that_may_only_read_and_write_rows_can_start_and_do_everything(
    empty_engine: Engine, limited_role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade_database()
    url = empty_engine.url.update_query_dict({"options": f"-c role={limited_role}"})
    limited_url = url.render_as_string(hide_password=False)
    statuses = set()

    monkeypatch.setattr(settings, "database_url", limited_url)
    upgrade_database()
    with new_engine(limited_url) as limited_engine:
        monkeypatch.setattr("app.database.engine", limited_engine)
        for operation in OPERATIONS:
            delete_all_rows(empty_engine)
            actor = UserFactory.create(admin=True)
            ids = make_rows(operation, owner=actor)
            statuses.add(send(client_of(actor), operation, ids).status_code)

    assert statuses <= {200, 201, 204, 409}, statuses


@pytest.fixture
def wait_only_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0.1)
    if TEST_DATABASE_URL:
        monkeypatch.setattr(postgres, "STATEMENT_SECONDS", 0.1)


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


@pytest.mark.usefixtures("wait_only_a_moment")
def test_write_gives_up_on_a_lock_after_a_while(user_client: TestClient, engine: Engine) -> None:
    with Session(engine) as other:
        lock_users(other)
        other.exec(update(User).values(username="uncommitted"))
        registration = user_client.post("/auth/register", json=ALICE)
        change = user_client.patch("/users/me", json={"username": "after"})
        reading = user_client.get("/users/me")

    # The registration is not answered as a conflict.
    assert [registration.status_code, change.status_code] == [503, 503]
    assert reading.json()["username"] == "user"
    assert user_client.post("/auth/register", json=ALICE).status_code == 201
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


@pytest.mark.parametrize("content", ["", "This is no database."], ids=["no tables", "no database"])
def test_service_with_a_broken_database_is_not_healthy(
    content: str,
    client: TestClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Elsewhere, such an error is a 500, as it may be a bug."""
    (tmp_path / "broken.db").write_text(content, encoding="utf-8")
    engine = sqlite.build_engine(f"sqlite:///{tmp_path}/broken.db", POOL_SIZE)
    monkeypatch.setattr("app.database.engine", engine)

    response = client.get("/health")

    engine.dispose()
    assert response.status_code == 503
    assert "Can't use the database: " in caplog.text
