import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.models import User
from tests.factories import UserFactory

LAST_ADMIN = {"detail": "The last admin cannot be removed"}


def test_admin_can_list_all_users(admin_client: TestClient, admin: User) -> None:
    user = UserFactory.create()

    response = admin_client.get("/admin/users")

    assert response.status_code == 200
    assert response.json() == [
        {"id": admin.id, "username": "admin", "email": admin.email, "is_admin": True},
        {"id": user.id, "username": user.username, "email": user.email, "is_admin": False},
    ]


@pytest.mark.parametrize("is_admin", [True, False])
def test_admin_can_grant_and_revoke_admin_rights(
    admin_client: TestClient, session: Session, is_admin: bool
) -> None:
    user, other = UserFactory.create_batch(2, is_admin=not is_admin)

    response = admin_client.patch(f"/admin/users/{user.id}", json={"is_admin": is_admin})

    assert response.status_code == 200
    assert response.json() == {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "is_admin": is_admin,
    }
    assert session.get_one(User, user.id).is_admin is is_admin
    assert session.get_one(User, other.id).is_admin is not is_admin


def test_last_admin_cannot_be_demoted(
    admin_client: TestClient, admin: User, user: User, session: Session
) -> None:
    response = admin_client.patch(f"/admin/users/{admin.id}", json={"is_admin": False})

    assert response.status_code == 409
    assert response.json() == LAST_ADMIN
    assert session.get_one(User, admin.id).is_admin is True


def test_last_admin_stays_one_when_nothing_is_changed(
    admin_client: TestClient, admin: User
) -> None:
    response = admin_client.patch(f"/admin/users/{admin.id}", json={})

    assert response.status_code == 200
    assert response.json()["is_admin"] is True


def test_last_admin_cannot_be_deleted(
    admin_client: TestClient, admin: User, user: User, session: Session
) -> None:
    response = admin_client.delete(f"/admin/users/{admin.id}")

    assert response.status_code == 409
    assert response.json() == LAST_ADMIN
    assert session.get(User, admin.id) is not None


def test_admin_can_delete_a_user(admin_client: TestClient, user: User, session: Session) -> None:
    other = UserFactory.create()

    response = admin_client.delete(f"/admin/users/{user.id}")

    assert response.status_code == 204
    assert session.get(User, user.id) is None
    assert session.get(User, other.id) is not None
