"""PostgreSQL servers and a PgBouncer for tests that stop, freeze or replace them."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen, run
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tests.factories import PASSWORD
from tests.system.server import find_free_port, is_listening, running_server, wait_until

psycopg = pytest.importorskip("psycopg")

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

needs_postgres_server = pytest.mark.skipif(
    shutil.which("initdb", path=PROGRAMS) is None, reason="needs the server programs of PostgreSQL"
)
needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer", path=PROGRAMS) is None, reason="needs PgBouncer"
)


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
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory.parent),
            "fsync": "off",  # The machine that runs the tests won't lose power.
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        run_program(
            "pg_ctl", "start", "-D", self.directory, "-l", self.directory / "log", "-o", options
        )

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

    def freeze(self) -> None:
        """Stop answering. The kernel still accepts connections and acknowledges packets."""
        self.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send_signal(signal.SIGCONT)


@contextmanager
def new_cluster() -> Iterator[Cluster]:
    """Make an empty cluster, and start it."""
    with new_directory() as directory:
        options = ["-U", "postgres", "-A", "trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        run_program("initdb", "-D", directory / "data", *options)
        with started(Cluster(directory / "data", find_free_port())) as cluster:
            yield cluster


@contextmanager
def new_standby(primary: Cluster) -> Iterator[Cluster]:
    """Copy a cluster, and have the copy follow it."""
    with new_directory() as directory:
        standby = Cluster(directory / "data", find_free_port())
        options = ["-d", primary.url, "--checkpoint=fast", "--no-sync"]
        run_program("pg_basebackup", "-D", standby.directory, *options)
        standby.follow(primary)
        with started(standby):
            yield standby


@contextmanager
def started(cluster: Cluster) -> Iterator[Cluster]:
    cluster.start()
    try:
        yield cluster
    finally:
        if (cluster.directory / "postmaster.pid").exists():
            cluster.thaw()
            cluster.stop("immediate")


@contextmanager
def running_pgbouncer(cluster: Cluster, pool_size: int) -> Iterator[str]:
    """Share a few connections to a cluster among all transactions, and return the URL for it."""
    port = find_free_port()
    with new_directory() as directory:
        settings = f"""
            [databases]
            postgres = host=127.0.0.1 port={cluster.port} user=postgres
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = {pool_size}
        """
        config = directory / "pgbouncer.ini"
        config.write_text(settings, encoding="utf-8")
        pgbouncer = Popen(["pgbouncer", "--quiet", config], user=OWNER, env=ENVIRONMENT)
        try:
            wait_until(lambda: is_listening(port))
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            pgbouncer.kill()
            pgbouncer.wait()


@contextmanager
def author_of_posts(url: str) -> Iterator[httpx.Client]:
    """Serve the app with a database, and send requests with the token of a new user."""
    account = {"username": "author", "email": "author@example.com", "password": PASSWORD}
    with running_server(url, FIRST_USER_IS_ADMIN="false") as server, server.client() as client:
        client.post("/auth/register", json=account)
        token = client.post("/auth/token", data=account).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@contextmanager
def new_directory() -> Iterator[Path]:
    """Make a directory for OWNER, who can't enter those that pytest makes for root."""
    with TemporaryDirectory() as directory:
        if OWNER:
            shutil.chown(directory, OWNER)
        yield Path(directory)


def run_program(name: str, *arguments: str | Path) -> None:
    run([name, *arguments], user=OWNER, check=True, cwd="/", stdout=DEVNULL, env=ENVIRONMENT)
