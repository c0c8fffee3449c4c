"""The settings of connections. Most of them are only noticed when something goes wrong."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app import sqlite
from app.database import POOL_SIZE
from app.database import engine as app_engine
from tests.databases import TEST_DATABASE_URL, new_database, new_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Override the shared fixture: an engine as in production, and an empty database."""
    with new_database(tmp_path) as url, new_engine(url) as engine:
        yield engine


def new_sqlite_engine(file: Path) -> Engine:
    file.touch()
    return sqlite.build_engine(f"sqlite:///{quote(str(file))}", POOL_SIZE)


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
    engine = new_sqlite_engine(tmp_path / "test.db")

    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value

    engine.dispose()


def test_sqlite_file_can_have_any_name(tmp_path: Path) -> None:
    engine = new_sqlite_engine(tmp_path / "100%41.db")

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1

    engine.dispose()


def test_pool_of_the_app_has_five_connections() -> None:
    assert app_engine.pool.status().startswith("Pool size: 5 ")


def test_pool_never_grows(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as threads:
        with ExitStack() as connections:
            for _ in range(POOL_SIZE):
                connections.enter_context(engine.connect())
            another = threads.submit(engine.connect)
            with pytest.raises(TimeoutError):
                another.result(timeout=0.2)
        another.result().close()


@pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs PostgreSQL")
def test_postgres_connections_time_out_and_prepare_nothing(engine: Engine) -> None:
    """Behind PgBouncer, prepared statements of several clients would get mixed up."""
    from app import postgres  # noqa: PLC0415 - needs psycopg

    url = engine.url.render_as_string(hide_password=False)
    for each in (engine, postgres.build_migration_engine(url)):
        with each.connect() as connection:
            driver_connection: Any = connection.connection.driver_connection
            assert driver_connection.info.get_parameters()["connect_timeout"] == "2"
            assert driver_connection.prepare_threshold is None


@pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs PostgreSQL")
def test_postgres_connection_does_not_depend_on_the_defaults_of_the_server(engine: Engine) -> None:
    """With another isolation level, several first users become admins."""
    from app import postgres  # noqa: PLC0415 - needs psycopg

    with engine.begin() as connection:
        name = engine.url.database
        for default in ("default_transaction_isolation = serializable", "client_encoding = latin1"):
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET {default}")
    engine.dispose()

    url = engine.url.render_as_string(hide_password=False)
    for each in (engine, postgres.build_migration_engine(url)):
        with each.connect() as connection:
            isolation = connection.exec_driver_sql("SHOW transaction_isolation").scalar()
            encoding = connection.exec_driver_sql("SHOW client_encoding").scalar()
        assert (isolation, encoding) == ("read committed", "UTF8")


def test_values_stay_out_of_the_log_when_a_statement_fails(engine: Engine) -> None:
    statement = text("SELECT * FROM nowhere WHERE password = :password")

    with engine.connect() as connection, pytest.raises(DBAPIError) as failure:
        connection.execute(statement, {"password": "hunter2"})

    assert "nowhere" in str(failure.value)
    assert "hunter2" not in str(failure.value)
