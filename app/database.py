"""The engine, the session of a request, the lock on users, and the migrations."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from alembic import command
from alembic.config import Config
from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection
from sqlmodel import Session

from app.config import settings

if settings.database_url.startswith("sqlite"):
    from app.sqlite import build_engine, build_migration_engine
else:
    from app.postgres import build_engine, build_migration_engine

POOL_SIZE = 5
MIGRATION_LOCK = 7_305_806_210  # Any number that nothing else in the same database uses.

engine = build_engine(settings.database_url, POOL_SIZE)


async def get_session() -> AsyncIterator[Session]:
    # Opening a session waits for nothing, so this is `async def`. As `def`, it would take a thread
    # twice for each request, and the app would serve a quarter less.
    # Without `expire_on_commit`, an endpoint can return what it has just committed. Without
    # `close_resets_only`, a closed session raises an error: by default, it would take another
    # connection, and never give that back.
    session = Session(engine, expire_on_commit=False, close_resets_only=False)
    try:
        yield session
    finally:
        # Closing rolls back what wasn't committed. On PostgreSQL, that sends a request to the
        # server, so it runs in a thread.
        if session.in_transaction() and engine.dialect.name == "postgresql":
            await run_in_threadpool(session.close)
        else:
            session.close()


# With `max_concurrency`, a request waits for a free connection before it takes a thread. Otherwise,
# waiting requests could fill all threads, and those with a connection could never finish.
# `scope="function"` gives the connection back before the response is sent.
SessionDep = Annotated[Session, Depends(get_session, scope="function", max_concurrency=POOL_SIZE)]


def lock_users(session: Session) -> None:
    """Stop other transactions from changing users until this one ends. Call it before any write."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        # Python's driver only begins a transaction at the first write, so begin one before that.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")


def check_writable(session: Session) -> None:
    """Raise SQLAlchemyError if the database can't be written. It changes nothing."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        # SQLite only notices a read-only directory when it writes. The session rolls this back.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("PRAGMA user_version = 1")
    else:
        # There is no such table, so this changes nothing, but a read-only server refuses it.
        connection.exec_driver_sql("DROP TABLE IF EXISTS pg_temp.nothing")


@contextmanager
def migration_transaction() -> Iterator[Connection]:
    """Begin a transaction for migrations, once no other process has one."""
    with build_migration_engine(settings.database_url).begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise RuntimeError("a migration left rows that refer to rows that don't exist")
        else:
            # A migration may take longer than the server allows other statements to take.
            connection.exec_driver_sql(
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
            )
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
            if encoding not in ("UTF8", "SQL_ASCII"):  # The second one takes any bytes.
                raise ValueError(f"the database has the encoding {encoding}, and needs UTF8")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            yield connection


def upgrade_database() -> None:
    """Bring the schema up to date. If that fails, it raises, and leaves the database unchanged."""
    config = Config()
    config.set_main_option("script_location", "app:migrations")
    command.upgrade(config, "head")
