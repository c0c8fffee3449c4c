"""The engine, the session of a request, the locks and the migrations."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection, inspect
from sqlmodel import Session

from app.config import settings

if settings.database_url.startswith("sqlite"):
    from app.sqlite import build_engine, build_migration_engine
else:
    from app.postgres import build_engine, build_migration_engine

POOL_SIZE = 5
MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_305_806_210  # Any number that nothing else in the same database uses.

engine = build_engine(settings.database_url, POOL_SIZE)


async def refuse_if_client_is_gone(request: Request) -> None:
    """Don't serve a client that gave up while it waited: that would only delay others."""
    if await request.is_disconnected():
        raise HTTPException(499, "The client closed the connection")  # For the access log.


async def get_session(request: Request) -> AsyncIterator[Session]:
    # Looking for a disconnect takes time, so only look if the request has waited for over a second.
    # The middleware HttpRules sets `received_at`.
    if time.monotonic() - request.scope["received_at"] > 1:
        await refuse_if_client_is_gone(request)
    # Without `expire_on_commit`, an endpoint can return what it has just committed.
    session = Session(engine, expire_on_commit=False)
    try:
        yield session
    finally:
        # Closing rolls back what wasn't committed. On PostgreSQL, that sends a request to the
        # server, so it runs in a thread. On SQLite, it takes no time.
        if session.in_transaction() and engine.dialect.name == "postgresql":
            await run_in_threadpool(session.close)
        else:
            session.close()


# With `max_concurrency`, a request only starts if the pool has a connection for it. Without it,
# requests that wait for a connection could occupy all threads. Those that have a connection would
# then find no thread to finish in, and the app would hang forever.
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
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            yield connection


def upgrade_database() -> None:
    """Bring the schema up to date. If that fails, it raises, and leaves the database unchanged."""
    if is_up_to_date():
        return
    # Imported only when it is needed, as importing Alembic makes a start a fifth slower.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "app:migrations")
    command.upgrade(config, "head")


def is_up_to_date() -> bool:
    """Compare the revision of the database with those of the scripts in `migrations/versions`.

    The scripts are only read as text, because importing them would import Alembic.
    """
    with build_migration_engine(settings.database_url).connect() as connection:
        current = set()
        if inspect(connection).has_table("alembic_version"):
            rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            current = set(rows.scalars())

    scripts = "\n".join(file.read_text() for file in MIGRATIONS.glob("versions/*.py"))
    # Each script has lines such as `revision = "0002"` and `down_revision = "0001"`. The second one
    # names the revision before it, or several if the script joins branches.
    revisions = set(re.findall(r"^revision.*?= ['\"](\w+)", scripts, re.MULTILINE))
    down_revisions = re.findall(r"^down_revision.*?= (.*)", scripts, re.MULTILINE)
    predecessors = set(re.findall(r"\w+", " ".join(down_revisions)))
    if unknown := current - revisions:
        raise RuntimeError(f"the database has revision {unknown.pop()}, which is unknown here")
    return current == revisions - predecessors
