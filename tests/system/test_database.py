"""The settings of connections. Nothing else notices most of them until the day they are needed."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app import sqlite
from app.database import POOL_SIZE
from app.database import engine as app_engine
from tests.databases import TEST_DATABASE_URL, new_database


def new_sqlite_engine(directory: Path) -> Engine:
    (directory / "test.db").touch()
    return sqlite.build_engine(f"sqlite:///{directory}/test.db", POOL_SIZE)


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
    engine = new_sqlite_engine(tmp_path)

    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value

    engine.dispose()


def test_pool_of_the_app_has_five_connections() -> None:
    assert app_engine.pool.status().startswith("Pool size: 5 ")


def test_pool_on_sqlite_never_grows() -> None:
    engine = sqlite.build_engine("sqlite:///test.db", pool_size=3)

    assert "Pool size: 3 " in engine.pool.status()
    assert engine.pool._max_overflow == 0  # type: ignore[attr-defined]  # noqa: SLF001


def test_pool_on_postgres_never_grows() -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    from app import postgres  # noqa: PLC0415 - needs psycopg

    engine = postgres.build_engine("postgresql+psycopg://localhost/test", pool_size=3)

    assert "Pool size: 3 " in engine.pool.status()
    assert engine.pool._max_overflow == 0  # type: ignore[attr-defined]  # noqa: SLF001


def test_postgres_connection_suits_a_pooler_and_has_a_time_limit() -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    from app import postgres  # noqa: PLC0415 - needs psycopg

    assert postgres.CONNECT_ARGS["connect_timeout"] == 2
    assert postgres.CONNECT_ARGS["prepare_threshold"] is None


@pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs PostgreSQL")
def test_postgres_connection_does_not_depend_on_the_defaults_of_the_server(tmp_path: Path) -> None:
    """With another isolation level, several first users become admins."""
    from app import postgres  # noqa: PLC0415 - needs psycopg

    with new_database(tmp_path) as url:
        engine = postgres.build_engine(url, pool_size=1)
        with engine.begin() as connection:
            name = engine.url.database
            for default in (
                "default_transaction_isolation = serializable",
                "client_encoding = latin1",
            ):
                connection.exec_driver_sql(f"ALTER DATABASE {name} SET {default}")
        engine.dispose()

        for engine in (postgres.build_engine(url, 1), postgres.build_migration_engine(url)):
            with engine.connect() as connection:
                isolation = connection.exec_driver_sql("SHOW transaction_isolation").scalar()
                encoding = connection.exec_driver_sql("SHOW client_encoding").scalar()
            engine.dispose()
            assert (isolation, encoding) == ("read committed", "UTF8")


def test_values_stay_out_of_the_log_when_a_statement_fails(tmp_path: Path) -> None:
    engine = new_sqlite_engine(tmp_path)
    statement = text("SELECT * FROM nowhere WHERE password = :password")

    with engine.connect() as connection, pytest.raises(OperationalError) as failure:
        connection.execute(statement, {"password": "hunter2"})

    assert "nowhere" in str(failure.value)
    assert "hunter2" not in str(failure.value)
    engine.dispose()
