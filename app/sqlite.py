"""An SQLite database in a file, which several processes can share."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Dialect, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

LOCK_SECONDS = 4  # How long a request waits for another one's transaction.
MIGRATION_LOCK_SECONDS = 3600


def build_engine(url: str, pool_size: int) -> Engine:
    """Make an engine for requests. It connects when it is first used."""
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=pool_size, max_overflow=0, hide_parameters=True
    )
    event.listen(engine, "do_connect", open_existing_file)
    event.listen(engine, "connect", set_up_connection)
    event.listen(engine, "checkout", leave_moved_file)
    event.listen(engine, "handle_error", leave_broken_file)
    return engine


def build_migration_engine(url: str) -> Engine:
    """Make an engine that waits patiently, and doesn't enforce foreign keys.

    With foreign keys on, rebuilding the table `users` would delete all posts.
    """
    timeout = {"timeout": MIGRATION_LOCK_SECONDS}
    return create_engine(url, poolclass=NullPool, connect_args=timeout, hide_parameters=True)


def open_existing_file(
    _: Dialect, __: ConnectionPoolEntry, args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Don't let SQLite create a file that was deleted: only a migration makes a new one."""
    args[0] = f"file:{quote(args[0])}?mode=rw"
    kwargs["uri"] = True


def set_up_connection(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(LOCK_SECONDS * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    # What was acknowledged survives a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    # Overwriting what is deleted would take half a minute for an account with 2.5 GB of posts.
    connection.execute("PRAGMA secure_delete = FAST")
    with suppress(sqlite3.OperationalError):
        # Fails if another process is creating the file right now, and sets the mode itself.
        connection.execute("PRAGMA journal_mode = WAL")
    file = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    entry.info["file"] = (file, file.stat().st_ino)


def leave_moved_file(
    _: sqlite3.Connection, entry: ConnectionPoolEntry, __: PoolProxiedConnection
) -> None:
    """Connect again if the file was moved or deleted: what is written to it would be lost."""
    file, inode = entry.info["file"]
    if not file.exists() or file.stat().st_ino != inode:
        raise DisconnectionError("the database file was moved or deleted")


def leave_broken_file(context: ExceptionContext) -> None:
    """Treat a file that isn't a database like one that is gone."""
    error_code = getattr(context.original_exception, "sqlite_errorcode", None)
    if error_code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        context.is_disconnect = True
