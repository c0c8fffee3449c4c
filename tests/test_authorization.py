"""Who may do what: one table for all operations, and the order in which a request is refused."""

from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlmodel import Session, col, select

from app.main import app
from app.models import Post, User
from app.security import create_token
from tests.factories import PASSWORD, PostFactory, UserFactory

# The owner is the author of the post, and the user whose id is in the path. The admin is the only one.
TABLE = """
                                 anonymous  bad_token  owner  other  admin
GET    /                               200        200    200    200    200
GET    /health                         200        200    200    200    200
POST   /auth/register                  201        201    201    201    201
POST   /auth/token                     200        200    200    200    200
GET    /users/me                       401        401    200    200    200
PATCH  /users/me                       401        401    200    200    200
PUT    /users/me/password              401        401    204    204    204
DELETE /users/me                       401        401    204    204    409
GET    /admin/users                    401        401    403    403    200
PATCH  /admin/users/{user_id}          401        401    403    403    200
DELETE /admin/users/{user_id}          401        401    403    403    204
POST   /posts                          401        401    201    201    201
GET    /posts                          200        200    200    200    200
GET    /posts/{post_id}                200        200    200    200    200
PATCH  /posts/{post_id}                401        401    200    403    200
DELETE /posts/{post_id}                401        401    204    403    204
"""
ACTORS, *ROWS = (line.split() for line in TABLE.strip().splitlines())
MATRIX = [
    (method, path, actor, int(status))
    for method, path, *statuses in ROWS
    for actor, status in zip(ACTORS, statuses, strict=True)
]
# The pages about the API are no operations of it.
PAGES = {"/openapi.json", "/docs"}
JSON = {"Content-Type": "application/json"}
BODIES: dict[str, dict[str, Any]] = {
    "POST /auth/register": {"json": {"username": "new", "email": "new@example.com", "password": PASSWORD}},
    "POST /auth/token": {"data": {"username": "user", "password": PASSWORD}},
    "PATCH /users/me": {"json": {"email": "changed@example.com"}},
    "PUT /users/me/password": {"json": {"current_password": PASSWORD, "new_password": "another password"}},
    "PATCH /admin/users/{user_id}": {"json": {"is_admin": True}},
    "POST /posts": {"json": {"title": "Changed", "content": "Changed."}},
    "PATCH /posts/{post_id}": {"json": {"title": "Changed"}},
}


@pytest.fixture
def other() -> User:
    other: User = UserFactory.create(username="other")
    return other


@pytest.fixture
def headers(user: User, other: User, admin: User) -> dict[str, dict[str, str]]:
    """Say by what header each actor is known."""
    tokens = {
        "bad_token": "not.a.token",
        "owner": create_token(user.id, user.token_version),
        "other": create_token(other.id, other.token_version),
        "admin": create_token(admin.id, admin.token_version),
    }
    return {"anonymous": {}, **{actor: {"Authorization": f"Bearer {token}"} for actor, token in tokens.items()}}


def read_rows(session: Session) -> list[dict[str, object]]:
    session.expire_all()
    return [row.model_dump() for model in (User, Post) for row in session.exec(select(model).order_by(col(model.id)))]


@pytest.mark.parametrize(("method", "path", "actor", "status"), MATRIX)
def test_each_operation_is_for_those_it_is_meant_for(
    method: str,
    path: str,
    actor: str,
    status: int,
    client: TestClient,
    headers: dict[str, dict[str, str]],
    user: User,
    session: Session,
) -> None:
    post = PostFactory.create(author=user)
    before = read_rows(session)
    url = path.format(user_id=user.id, post_id=post.id)

    response = client.request(method, url, headers=headers[actor], **BODIES.get(f"{method} {path}", {}))

    assert response.status_code == status
    changed = read_rows(session) != before
    assert changed == (status < 300 and method != "GET" and path != "/auth/token")


def test_no_route_is_missing_from_the_table() -> None:
    routes = {
        (method, route.path)
        for route in iter_route_contexts(app.routes)
        if route.path not in PAGES
        for method in route.methods or ()
    }

    assert routes == {(method, path) for method, path, *_ in ROWS}


@pytest.mark.parametrize(
    ("request_line", "actor", "body", "status"),
    [
        ("POST /posts", "anonymous", '{"title": ""}', 401),
        ("POST /posts", "owner", '{"title": ""}', 422),
        ("PATCH /posts/{missing}", "anonymous", '{"title": ""}', 401),
        ("PATCH /posts/{missing}", "other", '{"title": ""}', 404),
        ("PATCH /posts/{post_id}", "other", '{"title": ""}', 403),
        ("PATCH /posts/{post_id}", "owner", '{"title": ""}', 422),
        ("PATCH /posts/0", "anonymous", '{"title": "Changed"}', 401),
        ("PATCH /posts/0", "other", '{"title": "Changed"}', 422),
        ("DELETE /posts/{missing}", "anonymous", None, 401),
        ("DELETE /posts/{missing}", "other", None, 404),
        ("PATCH /users/me", "anonymous", '{"email": ""}', 401),
        ("PUT /users/me/password", "anonymous", "{}", 401),
        ("GET /admin/users?limit=0", "anonymous", None, 401),
        ("GET /admin/users?limit=0", "owner", None, 403),
        ("PATCH /admin/users/{missing}", "anonymous", '{"is_admin": 1}', 401),
        ("PATCH /admin/users/{missing}", "owner", '{"is_admin": 1}', 403),
        ("PATCH /admin/users/{missing}", "admin", '{"is_admin": 1}', 404),
        ("PATCH /admin/users/{user_id}", "admin", '{"is_admin": 1}', 422),
        ("PATCH /admin/users/0", "owner", '{"is_admin": true}', 403),
        ("DELETE /admin/users/{missing}", "anonymous", None, 401),
        ("DELETE /admin/users/{missing}", "owner", None, 403),
        ("DELETE /admin/users/{missing}", "admin", None, 404),
        # What is no JSON at all is refused before anything else is asked.
        ("PATCH /posts/{missing}", "anonymous", "{", 422),
        ("PATCH /admin/users/{missing}", "owner", "{", 422),
    ],
)
def test_refusals_come_in_order(
    request_line: str,
    actor: str,
    body: str | None,
    status: int,
    client: TestClient,
    headers: dict[str, dict[str, str]],
    user: User,
) -> None:
    post = PostFactory.create(author=user)
    method, path = request_line.format(missing=2**40, post_id=post.id, user_id=user.id).split()

    response = client.request(
        method, path, headers=headers[actor] | {"Content-Type": "application/json"}, content=body
    )

    assert response.status_code == status
