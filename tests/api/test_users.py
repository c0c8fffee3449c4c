import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app import security
from app.models import User
from tests.client import client_of, client_with_token
from tests.factories import PASSWORD, UserFactory

NEW_PASSWORD = " a new password "
CHANGE = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}


def test_user_can_read_their_account(user_client: TestClient, user: User) -> None:
    response = user_client.get("/users/me")

    assert response.status_code == 200
    assert response.json() == {
        "id": user.id,
        "username": "user",
        "email": user.email,
        "is_admin": False,
    }


@pytest.mark.parametrize(
    ("change", "username", "email"),
    [
        ({"username": "Renamed"}, "Renamed", "before@example.com"),
        ({"email": "After@Example.com"}, "user", "after@example.com"),
        ({"username": "USER", "email": "Before@example.com"}, "USER", "before@example.com"),
    ],
)
def test_user_can_change_their_username_and_email(
    session: Session, change: dict[str, str], username: str, email: str
) -> None:
    user = UserFactory.create(username="user", email="before@example.com")

    response = client_of(user).patch("/users/me", json=change)

    assert response.status_code == 200
    assert response.json() == {
        "id": user.id,
        "username": username,
        "email": email,
        "is_admin": False,
    }
    stored = session.get_one(User, user.id)
    assert (stored.username, stored.email) == (username, email)
    assert stored.token_version == user.token_version


@pytest.mark.parametrize("change", [{"username": "TAKEN"}, {"email": "Taken@example.com"}])
def test_user_cannot_take_the_username_or_email_of_another(
    user_client: TestClient, user: User, session: Session, change: dict[str, str]
) -> None:
    UserFactory.create(username="taken", email="taken@example.com")

    response = user_client.patch("/users/me", json=change)

    assert response.status_code == 409
    assert response.json() == {"detail": "Username or email already exists"}
    unchanged = session.get_one(User, user.id)
    assert (unchanged.username, unchanged.email) == ("user", user.email)


def test_user_cannot_make_themselves_an_admin(
    user_client: TestClient, user: User, session: Session
) -> None:
    response = user_client.patch("/users/me", json={"is_admin": True})

    assert response.status_code == 422
    assert session.get_one(User, user.id).is_admin is False


def test_user_can_change_their_password(
    user_client: TestClient, user: User, session: Session
) -> None:
    other = UserFactory.create()

    response = user_client.put("/users/me/password", json=CHANGE)

    assert response.status_code == 204
    assert response.content == b""
    assert security.verify_password(NEW_PASSWORD, session.get_one(User, user.id).hashed_password)
    assert security.verify_password(PASSWORD, session.get_one(User, other.id).hashed_password)


def test_new_password_ends_all_earlier_tokens(client: TestClient, user_client: TestClient) -> None:
    user_client.put("/users/me/password", json=CHANGE)

    assert user_client.get("/users/me").status_code == 401
    login = client.post("/auth/token", data={"username": "user", "password": NEW_PASSWORD})
    new_client = client_with_token(login.json()["access_token"])
    assert new_client.get("/users/me").status_code == 200


def test_new_password_needs_the_current_one(
    user_client: TestClient, user: User, session: Session
) -> None:
    response = user_client.put(
        "/users/me/password", json=CHANGE | {"current_password": f"{PASSWORD} "}
    )

    assert response.status_code == 403
    assert response.json() == {"detail": "Current password is incorrect"}
    unchanged = session.get_one(User, user.id)
    assert (unchanged.hashed_password, unchanged.token_version) == (
        user.hashed_password,
        user.token_version,
    )


def test_last_admin_cannot_delete_their_account(
    admin_client: TestClient, admin: User, user: User, session: Session
) -> None:
    response = admin_client.delete("/users/me")

    assert response.status_code == 409
    assert response.json() == {"detail": "The last admin cannot be removed"}
    assert session.get(User, admin.id) is not None


def test_admin_can_delete_their_account_when_there_is_another(
    admin_client: TestClient, admin: User, session: Session
) -> None:
    UserFactory.create(admin=True)

    response = admin_client.delete("/users/me")

    assert response.status_code == 204
    assert session.get(User, admin.id) is None
