"""PostgreSQL servers for tests that stop, freeze or replace them."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, run
from tempfile import TemporaryDirectory
from typing import Any

import pytest

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")

# PostgreSQL and PgBouncer refuse to run as root.
OWNER = "postgres" if os.geteuid() == 0 else None

# Debian keeps the server's programs off the PATH, and some users have no /usr/sbin on theirs.
PROGRAMS = os.pathsep.join(
    [os.environ["PATH"], "/usr/sbin", *map(str, Path("/usr/lib").glob("postgresql/*/bin"))]
)
# Someone may have set variables such as PGOPTIONS. The programs don't get them, and these
# parameters win over them.
ENVIRONMENT = {"PATH": PROGRAMS}
PLAIN = {"sslmode": "disable", "options": "", "client_encoding": "utf8"}

if not shutil.which("initdb", path=PROGRAMS):
    pytest.skip("needs the server programs of PostgreSQL", allow_module_level=True)


@dataclass
class Cluster:
    """A PostgreSQL server with its own directory and port."""

    directory: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def execute(self, statement: str) -> list[Any]:
        """Execute a statement and commit, and return the rows if it has any."""
        with psycopg.connect(self.url, autocommit=True, **PLAIN) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        options = (
            f"-c port={self.port} -c listen_addresses=127.0.0.1"
            f" -c unix_socket_directories={self.directory.parent}"
            " -c fsync=off"  # The machine that runs the tests won't lose power.
        )
        log = self.directory / "log"
        run_program("pg_ctl", "start", "-D", self.directory, "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        run_program("pg_ctl", "stop", "-D", self.directory, "-m", mode)

    def promote(self) -> None:
        """Make a standby the primary. From then on it can be written to."""
        run_program("pg_ctl", "promote", "-D", self.directory)

    def follow(self, primary: "Cluster") -> None:
        """Become a standby of another cluster at the next start."""
        (self.directory / "standby.signal").touch()
        with (self.directory / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"primary_conninfo = '{primary.url}'\n")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server, and first to the one that starts others."""
        pid = (self.directory / "postmaster.pid").read_text(encoding="utf-8").split()[0]
        os.kill(int(pid), number)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split():
            with suppress(ProcessLookupError):  # It may have ended meanwhile.
                os.kill(int(child), number)


@contextmanager
def new_cluster(primary: Cluster | None = None) -> Iterator[Cluster]:
    """Start an empty cluster, or a standby that follows a primary."""
    with new_directory() as directory:
        cluster = Cluster(directory / "data", find_free_port())
        if primary:
            options = ["-d", primary.url, "--checkpoint=fast", "--no-sync"]
            run_program("pg_basebackup", "-D", cluster.directory, *options)
            cluster.follow(primary)
        else:
            options = ["-U", "postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
            run_program("initdb", "-D", cluster.directory, "-A", "trust", *options)
        cluster.start()
        try:
            yield cluster
        finally:
            if (cluster.directory / "postmaster.pid").exists():
                cluster.send_signal(signal.SIGCONT)
                cluster.stop("immediate")


@contextmanager
def new_directory() -> Iterator[Path]:
    """Make a directory for OWNER, who can't enter those that pytest makes for root."""
    with TemporaryDirectory() as directory:
        if OWNER:
            shutil.chown(directory, OWNER)
        yield Path(directory)


def run_program(name: str, *arguments: str | Path) -> None:
    run([name, *arguments], user=OWNER, check=True, cwd="/", stdout=DEVNULL, env=ENVIRONMENT)


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
