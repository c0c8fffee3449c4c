"""The schema is brought up to date at the start, and agrees with the models."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from fastapi.testclient import TestClient
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from app import sqlite
from app.database import migration_transaction, upgrade_database
from app.make_admin import make_admin
from tests.databases import TEST_DATABASE_URL, execute_on_server, needs_postgres
from tests.factories import UserFactory, hashed_password
from tests.system.server import ALICE, ROOT, copy_app, run, wait_until

ALEMBIC = Config(toml_file=ROOT / "pyproject.toml")

only_sqlite = pytest.mark.skipif(bool(TEST_DATABASE_URL), reason="only SQLite needs this")


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """Override the shared fixture: an empty database, without tables."""
    return empty_engine


def recreate_database(engine: Engine, options: str) -> None:
    """Make a database of PostgreSQL again, with other options."""
    name = engine.url.database
    execute_on_server(
        f"DROP DATABASE {name}", f"CREATE DATABASE {name} TEMPLATE template0 {options}"
    )


def read_schema(engine: Engine) -> list[str]:
    """Return the schema in the database's own words, one line for each thing in it."""
    if TEST_DATABASE_URL:
        queries = [
            "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public'",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        ]
    else:
        queries = ["SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"]
    with engine.connect() as connection:
        rows = [row for query in queries for row in connection.exec_driver_sql(query)]
    lines = []
    for row in rows:
        # On SQLite, a migration adds a column at the end, wherever the model has it, and with
        # other spaces.
        words = re.sub("[()]", " ", " ".join(map(str, row)))
        parts = [" ".join(part.split()) for part in words.split(",")]
        lines += [f"{parts[0]}: {part}" for part in parts]
    return sorted(line for line in lines if "alembic_version" not in line)


def test_migrations_make_the_schema_of_the_models(engine: Engine) -> None:
    SQLModel.metadata.create_all(engine)
    expected = read_schema(engine)
    SQLModel.metadata.drop_all(engine)

    upgrade_database()

    migrated = read_schema(engine)
    assert migrated == expected, (
        f"Only in the models: {[line for line in expected if line not in migrated]}\n"
        f"Only in the migrations: {[line for line in migrated if line not in expected]}\n"
        "Write the missing migration: uv run alembic upgrade head"
        ' && uv run alembic revision --autogenerate -m "Say what changed"'
    )
    command.check(ALEMBIC)  # Alembic finds no difference, either.


def test_all_migrations_can_be_undone(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    upgrade_database()

    command.downgrade(ALEMBIC, "base")

    assert inspect(engine).get_table_names() == ["alembic_version"]
    assert "Undid migration 0001: Create users and posts." in caplog.text
    caplog.clear()
    command.stamp(ALEMBIC, "head")  # Only notes the revision.
    assert caplog.text == ""


def test_database_of_a_later_release_is_refused(engine: Engine) -> None:
    upgrade_database()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))

    with pytest.raises(CommandError, match="Can't locate revision identified by 'later'"):
        upgrade_database()


@only_sqlite
def test_migration_waits_an_hour_for_another_process(engine: Engine) -> None:
    with sqlite.build_migration_engine(str(engine.url)).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3_600_000


@only_sqlite
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_rows_of_users_survive_when_a_migration_rebuilds_the_users(engine: Engine) -> None:
    upgrade_database()
    user = UserFactory.create()
    table = "CREATE TABLE rows (name, user_id INTEGER REFERENCES users (id) ON DELETE CASCADE)"
    with engine.begin() as connection:
        connection.execute(text(table))
        connection.execute(text(f"INSERT INTO rows VALUES ('kept', {user.id})"))

    with migration_transaction() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users", recreate="always") as batch:
            batch.alter_column("username", new_column_name="name")

    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM rows")).all() == [("kept",)]


