"""Guessing passwords is throttled: by username and address, by address, and by user."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from limits.storage import MemoryStorage

from app import security, throttle
from app.dependencies import take_hashing_slot
from app.main import app
from app.models import User
from tests.client import DocumentedClient
from tests.factories import PASSWORD
from tests.operations import send

LOGIN = {"username": "user", "password": PASSWORD}
WRONG_LOGIN = LOGIN | {"password": "wrong password"}
CHANGE = {"current_password": PASSWORD, "new_password": "another password"}
# The operations that verify a password, with the right one and with a wrong one.
RIGHT: dict[str, Any] = {
    "POST /auth/token": {"data": LOGIN},
    "PUT /users/me/password": {"json": CHANGE},
}
WRONG: dict[str, Any] = {
    "POST /auth/token": {"data": WRONG_LOGIN},
    "PUT /users/me/password": {"json": CHANGE | {"current_password": "wrong password"}},
}


@pytest.fixture
def move_clock_of_limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop `time.time`. `move_clock_of_limits(60)` sets it to a minute after that.

    Only `limits` uses that clock. Tokens and posts use `datetime.now`, which goes on.
    """
    stopped_at = time.time()

    def move(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: stopped_at + seconds)

    move(0)
    return move


def fail(client: TestClient, operation: str) -> None:
    for _ in range(10):
        assert send(client, operation, {}, **WRONG[operation]).status_code in {401, 403}


def fail_to_log_in(client: TestClient, username: str) -> None:
    for _ in range(10):
        response = client.post("/auth/token", data=WRONG_LOGIN | {"username": username})
        assert response.status_code == 401


@pytest.mark.parametrize("operation", RIGHT)
@pytest.mark.parametrize(("seconds", "retry_after"), [(0, "60"), (40, "20"), (59.9, "1")])
def test_password_is_not_accepted_for_a_minute_after_ten_failures(
    operation: str,
    seconds: float,
    retry_after: str,
    user_client: TestClient,
    move_clock_of_limits: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(user_client, operation)
    move_clock_of_limits(seconds)
    monkeypatch.setattr(security, "hasher", None)  # No password is verified any more.

    response = send(user_client, operation, {}, **RIGHT[operation])

    assert response.status_code == 429
    assert response.json() == {"detail": "Too many failed attempts"}
    assert response.headers["Retry-After"] == retry_after


@pytest.mark.parametrize("operation", RIGHT)
def test_password_is_accepted_again_after_a_minute(
    operation: str, user_client: TestClient, move_clock_of_limits: Callable[[float], None]
) -> None:
    fail(user_client, operation)
    move_clock_of_limits(60)

    response = send(user_client, operation, {}, **RIGHT[operation])

    assert response.is_success


@pytest.mark.parametrize("operation", RIGHT)
def test_request_is_throttled_when_others_fail_while_it_waits(
    operation: str, user_client: TestClient
) -> None:
    def wait_for_hashing_slot() -> None:
        # Only the first request waits.
        del app.dependency_overrides[take_hashing_slot]
        fail(user_client, operation)

    app.dependency_overrides[take_hashing_slot] = wait_for_hashing_slot

    response = send(user_client, operation, {}, **RIGHT[operation])

    assert response.status_code == 429


@pytest.mark.parametrize("operation", RIGHT)
def test_refused_and_throttled_requests_are_logged_without_passwords(
    operation: str, user_client: TestClient, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    path = operation.split()[1]
    fail(user_client, operation)

    send(user_client, operation, {}, **RIGHT[operation])

    assert f"Refused {path} from unknown for user {user.id}" in caplog.text
    assert f"Throttled {path} from unknown" in caplog.text
    assert "wrong password" not in caplog.text
    assert PASSWORD not in caplog.text


def test_name_of_a_refused_login_is_not_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/auth/token", data=LOGIN | {"username": "typed-by-mistake"})

    assert "Refused /auth/token from unknown for user None" in caplog.text
    assert "typed-by-mistake" not in caplog.text


def test_successful_logins_are_not_counted(client: TestClient, user: User) -> None:
    for _ in range(10):
        client.post("/auth/token", data=LOGIN)

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 200


@pytest.mark.parametrize(("username", "status"), [("uSeR", 429), ("other", 200)])
def test_failures_are_counted_by_name_regardless_of_case(
    client: TestClient, user: User, username: str, status: int
) -> None:
    fail_to_log_in(client, username)

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == status


@pytest.mark.parametrize(
    ("first_host", "second_host", "status"),
    [
        ("192.0.2.1", "192.0.2.2", 200),
        ("192.0.2.1", "::ffff:192.0.2.1", 429),
        ("2001:db8::1", "2001:db8:0:0:ffff::2", 429),
        ("2001:db8::1", "2001:db8:0:1::1", 200),
        ("no address", "", 429),
    ],
)
def test_failures_are_counted_by_network(
    user: User, first_host: str, second_host: str, status: int
) -> None:
    first_client = DocumentedClient(app, client=(first_host, 50000))
    second_client = DocumentedClient(app, client=(second_host, 50000))
    fail_to_log_in(first_client, "user")

    response = second_client.post("/auth/token", data=LOGIN)

    assert response.status_code == status


def test_address_is_throttled_after_a_hundred_failures(client: TestClient, user: User) -> None:
    for n in range(10):
        fail_to_log_in(client, f"nobody{n}")

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 429


def test_changes_of_a_password_are_counted_by_user(
    user_client: TestClient, admin_client: TestClient
) -> None:
    fail(user_client, "PUT /users/me/password")
    user_client.patch("/users/me", json={"username": "renamed"})

    same_user = user_client.put("/users/me/password", json=CHANGE)
    other_user = admin_client.put("/users/me/password", json=CHANGE)

    assert same_user.status_code == 429
    assert other_user.status_code == 204


def test_failures_are_forgotten_after_a_minute(
    client: TestClient, move_clock_of_limits: Callable[[float], None]
) -> None:
    storage = throttle.limiter.storage
    assert isinstance(storage, MemoryStorage)
    fail_to_log_in(client, "nobody")
    before = sorted(storage.storage.values())
    move_clock_of_limits(60)

    client.post("/auth/token", data=LOGIN | {"username": "somebody"})
    client.post("/auth/token", data=LOGIN | {"username": "nobody"})

    # One name and one address, then two names and one address.
    assert before == [10, 10]
    assert sorted(storage.storage.values()) == [1, 1, 2]
    assert storage.events == {}  # Where a moving window would keep its keys forever.
