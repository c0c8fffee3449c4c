"""Failed logins that several processes count together in Redis, and what happens without it."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from limits.storage import RedisStorage

from app import throttle
from app.models import User
from tests.factories import PASSWORD, UserFactory

pytest.importorskip("redis", reason="needs the extra redis")

REDIS = "redis://127.0.0.1:6379"
LOGIN = {"username": "user", "password": PASSWORD}
WRONG_LOGIN = {"username": "user", "password": "wrong password"}


@pytest.mark.skipif(not throttle.build_limiter(REDIS).storage.check(), reason="needs Redis")
def test_processes_count_failures_together_in_redis(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other runs of the tests may use this Redis at the same time.
    user = UserFactory.create(username=uuid4().hex)
    here, elsewhere = throttle.build_limiter(REDIS), throttle.build_limiter(REDIS)
    monkeypatch.setattr(throttle, "limiter", here)
    for _ in range(10):
        client.post("/auth/token", data=WRONG_LOGIN | {"username": user.username})
    monkeypatch.setattr(throttle, "limiter", elsewhere)

    response = client.post("/auth/token", data=LOGIN | {"username": user.username})

    here.clear(throttle.BY_NAME_AND_ADDRESS, "unknown", user.username)
    here.clear(throttle.BY_ADDRESS, "unknown")
    assert response.status_code == 429


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
    """A login asks it up to four times, and holds a hashing slot meanwhile."""
    storage = throttle.build_limiter(REDIS).storage

    assert isinstance(storage, RedisStorage)
    options = storage.storage.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.2, 0.2)
