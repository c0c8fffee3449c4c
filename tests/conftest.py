"""The database, the clients and the actors that every test shares.

An app is configured when it is imported, so what the machine or an `.env` says is overruled here, before the
first import from it: no test can reach the configured database.
"""

import os
import secrets

os.environ |= {
    "FASTAPI_ENV": "production",
    "SECRET_KEY": secrets.token_urlsafe(32),
    "DATABASE_URL": "sqlite:////nowhere/no-test-opens-this.db",
    "ACCESS_TOKEN_EXPIRE_MINUTES": "30",
    "FIRST_USER_IS_ADMIN": "true",
    "RATE_LIMIT_STORAGE_URI": "memory://",
    "CORS_ORIGINS": "https://allowed.example.com",
}

import time
from collections.abc import Callable, Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from fastapi.testclient import TestClient
from sqlalchemy import Engine, StaticPool
from sqlmodel import Session, create_engine, delete

from app import security
from app.database import build_engine, create_tables
from app.main import app
from app.models import User
from tests.databases import TEST_DATABASE_URL, new_database, used_by_app_and_factories
from tests.factories import UserFactory

pytest_plugins = ["tests.recorder"]


@pytest.fixture(scope="session", autouse=True)
def real_hasher() -> Iterator[PasswordHasher]:
    """Hash with the cheapest parameters for the whole run; the real hasher is for the test that pins it."""
    real, security.hasher = security.hasher, PasswordHasher.from_parameters(CHEAPEST)
    yield real
    security.hasher = real


@pytest.fixture(scope="session", autouse=True)
def share_event_loop() -> Iterator[None]:
    """Serve all requests of the run on one event loop, as a server does; a loop for each takes most of a test."""
    with start_blocking_portal(backend_options={"use_uvloop": os.name == "posix"}) as TestClient.portal:
        yield
    TestClient.portal = None


@pytest.fixture(scope="session")
def postgres_engine() -> Iterator[Engine]:
    """Make a database for this run, or for this worker of it."""
    with new_database() as url:
        engine = build_engine(url)
        create_tables(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Give the test, and the app, an empty database of their own."""
    if TEST_DATABASE_URL:
        engine: Engine = request.getfixturevalue("postgres_engine")
    else:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        create_tables(engine)
    with used_by_app_and_factories(engine):
        yield engine
    with Session(engine) as session:
        session.exec(delete(User))
        session.commit()
    if not TEST_DATABASE_URL:
        engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Look at rows as any other client of the database would."""
    with Session(engine) as session:
        yield session


@pytest.fixture(autouse=True)
def forget_failed_logins() -> None:
    security.login_throttle.limiter.storage.reset()


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the time of `limits` pass by so many seconds, instead of waiting."""

    def move(seconds: float) -> None:
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + seconds)

    return move


def client_of(user: User) -> TestClient:
    token = security.create_token(user.id, user.token_version)
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """Send requests as nobody."""
    return TestClient(app)


@pytest.fixture
def user(engine: Engine) -> User:
    user: User = UserFactory.create(username="user")
    return user


@pytest.fixture
def user_client(user: User) -> TestClient:
    return client_of(user)


@pytest.fixture
def admin(engine: Engine) -> User:
    admin: User = UserFactory.create(username="admin", admin=True)
    return admin


@pytest.fixture
def admin_client(admin: User) -> TestClient:
    return client_of(admin)
