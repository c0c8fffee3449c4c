"""Honest OpenAPI: whatever the app answers in any test has to be documented, or that test fails."""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.main import app


class Answer(NamedTuple):
    operation: str
    status: int
    detail: str | None = None


def read_document() -> tuple[dict[re.Pattern[str], str], dict[str, set[Answer]]]:
    """Return the paths, each by the pattern that finds it, and the documented answers of each operation."""
    paths: dict[re.Pattern[str], str] = {}
    answers: dict[str, set[Answer]] = {}
    for path, operations in app.openapi()["paths"].items():
        paths[re.compile(re.sub(r"{\w+}", "[^/]+", path))] = path
        for method, documented in operations.items():
            operation = f"{method.upper()} {path}"
            answers[operation] = set()
            for status, response in documented["responses"].items():
                body = response.get("content", {}).get("application/json", {})
                examples = [example["value"] for example in body.get("examples", {}).values()]
                examples += [body["example"]] if "example" in body else []
                details = {e["detail"] for e in examples if isinstance(e["detail"], str)}
                answers[operation] |= {Answer(operation, int(status), detail) for detail in {None, *details}}
    return paths, answers


PATHS, DOCUMENTED = read_document()


def find_undocumented(answers: set[Answer]) -> set[Answer]:
    """Leave out what is documented, and methods that a path does not have: their 405 is the framework's."""
    return {answer for answer in answers if answer not in DOCUMENTED.get(answer.operation, {answer})}


@pytest.fixture(scope="session")
def all_answers() -> Iterator[set[Answer]]:
    """Listen to the app for the whole run, outside of all its middleware."""
    answers: set[Answer] = set()
    inner = app.build_middleware_stack()

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        status, body = 0, b""

        async def send_and_keep(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")
            await send(message)

        try:
            await inner(scope, receive, send_and_keep if scope["type"] == "http" else send)
        finally:
            for path in [path for pattern, path in PATHS.items() if pattern.fullmatch(scope.get("path", ""))]:
                # The texts of a 400 are those of the parsers, too many to list.
                detail = json.loads(body)["detail"] if body.startswith(b"{") and status > 400 else None
                answers.add(Answer(f"{scope['method']} {path}", status, detail if isinstance(detail, str) else None))

    app.middleware_stack = listen
    yield answers
    app.middleware_stack = None


@pytest.fixture(autouse=True)
def answers(all_answers: set[Answer]) -> Iterator[set[Answer]]:
    """Collect what the app answers in this test, which fails if any of it is not in the OpenAPI."""
    all_answers.clear()
    yield all_answers
    assert not find_undocumented(all_answers), "openapi.json does not know these answers"
