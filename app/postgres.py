"""A PostgreSQL server, possibly behind PgBouncer, or with standbys that can take over."""

import os
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext

# If the server goes silent, a request gives up on its statement, tries to cancel it, and tries to
# connect again. That takes 2 + 0.5 + 2 seconds, plus 2 for each further silent host of the URL.
STATEMENT_SECONDS = 2.0
CANCEL_SECONDS = 0.5
CONNECT_SECONDS = 2  # libpq allows no less.

# A server, a database or a role can have other defaults than PostgreSQL, so each connection asks
# for what the app relies on. psycopg only reads times in the ISO style, for which there is no
# parameter, but libpq also sends this variable to the server.
os.environ["PGDATESTYLE"] = "ISO"
PARAMETERS = {"client_encoding": "utf8", "connect_timeout": str(CONNECT_SECONDS)}


def create_postgres_engine(url: str, **options: Any) -> Engine:
    parsed_url = make_url(url)
    return create_engine(
        parsed_url.set(query={**PARAMETERS, **parsed_url.query}),  # What the URL says wins.
        # After waiting for a lock, a transaction has to see what others have committed.
        isolation_level="READ COMMITTED",
        # No prepared statements: behind PgBouncer, many clients share one server connection, and
        # would mix up theirs.
        connect_args={"prepare_threshold": None},
        hide_parameters=True,
        **options,
    )


def build_engine(url: str, pool_size: int) -> Engine:
    """Make an engine for requests. It connects when it is first used."""
    engine = create_postgres_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True)
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "handle_error", reconnect_if_read_only)
    return engine


def build_migration_engine(url: str) -> Engine:
    """Make an engine without a time limit for statements."""
    return create_postgres_engine(url, poolclass=NullPool)


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up on a statement after STATEMENT_SECONDS, no matter why it is slow.

    It may be a lock, a frozen server or a network that drops packets. PostgreSQL's own
    `statement_timeout` only helps with a lock, and the timeouts of TCP only with the network.
    psycopg calls `wait` for everything that it sends to the server.
    """

    def wait(self, gen: PQGen[RV], *_: object, **__: object) -> RV:
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
    """Make an ImpatientConnection. SQLAlchemy itself would make a plain `psycopg.Connection`."""
    return ImpatientConnection.connect(*args, **kwargs)


def reconnect_if_read_only(context: ExceptionContext) -> None:
    """Have the pool connect again if the server has become a standby and refuses to write."""
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True
