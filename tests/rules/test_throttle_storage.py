"""Failed logins that several processes count together in Redis, and what happens without it."""

from random import randbytes

import pytest
from fastapi.testclient import TestClient
from limits.storage import RedisStorage

from app import throttle
from app.main import app
from app.models import User
from tests.client import DocumentedClient
from tests.factories import PASSWORD

pytest.importorskip("redis", reason="needs the extra redis")

REDIS = "redis://127.0.0.1:6379"
LOGIN = {"username": "user", "password": PASSWORD}
WRONG_LOGIN = {"username": "user", "password": "wrong password"}


@pytest.mark.skipif(not throttle.build_limiter(REDIS).storage.check(), reason="needs Redis")
def test_processes_count_failures_together_in_redis(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other runs of the tests may use this Redis at the same time, so take an address of our own.
    host = f"2001:db8:{randbytes(2).hex()}:{randbytes(2).hex()}::1"
    client = DocumentedClient(app, client=(host, 50000))
    monkeypatch.setattr(throttle, "limiter", throttle.build_limiter(REDIS))
    for _ in range(10):
        client.post("/auth/token", data=WRONG_LOGIN)
    monkeypatch.setattr(throttle, "limiter", throttle.build_limiter(REDIS))

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_lost_redis_is_logged_and_lets_logins_go_on(
    client: TestClient,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(throttle, "limiter", throttle.build_limiter("redis://127.0.0.1:1"))

    wrong = client.post("/auth/token", data=WRONG_LOGIN)
    right = client.post("/auth/token", data=LOGIN)

    assert [wrong.status_code, right.status_code] == [401, 200]
    assert "Failed logins are not limited" in caplog.text


def test_silent_redis_is_given_up_soon() -> None:
    """A login asks it while it holds a hashing slot."""
    storage = throttle.build_limiter(REDIS).storage

    assert isinstance(storage, RedisStorage)
    options = storage.storage.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.2, 0.2)
