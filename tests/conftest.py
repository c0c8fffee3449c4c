"""The database, the clients and the users that tests share."""

import os

# The app reads its settings when it is imported, so set them before that. There is no database of
# this name: whatever is configured on your machine, no test can reach it.
if os.environ.get("TEST_DATABASE_URL"):
    nowhere = "postgresql://nowhere.invalid/nothing"
else:
    nowhere = "sqlite:////nowhere/nothing.db"
os.environ |= {
    "FASTAPI_ENV": "production",
    "SECRET_KEY": "a key that is only good for tests",
    "DATABASE_URL": nowhere,
    "ACCESS_TOKEN_EXPIRE_MINUTES": "30",
    "FIRST_USER_IS_ADMIN": "true",
    "RATE_LIMIT_STORAGE_URI": "memory://",
    "CORS_ORIGINS": "https://allowed.example.com, https://other.example.com",
}

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlmodel import Session, SQLModel

from app import security, throttle
from app.main import app
from app.models import User
from tests.client import DocumentedClient, client_of
from tests.databases import (
    TEST_DATABASE_URL,
    delete_all_rows,
    new_database,
    new_engine,
    new_memory_engine,
    used_by_app_and_factories,
)
from tests.factories import UserFactory


@pytest.fixture(scope="session")
def real_hasher() -> PasswordHasher:
    """Keep the hasher of production, which the next fixture replaces."""
    return security.hasher


@pytest.fixture(scope="session", autouse=True)
def hash_cheaply(real_hasher: PasswordHasher) -> None:
    """Hash cheaply in all tests, as a real hash takes longer than a test."""
    security.hasher = PasswordHasher.from_parameters(CHEAPEST)
    security.UNKNOWN_USER_HASH = security.hasher.hash("\0")


@pytest.fixture(autouse=True)
def forget_failed_logins() -> None:
    throttle.limiter.storage.reset()


@pytest.fixture(scope="session")
def postgres_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Make one PostgreSQL database for the whole run, as that takes longer than a test."""
    with new_database(tmp_path_factory.mktemp("database")) as url, new_engine(url) as engine:
        SQLModel.metadata.create_all(engine)
        yield engine


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Make an empty database, which the app and the factories use during the test."""
    if TEST_DATABASE_URL:
        engine = request.getfixturevalue("postgres_engine")
        with used_by_app_and_factories(engine):
            yield engine
        delete_all_rows(engine)
    else:
        engine = new_memory_engine()
        SQLModel.metadata.create_all(engine)
        with used_by_app_and_factories(engine):
            yield engine
        engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Look at the rows as another client of the database would."""
    with Session(engine) as session:
        yield session


@pytest.fixture
def client(engine: Engine) -> TestClient:
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
