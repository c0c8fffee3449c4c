from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from app.config import settings
from app.database import upgrade_database
from app.make_admin import make_admin
from app.models import User
from tests.factories import UserFactory
from tests.system.server import run


def test_command_makes_a_user_admin_without_a_key(empty_engine: Engine, tmp_path: Path) -> None:
    upgrade_database()
    user = UserFactory.create(username="alice")
    command = ["-m", "app.make_admin", "ALICE"]

    result = run(*command, directory=tmp_path, DATABASE_URL=settings.database_url)

    assert (result.returncode, result.stdout) == (0, "alice is an admin now.\n")
    with Session(empty_engine) as session:
        assert session.get_one(User, user.id).is_admin


def test_command_migrates_the_database_and_says_that_there_is_no_such_user(
    empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.make_admin.engine", empty_engine)

    with pytest.raises(SystemExit, match="User not found: nobody"):
        make_admin("nobody")


def test_command_says_how_to_call_it_even_without_docstrings(tmp_path: Path) -> None:
    result = run("-OO", "-m", "app.make_admin", directory=tmp_path)

    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: python -m app.make_admin" in result.stderr
