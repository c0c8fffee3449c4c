from collections.abc import Callable
from typing import Literal

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app import security
from app.config import settings
from app.models import User
from tests.factories import PASSWORD, PostFactory, UserFactory

ALICE = {"username": "Alice", "email": "Alice@Example.com", "password": PASSWORD}


class CountingHasher(PasswordHasher):
    """Verifies as its base does, and counts."""

    verified = 0

    # The base class calls it `hash` too.
    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        self.verified += 1
        return super().verify(hash, password)


@pytest.fixture
def counting_hasher(monkeypatch: pytest.MonkeyPatch) -> CountingHasher:
    hasher = CountingHasher(CHEAPEST.time_cost, CHEAPEST.memory_cost, CHEAPEST.parallelism)
    monkeypatch.setattr(security, "hasher", hasher)
    return hasher


def log_in(client: TestClient, username: str, password: str = PASSWORD) -> int:
    return client.post("/auth/token", data={"username": username, "password": password}).status_code


def test_registration_answers_the_account_without_the_password(
    client: TestClient, session: Session
) -> None:
    response = client.post("/auth/register", json=ALICE)

    assert response.status_code == 201
    user = session.exec(select(User)).one()
    assert response.json() == {
        "id": user.id,
        "username": "Alice",
        "email": "alice@example.com",
        "is_admin": True,
    }
    assert (user.username, user.email, user.is_admin) == ("Alice", "alice@example.com", True)


def test_password_is_stored_as_a_hash_of_it_only(client: TestClient, session: Session) -> None:
    client.post("/auth/register", json=ALICE)

    stored = session.exec(select(User)).one().hashed_password
    assert PASSWORD not in stored
    assert security.verify_password(PASSWORD, stored)
    assert security.verify_password("another password", stored) is False


@pytest.mark.parametrize("taken", ["user", "User", "USER"])
def test_username_is_taken_whatever_the_case_of_its_letters(
    client: TestClient, user: User, session: Session, taken: str
) -> None:
    response = client.post("/auth/register", json=ALICE | {"username": taken})

    assert response.status_code == 409
    assert response.json() == {"detail": "Username or email already exists"}
    assert session.exec(select(User)).one().username == "user"


@pytest.mark.parametrize("taken", ["taken@example.com", "Taken@Example.COM"])
def test_email_is_taken_whatever_the_case_of_its_letters(client: TestClient, taken: str) -> None:
    UserFactory.create(email="taken@example.com")

    response = client.post("/auth/register", json=ALICE | {"email": taken})

    assert response.status_code == 409
    assert response.json() == {"detail": "Username or email already exists"}


def test_name_of_one_user_with_the_email_of_another_is_a_conflict(client: TestClient) -> None:
    UserFactory.create(username="alice")
    UserFactory.create(email="bob@example.com")

    response = client.post("/auth/register", json=ALICE | {"email": "bob@example.com"})

    assert response.status_code == 409


def test_first_user_is_admin_and_the_second_is_not(client: TestClient) -> None:
    first = client.post("/auth/register", json=ALICE)
    second = client.post(
        "/auth/register", json=ALICE | {"username": "bob", "email": "bob@example.com"}
    )

    assert first.json()["is_admin"] is True
    assert second.json()["is_admin"] is False


def test_first_user_is_no_admin_where_the_setting_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "first_user_is_admin", False)

    response = client.post("/auth/register", json=ALICE)

    assert response.json()["is_admin"] is False


def test_whoever_registers_while_there_is_no_user_is_admin(
    client: TestClient, user_client: TestClient
) -> None:
    user_client.delete("/users/me")

    response = client.post("/auth/register", json=ALICE)

    assert response.json()["is_admin"] is True


def test_login_answers_a_token_that_works(client: TestClient, user: User) -> None:
    response = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    assert response.status_code == 200
    token = response.json()["access_token"]
    assert response.json() == {"access_token": token, "token_type": "bearer", "expires_in": 1800}
    assert response.headers["Cache-Control"] == "no-store"
    me = client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["id"] == user.id


@pytest.mark.parametrize("username", ["user", "USER", "User"])
def test_login_finds_the_user_whatever_the_case_of_the_letters(
    client: TestClient, user: User, username: str
) -> None:
    assert log_in(client, username) == 200


