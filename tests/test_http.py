"""What HTTP and browsers expect of every response."""

import pytest
from fastapi.testclient import TestClient

from tests.factories import PostFactory


def test_root_says_hello(client: TestClient) -> None:
    response = client.get("/")

    assert response.status_code == 200
    assert response.json() == {"message": "FastAPI testing example"}


def test_service_is_healthy_when_its_database_works(client: TestClient) -> None:
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/docs",
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/posts?limit=1",
        "/posts/1",
        "/posts/0",
        "/posts/999",
        "/users/me",
        "/admin/users?limit=1",
        "/nowhere",
    ],
)
def test_head_has_the_headers_of_get_and_no_body(admin_client: TestClient, path: str) -> None:
    PostFactory.create(id=1)
    PostFactory.create(id=2)
    get_response = admin_client.get(path)

    response = admin_client.head(path)

    assert response.status_code == get_response.status_code
    assert response.headers == get_response.headers
    assert response.content == b""


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/health", "GET, HEAD"),
        ("PUT", "/docs", "GET, HEAD"),
        ("PUT", "/openapi.json", "GET, HEAD"),
        ("PUT", "/docs/swagger-ui.css", "GET, HEAD"),
        ("GET", "/auth/register", "POST"),
        ("HEAD", "/auth/token", "POST"),
        ("GET", "/auth/tokens", "DELETE"),
        ("POST", "/users/me", "DELETE, GET, HEAD, PATCH"),
        ("PATCH", "/users/me/password", "PUT"),
        ("POST", "/admin/users", "GET, HEAD"),
        ("GET", "/admin/users/1", "DELETE, PATCH"),
        ("PUT", "/posts", "GET, HEAD, POST"),
        ("OPTIONS", "/posts", "GET, HEAD, POST"),
        ("PUT", "/posts/1", "DELETE, GET, HEAD, PATCH"),
    ],
)
def test_wrong_method_is_refused_with_a_list_of_all_methods(
    client: TestClient, method: str, path: str, allow: str
) -> None:
    response = client.request(method, path)

    assert response.status_code == 405
    assert response.headers["Allow"] == allow


def test_wrong_method_is_refused_in_the_form_of_all_errors(client: TestClient) -> None:
    response = client.put("/posts")

    assert response.json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/nowhere", "/posts/", "/auth/token/", "/users/me/"])
def test_unknown_path_is_not_found_and_never_redirected(client: TestClient, path: str) -> None:
    response = client.post(path, follow_redirects=False)

    assert response.status_code == 404
    assert response.json() == {"detail": "Not Found"}


@pytest.mark.parametrize(
    "path", ["/", "/posts", "/users/me", "/nowhere", "/docs", "/docs/swagger-ui.css"]
)
def test_browsers_are_told_not_to_guess_the_media_type(client: TestClient, path: str) -> None:
    response = client.get(path)

    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/users/me", "/posts", "/admin/users", "/nowhere"])
def test_response_to_a_request_with_a_token_is_not_cached(
    user_client: TestClient, path: str
) -> None:
    response = user_client.get(path)

    assert response.headers["Cache-Control"] == "no-store"


def test_response_to_a_request_without_a_token_can_be_cached(client: TestClient) -> None:
    response = client.get("/posts")

    assert "Cache-Control" not in response.headers


@pytest.mark.parametrize("origin", ["https://allowed.example.com", "https://other.example.com"])
def test_website_on_the_list_can_read_responses(client: TestClient, origin: str) -> None:
    response = client.get("/posts", headers={"Origin": origin})

    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Expose-Headers"] == "Link, Location, Retry-After"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_website_on_the_list_can_send_a_token(client: TestClient, method: str) -> None:
    preflight = {
        "Origin": "https://allowed.example.com",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }

    response = client.options("/posts", headers=preflight)

    assert response.status_code == 200
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_other_websites_cannot_read_responses(client: TestClient) -> None:
    response = client.get("/posts", headers={"Origin": "https://evil.example.com"})

    assert "Access-Control-Allow-Origin" not in response.headers
