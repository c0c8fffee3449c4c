from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine
from sqlmodel import Session, func, select

from app.models import Post, User
from app.security import verify_password
from tests.factories import UserFactory
from tests.system.server import run
from tests.tools import seed


def test_seed_command_fills_the_configured_database_and_prints_a_login(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    command = "-m tests.tools.seed --users 2 --posts 3"

    result = run(*command.split(), directory=tmp_path, DATABASE_URL=url)

    assert result.stdout == "Log in as user1 with the password: correct horse battery staple\n"
    assert "posts: 3 of 3" in result.stderr
    with Session(create_engine(url, poolclass=NullPool)) as session:
        user = session.exec(select(User).where(User.is_admin)).one()
        authors = session.exec(select(Post.user_id)).all()
    assert sorted(authors) == [1, 1, 2]
    assert (user.id, user.username) == (1, "user1")
    assert verify_password("correct horse battery staple", user.hashed_password)


def test_seeding_again_makes_new_users_and_no_admin(engine: Engine, session: Session) -> None:
    seed.main(engine, ["--users", "2", "--posts", "1", "--any-database"])
    UserFactory.create(username="somebody", email="User7@example.com")

    seed.main(engine, ["--users", "2", "--posts", "1", "--any-database"])

    names = session.exec(select(User.username)).all()
    assert sorted(names) == ["somebody", "user1", "user2", "user8", "user9"]
    assert session.exec(select(func.count()).where(User.is_admin)).one() == 1


def test_seeding_refuses_a_database_that_is_not_sqlite(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    engine = create_engine("postgresql+psycopg://someone:secret@host/production")

    with pytest.raises(SystemExit, match="2"):
        seed.main(engine, [])

    message = capsys.readouterr().err
    assert "host/production is not SQLite" in message
    assert "secret" not in message
