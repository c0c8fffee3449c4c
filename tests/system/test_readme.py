import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from tests.system.server import Server, find_free_port, is_listening, wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_curl_session_works_line_by_line(server: Server, tmp_path: Path) -> None:
    (session,) = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    # The statuses go to stderr, as the session itself reads the bodies.
    options = 'silent\nnoproxy = "*"\nwrite-out = "%{stderr}%{http_code}\\n"\n'
    (tmp_path / ".curlrc").write_text(options)

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
    assert (account["username"], account["is_admin"]) == ("alice", True)
    assert (post["title"], post["user_id"]) == ("Hello", account["id"])
    assert posts == [post]


def test_development_server_starts_without_any_settings(tmp_path: Path) -> None:
    port = find_free_port()
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/app.db"}
    command = [sys.executable, "-m", "fastapi", "dev", "--port", str(port)]

    # In its own process group, as the server is a child of the process that reloads it.
    process = subprocess.Popen(command, cwd=ROOT, env=environment, process_group=0)
    try:
        wait_until(lambda: is_listening(port))
        response = httpx.get(f"http://127.0.0.1:{port}/health")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("file", "line"),
    [("README.md", r"^\| `([A-Z_]+)` \|(?: `(.*?)`)? \|"), (".env.example", r"^# ([A-Z_]+)=(.*)$")],
)
def test_file_names_every_setting_and_its_default(file: str, line: str) -> None:
    settings = dict(re.findall(line, (ROOT / file).read_text(), re.MULTILINE))

    defaults = {name.upper(): str(field.default) for name, field in Settings.model_fields.items()}
    assert settings == defaults | {"SECRET_KEY": "", "FIRST_USER_IS_ADMIN": "true"}


def test_guide_to_the_tests_names_only_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "tests/README.md").read_text()))

    files = [file.read_text() for file in ROOT.glob("tests/**/test_*.py")]
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file)}
    assert named
    assert named - written == set()
