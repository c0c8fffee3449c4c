"""Databases that several connections, threads and processes can share, and the app's use of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, NullPool, create_engine, make_url

from app.database import get_engine
from app.main import app
from tests.factories import factory_session

TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL")


@contextmanager
def new_database(directory: Path = Path()) -> Iterator[str]:
    """Make an empty database of the kind that this run tests, and drop it at the end."""
    if not TEST_DATABASE_URL:
        yield f"sqlite:///{directory}/test.db"
        return
    url = make_url(TEST_DATABASE_URL).set(drivername="postgresql+psycopg")
    name = f"test_{uuid4().hex}"
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def used_by_app_and_factories(engine: Engine) -> Iterator[Engine]:
    """Replace the configured database. This is the one place that does."""

    async def get_test_engine() -> Engine:
        return engine

    app.dependency_overrides[get_engine] = get_test_engine
    factory_session.configure(bind=engine)
    yield engine
    factory_session.remove()
    app.dependency_overrides.clear()
