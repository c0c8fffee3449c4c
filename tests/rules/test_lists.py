"""All operations that return a list do so in pages."""

import pytest
from fastapi.testclient import TestClient

from app.models import User
from tests.operations import LISTS, make_list_rows, make_rows, send


@pytest.mark.parametrize("operation", LISTS)
def test_next_page_goes_on_where_the_page_ended(
    operation: str, admin_client: TestClient, admin: User
) -> None:
    ids = make_rows(operation, owner=admin)
    make_list_rows(operation, ids, owner=admin)
    both_pages = send(admin_client, operation, ids, params={"limit": 20}).json()
    assert len(both_pages) == 20, "Make rows for this list in make_list_rows in tests/operations.py"

    page = send(admin_client, operation, ids, params={"limit": 10})
    next_page = admin_client.get(page.links["next"]["url"])

    assert page.json() + next_page.json() == both_pages
