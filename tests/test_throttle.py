"""Guessing passwords is throttled: by username and address, by address, and by user."""

from collections.abc import Callable

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from limits.storage import MemoryStorage

from app import throttle
from app.dependencies import take_hashing_slot
from app.main import app
from app.models import User
from tests.factories import PASSWORD, UserFactory

LOGIN = {"username": "user", "password": PASSWORD}
CHANGE = {"current_password": PASSWORD, "new_password": "another password"}
WRONG_CHANGE = {"current_password": "wrong password", "new_password": "another password"}


def fail_to_log_in(client: TestClient, username: str) -> None:
    for _ in range(10):
        login = {"username": username, "password": "wrong password"}
        assert client.post("/auth/token", data=login).status_code == 401


def fail_to_change_password(client: TestClient) -> None:
    for _ in range(10):
        assert client.put("/users/me/password", json=WRONG_CHANGE).status_code == 403


def test_login_is_throttled_for_a_minute_after_ten_failures(
    client: TestClient, user: User, move_clock: Callable[[int], None]
) -> None:
    fail_to_log_in(client, "user")
    move_clock(59)

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 429
    assert response.json() == {"detail": "Too many failed attempts"}
    assert response.headers["Retry-After"] == "60"


def test_user_can_log_in_again_after_a_minute(
    client: TestClient, user: User, move_clock: Callable[[int], None]
) -> None:
    fail_to_log_in(client, "user")
    move_clock(60)

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 200


def test_successful_logins_are_not_counted(client: TestClient, user: User) -> None:
    for _ in range(10):
        client.post("/auth/token", data=LOGIN)

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 200


def test_failures_are_counted_regardless_of_case(client: TestClient) -> None:
    fail_to_log_in(client, "NoBody")

    response = client.post("/auth/token", data={"username": "nObODY", "password": PASSWORD})

    assert response.status_code == 429


def test_other_users_can_log_in_when_one_is_throttled(client: TestClient) -> None:
    UserFactory.create(username="other")
    fail_to_log_in(client, "user")

    response = client.post("/auth/token", data={"username": "other", "password": PASSWORD})

    assert response.status_code == 200


def test_user_can_log_in_from_another_address_when_throttled(
    client: TestClient, user: User
) -> None:
    fail_to_log_in(client, "user")

    response = TestClient(app, client=("192.0.2.1", 50000)).post("/auth/token", data=LOGIN)

    assert response.status_code == 200


def test_ipv6_network_is_throttled_like_one_address(client: TestClient, user: User) -> None:
    fail_to_log_in(TestClient(app, client=("2001:db8::1", 50000)), "user")

    response = TestClient(app, client=("2001:db8::2", 50000)).post("/auth/token", data=LOGIN)

    assert response.status_code == 429


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_clients_are_told_apart_by_their_network(host: str, network: str) -> None:
    request = Request({"type": "http", "client": (host, 50000)})

    assert throttle.client_address(request) == network


def test_address_is_throttled_after_a_hundred_failures(client: TestClient, user: User) -> None:
    for n in range(10):
        fail_to_log_in(client, f"nobody{n}")

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 429


def test_password_change_is_throttled_for_a_minute_after_ten_failures(
    user_client: TestClient, move_clock: Callable[[int], None]
) -> None:
    fail_to_change_password(user_client)
    move_clock(59)

    response = user_client.put("/users/me/password", json=CHANGE)

    assert response.status_code == 429
    assert response.json() == {"detail": "Too many failed attempts"}
    assert response.headers["Retry-After"] == "60"


def test_user_can_change_their_password_again_after_a_minute(
    user_client: TestClient, move_clock: Callable[[int], None]
) -> None:
    fail_to_change_password(user_client)
    move_clock(60)

    response = user_client.put("/users/me/password", json=CHANGE)

    assert response.status_code == 204


def test_user_stays_throttled_when_they_change_their_username(user_client: TestClient) -> None:
    fail_to_change_password(user_client)
    user_client.patch("/users/me", json={"username": "renamed"})

    response = user_client.put("/users/me/password", json=CHANGE)

    assert response.status_code == 429


def test_other_users_can_change_their_password_when_one_is_throttled(
    user_client: TestClient, admin_client: TestClient
) -> None:
    fail_to_change_password(user_client)

    response = admin_client.put("/users/me/password", json=CHANGE)

    assert response.status_code == 204


def test_login_is_throttled_when_others_fail_while_it_waits(client: TestClient, user: User) -> None:
    def wait_for_hashing_slot() -> None:
        # Only the first request waits.
        del app.dependency_overrides[take_hashing_slot]
        fail_to_log_in(client, "user")

    app.dependency_overrides[take_hashing_slot] = wait_for_hashing_slot

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 429


def test_password_change_is_throttled_when_others_fail_while_it_waits(
    user_client: TestClient,
) -> None:
    def wait_for_hashing_slot() -> None:
        # Only the first request waits.
        del app.dependency_overrides[take_hashing_slot]
        fail_to_change_password(user_client)

    app.dependency_overrides[take_hashing_slot] = wait_for_hashing_slot

    response = user_client.put("/users/me/password", json=CHANGE)

    assert response.status_code == 429


def test_failures_are_forgotten_after_a_minute(
    client: TestClient, move_clock: Callable[[int], None]
) -> None:
    storage = throttle.limiter.storage
    assert isinstance(storage, MemoryStorage)
    fail_to_log_in(client, "nobody")
    before = sorted(storage.storage.values())
    move_clock(60)

    client.post("/auth/token", data={"username": "somebody", "password": PASSWORD})
    client.post("/auth/token", data={"username": "nobody", "password": PASSWORD})

    # One name and one address, then two names and one address.
    assert before == [10, 10]
    assert sorted(storage.storage.values()) == [1, 1, 2]
    assert storage.events == {}  # Where a moving window would keep its keys forever.


def test_refused_login_is_logged_without_what_was_typed(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    user = UserFactory.create(username="typed-name")

    client.post("/auth/token", data={"username": "typed-name", "password": "typed-password"})
    client.post("/auth/token", data={"username": "typed-nobody", "password": "typed-password"})

    assert f"Refused a login from unknown for user {user.id}" in caplog.text
    assert "Refused a login from unknown for user None" in caplog.text
    assert "typed" not in caplog.text


def test_throttled_login_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    fail_to_log_in(client, "nobody")

    client.post("/auth/token", data={"username": "nobody", "password": PASSWORD})

    assert "Throttled a login from unknown" in caplog.text


def test_refused_and_throttled_password_changes_are_logged(
    user_client: TestClient, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    fail_to_change_password(user_client)

    user_client.put("/users/me/password", json=CHANGE)

    assert f"Refused a new password from unknown for user {user.id}" in caplog.text
    assert f"Throttled a change of password for user {user.id}" in caplog.text
    assert "wrong password" not in caplog.text
    assert "another password" not in caplog.text
