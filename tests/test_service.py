import base64
import hashlib
import re
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.server import running_server


def test_root_says_hello(client: TestClient) -> None:
    response = client.get("/")

    assert response.status_code == 200
    assert response.json() == {"message": "FastAPI testing example"}


def test_service_with_a_database_is_healthy(client: TestClient) -> None:
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/", "/posts", "/users/me", "/nowhere", "/docs", "/docs/swagger-ui.css"])
def test_browser_must_not_guess_the_type_of_an_answer(client: TestClient, path: str) -> None:
    response = client.get(path)

    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/users/me", "/posts", "/admin/users", "/nowhere"])
def test_answer_to_a_token_is_not_kept_in_caches(user_client: TestClient, path: str) -> None:
    response = user_client.get(path)

    assert response.headers["Cache-Control"] == "no-store"


def test_answer_to_nobody_may_be_kept_in_caches(client: TestClient) -> None:
    response = client.get("/posts")

    assert "Cache-Control" not in response.headers


def test_page_of_an_allowed_origin_may_read_answers(client: TestClient) -> None:
    response = client.get("/posts", headers={"Origin": "https://allowed.example.com"})

    assert response.headers["Access-Control-Allow-Origin"] == "https://allowed.example.com"
    assert response.headers["Access-Control-Expose-Headers"] == "Link, Retry-After"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_page_of_an_allowed_origin_may_send_requests_with_a_token(client: TestClient, method: str) -> None:
    preflight = {
        "Origin": "https://allowed.example.com",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }

    response = client.options("/posts", headers=preflight)

    assert response.status_code == 200
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_page_of_another_origin_may_not_read_answers(client: TestClient) -> None:
    response = client.get("/posts", headers={"Origin": "https://evil.example.com"})

    assert "Access-Control-Allow-Origin" not in response.headers


def test_no_page_of_another_origin_may_read_answers_by_default(tmp_path: Path) -> None:
    with running_server(f"sqlite:///{tmp_path}/test.db", CORS_ORIGINS="") as server:
        response = httpx2.get(server.url, headers={"Origin": "https://allowed.example.com"})

    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers


def test_body_of_more_than_a_mebibyte_is_refused(user_client: TestClient) -> None:
    response = user_client.post("/posts", json={"title": "Hello", "content": "x" * 1024 * 1024})

    assert response.status_code == 413


def test_docs_page_asks_no_other_host(client: TestClient) -> None:
    response = client.get("/docs")

    assert response.status_code == 200
    assert "http:" not in response.text
    assert "https:" not in response.text
    assert "//" not in re.sub(r"<!--.*?-->", "", response.text)


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"])
def test_files_of_the_docs_page_come_from_here(client: TestClient, file: str) -> None:
    assert f'"docs/{file}"' in client.get("/docs").text

    response = client.get(f"/docs/{file}")

    assert response.status_code == 200
    assert len(response.content) > 500


def test_docs_page_may_run_its_own_scripts_only(client: TestClient) -> None:
    response = client.get("/docs")

    policy = response.headers["Content-Security-Policy"]
    script = re.search(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_docs_page_is_ready_to_try_operations_out(client: TestClient) -> None:
    response = client.get("/docs")

    assert '"tryItOutEnabled": true' in response.text
    assert '"defaultModelsExpandDepth": 0' in response.text
