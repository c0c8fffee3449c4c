"""One valid request for each operation of the API."""

from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from app.models import Post, User
from tests.factories import PASSWORD

# What to send with each operation, as keyword arguments of `client.request`.
REQUESTS: dict[str, dict[str, Any]] = {
    "GET /": {},
    "GET /health": {},
    "POST /auth/register": {
        "json": {"username": "new", "email": "new@example.com", "password": PASSWORD}
    },
    "POST /auth/token": {"data": {"username": "user", "password": PASSWORD}},
    "DELETE /auth/tokens": {},
    "GET /users/me": {},
    "PATCH /users/me": {"json": {"email": "changed@example.com"}},
    "PUT /users/me/password": {
        "json": {"current_password": PASSWORD, "new_password": "another good password"}
    },
    "DELETE /users/me": {},
    "GET /admin/users": {},
    "PATCH /admin/users/{user_id}": {"json": {"is_admin": True}},
    "DELETE /admin/users/{user_id}": {},
    "POST /posts": {"json": {"title": "New", "content": "New content."}},
    "GET /posts": {},
    "GET /posts/{post_id}": {},
    "PATCH /posts/{post_id}": {"json": {"title": "Changed"}},
    "DELETE /posts/{post_id}": {},
}


JSON_OPERATIONS = [operation for operation, request in REQUESTS.items() if "json" in request]


def send(client: TestClient, operation: str, user: User, post: Post, **request: Any) -> Response:
    """Send the valid request of an operation such as "PATCH /posts/{post_id}", or another one."""
    method, path = operation.format(user_id=user.id, post_id=post.id).split()
    return client.request(method, path, **(request or REQUESTS[operation]))
