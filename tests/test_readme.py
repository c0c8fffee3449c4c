import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from app.config import Settings
from tests.server import running_server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_curl_session_works_line_by_line(tmp_path: Path) -> None:
    (session,) = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    # Statuses go another way than bodies, which the session itself reads.
    (tmp_path / ".curlrc").write_text('silent\nnoproxy = "*"\nwrite-out = "%{stderr}%{http_code}\\n"\n')

    with running_server(f"sqlite:///{tmp_path}/readme.db") as server:
        shell = subprocess.run(
            ["bash"],
            input=session.replace("http://localhost:8000", server.url).replace("\n", "\necho\n"),
            env=os.environ | {"CURL_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )

    assert shell.stderr.split() == ["201", "200", "201", "200"]
    account, post, posts = map(json.loads, filter(None, shell.stdout.splitlines()))
    assert account == {"id": 1, "username": "alice", "email": "alice@example.com", "is_admin": True}
    assert (post["title"], post["user_id"]) == ("Hello", 1)
    assert posts == [post]


@pytest.mark.parametrize(
    ("file", "line"), [("README.md", r"^\| `([A-Z_]+)` \|(?: `(.*?)`)? \|"), (".env.example", r"^# ([A-Z_]+)=(.*)$")]
)
def test_file_names_every_setting_and_its_default(file: str, line: str) -> None:
    settings = dict(re.findall(line, (ROOT / file).read_text(), re.MULTILINE))

    defaults = {name.upper(): str(field.default).lower() for name, field in Settings.model_fields.items()}
    assert settings == defaults | {"SECRET_KEY": ""}


def test_guide_to_the_tests_names_only_tests_that_exist() -> None:
    # In its last table, the names on the left are those of the tutorial.
    named = set(re.findall(r"(?<!\| )`(test_\w+)`", (ROOT / "tests" / "README.md").read_text()))

    files = [file.read_text() for file in ROOT.glob("tests/test_*.py")]
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file)}
    assert named
    assert named - written == set()
