from pathlib import Path

from sqlmodel import Session, select

from app.models import User
from tests.databases import new_database, new_engine, upgrade, used_by_app_and_factories
from tests.factories import UserFactory
from tests.system.server import run


def test_command_makes_a_user_admin_without_a_key(tmp_path: Path) -> None:
    with new_database(tmp_path) as url, new_engine(url) as engine:
        upgrade(url)
        with used_by_app_and_factories(engine):
            UserFactory.create(username="alice")

        done = run("-m", "app.make_admin", "ALICE", directory=tmp_path, DATABASE_URL=url)
        failed = run("-m", "app.make_admin", "nobody", directory=tmp_path, DATABASE_URL=url)

        with Session(engine) as session:
            user = session.exec(select(User)).one()
    assert (done.returncode, done.stdout) == (0, "alice is an admin now.\n")
    assert (failed.returncode, failed.stderr) == (1, "User not found: nobody\n")
    assert user.is_admin


def test_command_says_how_to_call_it_even_without_docstrings(tmp_path: Path) -> None:
    result = run("-OO", "-m", "app.make_admin", directory=tmp_path)

    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: python -m app.make_admin" in result.stderr
