"""A test client that also checks every response against `openapi.json`."""

import re
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Request, Response

from app.main import app
from app.models import User
from app.security import create_token

PATHS: dict[str, dict[str, Any]] = app.openapi()["paths"]


def find_operation(request: Request) -> dict[str, Any] | None:
    """Return what the document says about the operation, such as PATCH /posts/{post_id}."""
    # A path without parameters comes first: /users/me is never the /users/{user_id} of an adopter.
    for path in sorted(PATHS, key=lambda path: path.count("{")):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), request.url.path):
            return PATHS[path].get(request.method.lower())
    return None


def check_documented(response: Response) -> None:
    """Raise AssertionError if the status, or the text of the error, isn't documented."""
    operation = find_operation(response.request)
    if operation is None:
        return  # It doesn't exist, so the response is a 404 or a 405.
    where = f"{response.request.method} {response.request.url.path}: {response.status_code}"
    assert str(response.status_code) in operation["responses"], where
    # FastAPI has too many texts for 400 and 422 to document them all.
    if response.is_error and response.status_code not in (400, 422):
        content = operation["responses"][str(response.status_code)]["content"]
        texts = content["application/json"]["examples"]
        assert response.json()["detail"] in texts, f"{where} {response.text}"


class DocumentedClient(TestClient):
    """Fail the test if the app responds with anything that isn't in its documentation."""

    def request(self, *args: Any, **kwargs: Any) -> Response:
        response = super().request(*args, **kwargs)
        check_documented(response)
        return response


def client_with_token(token: str) -> TestClient:
    return DocumentedClient(app, headers={"Authorization": f"Bearer {token}"})


def client_of(user: User) -> TestClient:
    """Send requests with a token of this user."""
    return client_with_token(create_token(user.id, user.token_version))
