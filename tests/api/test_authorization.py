"""Who may do what, as one table of all operations, and the order in which requests are refused."""

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.main import app
from app.models import User
from tests.client import client_of, client_with_token
from tests.databases import read_rows
from tests.factories import PostFactory, UserFactory
from tests.operations import OPERATIONS, make_rows, send

# The rows that an operation needs, such as a post, belong to the owner.
TABLE = """
                                 anonymous  bad_token  owner  other_user  admin
GET    /                               200        200    200         200    200
GET    /health                         200        200    200         200    200
POST   /auth/register                  201        201    201         201    201
POST   /auth/token                     200        200    200         200    200
DELETE /auth/tokens                    401        401    204         204    204
GET    /users/me                       401        401    200         200    200
PATCH  /users/me                       401        401    200         200    200
PUT    /users/me/password              401        401    204         204    204
DELETE /users/me                       401        401    204         204    409
GET    /admin/users                    401        401    403         403    200
PATCH  /admin/users/{user_id}          401        401    403         403    200
DELETE /admin/users/{user_id}          401        401    403         403    204
POST   /posts                          401        401    201         201    201
GET    /posts                          200        200    200         200    200
GET    /posts/{post_id}                200        200    200         200    200
PATCH  /posts/{post_id}                401        401    200         403    200
DELETE /posts/{post_id}                401        401    204         403    204
"""
ACTORS, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CASES = [
    (f"{method} {path}", actor, int(status))
    for method, path, *statuses in ROWS
    for actor, status in zip(ACTORS, statuses, strict=True)
]
ALLOWED = [case for case in CASES if case[2] < 400]
REFUSED = [case for case in CASES if case[2] >= 400]
# These belong to FastAPI, and aren't operations of the API.
DOCUMENTATION = {"/openapi.json", "/docs"}


@pytest.fixture
def users(user: User, admin: User) -> dict[str, User]:
    """Name the user of each column. Requests without a good token come from nobody."""
    nobody, other_user = UserFactory.create_batch(2)
    return {
        "anonymous": nobody,
        "bad_token": nobody,
        "owner": user,
        "other_user": other_user,
        "admin": admin,
    }


@pytest.fixture
def clients(client: TestClient, users: dict[str, User]) -> dict[str, TestClient]:
    """Make a client for each column of the table."""
    return {name: client_of(user) for name, user in users.items()} | {
        "anonymous": client,
        "bad_token": client_with_token("not.a.token"),
    }


@pytest.mark.parametrize(("operation", "actor", "status"), ALLOWED)
def test_operation_is_allowed(
    operation: str,
    actor: str,
    status: int,
    clients: dict[str, TestClient],
    users: dict[str, User],
    user: User,
) -> None:
    ids = make_rows(operation, owner=user)

    response = send(clients[actor], operation, ids)

    assert response.status_code == status, (
        f"{response.text} If a row is missing, make it in make_rows in tests/operations.py. If this"
        f" is how it should be, correct the table in {__file__}."
    )


@pytest.mark.parametrize(("operation", "actor", "status"), REFUSED)
def test_operation_is_refused_and_changes_nothing(
    operation: str,
    actor: str,
    status: int,
    clients: dict[str, TestClient],
    users: dict[str, User],
    user: User,
    session: Session,
) -> None:
    ids = make_rows(operation, owner=user)
    before = read_rows(session)

    response = send(clients[actor], operation, ids)

    assert response.status_code == status, (
        f"{response.text} If this is how it should be, correct the table in {__file__}."
    )
    assert read_rows(session) == before


def suggest_row(operation: str) -> str:
    """Return a row to start from. Correct it where others may do less than the owner."""
    method, path = operation.split()
    responses = OPERATIONS.get(operation, {}).get("responses", {"200": {}})
    status = min(responses)
    stranger = "401" if "401" in responses else status
    user = "403" if "Admin access required" in str(responses) else status
    return f"{method:6} {path:30} {stranger:>9} {stranger:>10} {user:>6} {user:>11} {status:>6}"


def test_every_operation_has_a_row_in_the_table() -> None:
    routes = {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        if route.path not in DOCUMENTATION
        for method in route.methods or ()
    }
    named = {f"{method} {path}" for method, path, *_ in ROWS}

    missing = [suggest_row(operation) for operation in sorted(routes - named)]
    assert not missing, f"Add to the table in {__file__}:\n" + "\n".join(missing)


@pytest.mark.parametrize(
    ("operation", "actor", "body", "status"),
    [
        # Who you are (401), whether it exists (404), whether you may (403), whether the body is
        # valid (422).
        ("PATCH /posts/{unknown_id}", "anonymous", '{"title": ""}', 401),
        ("PATCH /posts/{unknown_id}", "other_user", '{"title": ""}', 404),
        ("PATCH /posts/{post_id}", "other_user", '{"title": ""}', 403),
        ("PATCH /posts/{post_id}", "owner", '{"title": ""}', 422),
        ("DELETE /posts/{unknown_id}", "anonymous", None, 401),
        ("DELETE /posts/{unknown_id}", "other_user", None, 404),
        ("POST /posts", "anonymous", '{"title": ""}', 401),
        ("PATCH /users/me", "anonymous", '{"email": ""}', 401),
        ("PUT /users/me/password", "anonymous", "{}", 401),
        # An id that no row can have is invalid, which comes last as well.
        ("PATCH /posts/0", "anonymous", '{"title": "Changed"}', 401),
        ("PATCH /posts/0", "other_user", '{"title": "Changed"}', 422),
        # For admins' operations, 403 comes before 404: nobody else learns which ids exist.
        ("PATCH /admin/users/{unknown_id}", "anonymous", '{"is_admin": 1}', 401),
        ("PATCH /admin/users/{unknown_id}", "owner", '{"is_admin": 1}', 403),
        ("PATCH /admin/users/{unknown_id}", "admin", '{"is_admin": 1}', 404),
        ("PATCH /admin/users/{user_id}", "admin", '{"is_admin": 1}', 422),
        ("PATCH /admin/users/0", "owner", '{"is_admin": true}', 403),
        ("DELETE /admin/users/{unknown_id}", "anonymous", None, 401),
        ("DELETE /admin/users/{unknown_id}", "owner", None, 403),
        ("DELETE /admin/users/{unknown_id}", "admin", None, 404),
        ("GET /admin/users?limit=0", "anonymous", None, 401),
        ("GET /admin/users?limit=0", "owner", None, 403),
        # FastAPI refuses what isn't JSON before anything else.
        ("PATCH /posts/{unknown_id}", "anonymous", "{", 422),
        ("PATCH /admin/users/{unknown_id}", "owner", "{", 422),
    ],
)
def test_request_is_refused_for_the_first_reason_in_this_order(
    operation: str,
    actor: str,
    body: str | None,
    status: int,
    clients: dict[str, TestClient],
    user: User,
) -> None:
    post = PostFactory.create(author=user)
    ids = {"unknown_id": 2**40, "post_id": post.id, "user_id": user.id}
    method, path = operation.format(**ids).split()

    response = clients[actor].request(
        method, path, content=body, headers={"Content-Type": "application/json"}
    )

    assert response.status_code == status