@only_sqlite
def test_migration_that_leaves_rows_without_their_user_is_undone(engine: Engine) -> None:
    upgrade_database()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE rows (user_id INTEGER REFERENCES users (id))"))

    with (
        pytest.raises(RuntimeError, match="refer to rows that don't exist"),
        migration_transaction() as connection,
    ):
        connection.execute(text("INSERT INTO rows VALUES (1)"))

    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM rows")).all() == []


@needs_postgres
def test_migration_and_those_that_wait_for_it_may_take_longer_than_other_statements(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.postgres.STATEMENT_SECONDS", 0.1)
    change = f"ALTER DATABASE {engine.url.database} SET"
    execute_on_server(f"{change} statement_timeout = 100", f"{change} lock_timeout = 100")
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    def migrate() -> None:
        with migration_transaction():
            pass

    with ThreadPoolExecutor(1) as threads, migration_transaction() as connection:
        other = threads.submit(migrate)
        wait_until(lambda: connection.scalar(waiting) == 1)
        connection.execute(text("SELECT pg_sleep(0.3)"))
    other.result()


@needs_postgres
def test_database_that_cannot_store_all_characters_is_refused(engine: Engine) -> None:
    recreate_database(engine, "ENCODING 'LATIN1' LOCALE 'C'")

    with pytest.raises(ValueError, match="has the encoding LATIN1, and needs UTF8"):
        upgrade_database()


@needs_postgres
def test_database_that_stores_any_bytes_is_accepted(engine: Engine) -> None:
    """`initdb` makes such databases where no language is set."""
    recreate_database(engine, "ENCODING 'SQL_ASCII' LOCALE 'C'")

    upgrade_database()

    assert "users" in inspect(engine).get_table_names()


@needs_postgres
def test_names_are_compared_in_ascii_once_none_differ_only_in_case(
    engine: Engine, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Turkish, lower('I') isn't 'i', so users like these could register at revision 0001."""
    monkeypatch.setattr("app.make_admin.engine", engine)
    account = ALICE | {"username": "irfan"}
    recreate_database(engine, "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'")
    command.upgrade(ALEMBIC, "0001")
    with engine.begin() as connection:
        for name in ("Irfan", "irfan", "Ali"):
            # The factories only know the newest tables.
            values = f"'{name}', '{name}', '{hashed_password()}', false, 0"
            columns = "username, email, hashed_password, is_admin, token_version"
            connection.execute(text(f"INSERT INTO users ({columns}) VALUES ({values})"))
    before = read_schema(engine)

    with pytest.raises(IntegrityError, match=r"=\(irfan\) is duplicated"):
        upgrade_database()
    assert read_schema(engine) == before

    with engine.begin() as connection:
        connection.execute(text("UPDATE users SET username = 'other' WHERE username = 'irfan'"))
    upgrade_database()
    assert client.post("/auth/token", data=account).status_code == 200
    assert client.post("/auth/register", json=account).status_code == 409
    assert make_admin("irfan") == "Irfan is an admin now."


@pytest.mark.skipif(not sys.prefix.isascii(), reason="needs Python in a directory in ASCII")
def test_alembic_needs_no_key_and_takes_a_message_in_any_language(tmp_path: Path) -> None:
    """The name of the file only has its first words, which are ASCII here."""
    project = copy_app(tmp_path)
    # With these, Python reads files as ASCII, much as it uses an old code page on Windows.
    platform = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    commands = """
from alembic.config import main
main(["upgrade", "head"])
main(["check"])
main(["revision", "-m", "A message that is long enough, and an \\xc1ngulo"])
main(["upgrade", "head"])
"""

    # As with `alembic`, and unlike with `python -m alembic`, Python doesn't look for `app` here.
    result = run("-P", "-c", commands, directory=project, PYTHONPATH="", **platform)

    assert result.returncode == 0, result.stderr
    assert "No new upgrade operations detected.\n" in result.stdout
    assert "Warning" not in result.stderr
    (script,) = project.glob("app/migrations/versions/*_a_message*.py")
    assert "and an Ángulo" in script.read_text(encoding="utf-8")
