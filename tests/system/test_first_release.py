"""The first release had no migrations. Delete this file if no database is that old."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from app.database import upgrade_database
from tests.system.server import ROOT


def test_database_of_the_first_release_keeps_its_rows(empty_engine: Engine) -> None:
    # It had these tables, but it did not note a revision.
    command.upgrade(Config(toml_file=ROOT / "pyproject.toml"), "0001")
    with empty_engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        row = "(1, 'alice', 'alice@example.com', 'hash', true, 0)"
        connection.execute(text(f"INSERT INTO users VALUES {row}"))

    upgrade_database()

    with empty_engine.connect() as connection:
        assert connection.execute(text("SELECT username FROM users")).all() == [("alice",)]
