"""What a request answers when the row it works on goes, or changes, between its reading and its writing."""

from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, event
from sqlmodel import Session, select

from app.models import Post, User
from tests.factories import PASSWORD, PostFactory, UserFactory

Meanwhile = Callable[[str, str], None]
INVALID_TOKEN = {"detail": "Could not validate credentials"}


@pytest.fixture
def meanwhile(engine: Engine) -> Iterator[Meanwhile]:
    """Have the database execute one statement just before the first one that begins in a certain way."""
    plans: dict[str, str] = {}

    @event.listens_for(engine, "before_cursor_execute")
    def interfere(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        for beginning in [beginning for beginning in plans if sql.startswith(beginning)]:
            connection.exec_driver_sql(plans.pop(beginning))

    yield plans.__setitem__
    event.remove(engine, "before_cursor_execute", interfere)
    assert plans == {}


def test_post_of_an_account_that_is_being_deleted_is_refused(
    user_client: TestClient, session: Session, meanwhile: Meanwhile
) -> None:
    meanwhile("INSERT INTO posts", "DELETE FROM users")

    response = user_client.post("/posts", json={"title": "Hello", "content": "My last post."})

    assert response.status_code == 401
    assert response.json() == INVALID_TOKEN
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert session.exec(select(Post)).all() == []


@pytest.mark.parametrize(("method", "beginning"), [("PATCH", "UPDATE posts"), ("DELETE", "DELETE FROM posts")])
def test_post_that_is_being_deleted_is_not_found(
    user_client: TestClient, user: User, meanwhile: Meanwhile, method: str, beginning: str
) -> None:
    post = PostFactory.create(author=user)
    meanwhile(beginning, "DELETE FROM posts")

    response = user_client.request(method, f"/posts/{post.id}", json={"title": "Late"} if method == "PATCH" else None)

    assert response.status_code == 404
    assert response.json() == {"detail": "Post not found"}


@pytest.mark.parametrize(("method", "beginning"), [("PATCH", "UPDATE users"), ("DELETE", "DELETE FROM users")])
def test_account_that_is_being_deleted_lets_nobody_in(
    user_client: TestClient, meanwhile: Meanwhile, method: str, beginning: str
) -> None:
    meanwhile(beginning, "DELETE FROM users")

    response = user_client.request(method, "/users/me", json={"username": "late"} if method == "PATCH" else None)

    assert response.status_code == 401
    assert response.json() == INVALID_TOKEN


@pytest.mark.parametrize(("method", "beginning"), [("PATCH", "UPDATE users"), ("DELETE", "DELETE FROM users")])
def test_user_who_is_being_deleted_is_not_found_by_an_admin(
    admin_client: TestClient, user: User, meanwhile: Meanwhile, method: str, beginning: str
) -> None:
    meanwhile(beginning, f"DELETE FROM users WHERE id = {user.id}")

    response = admin_client.request(
        method, f"/admin/users/{user.id}", json={"is_admin": True} if method == "PATCH" else None
    )

    assert response.status_code == 404
    assert response.json() == {"detail": "User not found"}


def test_of_two_new_passwords_at_once_the_first_one_stays(
    user_client: TestClient, user: User, session: Session, meanwhile: Meanwhile
) -> None:
    meanwhile("UPDATE users", "UPDATE users SET hashed_password = 'first', token_version = 1")

    change = {"current_password": PASSWORD, "new_password": "second password"}
    response = user_client.put("/users/me/password", json=change)

    assert response.status_code == 401
    assert response.json() == INVALID_TOKEN
    assert session.get_one(User, user.id).hashed_password == "first"


def test_login_does_not_restore_a_password_that_is_being_changed(
    client: TestClient, session: Session, meanwhile: Meanwhile
) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    user = UserFactory.create(username="user", hashed_password=old)
    meanwhile("UPDATE users", "UPDATE users SET hashed_password = 'changed', token_version = 1")

    response = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    assert response.status_code == 401
    assert session.get_one(User, user.id).hashed_password == "changed"


def test_admin_cannot_leave_when_the_other_one_left_first(
    admin_client: TestClient, admin: User, session: Session, meanwhile: Meanwhile
) -> None:
    other = UserFactory.create(admin=True)
    meanwhile("SELECT users.id", f"UPDATE users SET is_admin = FALSE WHERE id = {other.id}")

    response = admin_client.delete("/users/me")

    assert response.status_code == 409
    assert session.get(User, admin.id) is not None


def test_user_who_became_the_last_admin_cannot_leave(
    user_client: TestClient, user: User, session: Session, meanwhile: Meanwhile
) -> None:
    meanwhile("SELECT users.id", f"UPDATE users SET is_admin = TRUE WHERE id = {user.id}")

    response = user_client.delete("/users/me")

    assert response.status_code == 409
    assert session.get(User, user.id) is not None
