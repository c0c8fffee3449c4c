"""How passwords are stored and checked, and which ones are too easy to guess."""

from unittest.mock import Mock

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app import security
from app.models import User
from tests.client import client_of
from tests.factories import PASSWORD, UserFactory

ACCOUNT = {"username": "alice.smith", "email": "alice@example.com", "password": PASSWORD}
LOGIN = {"username": "user", "password": PASSWORD}
WRONG_LOGIN = {"username": "user", "password": "wrong password"}
UNKNOWN_LOGIN = {"username": "nobody", "password": PASSWORD}
# Read now, before the fixture `hash_cheaply` replaces it.
REAL_UNKNOWN_USER_HASH = security.UNKNOWN_USER_HASH


def test_hash_has_the_parameters_that_owasp_recommends(real_hasher: PasswordHasher) -> None:
    assert real_hasher.hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_login_compares_all_characters_of_a_long_password(client: TestClient) -> None:
    password = " " + "e\u0301" * 63 + " "  # Each é has two characters.
    UserFactory.create(username="user", hashed_password=security.hash_password(password))

    wrong = client.post("/auth/token", data={"username": "user", "password": password[:-1] + "y"})
    right = client.post("/auth/token", data={"username": "user", "password": password})

    assert wrong.status_code == 401
    assert right.status_code == 200


@pytest.mark.parametrize(
    "hashed_password",
    ["$2b$12$a-hash-of-bcrypt", "$argon2id$ä", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$x"],
)
def test_login_is_refused_when_the_hash_has_another_format(
    client: TestClient, hashed_password: str
) -> None:
    UserFactory.create(username="user", hashed_password=hashed_password)

    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 401


def test_login_hashes_again_when_the_parameters_have_changed(
    client: TestClient, session: Session
) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    user = UserFactory.create(username="user", hashed_password=old)

    # A wrong password must not become the password.
    client.post("/auth/token", data=WRONG_LOGIN)
    assert session.get_one(User, user.id).hashed_password == old
    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 200
    stored = session.get_one(User, user.id, populate_existing=True)
    assert stored.hashed_password.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert security.verify_password(PASSWORD, stored.hashed_password) is True
    assert stored.token_version == user.token_version


@pytest.mark.parametrize(
    ("login", "status"), [(LOGIN, 200), (WRONG_LOGIN, 401), (UNKNOWN_LOGIN, 401)]
)
def test_login_verifies_one_password_and_hashes_none(
    client: TestClient,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    login: dict[str, str],
    status: int,
) -> None:
    spy = Mock(wraps=security.hasher)
    monkeypatch.setattr(security, "hasher", spy)

    response = client.post("/auth/token", data=login)

    assert response.status_code == status
    spy.verify.assert_called_once()
    hashed_password, password = spy.verify.call_args.args
    assert password == login["password"]
    # With other parameters, or if it weren't a hash, this would take another time.
    assert security.hasher.check_needs_rehash(hashed_password) is False
    spy.hash.assert_not_called()


def test_hash_for_unknown_users_is_of_a_password_that_cannot_be_sent(
    client: TestClient, real_hasher: PasswordHasher
) -> None:
    response = client.post("/auth/token", data=UNKNOWN_LOGIN | {"password": "\0"})

    assert response.status_code == 422
    assert real_hasher.verify(REAL_UNKNOWN_USER_HASH, "\0")
    assert not real_hasher.check_needs_rehash(REAL_UNKNOWN_USER_HASH)


def test_right_passwords_stay_out_of_the_log_and_are_not_called_refused(
    client: TestClient, user_client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    client.post("/auth/register", json=ACCOUNT)
    client.post("/auth/token", data=LOGIN)
    user_client.put(
        "/users/me/password", json={"current_password": PASSWORD, "new_password": f"new {PASSWORD}"}
    )

    assert PASSWORD not in caplog.text
    assert "$argon2" not in caplog.text
    assert "Refused" not in caplog.text


def test_list_has_the_most_common_passwords() -> None:
    assert len(security.COMMON_PASSWORDS) == 8_354
    assert min(len(password) for password in security.COMMON_PASSWORDS) == 8


# The first and the last of the list, one in capitals, and the username.
@pytest.mark.parametrize("password", ["123456789", "fallen_angel", "PassWord1", "Alice.Smith"])
def test_user_cannot_register_with_a_weak_password(
    client: TestClient, session: Session, password: str
) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"password": password})

    assert response.status_code == 422
    (reason,) = response.json()["detail"]
    assert reason == {
        "type": "weak_password",
        "loc": ["body", "password"],
        "msg": "This password is too easy to guess",
    }
    assert session.exec(select(User)).all() == []


@pytest.mark.parametrize("password", ["password1", "Longusername"])
def test_user_cannot_change_to_a_weak_password(session: Session, password: str) -> None:
    user = UserFactory.create(username="longUsername")
    change = {"current_password": PASSWORD, "new_password": password}

    response = client_of(user).put("/users/me/password", json=change)

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "new_password"]
    assert session.get_one(User, user.id).hashed_password == user.hashed_password


def test_wrong_current_password_is_refused_before_a_weak_new_one(user_client: TestClient) -> None:
    change = {"current_password": "wrong password", "new_password": "password1"}

    response = user_client.put("/users/me/password", json=change)

    assert response.status_code == 403
