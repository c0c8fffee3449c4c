"""The schema is brought up to date at the start, and agrees with the models."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text
from sqlmodel import Session, SQLModel, select

from app import sqlite
from app.config import settings
from app.database import is_up_to_date, upgrade_database
from app.models import Post, User
from tests.databases import TEST_DATABASE_URL, new_database, new_engine

ROOT = Path(__file__).parents[2]

NEWEST_REVISION = ScriptDirectory(str(ROOT / "app/migrations")).get_current_head()

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


def read_schema(engine: Engine) -> list[tuple[object, ...]]:
    """Return the schema in the database's own words."""
    queries = (
        [
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name <> 'alembic_version'",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " AND tablename <> 'alembic_version'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE conrelid IN ('users'::regclass, 'posts'::regclass)",
        ]
        if TEST_DATABASE_URL
        else ["SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'"]
    )
    with engine.connect() as connection:
        return sorted(
            (tuple(row) for query in queries for row in connection.exec_driver_sql(query)), key=str
        )


def test_migrations_make_the_schema_of_the_models(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with new_database(tmp_path / "other") as url, new_engine(url) as other:
        SQLModel.metadata.create_all(other)
        expected = read_schema(other)

    upgrade_database()

    assert read_schema(engine) == expected


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


def run_upgrade(directory: Path, database_url: str, and_then: str = "") -> str:
    """Upgrade in another process, and return what it prints. Raises an error if it fails."""
    code = f"from app.database import upgrade_database; upgrade_database(){and_then}"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env=os.environ | {"DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return result.stdout


def test_starting_again_needs_no_alembic(database_url: str) -> None:
    upgrade_database()

    output = run_upgrade(ROOT, database_url, "; import sys; print('alembic' in sys.modules)")

    assert output == "False\n"


def test_database_is_up_to_date_after_branches_were_joined(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade_database()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'joined'"))
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "one.py").write_text("revision = 'one'\ndown_revision = None\n")
    (versions / "two.py").write_text("revision = 'two'\ndown_revision = None\n")
    (versions / "joined.py").write_text("revision = 'joined'\ndown_revision = ('one', 'two')\n")
    monkeypatch.setattr("app.database.MIGRATIONS", tmp_path)

    assert is_up_to_date()


def start(directory: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    """Start an app that can't start, and wait until it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"],
        cwd=directory,
        env=os.environ | {"DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )


def test_database_of_a_later_release_is_refused(engine: Engine, database_url: str) -> None:
    upgrade_database()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))

    result = start(ROOT, database_url)

    assert result.returncode == 3
    assert "Cannot start: the database is of a newer release: revision later" in result.stdout
    assert "Traceback" not in result.stdout


@pytest.fixture
def copy_of_the_app(tmp_path: Path) -> Path:
    directory = tmp_path / "copy"
    shutil.copytree(ROOT / "app", directory / "app")
    return directory


def write_migration(directory: Path, revision: str, upgrade: str) -> None:
    (directory / "app/migrations/versions" / f"{revision}.py").write_text(
        "import time\nfrom alembic import op\n"
        f'revision = "{revision}"\ndown_revision = "{NEWEST_REVISION}"\n'
        "branch_labels = depends_on = None\n"
        f"def upgrade() -> None:\n    {upgrade}\n"
        "def downgrade() -> None:\n    pass\n"
    )


def test_failing_migration_stops_the_start_and_changes_nothing(
    engine: Engine, database_url: str, copy_of_the_app: Path
) -> None:
    write_migration(
        copy_of_the_app,
        "bad",
        "op.execute('CREATE TABLE scratch (id INTEGER)')\n"
        "    op.execute('SELECT nonsense FROM users')",
    )

    result = start(copy_of_the_app, database_url)

    assert result.returncode == 3
    assert "Cannot start: " in result.stdout
    assert "nonsense" in result.stdout
    assert "Traceback" not in result.stdout
    assert not inspect(engine).has_table("scratch")


def test_two_newest_migrations_stop_the_start(database_url: str, copy_of_the_app: Path) -> None:
    write_migration(copy_of_the_app, "one", "pass")
    write_migration(copy_of_the_app, "two", "pass")

    result = start(copy_of_the_app, database_url)

    assert result.returncode == 3
    assert "Cannot start: Multiple head revisions are present" in result.stdout
    assert "Traceback" not in result.stdout


def test_long_migration_works_while_other_processes_wait_for_it(
    engine: Engine, database_url: str, copy_of_the_app: Path
) -> None:
    """It takes longer than requests may wait, which is a tenth of a second in this copy."""
    sqlite_code = copy_of_the_app / "app/sqlite.py"
    sqlite_code.write_text(
        sqlite_code.read_text().replace("MILLISECONDS = 4_000", "MILLISECONDS = 100")
    )
    postgres_code = copy_of_the_app / "app/postgres.py"
    postgres_code.write_text(postgres_code.read_text().replace("_SECONDS = 2.0", "_SECONDS = 0.1"))
    write_migration(
        copy_of_the_app, "long", "op.execute('CREATE TABLE scratch (id INTEGER)'); time.sleep(0.5)"
    )

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run_upgrade, [copy_of_the_app] * 3, [database_url] * 3))

    assert inspect(engine).has_table("scratch")


@pytest.mark.skipif(bool(TEST_DATABASE_URL), reason="PostgreSQL has no such limit")
def test_migration_waits_an_hour_for_another_process(database_url: str) -> None:
    with sqlite.build_migration_engine(database_url).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3_600_000


@pytest.mark.skipif(bool(TEST_DATABASE_URL), reason="PostgreSQL never rebuilds a table")
def test_posts_survive_when_a_migration_rebuilds_the_users(
    engine: Engine, database_url: str, copy_of_the_app: Path
) -> None:
    make_first_release(engine)
    write_migration(
        copy_of_the_app,
        "rebuild",
        "\n    ".join(
            [
                "with op.batch_alter_table('users', recreate='always') as batch:",
                "    batch.alter_column('username', new_column_name='name')",
            ]
        ),
    )

    run_upgrade(copy_of_the_app, database_url)

    with Session(engine) as session:
        assert session.exec(select(Post.title)).all() == ["Hello"]


def test_commands_work_without_any_settings(copy_of_the_app: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", copy_of_the_app)
    models = copy_of_the_app / "app/models.py"
    models.write_text(
        models.read_text().replace(
            "    hashed_password: str\n", "    hashed_password: str\n    bio: str | None = None\n"
        )
    )

    def alembic(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=copy_of_the_app,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout

    alembic("upgrade", "head")
    alembic("revision", "--autogenerate", "-m", "Give users a bio")
    history = alembic("history")
    alembic("upgrade", "head")
    alembic("check")

    assert "Give users a bio" in history
    (script,) = copy_of_the_app.glob("app/migrations/versions/*_give_users_a_bio.py")
    assert 'op.add_column("users", sa.Column("bio", sqlmodel.AutoString()' in script.read_text()
