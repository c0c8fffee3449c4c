"""What is special about posts: any text, a time, and an author who may be gone."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event
from sqlmodel import Session, select

from app.models import Post

characters = st.characters(exclude_categories=["Cc", "Cs"])


@given(
    title=st.text(characters, max_size=98).map("x{}x".format),
    content=st.text(characters | st.sampled_from("\t\r\n"), max_size=200).map("x{}x".format),
)
def test_post_comes_back_as_it_was_sent(title: str, content: str, user_client: TestClient) -> None:
    created = user_client.post("/posts", json={"title": title, "content": content}).json()

    response = user_client.get(f"/posts/{created['id']}")

    assert response.json()["title"] == title
    assert response.json()["content"] == content


def test_creating_a_post_is_a_conflict_when_the_account_was_just_deleted(
    user_client: TestClient, engine: Engine, session: Session
) -> None:
    @event.listens_for(engine, "before_cursor_execute")
    def delete_account(connection: Connection, _: object, sql: str, *__: object) -> None:
        if sql.startswith("INSERT INTO posts"):
            connection.exec_driver_sql("DELETE FROM users")

    response = user_client.post("/posts", json={"title": "Hello", "content": "My last post."})

    event.remove(engine, "before_cursor_execute", delete_account)
    assert response.status_code == 409
    assert response.json() == {"detail": "Conflicts with the current data"}
    assert session.exec(select(Post)).all() == []


@pytest.fixture
def eastern_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the server into the time zone of New York."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("eastern_time")
def test_times_are_in_utc_when_the_server_is_in_another_time_zone(user_client: TestClient) -> None:
    before = datetime.now(UTC)

    response = user_client.post("/posts", json={"title": "Hello", "content": "My first post."})

    assert response.json()["date_posted"].endswith("Z")
    assert before <= datetime.fromisoformat(response.json()["date_posted"]) <= datetime.now(UTC)
    read = user_client.get(response.headers["Location"])
    assert read.json()["date_posted"] == response.json()["date_posted"]
