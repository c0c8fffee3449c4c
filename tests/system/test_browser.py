"""Swagger UI in a real Chromium that can reach no other host."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.factories import PASSWORD
from tests.system.server import Server

# Without Playwright the whole module is skipped, so that running it alone ends with status 5.
playwright = pytest.importorskip(
    "playwright.sync_api", reason="not run: `uv sync --group browser` brings Playwright"
)
if not (chromium := shutil.which("chromium")):
    pytest.skip("not run: there is no chromium on the PATH", allow_module_level=True)

# Longer than the default, as nothing here is about speed.
playwright.expect.set_options(timeout=30_000)

ONLY_THIS_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@pytest.fixture
def page() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", ONLY_THIS_HOST]
        )
        yield browser.new_page()
        browser.close()


def execute(page: Any, operation: str, *, shows: str) -> None:
    """Execute an operation as Swagger UI suggests it, and wait for the status to be shown."""
    block = page.locator(f"#operations-{operation}")
    button = block.get_by_role("button", name="Execute")
    if not button.is_visible():
        block.locator(".opblock-summary-control").click()
    button.click()
    playwright.expect(
        block.locator(".live-responses-table tbody .response-col_status")
    ).to_contain_text(shows)


def test_docs_take_a_newcomer_from_a_401_to_their_account(page: Any, server: Server) -> None:
    messages, requests = [], []
    page.on(
        "console",
        lambda message: messages.append((message.type, message.text, message.location["url"])),
    )
    page.on("pageerror", lambda error: messages.append(("error", error.message, server.url)))
    page.on("request", lambda request: requests.append(request.url))

    page.goto(f"{server.url}/docs")
    execute(page, "users-read_current_user", shows="401")
    execute(page, "auth-register", shows="201")
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".dialog-ux")
    dialog.get_by_label("username").fill("alice")
    dialog.get_by_label("password").fill(PASSWORD)
    dialog.locator(".authorize").click()
    playwright.expect(dialog).to_contain_text("Authorized")
    dialog.get_by_text("Close").click()
    execute(page, "users-read_current_user", shows="200")
    execute(page, "users-update_current_user", shows="200")

    # The browser's own line about the 401 that is meant to be there.
    refusal = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"
    assert [message for message in messages if message[0] in ("error", "warning")] == [
        ("error", refusal, f"{server.url}/users/me")
    ]
    here = (f"{server.url}/", "data:")
    assert [address for address in requests if not address.startswith(here)] == []
