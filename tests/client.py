"""A test client that also checks every response against `openapi.json`."""

import re
from typing import Any

import httpx  # The tests of real servers use it.
import httpx2  # TestClient uses it.
from fastapi.testclient import TestClient

from app.main import app
from app.models import User
from app.security import create_token

PATHS: dict[str, dict[str, Any]] = app.openapi()["paths"]
# FastAPI's own errors: a body that can't be parsed, a wrong method, and a body that is too large.
NOT_DOCUMENTED = {400, 405, 413}
HEADERS = ["Link", "Location", "Retry-After", "WWW-Authenticate"]


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    """Return what the document says about an operation, such as PATCH /posts/{post_id}."""
    for template, operations in PATHS.items():  # In the order in which FastAPI tries them.
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return operations.get(method.lower())
    return None


def check_documented(response: httpx.Response | httpx2.Response) -> None:
    """Raise AssertionError if the status, or the text of the error, isn't documented."""
    method, path = response.request.method, response.request.url.path
    operation = find_operation(method, path)
    if operation is None or response.status_code in NOT_DOCUMENTED:
        return
    where = f"{method} {path}: {response.status_code}"
    assert str(response.status_code) in operation["responses"], (
        f"{where} isn't documented. Add its error to `document(...)` in the router."
    )
    documented = operation["responses"][str(response.status_code)]
    for name in HEADERS:
        assert name not in response.headers or name in documented.get("headers", {}), (
            f"{where} has a {name}, which isn't documented. Add LINK or LOCATION of app/docs.py to"
            " `responses=` in the router."
        )
    if response.is_error and response.status_code != 422:  # FastAPI has many texts for a 422.
        assert "content" in documented, f"{where}: describe it with `document(...)` in the router."
        texts = documented["content"]["application/json"]["examples"]
        assert response.json()["detail"] in texts, (
            f"{where} {response.text} isn't documented. Add its error to `document(...)`."
        )


class DocumentedClient(TestClient):
    """Fail the test if the app responds with anything that isn't in its documentation."""

    def request(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        response = super().request(*args, **kwargs)
        request = response.request
        # pytest shows this when the test fails.
        print(f"{request.method} {request.url.path}: {response.status_code} {response.text}")
        check_documented(response)
        return response


def client_with_token(token: str, **options: Any) -> TestClient:
    return DocumentedClient(app, headers={"Authorization": f"Bearer {token}"}, **options)


def client_of(user: User, **options: Any) -> TestClient:
    """Send requests with a token of this user. The options are those of TestClient."""
    return client_with_token(create_token(user.id, user.token_version), **options)
