from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlmodel import Session, SQLModel, col, select

from app import sqlite
from app.models import User
from app.security import verify_password
from tests.databases import read_rows
from tests.factories import PASSWORD
from tests.system.server import run
from tests.tools import seed


def test_seed_command_fills_the_configured_database_and_prints_a_login(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"

    result = run("-m", "tests.tools.seed", "--rows", "2", directory=tmp_path, DATABASE_URL=url)

    assert result.stdout == f"Log in as user1 with the password: {PASSWORD}\n", result.stderr
    engine = sqlite.build_engine(url, pool_size=1)
    with Session(engine) as session:
        user, *others = session.exec(select(User).order_by(col(User.id))).all()
    engine.dispose()
    assert (user.username, user.is_admin) == ("user1", True)
    assert {other.is_admin for other in others} == {False}
    assert user.hashed_password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify_password(PASSWORD, user.hashed_password)


def test_seeding_again_adds_as_many_rows_and_no_second_admin(
    engine: Engine, session: Session
) -> None:
    seed.main(engine, ["--rows", "2", "--any-database"])
    first = session.exec(select(User)).all()

    seed.main(engine, ["--rows", "2", "--any-database"])

    both = session.exec(select(User)).all()
    assert len(both) == 2 * len(first)
    assert [user.is_admin for user in both].count(True) == 1
    for table, rows in zip(SQLModel.metadata.sorted_tables, read_rows(session), strict=True):
        assert len(rows) >= 4, f"Add a factory for {table.name} to tests/factories.py"


def test_seeding_refuses_a_database_that_is_not_sqlite(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    engine = create_engine("postgresql+psycopg://someone:secret@127.0.0.1:1/production")

    with pytest.raises(SystemExit, match="2"):
        seed.main(engine, [])

    message = capsys.readouterr().err
    assert "127.0.0.1:1/production is not SQLite" in message
    assert "secret" not in message
