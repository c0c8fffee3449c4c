"""A PostgreSQL server, possibly behind PgBouncer, or with standbys that can take over."""

import os
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.engine import ExceptionContext

# If the server goes silent, a request gives up on its statement, tries to cancel it, and tries to
# connect again. That takes 2 + 0.5 + 2 seconds, plus 2 for each further silent host of the URL.
STATEMENT_SECONDS = 2.0
CANCEL_SECONDS = 0.5
CONNECT_SECONDS = 2  # psycopg allows no less.

# What the app relies on, where the server, the database or the role can have other defaults. As
# variables, unlike in `connect_args`, a URL can still override them.
os.environ["PGCONNECT_TIMEOUT"] = str(CONNECT_SECONDS)
os.environ["PGCLIENTENCODING"] = "UTF8"
os.environ["PGDATESTYLE"] = "ISO"  # psycopg reads times in no other style.


def create_postgres_engine(url: str, **options: Any) -> Engine:
    return create_engine(
        url,
        # After waiting for a lock, a transaction has to see what others have committed.
        isolation_level="READ COMMITTED",
        # Behind PgBouncer, clients share connections, and would mix up prepared statements.
        connect_args={"prepare_threshold": None},
        hide_parameters=True,
        **options,
    )


def build_migration_engine(url: str) -> Engine:
    """Make an engine without a time limit for statements."""
    return create_postgres_engine(url, poolclass=NullPool)


def build_engine(url: str, pool_size: int) -> Engine:
    """Make an engine for requests. It connects when it is first used."""
    engine = create_postgres_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True)
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "handle_error", reconnect_if_read_only)
    return engine


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up on a statement after STATEMENT_SECONDS, no matter why it is slow.

    It may be a lock, a frozen server or a network that drops packets. PostgreSQL's own
    `statement_timeout` only helps with a lock, and the timeouts of TCP only with the network.
    """

    def wait(self, gen: PQGen[RV], *_: object, **__: object) -> RV:
        # psycopg calls this for everything that it sends to the server.
        try:
            return super().wait(gen, timeout=STATEMENT_SECONDS)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # Cancel it, or it would go on in the server, where others may wait for it.
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_SECONDS)
                self.close()
            raise


def connect(_: object, __: object, args: list[str], kwargs: dict[str, Any]) -> ImpatientConnection:
    """Connect in place of SQLAlchemy, which would make a plain `psycopg.Connection`."""
    return ImpatientConnection.connect(*args, **kwargs)


def reconnect_if_read_only(context: ExceptionContext) -> None:
    # The server has become a standby, so the pool has to look for the one that can write.
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True
