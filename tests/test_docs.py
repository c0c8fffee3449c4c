"""Swagger UI at /docs."""

import base64
import hashlib
import re

import pytest
from fastapi.testclient import TestClient


def test_docs_page_loads_nothing_from_other_hosts(client: TestClient) -> None:
    response = client.get("/docs")

    assert response.status_code == 200
    assert "http:" not in response.text
    assert "https:" not in response.text
    assert "//" not in re.sub(r"<!--.*?-->", "", response.text)


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"])
def test_docs_page_loads_its_files_from_our_server(client: TestClient, file: str) -> None:
    page = client.get("/docs").text

    response = client.get(f"/docs/{file}")

    assert f'"docs/{file}"' in page
    assert response.status_code == 200
    assert len(response.content) > 500


def test_docs_page_only_runs_its_own_scripts(client: TestClient) -> None:
    response = client.get("/docs")

    script = re.search(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert response.headers["Content-Security-Policy"] == (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


def test_docs_page_is_ready_to_try_out_operations(client: TestClient) -> None:
    response = client.get("/docs")

    assert '"tryItOutEnabled": true' in response.text
    assert '"defaultModelsExpandDepth": 0' in response.text
    assert '"openapi.json"' in response.text or "'openapi.json'" in response.text
    assert "<title>FastAPI testing example</title>" in response.text
