"""Copies of the app, to which a test can add migrations."""

import shutil
from pathlib import Path

from alembic.script import ScriptDirectory

ROOT = Path(__file__).parents[2]
NEWEST_REVISION = ScriptDirectory(str(ROOT / "app/migrations")).get_current_head()


def copy_app(directory: Path) -> Path:
    """Copy the app into a directory, and return the directory."""
    shutil.copytree(ROOT / "app", directory / "app")
    return directory


def append(file: Path, line: str) -> None:
    """Add a line to the end of a file, where it overrides what is above it."""
    with file.open("a", encoding="utf-8") as code:
        code.write(f"\n{line}\n")


def write_migration(directory: Path, revision: str, upgrade: str) -> None:
    """Add a migration to a copy of the app, which follows the newest one of the app."""
    (directory / "app/migrations/versions" / f"{revision}.py").write_text(
        "import time\nfrom alembic import op\n"
        f'revision = "{revision}"\ndown_revision = "{NEWEST_REVISION}"\n'
        "branch_labels = depends_on = None\n"
        f"def upgrade() -> None:\n    {upgrade}\n"
        "def downgrade() -> None:\n    pass\n",
        encoding="utf-8",
    )
