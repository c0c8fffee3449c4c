"""The schema is brought up to date at the start, and agrees with the models."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, inspect, text
from sqlmodel import Session, SQLModel, select

from app import sqlite
from app.config import settings
from app.database import is_up_to_date, migration_transaction, upgrade_database
from app.models import Post, User
from tests.databases import TEST_DATABASE_URL, new_database, new_engine
from tests.system.migrations import ROOT, append, copy_app, write_migration

# What `create_all` of the first release made, which knew no migrations.
FIRST_RELEASE = (
    """
    CREATE TABLE users (
        id {id}, username VARCHAR NOT NULL, email VARCHAR NOT NULL,
        hashed_password VARCHAR NOT NULL,
        is_admin BOOLEAN NOT NULL, token_version INTEGER NOT NULL, UNIQUE (email)
    )
    """,
    "CREATE INDEX ix_users_is_admin ON users (is_admin)",
    "CREATE UNIQUE INDEX ix_users_username ON users (lower(username))",
    """
    CREATE TABLE posts (
        id {id}, title VARCHAR NOT NULL, content VARCHAR NOT NULL, user_id {bigint} NOT NULL,
        date_posted {datetime} NOT NULL,
        FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_posts_user_id_id ON posts (user_id, id)",
    "INSERT INTO users VALUES (1, 'alice', 'alice@example.com', 'hash', {true}, 0)",
    "INSERT INTO posts VALUES (1, 'Hello', 'My first post.', 1, '2026-01-02 03:04:05')",
)
SQLITE = {
    "id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
    "bigint": "INTEGER",
    "datetime": "DATETIME",
    "true": "1",
}
POSTGRES = {
    "id": "BIGSERIAL PRIMARY KEY",
    "bigint": "BIGINT",
    "datetime": "TIMESTAMP WITH TIME ZONE",
    "true": "true",
}


@pytest.fixture
def database_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with new_database(tmp_path) as url:
        monkeypatch.setattr(settings, "database_url", url)
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Override the shared fixture: an empty database, without tables."""
    with new_engine(database_url) as engine:
        yield engine


def make_first_release(engine: Engine) -> None:
    words = POSTGRES if TEST_DATABASE_URL else SQLITE
    with engine.begin() as connection:
        for statement in FIRST_RELEASE:
            connection.execute(text(statement.format(**words)))


def read_schema(engine: Engine) -> list[str]:
    """Return the schema in the database's own words, one line for each thing in it."""
    queries = (
        [
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name <> 'alembic_version'",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " AND tablename <> 'alembic_version'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " AND conrelid::regclass::text <> 'alembic_version'",
        ]
        if TEST_DATABASE_URL
        else ["SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%alembic%'"]
    )
    with engine.connect() as connection:
        rows = [row for query in queries for row in connection.exec_driver_sql(query)]
    lines = [" ".join(map(str, row)) for row in rows]
    if not TEST_DATABASE_URL:
        lines = [part for line in lines for part in split_table(line)]
    return sorted(lines)


def split_table(statement: str) -> list[str]:
    """Split the statement that made an SQLite table into its columns and constraints.

    A migration adds a column at the end, wherever the model has it, and with other spaces.
    """
    if not statement.startswith("CREATE TABLE"):
        return [statement]
    table, body = statement.split("(", maxsplit=1)
    return [f"{table}: {' '.join(re.sub('[()]', ' ', part).split())}" for part in body.split(",")]


def test_migrations_make_the_schema_of_the_models(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with new_database(tmp_path / "other") as url, new_engine(url) as other:
        SQLModel.metadata.create_all(other)
        expected = read_schema(other)

    upgrade_database()

    assert read_schema(engine) == expected


def test_all_migrations_can_be_undone(engine: Engine) -> None:
    upgrade_database()

    command.downgrade(Config(toml_file=ROOT / "pyproject.toml"), "base")

    assert inspect(engine).get_table_names() == ["alembic_version"]


@pytest.mark.parametrize("stamped", [False, True])
def test_database_of_the_first_release_is_adopted_without_loss(
    engine: Engine, stamped: bool
) -> None:
    make_first_release(engine)
    if stamped:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))

    upgrade_database()

    assert inspect(engine).has_table("alembic_version")
    with Session(engine) as session:
        assert session.exec(select(User.username)).all() == ["alice"]
        assert session.exec(select(Post.title)).all() == ["Hello"]


