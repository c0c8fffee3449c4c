"""The engine, the session of a request, and the one lock that rare races need.

A request is admitted to a session only while the pool has a connection for it, and waits for that on the event
loop. No worker thread ever waits for a connection; where one does, an app can stall for good, with all threads
waiting for connections whose holders wait for a thread.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, TypeVar

from anyio import Semaphore, fail_after
from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, QueuePool, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlmodel import Session, SQLModel, create_engine

from app.config import settings

T = TypeVar("T")

POOL_SIZE = 5
ADMISSION_SECONDS = 30
# An admitted request has its answer within 5 seconds, database or not. SQLite waits for a lock once; to PostgreSQL a
# ping that stays without an answer (STATEMENT_SECONDS and a half) and a new connection may follow each other.
LOCK_SECONDS = 4
CONNECT_SECONDS = 2
STATEMENT_SECONDS = 2
ADVISORY_LOCK = 7_305_806_210  # Any number that nothing else in the same PostgreSQL database uses.


def build_engine(url: str) -> Engine:
    """Make an engine with a pool of POOL_SIZE; it connects when it is first used."""
    postgres = make_url(url).get_backend_name() == "postgresql"
    timeouts = {"connect_timeout": CONNECT_SECONDS, "options": f"-c statement_timeout={STATEMENT_SECONDS}s"}
    pool = {"poolclass": QueuePool, "pool_size": POOL_SIZE, "max_overflow": 0, "pool_pre_ping": postgres}
    engine = create_engine(url, connect_args=timeouts if postgres else {}, hide_parameters=True, **pool)
    if postgres:
        event.listen(engine, "connect", give_up_silent_postgres)
    return engine


def give_up_silent_postgres(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Close a connection whose server stays silent: psycopg would wait for ever, even for the answer to a ping."""
    wait = connection.wait

    def wait_in_time(*args: object) -> object:
        try:
            return wait(*args, timeout=STATEMENT_SECONDS + 0.5)
        except BaseException:
            if connection.info.transaction_status.name == "ACTIVE":
                connection.close()
            raise

    connection.wait = wait_in_time


@event.listens_for(Engine, "connect")
def set_up_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Wait for locks, keep through a crash what was acknowledged, and enforce foreign keys."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        with suppress(sqlite3.OperationalError):  # Another connection to a new file is doing the same right now.
            connection.execute("PRAGMA journal_mode = WAL")
        if file := connection.execute("PRAGMA database_list").fetchone()[2]:
            entry.info["file"] = (Path(file), Path(file).stat().st_ino)


@event.listens_for(Engine, "checkout")
def leave_moved_sqlite_file(_: DBAPIConnection, entry: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
    """Connect anew where the file is no longer at its path, for what is written to it from then on would be lost."""
    file, inode = entry.info.get("file", (None, None))
    with suppress(FileNotFoundError):
        if not file or file.stat().st_ino == inode:
            return
    raise DisconnectionError("the database file was moved or deleted")


engine = build_engine(settings.database_url)


async def get_engine() -> Engine:
    return engine


def queue(size: int) -> Callable[[], AsyncIterator[None]]:
    """Make a dependency that lets `size` requests of a process pass at a time; the others wait on the event loop."""
    semaphore = Semaphore(size, fast_acquire=True)

    async def take_turn() -> AsyncIterator[None]:
        with fail_after(ADMISSION_SECONDS):
            await semaphore.acquire()
        try:
            yield
        finally:
            semaphore.release()

    return take_turn


place_at_database = asynccontextmanager(queue(POOL_SIZE))


async def get_session(engine: Annotated[Engine, Depends(get_engine)]) -> AsyncIterator[Session]:
    """Admit the request to a session, and close it before the answer is sent."""
    async with place_at_database():
        session = Session(engine, expire_on_commit=False)
        try:
            yield session
        finally:
            if session.in_transaction():
                await run_in_threadpool(session.close)


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


async def read(session: Session, query: Callable[[], T]) -> T:
    """Run a query and end its transaction in one visit to a worker thread; a visit costs a tenth of a request."""

    def read_and_end() -> T:
        result = query()
        session.commit()
        return result

    return await run_in_threadpool(read_and_end)


def lock_database(session: Session) -> None:
    """Let one transaction at a time go on from here, among all processes that use this database."""
    connection = session.connection()
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")


def create_tables(engine: Engine) -> None:
    """Create what is missing; processes that start at once take turns."""
    with Session(engine) as session:
        lock_database(session)
        SQLModel.metadata.create_all(session.connection())
        session.commit()
