"""The recipes of README and of .github/NEW_RESOURCE.md, followed to the letter in a copy.

Your own code no longer has the lines that the recipes replace, so these tests only run if they are
asked to, by TEST_RECIPES=1.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text

from app.config import settings
from app.database import migration_transaction
from tests.databases import new_database, new_engine, upgrade, used_by_app_and_factories
from tests.factories import PostFactory, UserFactory
from tests.system.migrations import ROOT

pytestmark = pytest.mark.skipif(
    "TEST_RECIPES" not in os.environ, reason="not run: TEST_RECIPES isn't set"
)
# The tests of the API, and those that look at all operations or all tables.
TESTS = ["tests/api", "tests/techniques", "tests/rules/test_openapi.py"]


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


README = read(ROOT / "README.md")
GUIDE = read(ROOT / ".github/NEW_RESOURCE.md")


def copy_project(directory: Path) -> Path:
    for pattern in ("pyproject.toml", "README.md", "app/**/*", "tests/**/*"):
        for file in ROOT.glob(pattern):
            if file.is_file() and file.suffix != ".pyc":
                copy = directory / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    return directory


def replace(file: Path, old: str, new: str) -> None:
    assert read(file).count(old) == 1, f"A recipe replaces what isn't in {file}:\n{old}"
    file.write_text(read(file).replace(old, new), encoding="utf-8")


def apply_diff(file: Path, diff: str) -> None:
    for lines in diff.split("...\n"):
        old = re.findall(r"^[ -](.*\n)", lines, re.MULTILINE)
        new = re.findall(r"^[ +](.*\n)", lines, re.MULTILINE)
        replace(file, "".join(old), "".join(new))


def apply_recipe(document: str, heading: str, copy: Path) -> None:
    """Do what the blocks below a heading say. The first line of a block names its file."""
    recipe = document.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", recipe, re.DOTALL | re.MULTILINE)
    assert blocks, f"There are no blocks below {heading}"
    for language, name, code in blocks:
        before = read(copy / name)
        if language == "diff":
            apply_diff(copy / name, code)
        else:
            (copy / name).write_text(f"{before}\n\n{code}" if before else code, encoding="utf-8")


def run(copy: Path, module: str, *arguments: str, **settings: str) -> None:
    # The coverage of a copy doesn't count.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("COV")}
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(
        command, cwd=copy, env=environment | settings, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}\n{result.stderr}"


def add_migration(copy: Path, url: str, message: str) -> None:
    run(copy, "alembic", "revision", "--autogenerate", "-m", message, DATABASE_URL=url)
    run(copy, "alembic", "upgrade", "head", DATABASE_URL=url)
    run(copy, "alembic", "check", DATABASE_URL=url)


def run_all_checks(copy: Path) -> None:
    run(copy, "tests.tools.openapi")
    run(copy, "ruff", "check", "--no-cache")
    run(copy, "ruff", "format", "--no-cache", "--check")
    run(copy, "mypy", "--cache-dir", str(copy.parent / "mypy_cache"))  # The copies share it.
    run(copy, "pytest", "-q", "-p", "no:cacheprovider", *TESTS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a database with the tables of this project, and with a row in each of them."""
    with new_database(tmp_path) as url:
        upgrade(url)
        with new_engine(url) as engine, used_by_app_and_factories(engine):
            PostFactory.create(author=UserFactory.create(username="alice"))
        monkeypatch.setattr(settings, "database_url", url)
        yield url


@pytest.mark.parametrize("name", ["Comments", "Bookmarks"])
def test_recipe_of_a_resource_works(name: str, directory: Path, url: str) -> None:
    copy = copy_project(directory / name)

    apply_recipe(GUIDE, name, copy)

    add_migration(copy, url, f"Create {name}")
    run_all_checks(copy)


def test_recipe_of_a_column_works(directory: Path, url: str) -> None:
    copy = copy_project(directory / "bio")

    apply_recipe(README, "Add a column", copy)
    # In the accounts that tests expect. Those that tests send end within a line.
    last_field = re.compile(r'"is_admin": (True|False|is_admin)(?=,$|},$)', re.MULTILINE)
    for file in copy.glob("tests/api/*.py"):
        file.write_text(last_field.sub(r'\g<0>, "bio": None', read(file)), encoding="utf-8")
    run(copy, "ruff", "format", "--no-cache", "tests/api")

    add_migration(copy, url, "Give users a bio")
    run_all_checks(copy)


def code_for(want: str) -> str:
    """Return the code in a row of the table in README."""
    return str(re.findall(rf"^\| {re.escape(want)} \|[^`]*`(.+?)`", README, re.MULTILINE)[0])


def test_columns_of_the_table_can_be_added_when_there_are_rows(directory: Path, url: str) -> None:
    copy = copy_project(directory / "columns")
    columns = f"""
    is_draft: bool = {code_for("A column that isn't optional")}
    nickname: str | None = {code_for("A unique column")}
    joined_at: datetime = {code_for("`server_default` of `func.now()`")}
    color: Color = {code_for("A `StrEnum`")}
"""
    imports = "\nfrom enum import StrEnum\nfrom sqlalchemy import Enum, text\n"
    color = '\nclass Color(StrEnum):\n    RED = "red"\n'
    replace(
        copy / "app/models.py",
        "\n    hashed_password: str\n",
        f"\n    hashed_password: str{columns}",
    )
    replace(copy / "app/models.py", "\nMAX_ID =", f"{imports}{color}\nMAX_ID =")

    add_migration(copy, url, "Add columns")

    run(copy, "app.make_admin", "alice", DATABASE_URL=url)  # It reads and writes the row.


@pytest.mark.parametrize(
    ("want", "query", "value"),
    [
        ("A foreign key", "SELECT parent_id FROM posts", None),
        ("Another name", "SELECT about FROM users", "7"),
        ("Another type", "SELECT age FROM users", 7),
    ],
)
@pytest.mark.usefixtures("url")
def test_script_of_the_table_works_when_there_are_rows(
    want: str, query: str, value: object
) -> None:
    with migration_transaction() as connection:
        connection.execute(text("ALTER TABLE users ADD COLUMN age INTEGER"))
        connection.execute(text("ALTER TABLE users ADD COLUMN bio VARCHAR DEFAULT '7'"))
        operations = Operations(MigrationContext.configure(connection))

        eval(code_for(want), {"op": operations, "sa": sqlalchemy})

        assert connection.execute(text(query)).one() == (value,)
