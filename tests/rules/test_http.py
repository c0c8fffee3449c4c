"""What HTTP and browsers expect of every response."""

import pytest
from fastapi.testclient import TestClient

from app.main import app
from tests.factories import UserFactory


def test_service_greets_and_is_healthy(client: TestClient) -> None:
    greeting = client.get("/")
    health = client.get("/health")

    assert greeting.json() == {"message": app.title}
    assert health.json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/docs/swagger-ui.css", "/admin/users?limit=1", "/auth/token"])
def test_head_has_the_headers_of_get_and_no_body(admin_client: TestClient, path: str) -> None:
    UserFactory.create_batch(2)
    get_response = admin_client.get(path)

    response = admin_client.head(path)

    assert response.status_code == get_response.status_code
    assert response.headers == get_response.headers
    assert response.content == b""


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("PUT", "/users/me", 405, "Method Not Allowed"),
        ("POST", "/nowhere", 404, "Not Found"),
        ("POST", "/auth/token/", 404, "Not Found"),
    ],
)
def test_unknown_path_or_method_is_refused_and_never_redirected(
    client: TestClient, method: str, path: str, status: int, detail: str
) -> None:
    response = client.request(method, path, follow_redirects=False)

    assert response.status_code == status
    assert response.json() == {"detail": detail}


@pytest.mark.parametrize("path", ["/", "/admin/users", "/nowhere", "/docs", "/docs/swagger-ui.css"])
def test_response_to_a_request_with_a_token_has_protective_headers(
    user_client: TestClient, path: str
) -> None:
    authorization = user_client.headers["Authorization"].replace("Bearer", "bearer")

    response = user_client.get(path, headers={"Authorization": authorization})

    # Browsers must not guess the media type, and caches must not store the response.
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


def test_response_to_a_request_without_a_token_has_no_cache_control(client: TestClient) -> None:
    response = client.get("/")

    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Cache-Control" not in response.headers


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://allowed.example.com", "https://allowed.example.com"),
        ("https://other.example.com", "https://other.example.com"),
        ("https://allowed-example.com", None),
    ],
)
def test_only_websites_on_the_list_can_read_responses(
    client: TestClient, origin: str, allowed: str | None
) -> None:
    response = client.get("/", headers={"Origin": origin})

    assert response.headers.get("Access-Control-Allow-Origin") == allowed
    assert response.headers["Access-Control-Expose-Headers"] == "Link, Location, Retry-After"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_website_on_the_list_can_send_a_token(client: TestClient, method: str) -> None:
    preflight = {
        "Origin": "https://allowed.example.com",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }

    response = client.options("/users/me", headers=preflight)

    assert response.status_code == 200
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Credentials" not in response.headers
