"""Failed logins that several processes count together in Redis, and what becomes of a login when it is lost."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from limits.storage import RedisStorage, storage_from_string

from app import dependencies
from app.security import FailureThrottle
from tests.factories import PASSWORD

pytest.importorskip("redis", reason="needs the extra redis")

REDIS = "redis://127.0.0.1:6379"


@pytest.mark.skipif(not storage_from_string(REDIS).check(), reason="needs Redis")
def test_failures_are_counted_together_in_redis() -> None:
    here, elsewhere = (FailureThrottle(REDIS, failures=2) for _ in range(2))
    who = uuid4().hex

    here.count_failure(who)
    elsewhere.count_failure(who)

    assert here.seconds_to_wait(who) in range(1, 61)
    assert elsewhere.seconds_to_wait(who) in range(1, 61)
    assert here.seconds_to_wait("somebody else") == 0


@pytest.fixture
def lost_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "login_throttle", FailureThrottle("redis://127.0.0.1:1"))


@pytest.mark.usefixtures("lost_redis", "user")
@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 200), ("wrong", 401)])
def test_login_goes_on_without_redis(
    client: TestClient, caplog: pytest.LogCaptureFixture, password: str, status: int
) -> None:
    response = client.post("/auth/token", data={"username": "user", "password": password})

    assert response.status_code == status
    assert "Failed logins are not throttled" in caplog.text


def test_silent_redis_is_given_up_after_a_second() -> None:
    storage = FailureThrottle(REDIS).limiter.storage

    assert isinstance(storage, RedisStorage)
    options = storage.storage.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (1, 1)
