import os
import subprocess
import sys
from pathlib import Path

from sqlmodel import Session, SQLModel

from app.models import User
from tests.databases import new_database, new_engine, used_by_app_and_factories
from tests.factories import UserFactory

ROOT = Path(__file__).parents[2]


def run_command(database_url: str, *arguments: str) -> tuple[int, str]:
    """Run the command without a SECRET_KEY, and return its exit status and what it printed."""
    environment = os.environ | {"DATABASE_URL": database_url, "SECRET_KEY": ""}
    environment.pop("FASTAPI_ENV")
    command = [sys.executable, "-m", "app.make_admin", *arguments]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def test_command_makes_a_user_admin(tmp_path: Path) -> None:
    with new_database(tmp_path) as url, new_engine(url) as engine:
        SQLModel.metadata.create_all(engine)
        with used_by_app_and_factories(engine):
            user = UserFactory.create(username="alice")

        status, output = run_command(url, "ALICE")

        with Session(engine) as session:
            is_admin = session.get_one(User, user.id).is_admin
    assert (status, output) == (0, "alice is an admin now.\n")
    assert is_admin


def test_command_fails_if_there_is_no_such_user(tmp_path: Path) -> None:
    with new_database(tmp_path) as url:
        status, output = run_command(url, "nobody")

    assert (status, output) == (1, "There is no user named nobody.\n")


def test_command_says_how_to_call_it(tmp_path: Path) -> None:
    with new_database(tmp_path) as url:
        status, output = run_command(url)

    assert status == 1
    assert "python -m app.make_admin USERNAME" in output
