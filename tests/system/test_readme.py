"""The commands of README work, and README and the guide to the tests are up to date."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from app.config import Settings, settings
from app.database import upgrade_database
from app.make_admin import make_admin
from app.models import User
from tests.factories import UserFactory
from tests.system.server import ALICE, ROOT, Server, copy_app, environment, run, running, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_session_works_line_by_line(server: Server, tmp_path: Path) -> None:
    (session,) = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    # The statuses go to stderr, as the session itself reads the bodies.
    options = 'silent\nnoproxy = "*"\nwrite-out = "%{stderr}%{http_code}\\n"\n'
    (tmp_path / ".curlrc").write_text(options, encoding="utf-8")

    shell = subprocess.run(
        ["bash"],
        input=session.replace("http://localhost:8000", server.url).replace("\n", "\necho\n"),
        env=environment(CURL_HOME=str(tmp_path)),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert set(shell.stderr.split()) == {"200", "201"}
    account, *_ = filter(None, shell.stdout.splitlines())
    assert json.loads(account)["is_admin"]


def test_token_survives_a_saved_file_under_fastapi_dev(tmp_path: Path) -> None:
    project = copy_app(tmp_path / "A folder can have any name, été, 100%41")
    command = ["-m", "fastapi", "dev", "--port", "0"]

    with running(*command, directory=project, PYTHONPATH=str(project)) as server:
        with server.client() as client:
            client.post("/auth/register", json=ALICE)
            token = client.post("/auth/token", data=ALICE).json()["access_token"]
        with (project / "app/main.py").open("a", encoding="utf-8") as code:
            code.write("# A change.\n")
        wait_until(lambda: server.read_log().count("Application startup complete") == 2)
        with server.client(Authorization=f"Bearer {token}") as client:
            response = client.get("/users/me")

    assert response.status_code == 200


def test_make_admin_makes_a_user_admin_without_a_key(empty_engine: Engine, tmp_path: Path) -> None:
    upgrade_database()
    user = UserFactory.create(username="alice")
    command = ["-m", "app.make_admin", "ALICE"]

    result = run(*command, directory=tmp_path, DATABASE_URL=settings.database_url)

    assert (result.returncode, result.stdout) == (0, "alice is an admin now.\n")
    with Session(empty_engine) as session:
        assert session.get_one(User, user.id).is_admin


def test_make_admin_migrates_the_database_and_refuses_an_unknown_user(
    empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.make_admin.engine", empty_engine)

    with pytest.raises(SystemExit, match=r"^User not found: nobody"):
        make_admin("nobody")
    UserFactory.create(username="aXb")
    with pytest.raises(SystemExit, match=r"^User not found: a_b"):  # No wildcard, as in LIKE.
        make_admin("a_b")
    for _ in range(2):  # It gives rights, and never takes them.
        assert make_admin("aXb") == "aXb is an admin now."
        with Session(empty_engine) as session:
            assert session.exec(select(User)).one().is_admin


@pytest.mark.skipif(not (ROOT / ".gitignore").exists(), reason="only in a checkout")
def test_git_ignores_the_development_key() -> None:
    assert ".secret_key" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("file", ["README.md", "tests/README.md"])
def test_example_of_a_test_is_one_of_the_tests(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    tests = [path.read_text(encoding="utf-8") for path in ROOT.glob("tests/api/test_*.py")]

    assert any(example in test for test in tests), f"Copy another test from tests/api/ to {file}"


@pytest.mark.parametrize(
    ("file", "line"),
    [("README.md", r"^\| `([A-Z_]+)` \|(?: `(.*?)`)? \|"), (".env.example", r"^# ([A-Z_]+)=(.*)$")],
)
def test_file_names_every_setting_and_its_default(file: str, line: str) -> None:
    found = dict(re.findall(line, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))

    defaults = {name.upper(): str(field.default) for name, field in Settings.model_fields.items()}
    assert found == defaults | {"SECRET_KEY": "", "FIRST_USER_IS_ADMIN": "true", "CORS_ORIGINS": ""}


def test_guide_to_the_tests_names_only_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "tests/README.md").read_text(encoding="utf-8")))

    files = [file.read_text(encoding="utf-8") for file in ROOT.glob("tests/**/test_*.py")]
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file)}
    assert named
    assert named - written == set()