UPGRADE = "from app.database import upgrade_database; upgrade_database()"
ASSERT_NO_ALEMBIC = "import sys; assert 'alembic' not in sys.modules"


def start_python(code: str, directory: Path, database_url: str) -> Popen[bytes]:
    """Run code in another process, which ends with 0 if all goes well."""
    environment = os.environ | {"DATABASE_URL": database_url}
    return Popen([sys.executable, "-c", code], cwd=directory, env=environment)


def test_starting_again_needs_no_alembic(database_url: str) -> None:
    upgrade_database()

    process = start_python(f"{UPGRADE}; {ASSERT_NO_ALEMBIC}", ROOT, database_url)

    assert process.wait(60) == 0


def test_database_of_a_later_release_is_refused(engine: Engine) -> None:
    upgrade_database()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))

    with pytest.raises(
        RuntimeError, match="the database has revision later, which is unknown here"
    ):
        upgrade_database()


def test_database_is_up_to_date_after_branches_were_joined(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade_database()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'joined'"))
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "one.py").write_text("revision = 'one'\ndown_revision = None\n")
    (versions / "two.py").write_text("revision: str = 'two'\ndown_revision = None\n")
    (versions / "joined.py").write_text(
        "revision: str = 'joined'\ndown_revision: tuple[str, ...] = ('one', 'two')\n"
    )
    monkeypatch.setattr("app.database.MIGRATIONS", tmp_path)

    assert is_up_to_date()


def test_long_migration_works_while_another_process_waits_for_it(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    """It takes longer than requests may wait, which is a tenth of a second in this copy."""
    copy = copy_app(tmp_path / "copy")
    append(copy / "app/sqlite.py", "LOCK_MILLISECONDS = 100")
    append(copy / "app/postgres.py", "STATEMENT_SECONDS = 0.1")
    write_migration(
        copy, "long", "op.execute('CREATE TABLE scratch (id INTEGER)'); time.sleep(0.5)"
    )

    processes = [start_python(UPGRADE, copy, database_url) for _ in range(2)]

    assert [process.wait(60) for process in processes] == [0, 0]
    assert inspect(engine).has_table("scratch")


@pytest.mark.skipif(bool(TEST_DATABASE_URL), reason="PostgreSQL has no such limit")
def test_migration_waits_an_hour_for_another_process(database_url: str) -> None:
    with sqlite.build_migration_engine(database_url).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3_600_000


@pytest.mark.skipif(bool(TEST_DATABASE_URL), reason="PostgreSQL never rebuilds a table")
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_posts_survive_when_a_migration_rebuilds_the_users(engine: Engine) -> None:
    make_first_release(engine)

    with migration_transaction() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users", recreate="always") as batch:
            batch.alter_column("username", new_column_name="name")

    with Session(engine) as session:
        assert session.exec(select(Post.title)).all() == ["Hello"]


@pytest.mark.skipif(bool(TEST_DATABASE_URL), reason="PostgreSQL always enforces foreign keys")
def test_migration_that_leaves_posts_without_their_author_is_undone(engine: Engine) -> None:
    make_first_release(engine)

    with (
        pytest.raises(RuntimeError, match="refer to rows that don't exist"),
        migration_transaction() as connection,
    ):
        connection.execute(text("DELETE FROM users"))

    with Session(engine) as session:
        assert session.exec(select(User.username)).all() == ["alice"]


def test_commands_work_without_any_settings(tmp_path: Path) -> None:
    copy = copy_app(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", copy)
    column = "    hashed_password: str\n"
    models = copy / "app/models.py"
    code = models.read_text()
    assert code.count(column) == 1
    models.write_text(code.replace(column, f"{column}    scratch: str | None = None\n"))

    # All in one process, as Alembic takes longer to import than to do any of this. Like `alembic`
    # itself, but unlike `python -c`, `python -P -c` does not look for `app` in this directory.
    commands = """
from alembic.config import main
main(["upgrade", "head"])
main(["revision", "--autogenerate", "-m", "Add a column"])
main(["history"])
main(["upgrade", "head"])
main(["check"])
"""
    result = subprocess.run(
        [sys.executable, "-P", "-c", commands],
        cwd=copy,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Add a column" in result.stdout
    (script,) = copy.glob("app/migrations/versions/*_add_a_column.py")
    assert 'op.add_column("users", sa.Column("scratch", sqlmodel.AutoString()' in script.read_text()
