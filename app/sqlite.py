"""An SQLite database in a file, which several processes can share."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

LOCK_MILLISECONDS = 4_000  # How long a request waits for a lock.
MIGRATION_LOCK_SECONDS = 3600


def build_engine(url: str, pool_size: int) -> Engine:
    """Make an engine for requests. It connects when it is first used."""
    engine = create_engine(url, pool_size=pool_size, max_overflow=0, hide_parameters=True)
    event.listen(engine, "do_connect", open_existing_file)
    event.listen(engine, "connect", set_up_connection)
    event.listen(engine, "checkout", reconnect_if_file_moved)
    event.listen(engine, "handle_error", reconnect_if_file_broken)
    return engine


def build_migration_engine(url: str) -> Engine:
    """Make an engine that waits up to an hour for a lock, and doesn't enforce foreign keys.

    With foreign keys on, rebuilding the table `users` would delete all posts.
    """
    timeout = {"timeout": MIGRATION_LOCK_SECONDS}
    return create_engine(url, poolclass=NullPool, connect_args=timeout)


def open_existing_file(_: object, __: object, args: list[str], kwargs: dict[str, object]) -> None:
    """Change the arguments of `sqlite3.connect`, so that it doesn't create a missing file.

    The migrations create the file. If it disappears later, writing to a new one would lose data.
    """
    args[0] = f"file:{quote(args[0])}?mode=rw"
    kwargs["uri"] = True


def set_up_connection(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    connection.execute(f"PRAGMA busy_timeout = {LOCK_MILLISECONDS}")
    connection.execute("PRAGMA foreign_keys = ON")
    # What was committed survives a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    # Don't overwrite all deleted data with zeros, as some builds of SQLite do by default: deleting
    # an account with 2.5 GB of posts would take half a minute.
    connection.execute("PRAGMA secure_delete = FAST")
    with suppress(sqlite3.OperationalError):
        # Another process may be setting the mode right now. Then this fails, and isn't needed.
        connection.execute("PRAGMA journal_mode = WAL")
    _, _, path = connection.execute("PRAGMA database_list").fetchone()
    entry.info["file"] = (Path(path), Path(path).stat().st_ino)


def reconnect_if_file_moved(_: object, entry: ConnectionPoolEntry, __: object) -> None:
    """Have the pool connect again if the file was moved or deleted, so that no write is lost."""
    file, inode = entry.info["file"]
    if not file.exists() or file.stat().st_ino != inode:
        raise DisconnectionError("the database file was moved or deleted")


def reconnect_if_file_broken(context: ExceptionContext) -> None:
    """Have the pool connect again if the file is damaged, or isn't a database."""
    error_code = getattr(context.original_exception, "sqlite_errorcode", None)
    if error_code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        context.is_disconnect = True
