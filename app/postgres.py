"""A PostgreSQL server, possibly behind PgBouncer, or with standbys that can take over."""

from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Dialect, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

# A request whose connection turns out to be dead waits for all three: less than 5 seconds if the
# URL has one host.
STATEMENT_SECONDS = 2.0
CANCEL_SECONDS = 0.5
CONNECT_SECONDS = 2  # For each host of the URL; libpq's minimum.

CONNECT_ARGS = {
    "connect_timeout": CONNECT_SECONDS,
    # PgBouncer lends a server connection to many clients, whose prepared statements would mix.
    "prepare_threshold": None,
}

T = TypeVar("T")


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up on a statement after STATEMENT_SECONDS, whatever holds it up.

    It may be a lock, a frozen server or a network that drops packets. PostgreSQL's own
    `statement_timeout` only notices the first, and the timeouts of TCP only the last.
    """

    def wait(self, gen: Generator[Any, Any, T], *_: Any, **__: Any) -> T:
        try:
            return super().wait(gen, timeout=STATEMENT_SECONDS)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # Cancel it, or it would go on in the server, where others may wait for it.
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_SECONDS)
                self.close()
            raise


def build_engine(url: str, pool_size: int) -> Engine:
    """Make an engine for requests. It connects when it is first used."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args=CONNECT_ARGS,
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "handle_error", leave_read_only_server)
    return engine


def build_migration_engine(url: str) -> Engine:
    """Make an engine that waits as long as a statement takes."""
    return create_engine(url, poolclass=NullPool, connect_args=CONNECT_ARGS, hide_parameters=True)


def connect(
    _: Dialect, __: ConnectionPoolEntry, args: list[Any], kwargs: dict[str, Any]
) -> psycopg.Connection[Any]:
    return ImpatientConnection.connect(*args, **kwargs)


def leave_read_only_server(context: ExceptionContext) -> None:
    """Connect again if the server has become a standby and refuses to write."""
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True
