"""Guessing passwords is throttled: by name and address, by address, and by user."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from limits.storage import MemoryStorage
from sqlmodel import Session

from app import security
from app.main import app
from app.models import User
from app.security import client_network
from tests.factories import PASSWORD, UserFactory

WRONG_CHANGE = {"current_password": "wrong password", "new_password": "another password"}


def log_in(client: TestClient, username: str, password: str = "wrong password") -> int:
    form = {"username": username, "password": password}
    return client.post("/auth/token", data=form).status_code


def test_address_may_fail_a_hundred_times_over_all_names(client: TestClient, user: User) -> None:
    assert [log_in(client, f"nobody{n}") for n in range(100)] == [401] * 100

    assert log_in(client, "user", PASSWORD) == 429


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("testclient", "", True),
    ],
)
def test_clients_are_told_apart_by_their_network(first: str, second: str, same: bool) -> None:
    assert (client_network(first) == client_network(second)) is same


def test_throttle_counts_an_ipv6_network_as_one_client(client: TestClient, user: User) -> None:
    one = TestClient(app, client=("2001:db8::1", 50000))
    other = TestClient(app, client=("2001:db8::2", 50000))
    for _ in range(10):
        log_in(one, "user")

    assert log_in(other, "user", PASSWORD) == 429


def test_renaming_the_account_does_not_allow_more_guesses(user_client: TestClient) -> None:
    for n in range(10):
        user_client.put("/users/me/password", json=WRONG_CHANGE)
        user_client.patch("/users/me", json={"username": f"renamed{n}"})

    response = user_client.put("/users/me/password", json=WRONG_CHANGE)

    assert response.status_code == 429


def test_guesses_of_a_password_do_not_throttle_other_users(
    user_client: TestClient, admin_client: TestClient
) -> None:
    for _ in range(10):
        user_client.put("/users/me/password", json=WRONG_CHANGE)

    response = admin_client.put("/users/me/password", json=WRONG_CHANGE)

    assert response.status_code == 403


def test_password_can_be_changed_again_after_a_minute(
    user_client: TestClient, move_clock: Callable[[float], None]
) -> None:
    for _ in range(10):
        user_client.put("/users/me/password", json=WRONG_CHANGE)
    move_clock(61)

    response = user_client.put("/users/me/password", json=WRONG_CHANGE)

    assert response.status_code == 403


def test_failures_leave_nothing_in_memory_after_a_minute(
    client: TestClient, move_clock: Callable[[float], None]
) -> None:
    storage = security.failure_storage
    assert isinstance(storage, MemoryStorage)
    log_in(client, "nobody")
    before = len(storage.storage)
    move_clock(61)

    log_in(client, "somebody")
    log_in(client, "nobody")

    # Two names and one address, and no older failures among them.
    assert before == 2
    assert sorted(storage.storage.values()) == [1, 1, 2]
    assert storage.events == {}  # Where a moving window would keep its keys for ever.


def test_refused_login_is_in_the_log_without_what_was_typed(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    user = UserFactory.create(username="typed-name")

    log_in(client, "typed-name", "typed-password")
    log_in(client, "typed-nobody", "typed-password")

    assert f"Refused a login from unknown for user {user.id}" in caplog.text
    assert "Refused a login from unknown for user None" in caplog.text
    assert "typed" not in caplog.text


def test_throttled_login_is_in_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(11):
        log_in(client, "nobody")

    assert "Throttled a login from unknown" in caplog.text


def test_refused_new_password_is_in_the_log(
    user_client: TestClient, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    user_client.put("/users/me/password", json=WRONG_CHANGE)

    assert f"Refused a new password from unknown for user {user.id}" in caplog.text


def test_logging_out_ends_all_tokens_of_the_user(
    user_client: TestClient, admin_client: TestClient, user: User, session: Session
) -> None:
    response = user_client.delete("/auth/tokens")

    assert response.status_code == 204
    assert user_client.get("/users/me").status_code == 401
    assert admin_client.get("/users/me").status_code == 200
    assert session.get_one(User, user.id).token_version != user.token_version