def test_login_accepts_the_password_form_of_oauth2_and_ignores_what_it_does_not_know(
    client: TestClient, user: User
) -> None:
    form = {
        "grant_type": "password",
        "username": "user",
        "password": PASSWORD,
        "scope": "",
        "client_id": "x",
    }

    response = client.post("/auth/token", data=form)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("username", "password"), [("user", "wrong password"), ("nobody", PASSWORD), ("user", "x")]
)
def test_wrong_login_does_not_tell_what_was_wrong(
    client: TestClient, user: User, username: str, password: str
) -> None:
    response = client.post("/auth/token", data={"username": username, "password": password})

    assert response.status_code == 401
    assert response.json() == {"detail": "Incorrect username or password"}
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_password_counts_to_its_last_character(client: TestClient) -> None:
    password = "x" * 127
    UserFactory.create(username="user", hashed_password=security.hash_password(password + "a"))

    assert log_in(client, "user", password + "b") == 401
    assert log_in(client, "user", password + "a") == 200


def test_login_with_a_hash_of_another_format_is_refused(client: TestClient) -> None:
    UserFactory.create(username="user", hashed_password="$2b$12$a-hash-of-bcrypt")

    assert log_in(client, "user") == 401


def test_passwords_are_hashed_as_owasp_demands(real_hasher: PasswordHasher) -> None:
    assert real_hasher.hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_login_renews_a_hash_of_other_parameters(client: TestClient, session: Session) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    user = UserFactory.create(username="user", hashed_password=old)

    assert log_in(client, "user") == 200

    renewed = session.get_one(User, user.id)
    assert renewed.hashed_password.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert security.verify_password(PASSWORD, renewed.hashed_password)
    assert renewed.token_version == user.token_version


def test_login_leaves_a_hash_of_the_right_parameters_alone(
    client: TestClient, user: User, session: Session
) -> None:
    assert log_in(client, "user") == 200

    assert session.get_one(User, user.id).hashed_password == user.hashed_password


@pytest.mark.parametrize(
    ("username", "password"), [("user", PASSWORD), ("user", "wrong password"), ("nobody", "x")]
)
def test_login_verifies_exactly_one_password(
    client: TestClient, user: User, counting_hasher: CountingHasher, username: str, password: str
) -> None:
    log_in(client, username, password)

    assert counting_hasher.verified == 1


def test_throttled_login_verifies_no_password(
    client: TestClient, user: User, counting_hasher: CountingHasher
) -> None:
    for _ in range(10):
        log_in(client, "user", "wrong password")

    assert log_in(client, "user") == 429

    assert counting_hasher.verified == 10


def test_tenth_failure_is_refused_and_the_eleventh_attempt_is_throttled(
    client: TestClient, user: User
) -> None:
    assert [log_in(client, "user", "wrong password") for _ in range(11)] == [401] * 10 + [429]


def test_throttled_login_says_when_to_try_again(
    client: TestClient, user: User, move_clock: Callable[[float], None]
) -> None:
    for _ in range(10):
        log_in(client, "user", "wrong password")
    move_clock(20)

    response = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    assert response.status_code == 429
    assert response.json() == {"detail": "Too many failed logins"}
    assert 35 <= int(response.headers["Retry-After"]) <= 40


def test_login_works_again_after_a_minute(
    client: TestClient, user: User, move_clock: Callable[[float], None]
) -> None:
    for _ in range(10):
        log_in(client, "user", "wrong password")
    move_clock(61)

    assert log_in(client, "user") == 200


def test_successful_logins_are_not_counted(client: TestClient, user: User) -> None:
    for _ in range(11):
        assert log_in(client, "user") == 200


@pytest.mark.parametrize("username", ["USER", "User"])
def test_throttle_does_not_mind_the_case_of_the_name(
    client: TestClient, user: User, username: str
) -> None:
    for _ in range(10):
        log_in(client, "user", "wrong password")

    assert log_in(client, username) == 429


def test_throttle_counts_unknown_users_too(client: TestClient) -> None:
    assert [log_in(client, "nobody") for _ in range(11)] == [401] * 10 + [429]


def test_throttle_lets_other_names_go_on(client: TestClient, user: User) -> None:
    UserFactory.create(username="other")
    for _ in range(10):
        log_in(client, "user", "wrong password")

    assert log_in(client, "other") == 200


def test_throttle_lets_other_addresses_go_on(client: TestClient, user: User) -> None:
    elsewhere = TestClient(client.app, client=("192.0.2.1", 50000))
    for _ in range(10):
        log_in(client, "user", "wrong password")

    assert log_in(elsewhere, "user") == 200


def test_token_of_a_deleted_user_does_not_open_the_account_of_the_next_of_that_name(
    client: TestClient, user_client: TestClient
) -> None:
    PostFactory.create()
    user_client.delete("/users/me")
    client.post("/auth/register", json=ALICE | {"username": "user", "email": "user@example.com"})

    response = user_client.get("/users/me")

    assert response.status_code == 401
