"""An SQLite database in a file, which several processes can share."""

import sqlite3
from contextlib import suppress

from sqlalchemy import Engine, NullPool, create_engine, event

LOCK_SECONDS = 4  # How long a request waits for a lock.
MIGRATION_LOCK_SECONDS = 3600


def build_engine(url: str, pool_size: int) -> Engine:
    """Make an engine for requests. It connects when it is first used."""
    timeout = {"timeout": LOCK_SECONDS}
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=0, connect_args=timeout, hide_parameters=True
    )
    event.listen(engine, "connect", set_up_connection)
    return engine


def build_migration_engine(url: str) -> Engine:
    """Make an engine that waits up to an hour for a lock, and doesn't enforce foreign keys."""
    # With foreign keys on, rebuilding the table `users` would delete all posts.
    timeout = {"timeout": MIGRATION_LOCK_SECONDS}
    return create_engine(url, poolclass=NullPool, connect_args=timeout)


def set_up_connection(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # Make commits survive a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    # Some builds of SQLite overwrite all deleted data with zeros. With 2.5 GB, that takes 30 s.
    connection.execute("PRAGMA secure_delete = FAST")
    with suppress(sqlite3.OperationalError):
        # Another process may be setting the mode right now. Then this fails, and isn't needed.
        connection.execute("PRAGMA journal_mode = WAL")
