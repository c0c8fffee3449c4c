"""The recipes of README and of .github/NEW_RESOURCE.md, followed to the letter in a copy.

Your own code no longer has the lines that the recipes replace, so these tests only run if they are
asked to, by TEST_RECIPES=1.
"""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, text

from app.config import settings
from app.database import migration_transaction, upgrade_database
from tests.factories import PostFactory, UserFactory
from tests.system.server import ROOT

pytestmark = pytest.mark.skipif("TEST_RECIPES" not in os.environ, reason="TEST_RECIPES isn't set")


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def replace(file: Path, old: str, new: str) -> None:
    assert read(file).count(old) == 1, f"A recipe replaces what isn't in {file}:\n{old}"
    file.write_text(read(file).replace(old, new), encoding="utf-8")


def apply_recipe(document: str, heading: str, copy: Path) -> None:
    """Do what the blocks below a heading say. The first line of a block names its file."""
    recipe = read(ROOT / document).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", recipe, re.M | re.S)
    assert blocks, f"There are no blocks below {heading}"
    for language, name, code in blocks:
        if language == "python":
            before = f"{read(copy / name)}\n\n" if (copy / name).exists() else ""
            (copy / name).write_text(before + code, encoding="utf-8")
            continue
        for lines in re.split(r"^\.\.\..*\n", code, flags=re.M):
            old = re.findall(r"^[ -](.*\n)", lines, re.M)
            new = re.findall(r"^[ +](.*\n)", lines, re.M)
            replace(copy / name, "".join(old), "".join(new))


def run(copy: Path, module: str, *arguments: str, **settings: str) -> None:
    # The coverage of a copy doesn't count, and its tests in memory need no PostgreSQL.
    ignored = ("COV", "TEST_DATABASE_URL")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ignored)} | settings
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, encoding="utf-8", check=False
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
    run(copy, "mypy", "--cache-dir", str(copy.parents[1] / "mypy_cache"))  # The copies share it.
    run(copy, "pytest", "tests/api", "tests/rules", "tests/techniques")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the project, and return the directory of the copy."""
    ignore = shutil.ignore_patterns(".*", "*.pyc", "*.db")
    return shutil.copytree(ROOT, tmp_path / "copy", ignore=ignore)


@pytest.fixture
def url(empty_engine: Engine) -> str:
    """Make a database with the tables of this project, and with a row in each of them."""
    upgrade_database()
    PostFactory.create(author=UserFactory.create(username="alice"))
    return settings.database_url


@pytest.mark.parametrize("name", ["Comments", "Bookmarks"])
def test_recipe_of_a_resource_works(name: str, copy: Path, url: str) -> None:
    apply_recipe(".github/NEW_RESOURCE.md", name, copy)

    add_migration(copy, url, f"Create {name}")
    run_all_checks(copy)


def test_recipe_of_a_column_works(copy: Path, url: str) -> None:
    apply_recipe("README.md", "Add a column", copy)
    # In the accounts that tests expect. Those that tests send end within a line.
    last_field = re.compile(r'"is_admin": (True|False|is_admin)(?=,$|},$)', re.M)
    for file in copy.glob("tests/api/*.py"):
        file.write_text(last_field.sub(r'\g<0>, "bio": None', read(file)), encoding="utf-8")
    run(copy, "ruff", "format", "--no-cache", "tests/api")

    add_migration(copy, url, "Give users a bio")
    run_all_checks(copy)


def test_dates_of_the_recipe_are_dates() -> None:
    (code,) = re.findall(
        r"```python\n(  import.*?)  ```", read(ROOT / ".github/NEW_RESOURCE.md"), re.S
    )
    names: dict[str, Any] = {}
    exec(dedent(code), names)
    due_date = TypeAdapter(names["DueDate"])

    assert due_date.validate_python("2026-12-31") == date(2026, 12, 31)
    for value in ("0", 0, True, "2026-13-01", None):
        with pytest.raises(ValidationError):
            due_date.validate_python(value)


def code_for(want: str) -> str:
    """Return the code in a row of the table in README."""
    row = rf"^\| {re.escape(want)} \|[^`]*`(.+?)`"
    return str(re.findall(row, read(ROOT / "README.md"), re.M)[0])


def test_columns_of_the_table_can_be_added_to_existing_rows(copy: Path, url: str) -> None:
    models, line = copy / "app/models.py", "\n    hashed_password: str\n"
    columns = f"""
    is_draft: bool = {code_for("A column that isn't optional")}
    nickname: str | None = {code_for("A unique column")}
    joined_at: datetime = {code_for("`server_default` of `func.now()`")}
    color: Color = {code_for("A `StrEnum`")}
"""
    imports = "\nfrom enum import StrEnum\nfrom sqlalchemy import Enum, text\n"
    color = '\nclass Color(StrEnum):\n    RED = "red"\n'
    replace(models, line, line + columns)
    replace(models, "\nMAX_ID =", f"{imports}{color}\nMAX_ID =")

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
def test_script_of_the_table_changes_existing_rows(want: str, query: str, value: object) -> None:
    with migration_transaction() as connection:
        connection.execute(text("ALTER TABLE users ADD COLUMN age INTEGER"))
        connection.execute(text("ALTER TABLE users ADD COLUMN bio VARCHAR DEFAULT '7'"))
        operations = Operations(MigrationContext.configure(connection))

        eval(code_for(want), {"op": operations, "sa": sqlalchemy})

        assert connection.execute(text(query)).one() == (value,)
