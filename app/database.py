"""The engine, the session of a request, and the one lock that rare races need.

A request is admitted to a session only while a pooled connection is free for it, and waits for that on
the event loop. A worker thread therefore never waits for a connection, which is what makes an app stall:
all threads wait for connections whose holders wait for a thread.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar

from anyio import Semaphore, fail_after
from anyio.lowlevel import RunVar
from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, QueuePool, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as AdmissionTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, SQLModel, create_engine

from app.config import settings

T = TypeVar("T")

POOL_SIZE = 5
ADMISSION_SECONDS = 30
# Together under the 5 seconds after which an admitted request has its answer, with a database or without.
CONNECT_SECONDS = 2
LOCK_SECONDS = 4
# Any number, as long as nothing else in the same PostgreSQL database locks it.
ADVISORY_LOCK = 7_305_806_210


def build_engine(url: str) -> Engine:
    """Make an engine whose pool holds POOL_SIZE connections; the first use of it connects."""
    options: dict[str, object] = {}
    if make_url(url).get_backend_name() == "postgresql":
        options = {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": CONNECT_SECONDS * 1000,
            "options": f"-c statement_timeout={LOCK_SECONDS}s",
        }
    return create_engine(
        url,
        connect_args=options,
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_pre_ping=bool(options),
        hide_parameters=True,
    )


@event.listens_for(Engine, "connect")
def set_up_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Make SQLite wait for locks, keep what it acknowledged through a crash, and enforce foreign keys."""
    if isinstance(connection, sqlite3.Connection):
        for pragma in (
            f"busy_timeout = {LOCK_SECONDS * 1000}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")


engine = build_engine(settings.database_url)


async def get_engine() -> Engine:
    return engine


EngineDep = Annotated[Engine, Depends(get_engine)]


class Queue:
    """Let `size` requests of a process pass at a time; the others wait on the event loop, in turn."""

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        # A semaphore belongs to one event loop: a server has one, the tests have many.
        self.semaphore: RunVar[Semaphore] = RunVar(name)

    async def enter(self) -> Semaphore:
        """Return what to release at the end. Raises AdmissionTimeout after ADMISSION_SECONDS."""
        semaphore = self.semaphore.get(None)
        if semaphore is None:
            semaphore = Semaphore(self.size, fast_acquire=True)
            self.semaphore.set(semaphore)
        try:
            with fail_after(ADMISSION_SECONDS):
                await semaphore.acquire()
        except TimeoutError:
            raise AdmissionTimeout(f"no turn within {ADMISSION_SECONDS} seconds") from None
        return semaphore


places = Queue("places at the database", POOL_SIZE)


async def get_session(engine: EngineDep) -> AsyncIterator[Session]:
    """Admit the request to a session, and close it before the answer is sent."""
    place = await places.enter()
    try:
        session = Session(engine, expire_on_commit=False)
        try:
            yield session
        finally:
            if session.in_transaction():
                await run_in_threadpool(session.close)
    finally:
        place.release()


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


async def read(session: Session, query: Callable[[], T]) -> T:
    """Run a query and end its transaction in one visit to a worker thread.

    Nothing is then held while the request waits for a thread again, nor left for another visit to close.
    """

    def read_and_end() -> T:
        result = query()
        session.commit()
        return result

    return await run_in_threadpool(read_and_end)


def lock_database(session: Session) -> None:
    """Let one transaction at a time go on from here, among all processes that use this database."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")


def create_tables(engine: Engine) -> None:
    """Create what is missing; processes that start at once take turns."""
    with Session(engine) as session:
        lock_database(session)
        SQLModel.metadata.create_all(session.connection())
        session.commit()
