"""Which new passwords are refused because they are easy to guess."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.models import User
from app.security import COMMON_PASSWORDS
from tests.factories import PASSWORD

ACCOUNT = {"username": "alice.smith", "email": "alice@example.com"}


def test_list_has_the_most_common_passwords() -> None:
    assert len(COMMON_PASSWORDS) >= 3000
    assert min(len(password) for password in COMMON_PASSWORDS) == 8


@pytest.mark.parametrize("password", ["password1", "PassWord1", "12345678", "Alice.Smith"])
def test_nobody_can_register_with_a_password_that_is_easy_to_guess(
    client: TestClient, session: Session, password: str
) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"password": password})

    assert response.status_code == 422
    assert response.json() == {
        "detail": [
            {
                "type": "weak_password",
                "loc": ["body", "password"],
                "msg": "This password is too easy to guess",
            }
        ]
    }
    assert session.exec(select(User)).all() == []


@pytest.mark.parametrize("password", ["password1", "Longusername"])
def test_user_cannot_change_to_a_password_that_is_easy_to_guess(
    user_client: TestClient, user: User, session: Session, password: str
) -> None:
    user_client.patch("/users/me", json={"username": "longUsername"})

    change = {"current_password": PASSWORD, "new_password": password}
    response = user_client.put("/users/me/password", json=change)

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "new_password"]
    assert session.get_one(User, user.id).hashed_password == user.hashed_password
