"""What happens when a row changes between the moment a request reads and the moment it writes."""

from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, event
from sqlmodel import Session

from app.models import User
from tests.client import client_with_token
from tests.factories import PASSWORD, UserFactory

RunBefore = Callable[[str, str], None]
SELECT_ADMINS = "SELECT users.id FROM users WHERE users.is_admin"
CONFLICT = {"detail": "Conflicts with the current data"}


@pytest.fixture
def run_before(engine: Engine) -> Iterator[RunBefore]:
    """Run some SQL right before the app's first statement that begins like this, in one line.

    It plays the part of another request, which comes in between.
    """
    pending: dict[str, str] = {}

    def plan(beginning: str, sql: str) -> None:
        pending[beginning] = sql

    def run_planned_sql(connection: Connection, _: object, statement: str, *__: object) -> None:
        sql_in_one_line = " ".join(statement.split())
        for beginning in list(pending):
            if sql_in_one_line.startswith(beginning):
                connection.exec_driver_sql(pending.pop(beginning))

    event.listen(engine, "before_cursor_execute", run_planned_sql)
    yield plan
    event.remove(engine, "before_cursor_execute", run_planned_sql)
    assert pending == {}, f"The app never ran {' or '.join(pending)}"


def test_updating_an_account_is_a_conflict_when_it_was_just_deleted(
    user_client: TestClient, run_before: RunBefore
) -> None:
    run_before("UPDATE users", "DELETE FROM users")

    response = user_client.patch("/users/me", json={"username": "late"})

    assert response.status_code == 409
    assert response.json() == CONFLICT


def test_deleting_an_account_succeeds_when_it_was_just_deleted(
    user_client: TestClient, run_before: RunBefore
) -> None:
    run_before("DELETE FROM users", "DELETE FROM users")

    response = user_client.delete("/users/me")

    assert response.status_code == 204


def test_login_that_hashes_again_keeps_a_password_that_was_just_changed(
    client: TestClient, session: Session, run_before: RunBefore
) -> None:
    outdated = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    user = UserFactory.create(username="user", hashed_password=outdated)
    change = "UPDATE users SET hashed_password = 'changed', token_version = 1"
    run_before("UPDATE users", change)

    response = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    assert response.status_code == 200
    assert session.get_one(User, user.id).hashed_password == "changed"
    new_client = client_with_token(response.json()["access_token"])
    assert new_client.get("/users/me").status_code == 401


@pytest.mark.parametrize("path", ["/users/me", "/admin/users/{user_id}"])
def test_user_who_just_became_the_last_admin_cannot_be_deleted(
    path: str,
    user_client: TestClient,
    admin_client: TestClient,
    user: User,
    session: Session,
    run_before: RunBefore,
) -> None:
    run_before(SELECT_ADMINS, f"UPDATE users SET is_admin = (id = {user.id})")

    client = admin_client if path.startswith("/admin/") else user_client
    response = client.delete(path.format(user_id=user.id))

    assert response.status_code == 409
    assert response.json() == {"detail": "The last admin cannot be removed"}
    assert session.get(User, user.id) is not None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/users/me", None),
        ("DELETE", "/admin/users/{admin_id}", None),
        ("PATCH", "/admin/users/{admin_id}", {"is_admin": False}),
    ],
)
def test_admin_cannot_be_removed_when_they_just_became_the_last_one(
    method: str,
    path: str,
    body: dict[str, bool] | None,
    admin_client: TestClient,
    admin: User,
    session: Session,
    run_before: RunBefore,
) -> None:
    other = UserFactory.create(admin=True)
    run_before(SELECT_ADMINS, f"UPDATE users SET is_admin = FALSE WHERE id = {other.id}")

    response = admin_client.request(method, path.format(admin_id=admin.id), json=body)

    assert response.status_code == 409
    assert response.json() == {"detail": "The last admin cannot be removed"}
    assert session.get_one(User, admin.id).is_admin is True
