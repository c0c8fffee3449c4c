"""Tests of the tests: what the fixtures promise is shown to hold, and to matter."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, QueuePool
from sqlmodel import Session, select

from app.config import settings
from app.database import POOL_SIZE, SessionDep, get_engine, get_session
from app.database import engine as configured_engine
from app.main import app as real_app
from app.models import Post, User
from tests.factories import PostFactory, UserFactory


@pytest.fixture
def forgetful_client(engine: Engine, user: User) -> Iterator[TestClient]:
    """Talk to an app on the same session dependency, whose one endpoint forgets to commit."""
    app = FastAPI()
    app.dependency_overrides = real_app.dependency_overrides

    @app.post("/posts", status_code=201)
    def create_post(session: SessionDep) -> None:
        session.add(Post(title="Lost", content="Never committed.", user_id=user.id))
        session.flush()

    with TestClient(app) as client:
        yield client


def test_forgotten_commit_is_caught(forgetful_client: TestClient, session: Session) -> None:
    response = forgetful_client.post("/posts")

    assert response.status_code == 201
    assert session.exec(select(Post)).all() == []


def test_forgotten_commit_is_hidden_by_a_session_shared_with_the_test(
    forgetful_client: TestClient, session: Session
) -> None:
    """Show what this project does not do: hand the session of the test to the app."""
    real_app.dependency_overrides[get_session] = lambda: session

    response = forgetful_client.post("/posts")

    assert response.status_code == 201
    assert session.exec(select(Post)).one().title == "Lost"


@pytest.mark.parametrize("turn", ["first", "second"])
def test_no_row_survives_into_the_next_test(turn: str, session: Session) -> None:
    assert session.exec(select(User)).all() == []
    assert session.exec(select(Post)).all() == []

    PostFactory.create(title=turn)


def test_rows_of_a_factory_are_committed(session: Session) -> None:
    post = PostFactory.create()

    assert session.get_one(Post, post.id).user_id == post.user_id


def test_session_of_the_test_sees_what_the_app_has_committed(
    user_client: TestClient, user: User, session: Session
) -> None:
    before = session.get_one(User, user.id)

    user_client.patch("/users/me", json={"username": "renamed"})

    assert before.username == "user"
    session.refresh(before)
    assert before.username == "renamed"


def test_configured_database_is_never_opened(user_client: TestClient, engine: Engine) -> None:
    user_client.post("/posts", json={"title": "Hello", "content": "My first post."})

    assert engine is not configured_engine
    assert isinstance(configured_engine.pool, QueuePool)
    assert configured_engine.url.render_as_string(hide_password=False) == settings.database_url
    assert not Path(configured_engine.url.database or "").parent.exists()
    # Its pool counts upwards from here with each connection that it makes.
    assert configured_engine.pool.overflow() == -POOL_SIZE


def test_app_forgets_the_database_of_a_test(request: pytest.FixtureRequest) -> None:
    """Without the fixture `engine`, nothing of the test before is left in the app."""
    assert "engine" not in request.fixturenames
    assert get_engine not in real_app.dependency_overrides


@pytest.mark.parametrize("keyword", ["usernam", "author", "hashed_pasword"])
def test_misspelt_keyword_of_a_factory_is_refused(keyword: str, engine: Engine) -> None:
    with pytest.raises(TypeError, match=f"UserFactory knows no {keyword}"):
        UserFactory.create(**{keyword: "value"})
