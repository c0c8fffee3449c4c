"""Files are read and written in UTF-8 wherever the app runs, and not in the platform's encoding."""

import shutil
from pathlib import Path

from tests.system.migrations import copy_app
from tests.system.server import ROOT, run

# What Python assumes on many systems: files are ASCII here, and in another code page on Windows.
ASCII_PLATFORM = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_every_file_is_opened_with_a_named_encoding(tmp_path: Path) -> None:
    code = "import app.main, app.make_admin; app.main.upgrade_database()"
    options = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]

    result = run(*options, "-c", code, directory=tmp_path, FASTAPI_ENV="development")

    assert result.returncode == 0, result.stderr


def test_migration_can_have_a_message_in_any_language(tmp_path: Path) -> None:
    """The name of the file only has its first words, which are ASCII here."""
    project = copy_app(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", project)
    commands = """
from alembic.config import main
main(["upgrade", "head"])
main(["revision", "-m", "A message that is long enough, and an \\xc1ngulo"])
main(["upgrade", "head"])
"""

    result = run("-c", commands, directory=project, project=project, **ASCII_PLATFORM)

    assert result.returncode == 0, result.stderr
    (script,) = project.glob("app/migrations/versions/*_a_message*.py")
    assert "and an Ángulo" in script.read_text(encoding="utf-8")
