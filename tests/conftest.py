"""The database, the clients and the users that tests share.

The app reads its settings when it is imported, so the environment is set here before that: no
test can reach the database that is configured on this machine.
"""

import os
import secrets

# The same kind of database as the tests use, but one that doesn't exist.
if "TEST_DATABASE_URL" in os.environ:
    unreachable_url = "postgresql://nowhere.invalid/nothing"
else:
    unreachable_url = "sqlite:////nowhere/nothing.db"

os.environ |= {
    "FASTAPI_ENV": "production",
    # Long enough for HS512, which the app must refuse.
    "SECRET_KEY": secrets.token_urlsafe(64),
    "DATABASE_URL": unreachable_url,
    "ACCESS_TOKEN_EXPIRE_MINUTES": "30",
    "FIRST_USER_IS_ADMIN": "true",
    "RATE_LIMIT_STORAGE_URI": "memory://",
    "CORS_ORIGINS": "https://allowed.example.com, https://other.example.com",
    # Five hours behind UTC, so that a local time that is taken for UTC is wrong.
    "TZ": "EST5",
}

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from fastapi.testclient import TestClient
from sqlalchemy import Engine, StaticPool, event
from sqlmodel import Session, SQLModel, create_engine, delete

from app import security, throttle
from app.main import app
from app.models import User
from tests.client import DocumentedClient, client_of
from tests.databases import TEST_DATABASE_URL, new_database, new_engine, used_by_app_and_factories
from tests.factories import UserFactory

if sys.platform != "win32":
    time.tzset()  # Python read TZ when it started, before it was set above.


@pytest.fixture(scope="session")
def real_hasher() -> PasswordHasher:
    """Keep the hasher of production, which the next fixture replaces."""
    return security.hasher


@pytest.fixture(scope="session", autouse=True)
def hash_cheaply(real_hasher: PasswordHasher) -> Iterator[None]:
    """Hash cheaply in all tests, as a real hash takes longer than a test."""
    security.hasher = PasswordHasher.from_parameters(CHEAPEST)
    yield
    security.hasher = real_hasher


@pytest.fixture(scope="session", autouse=True)
def shared_event_loop() -> Iterator[None]:
    """Run the app on one event loop for the whole run.

    TestClient would start a new thread with a new event loop for each request, which takes longer
    than the request.
    """
    with start_blocking_portal() as portal:
        TestClient.portal = portal
        yield
        TestClient.portal = None


@pytest.fixture(scope="session")
def postgres_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Make one PostgreSQL database for the whole run, as that takes longer than a test."""
    with new_database(tmp_path_factory.mktemp("database")) as url, new_engine(url) as engine:
        SQLModel.metadata.create_all(engine)
        yield engine


@pytest.fixture(scope="session")
def shared_sqlite_engine() -> Engine:
    """Make one engine for the whole run, as it remembers the SQL of each query.

    It has one connection, which all sessions share: a database in memory lives in its connection.
    """
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def set_up_connection(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        # Without an ORDER BY, the last rows come first, so that a forgotten one is noticed.
        connection.execute("PRAGMA reverse_unordered_selects = ON")

    return engine


@pytest.fixture
def sqlite_engine(shared_sqlite_engine: Engine) -> Iterator[Engine]:
    """Make a database in memory, which is gone when its connection is closed."""
    SQLModel.metadata.create_all(shared_sqlite_engine, checkfirst=False)
    yield shared_sqlite_engine
    shared_sqlite_engine.dispose()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Make an empty database, which the app and the factories use during the test."""
    engine: Engine = request.getfixturevalue(
        "postgres_engine" if TEST_DATABASE_URL else "sqlite_engine"
    )
    with used_by_app_and_factories(engine):
        yield engine
    if TEST_DATABASE_URL:
        with Session(engine) as session:
            # The posts go with their users. A table that doesn't needs its own line here.
            session.exec(delete(User))
            session.commit()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Look at the rows as another client of the database would."""
    with Session(engine) as session:
        yield session


@pytest.fixture(autouse=True)
def forget_failed_logins() -> None:
    throttle.limiter.storage.reset()


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Stop the clock. `move_clock(60)` sets it to a minute after that, whenever it is called."""
    stopped_at = round(time.time())
    monkeypatch.setattr(time, "time", lambda: stopped_at)

    def move(seconds: int) -> None:
        monkeypatch.setattr(time, "time", lambda: stopped_at + seconds)

    return move


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """Send requests without a token."""
    return DocumentedClient(app)


@pytest.fixture
def user(engine: Engine) -> User:
    user: User = UserFactory.create(username="user")
    return user


@pytest.fixture
def user_client(user: User) -> TestClient:
    """Send requests with the token of `user`."""
    return client_of(user)


@pytest.fixture
def admin(engine: Engine) -> User:
    admin: User = UserFactory.create(username="admin", admin=True)
    return admin


@pytest.fixture
def admin_client(admin: User) -> TestClient:
    """Send requests with the token of `admin`."""
    return client_of(admin)
