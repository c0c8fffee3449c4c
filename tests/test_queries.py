"""How many statements each operation costs, and by which index the database finds the rows."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event
from sqlmodel import Session

from app.models import User
from tests.factories import PASSWORD, PostFactory, UserFactory

# As it is sent to the database, with its parameters.
Statement = tuple[str, Any]


@pytest.fixture
def statements(engine: Engine) -> Iterator[list[Statement]]:
    collected: list[Statement] = []

    def collect(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        collected.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", collect)
    yield collected
    event.remove(engine, "before_cursor_execute", collect)


# One of them reads the user whom the token names; to keep the last admin takes a lock and a look.
@pytest.mark.parametrize(
    ("operation", "count", "request_body"),
    [
        ("GET /", 0, {}),
        ("GET /health", 1, {}),
        ("POST /auth/register", 2, {"json": {"username": "a", "email": "a@example.com", "password": PASSWORD}}),
        ("POST /auth/token", 1, {"data": {"username": "admin", "password": PASSWORD}}),
        ("GET /users/me", 1, {}),
        ("PATCH /users/me", 2, {"json": {"username": "renamed"}}),
        ("PUT /users/me/password", 2, {"json": {"current_password": PASSWORD, "new_password": "another password"}}),
        ("DELETE /users/me", 4, {}),
        ("GET /admin/users", 2, {}),
        ("PATCH /admin/users/{user_id}", 3, {"json": {"is_admin": True}}),
        ("DELETE /admin/users/{user_id}", 5, {}),
        ("POST /posts", 2, {"json": {"title": "Hello", "content": "My first post."}}),
        ("GET /posts", 1, {}),
        ("GET /posts/{post_id}", 1, {}),
        ("PATCH /posts/{post_id}", 3, {"json": {"title": "Changed"}}),
        ("DELETE /posts/{post_id}", 3, {}),
    ],
)
def test_operation_costs_so_many_statements(
    operation: str,
    count: int,
    request_body: dict[str, Any],
    admin_client: TestClient,
    user: User,
    statements: list[Statement],
) -> None:
    UserFactory.create(admin=True)
    post = PostFactory.create(author=user)
    method, path = operation.format(user_id=user.id, post_id=post.id).split()
    statements.clear()

    response = admin_client.request(method, path, **request_body)

    assert response.is_success
    assert len(statements) == count, statements


@pytest.mark.parametrize("rows", [1, 10, 100])
@pytest.mark.parametrize(("path", "count"), [("/posts?limit=100", 1), ("/admin/users?limit=100", 2)])
def test_list_costs_the_same_however_long_it_is(
    path: str, count: int, rows: int, admin_client: TestClient, admin: User, statements: list[Statement]
) -> None:
    UserFactory.create_batch(rows - 1)
    PostFactory.create_batch(rows, author=admin)
    statements.clear()

    response = admin_client.get(path)

    assert len(response.json()) == rows
    assert len(statements) == count


def explain(statement: Statement, session: Session) -> str:
    """Ask the database how it would find the rows if there were so many that an index is worth it."""
    query, parameters = statement
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", parameters)
        return "\n".join(row.detail for row in rows)
    for way in ("seqscan", "bitmapscan", "sort"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {query}", parameters).scalars())


BY_ID = {"sqlite": "SEARCH posts USING INTEGER PRIMARY KEY", "postgresql": "using posts_pkey on posts"}
BY_AUTHOR = {
    "sqlite": "SEARCH posts USING INDEX ix_posts_user_id_id",
    "postgresql": "using ix_posts_user_id_id on posts",
}
BY_NAME = {"sqlite": "SEARCH users USING INDEX ix_users_username", "postgresql": "using ix_users_username on users"}


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    ("query", "plans"),
    [
        # SQLite keeps the rows themselves in the order of their ids, and stops behind the page.
        ("", BY_ID | {"sqlite": "SCAN posts"}),
        ("after=3&", BY_ID),
        ("user_id=2&", BY_AUTHOR),
        ("user_id=2&after=3&", BY_AUTHOR),
    ],
)
def test_index_finds_a_page_of_posts(
    query: str, plans: dict[str, str], order: str, client: TestClient, session: Session, statements: list[Statement]
) -> None:
    client.get(f"/posts?{query}order={order}")

    plan = explain(statements[-1], session)

    assert plans[session.connection().dialect.name] in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_index_finds_the_user_who_logs_in(
    client: TestClient, user: User, session: Session, statements: list[Statement]
) -> None:
    client.post("/auth/token", data={"username": "USER", "password": PASSWORD})

    plan = explain(statements[-1], session)

    assert BY_NAME[session.connection().dialect.name] in plan
