"""Swagger UI at /docs."""

import re

import pytest
from fastapi.testclient import TestClient

from app.main import app


def test_docs_page_is_ready_and_loads_nothing_from_other_hosts(client: TestClient) -> None:
    response = client.get("/docs")

    assert response.status_code == 200
    assert f"<title>{app.title}</title>" in response.text
    assert '"openapi.json"' in response.text or "'openapi.json'" in response.text
    assert '"tryItOutEnabled": true' in response.text
    assert '"defaultModelsExpandDepth": 0' in response.text
    assert "//" not in re.sub(r"<!--.*?-->", "", response.text)


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"])
def test_docs_page_loads_its_files_from_our_server(client: TestClient, file: str) -> None:
    page = client.get("/docs").text

    response = client.get(f"/docs/{file}")

    assert f'"docs/{file}"' in page
    assert response.status_code == 200
    assert len(response.content) > 500
