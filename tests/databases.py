"""Databases for tests, and the app's use of them."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, NullPool, Row, StaticPool, create_engine, event, make_url
from sqlmodel import Session, SQLModel

from app.database import POOL_SIZE, get_session
from app.main import app
from tests.factories import factory_session

TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL")
needs_postgres = pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs TEST_DATABASE_URL")

if TEST_DATABASE_URL:
    from app.postgres import build_engine

    POSTGRES_URL = make_url(TEST_DATABASE_URL).set(drivername="postgresql+psycopg")
else:
    from app.sqlite import build_engine


def new_memory_engine() -> Engine:
    """Make an empty SQLite database in memory, which is gone when the engine is disposed of.

    It lives in a connection, so all sessions share one (`StaticPool`). The session of a request
    rolls back when it closes, so what it didn't commit is gone before the test looks.
    """
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def set_up_connection(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        # Without an ORDER BY, the last rows come first, so that a forgotten one is noticed.
        connection.execute("PRAGMA reverse_unordered_selects = ON")

    return engine


def delete_all_rows(engine: Engine) -> None:
    with engine.begin() as connection:
        # Tables that refer to others come last, so start there.
        for table in reversed(SQLModel.metadata.sorted_tables):
            connection.execute(table.delete())


def read_rows(session: Session) -> list[Sequence[Row[Any]]]:
    """Read the rows of all tables, as they are now."""
    return [
        session.connection().execute(table.select().order_by(*table.primary_key)).all()
        for table in SQLModel.metadata.sorted_tables
    ]


def other_defaults(owner: str) -> list[str]:
    """Return statements that give a database or a role other defaults than those of PostgreSQL."""
    defaults = {
        "client_encoding": "latin2",
        "DateStyle": "German",
        "TimeZone": "Asia/Kathmandu",
        "default_transaction_isolation": "serializable",
    }
    return [f"ALTER {owner} SET {name} = '{value}'" for name, value in defaults.items()]


def execute_on_server(*statements: str) -> None:
    """Execute statements on PostgreSQL, outside of the databases that tests make."""
    server = create_engine(POSTGRES_URL, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@contextmanager
def new_database(directory: Path) -> Iterator[str]:
    """Make an empty database of the kind that this run tests, and drop it at the end."""
    if not TEST_DATABASE_URL:
        (directory / "test.db").touch()
        yield f"sqlite:///{directory}/test.db"
        return
    name = f"test_{uuid4().hex}"
    execute_on_server(f"CREATE DATABASE {name}")
    try:
        yield POSTGRES_URL.set(database=name).render_as_string(hide_password=False)
    finally:
        execute_on_server(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def new_engine(url: str) -> Iterator[Engine]:
    """Make an engine as the app does, and close its connections at the end."""
    engine = build_engine(url, POOL_SIZE)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def used_by_app_and_factories(engine: Engine) -> Iterator[None]:
    """Have the app, and the factories, use this database instead of the configured one."""

    async def get_test_session() -> AsyncIterator[Session]:
        # One session for each request, as in production, and never the session of the test.
        with Session(engine, expire_on_commit=False, close_resets_only=False) as session:
            yield session

    overrides = app.dependency_overrides
    # A copy, so a test can override more, and at the end that is gone too.
    app.dependency_overrides = overrides | {get_session: get_test_session}
    earlier_engine = factory_session.session_factory.kw["bind"]
    factory_session.remove()
    factory_session.configure(bind=engine)
    try:
        yield
    finally:
        factory_session.remove()
        factory_session.configure(bind=earlier_engine)
        app.dependency_overrides = overrides
