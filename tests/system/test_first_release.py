"""The first release had no migrations. Delete this file if no database is that old."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from app.config import settings
from app.database import upgrade_database
from tests.databases import new_database, new_engine
from tests.system.server import ROOT


def test_database_of_the_first_release_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_database(tmp_path) as url, new_engine(url) as engine:
        monkeypatch.setattr(settings, "database_url", url)
        # It had these tables, but it did not note a revision.
        command.upgrade(Config(toml_file=ROOT / "pyproject.toml"), "0001")
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
            connection.execute(
                text("INSERT INTO users VALUES (1, 'alice', 'a@example.com', 'hash', true, 0)")
            )

        upgrade_database()

        with engine.connect() as connection:
            assert connection.execute(text("SELECT username FROM users")).all() == [("alice",)]
