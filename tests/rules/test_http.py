"""What HTTP and browsers expect of every response."""

import pytest
from fastapi.testclient import TestClient

from tests.factories import UserFactory


@pytest.mark.parametrize(
    ("path", "body"), [("/", {"message": "FastAPI testing example"}), ("/health", {"status": "ok"})]
)
def test_service_greets_and_is_healthy(client: TestClient, path: str, body: dict[str, str]) -> None:
    response = client.get(path)

    assert response.status_code == 200
    assert response.json() == body


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docs/swagger-ui.css", "/users/me", "/admin/users?limit=1", "/no"]
)
def test_head_has_the_headers_of_get_and_no_body(admin_client: TestClient, path: str) -> None:
    UserFactory.create_batch(2)
    get_response = admin_client.get(path)

    response = admin_client.head(path)

    assert response.status_code == get_response.status_code
    assert response.headers == get_response.headers
    assert response.content == b""


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/users/me"), ("GET", "/auth/token"), ("HEAD", "/auth/token")]
)
def test_wrong_method_is_refused(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)

    assert response.status_code == 405


@pytest.mark.parametrize("path", ["/nowhere", "/auth/token/", "/users/me/"])
def test_unknown_path_is_not_found_and_never_redirected(client: TestClient, path: str) -> None:
    response = client.post(path, follow_redirects=False)

    assert response.status_code == 404
    assert response.json() == {"detail": "Not Found"}


@pytest.mark.parametrize("path", ["/", "/users/me", "/nowhere", "/docs", "/docs/swagger-ui.css"])
def test_browsers_are_told_not_to_guess_the_media_type(client: TestClient, path: str) -> None:
    response = client.get(path)

    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/users/me", "/", "/admin/users", "/nowhere"])
def test_response_to_a_request_with_a_token_is_not_cached(
    user_client: TestClient, path: str
) -> None:
    response = user_client.get(path)

    assert response.headers["Cache-Control"] == "no-store"


def test_response_to_a_request_without_a_token_can_be_cached(client: TestClient) -> None:
    response = client.get("/")

    assert "Cache-Control" not in response.headers


@pytest.mark.parametrize("origin", ["https://allowed.example.com", "https://other.example.com"])
def test_website_on_the_list_can_read_responses(client: TestClient, origin: str) -> None:
    response = client.get("/", headers={"Origin": origin})

    assert response.headers["Access-Control-Allow-Origin"] == origin
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


def test_other_websites_cannot_read_responses(client: TestClient) -> None:
    response = client.get("/", headers={"Origin": "https://evil.example.com"})

    assert "Access-Control-Allow-Origin" not in response.headers
