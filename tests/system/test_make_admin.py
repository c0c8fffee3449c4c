import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from app.config import settings
from app.models import User
from tests.databases import new_database, new_engine, upgrade, used_by_app_and_factories
from tests.factories import UserFactory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    with new_database(tmp_path) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Override the shared fixture: an empty database, without tables."""
    with new_engine(database_url) as engine, used_by_app_and_factories(engine):
        yield engine


def test_command_makes_a_user_admin_without_a_key(database_url: str, engine: Engine) -> None:
    upgrade(database_url)
    user = UserFactory.create(username="alice")
    environment = os.environ | {"DATABASE_URL": database_url, "SECRET_KEY": ""}
    environment.pop("FASTAPI_ENV")
    command = [sys.executable, "-m", "app.make_admin", "ALICE"]

    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (0, "alice is an admin now.\n")
    with Session(engine) as session:
        assert session.get_one(User, user.id).is_admin


def run_in_this_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Do what `python -m app.make_admin` does, without starting another Python."""
    monkeypatch.setattr(sys, "argv", ["make_admin", *arguments])
    runpy.run_module("app.make_admin", run_name="__main__")


def test_command_fails_if_there_is_no_such_user(
    monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine
) -> None:
    monkeypatch.setattr(settings, "database_url", database_url)
    monkeypatch.setattr("app.database.engine", engine)

    with pytest.raises(SystemExit, match=r"^User not found: nobody$"):
        run_in_this_process(monkeypatch, "nobody")


def test_command_says_how_to_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"python -m app\.make_admin USERNAME"):
        run_in_this_process(monkeypatch)
