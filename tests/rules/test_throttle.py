"""Guessing passwords is throttled: by username and address, by address, and by user."""

import time
from collections.abc import Callable
from random import randbytes

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from limits.storage import MemoryStorage, RedisStorage

from app import security, throttle
from app.main import app
from app.models import User
from tests.client import DocumentedClient, client_of
from tests.factories import PASSWORD

WRONG = "wrong password"
REDIS = "redis://127.0.0.1:6379"
MoveClock = Callable[[float], None]


def log_in(client: TestClient, password: str, username: str = "user") -> Response:
    return client.post("/auth/token", data={"username": username, "password": password})


def change_password(client: TestClient, password: str) -> Response:
    change = {"current_password": password, "new_password": "another password"}
    return client.put("/users/me/password", json=change)


# The requests that verify a password.
Guess = Callable[..., Response]
GUESSES = [log_in, change_password]


def fail_ten_times(guess: Guess, client: TestClient, *username: str) -> None:
    for n in range(10):
        status = guess(client, WRONG, *username).status_code
        assert status in {401, 403}, f"Failure {n + 1} of 10"


@pytest.fixture
def move_clock_of_limits(monkeypatch: pytest.MonkeyPatch) -> MoveClock:
    """Stop `time.time`. `move_clock_of_limits(60)` sets it to a minute after that.

    Only `limits` uses that clock. Tokens and posts use `datetime.now`, which goes on.
    """
    stopped_at = time.time()

    def move(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: stopped_at + seconds)

    move(0)
    return move


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize(("seconds", "retry_after"), [(0, "60"), (39.5, "21"), (59.9, "1")])
def test_password_is_not_accepted_for_a_minute_after_ten_failures(
    guess: Guess,
    seconds: float,
    retry_after: str,
    user_client: TestClient,
    move_clock_of_limits: MoveClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_ten_times(guess, user_client)
    move_clock_of_limits(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(security, "hasher", None)  # No password is verified any more.
        response = guess(user_client, PASSWORD)

    assert response.status_code == 429
    assert response.json() == {"detail": "Too many failed attempts"}
    assert response.headers["Retry-After"] == retry_after
    move_clock_of_limits(60)
    assert guess(user_client, PASSWORD).is_success


@pytest.mark.parametrize("guess", GUESSES)
def test_refused_and_throttled_requests_are_logged_without_what_was_sent(
    guess: Guess, user_client: TestClient, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    fail_ten_times(log_in, user_client, "typed-by-mistake")
    log_in(user_client, WRONG, "typed-by-mistake")
    fail_ten_times(guess, user_client)

    path = guess(user_client, PASSWORD).request.url.path

    assert "Refused /auth/token from unknown for user None" in caplog.text
    assert f"Refused {path} from unknown for user {user.id}" in caplog.text
    assert f"Throttled {path} from unknown" in caplog.text
    for sent in ("typed-by-mistake", WRONG, PASSWORD):
        assert sent not in caplog.text


def test_successful_logins_are_not_counted(client: TestClient, user: User) -> None:
    statuses = [log_in(client, PASSWORD).status_code for _ in range(11)]

    assert statuses == [200] * 11


@pytest.mark.parametrize(
    ("host", "username", "next_host", "status"),
    [
        pytest.param("192.0.2.1", "uSeR", "192.0.2.1", 429, id="same name in another case"),
        pytest.param("192.0.2.1", "other", "192.0.2.1", 200, id="another name"),
        pytest.param("192.0.2.1", "user", "192.0.2.2", 200, id="another address"),
        pytest.param("192.0.2.1", "user", "::ffff:192.0.2.1", 429, id="IPv4 written as IPv6"),
        pytest.param("2001:db8::1", "user", "2001:db8:0:0:ffff::2", 429, id="same network"),
        pytest.param("2001:db8::1", "user", "2001:db8:0:1::1", 200, id="another network"),
        pytest.param("no address", "user", "", 429, id="unknown addresses count as one"),
    ],
)
def test_failures_are_counted_by_name_and_network(
    user: User, host: str, username: str, next_host: str, status: int
) -> None:
    fail_ten_times(log_in, DocumentedClient(app, client=(host, 50000)), username)

    response = log_in(DocumentedClient(app, client=(next_host, 50000)), PASSWORD)

    assert response.status_code == status


@pytest.mark.parametrize("network", ["192.0.2.1", "2001:db8::{n}"])
def test_address_is_throttled_after_a_hundred_failures(network: str, user: User) -> None:
    for n in range(10):
        client = DocumentedClient(app, client=(network.format(n=n), 50000))
        log_in(client, PASSWORD)  # That the client knows one password makes no difference.
        fail_ten_times(log_in, client, f"nobody{n}")

    response = log_in(client, PASSWORD)

    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_unknown_name_is_throttled_like_any_other(client: TestClient) -> None:
    fail_ten_times(log_in, client, "nobody")

    response = log_in(client, PASSWORD, "nobody")

    assert response.status_code == 429


def test_changes_of_a_password_are_counted_by_user(
    user: User, user_client: TestClient, admin_client: TestClient
) -> None:
    fail_ten_times(change_password, user_client)
    user_client.patch("/users/me", json={"username": "renamed"})

    elsewhere = client_of(user, client=("192.0.2.1", 50000))
    same_user = change_password(elsewhere, PASSWORD)
    other_user = change_password(admin_client, PASSWORD)

    assert same_user.status_code == 429
    assert other_user.status_code == 204


def test_failures_are_forgotten_after_a_minute(
    client: TestClient, move_clock_of_limits: MoveClock
) -> None:
    storage = throttle.limiter.storage
    assert isinstance(storage, MemoryStorage)
    fail_ten_times(log_in, client, "nobody")
    move_clock_of_limits(60)

    log_in(client, WRONG, "somebody")
    log_in(client, WRONG, "nobody")

    # Two names and one address.
    assert sorted(storage.storage.values()) == [1, 1, 2]
    assert storage.events == {}  # Where a moving window would keep its keys forever.


def test_processes_count_failures_together_in_redis(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("redis", reason="needs the extra redis")
    if not throttle.build_limiter(REDIS).storage.check():
        pytest.skip("needs Redis")
    # Other runs of the tests may use this Redis at the same time, so take an address of our own.
    host = f"2001:db8:{randbytes(2).hex()}:{randbytes(2).hex()}::1"
    client = DocumentedClient(app, client=(host, 50000))
    monkeypatch.setattr(throttle, "limiter", throttle.build_limiter(REDIS))
    fail_ten_times(log_in, client)
    monkeypatch.setattr(throttle, "limiter", throttle.build_limiter(REDIS))

    response = log_in(client, PASSWORD)

    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_lost_redis_is_logged_and_lets_logins_go_on(
    client: TestClient,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("redis", reason="needs the extra redis")
    limiter = throttle.build_limiter("redis://127.0.0.1:1")
    monkeypatch.setattr(throttle, "limiter", limiter)

    wrong = log_in(client, WRONG)
    right = log_in(client, PASSWORD)

    assert (wrong.status_code, right.status_code) == (401, 200)
    assert "Failed logins are not limited" in caplog.text
    # A login asks Redis while it holds a hashing slot, so it must give up soon if that is silent.
    assert isinstance(limiter.storage, RedisStorage)
    options = limiter.storage.storage.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.2, 0.2)
