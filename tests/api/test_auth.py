"""Register, log in and log out."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.config import settings
from app.models import User
from tests.client import client_with_token
from tests.factories import PASSWORD, UserFactory

ALICE = {"username": "Alice", "email": "Alice@Example.com", "password": PASSWORD}
LOGIN = {"username": "user", "password": PASSWORD}


def test_registration_returns_the_account_without_the_password(
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


@pytest.mark.parametrize("taken", [{"username": "aLICE"}, {"email": "alice@example.com"}])
def test_username_and_email_are_taken_regardless_of_case(
    client: TestClient, session: Session, taken: dict[str, str]
) -> None:
    user = UserFactory.create(**taken)

    response = client.post("/auth/register", json=ALICE)

    assert response.status_code == 409
    assert response.json() == {"detail": "Username or email already exists"}
    assert session.exec(select(User.id)).all() == [user.id]


def test_username_of_one_user_and_email_of_another_are_taken(client: TestClient) -> None:
    UserFactory.create(username="alice")
    UserFactory.create(email="bob@example.com")

    response = client.post("/auth/register", json=ALICE | {"email": "bob@example.com"})

    assert response.status_code == 409


def test_user_cannot_register_as_admin(client: TestClient, session: Session) -> None:
    response = client.post("/auth/register", json=ALICE | {"is_admin": True})

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "is_admin"]
    assert session.exec(select(User)).all() == []


def test_second_user_is_no_admin_even_if_the_first_is_none(client: TestClient, user: User) -> None:
    response = client.post("/auth/register", json=ALICE)

    assert response.status_code == 201
    assert response.json()["is_admin"] is False


def test_first_user_is_not_admin_when_disabled(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "first_user_is_admin", False)

    response = client.post("/auth/register", json=ALICE)

    assert response.status_code == 201
    assert response.json()["is_admin"] is False


def test_next_user_is_admin_when_all_others_have_left(
    client: TestClient, user_client: TestClient
) -> None:
    user_client.delete("/users/me")

    response = client.post("/auth/register", json=ALICE)

    assert response.status_code == 201
    assert response.json()["is_admin"] is True


def test_user_can_log_in(client: TestClient, user: User) -> None:
    response = client.post("/auth/token", data=LOGIN)

    assert response.status_code == 200
    token = response.json()["access_token"]
    assert response.json() == {"access_token": token, "token_type": "bearer", "expires_in": 1800}
    assert response.headers["Cache-Control"] == "no-store"
    assert client_with_token(token).get("/users/me").json()["id"] == user.id


def test_user_can_log_in_regardless_of_case(client: TestClient) -> None:
    UserFactory.create(username="uSER")

    response = client.post("/auth/token", data={"username": "User", "password": PASSWORD})

    assert response.status_code == 200


def test_login_ignores_fields_that_it_does_not_know(client: TestClient, user: User) -> None:
    fields = ["scope", "client_id", "cls", "self", "__pydantic_self__"]
    form = LOGIN | {"grant_type": "password"} | dict.fromkeys(fields, "x")

    response = client.post("/auth/token", data=form)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("username", "password"), [("user", "wrong password"), ("user", "x"), ("nobody", PASSWORD)]
)
def test_failed_login_does_not_say_what_was_wrong(
    client: TestClient, user: User, username: str, password: str
) -> None:
    response = client.post("/auth/token", data={"username": username, "password": password})

    assert response.status_code == 401
    assert response.json() == {"detail": "Incorrect username or password"}
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_logging_out_ends_all_tokens_of_the_user(
    user_client: TestClient, admin_client: TestClient, user: User, session: Session
) -> None:
    response = user_client.delete("/auth/tokens")

    assert response.status_code == 204
    assert user_client.get("/users/me").status_code == 401
    assert admin_client.get("/users/me").status_code == 200
    assert session.get_one(User, user.id).token_version != user.token_version
