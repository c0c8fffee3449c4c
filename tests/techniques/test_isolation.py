"""Tests of the tests: what the fixtures promise, and the traps that they avoid."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlmodel import Session, select

from app.database import SessionDep, get_session
from app.main import app as real_app
from app.models import User
from tests.databases import new_memory_engine, used_by_app_and_factories
from tests.factories import UserFactory


@pytest.fixture
def forgetful_client(engine: Engine) -> Iterator[TestClient]:
    """Send requests to an app whose endpoint forgets to commit."""
    app = FastAPI()
    app.dependency_overrides = real_app.dependency_overrides

    @app.post("/users", status_code=201)
    def create_user(session: SessionDep) -> None:
        session.add(User(username="lost", email="lost@example.com", hashed_password=""))
        session.flush()

    with TestClient(app) as client:
        yield client


def test_forgotten_commit_is_noticed(forgetful_client: TestClient, session: Session) -> None:
    response = forgetful_client.post("/users")

    assert response.status_code == 201
    assert session.exec(select(User)).all() == []


def test_forgotten_commit_is_hidden_when_test_and_app_share_a_session(
    forgetful_client: TestClient, session: Session
) -> None:
    """Many projects have a fixture that does this. Ours doesn't."""
    real_app.dependency_overrides[get_session] = lambda: session

    response = forgetful_client.post("/users")

    assert response.status_code == 201
    assert session.exec(select(User)).one().username == "lost"


@pytest.mark.parametrize("turn", ["first", "second"])
def test_no_row_is_left_for_the_next_test(turn: str, session: Session) -> None:
    assert session.exec(select(User)).all() == []

    UserFactory.create(username=turn)


@pytest.mark.parametrize("keyword", ["usernam", "autor", "hashed_pasword"])
def test_factories_refuse_an_unknown_keyword(keyword: str, engine: Engine) -> None:
    with pytest.raises(TypeError, match=f"UserFactory knows no {keyword}"):
        UserFactory.create(**{keyword: "value"})


def test_session_must_refresh_a_row_that_a_request_has_changed(
    user_client: TestClient, user: User, session: Session
) -> None:
    row = session.get_one(User, user.id)

    user_client.patch("/users/me", json={"username": "renamed"})

    assert row.username == "user"
    session.refresh(row)
    assert row.username == "renamed"


def test_app_forgets_the_database_of_the_previous_test() -> None:
    # This test doesn't use the fixture `engine`.
    assert get_session not in real_app.dependency_overrides


def test_inner_override_puts_the_outer_one_back(engine: Engine) -> None:
    outer = real_app.dependency_overrides[get_session]
    user = UserFactory.create()

    with used_by_app_and_factories(new_memory_engine()):
        inner = real_app.dependency_overrides[get_session]

    assert inner is not outer
    assert real_app.dependency_overrides[get_session] is outer
    assert UserFactory.create().id > user.id
