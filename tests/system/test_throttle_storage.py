"""Failed logins that several processes count together in Redis, and what happens without it."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from limits.storage import RedisStorage

from app import security
from app.models import User
from app.security import FailureCounter, connect_storage
from tests.factories import PASSWORD

pytest.importorskip("redis", reason="needs the extra redis")

REDIS = "redis://127.0.0.1:6379"


@pytest.mark.skipif(not connect_storage(REDIS).check(), reason="needs Redis")
def test_processes_count_failures_together_in_redis() -> None:
    here, elsewhere = (FailureCounter(connect_storage(REDIS), "test", limit=2) for _ in range(2))
    key = uuid4().hex

    here.count(key)
    elsewhere.count(key)

    assert here.seconds_to_wait(key) in range(1, 61)
    assert elsewhere.seconds_to_wait(key) in range(1, 61)
    assert here.seconds_to_wait("another key") == 0


def test_lost_redis_is_logged_and_lets_logins_go_on(
    client: TestClient,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost = FailureCounter(connect_storage("redis://127.0.0.1:1"), "test", limit=10)
    monkeypatch.setattr(security, "failures_by_name", lost)

    wrong = client.post("/auth/token", data={"username": "user", "password": "wrong password"})
    right = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    assert [wrong.status_code, right.status_code] == [401, 200]
    assert "Failed logins are not limited" in caplog.text


def test_silent_redis_is_given_up_after_a_second() -> None:
    storage = connect_storage(REDIS)

    assert isinstance(storage, RedisStorage)
    options = storage.storage.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (1, 1)
