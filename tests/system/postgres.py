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

import pytest

from tests.system.server import find_free_port, is_listening, wait_until

psycopg = pytest.importorskip("psycopg")

# PostgreSQL and PgBouncer refuse to run as root.
OWNER = "postgres" if os.geteuid() == 0 else None

# Debian keeps the server's programs off the PATH, and some users have no /usr/sbin on theirs.
PROGRAMS = os.pathsep.join(
    [os.environ["PATH"], "/usr/sbin", *map(str, Path("/usr/lib").glob("postgresql/*/bin"))]
)

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
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self, **settings: str) -> None:
        settings |= {
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
        with (self.directory / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{primary.url}'\n")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server, and first to the one that starts others."""
        pid = (self.directory / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), number)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(ProcessLookupError):  # It may have ended meanwhile.
                os.kill(int(child), number)

    def freeze(self) -> None:
        """Stop answering. The kernel still accepts connections and acknowledges packets."""
        self.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send_signal(signal.SIGCONT)


@contextmanager
def new_cluster(**settings: str) -> Iterator[Cluster]:
    """Make an empty cluster, and start it with these settings."""
    with new_directory() as directory:
        # The smallest files for its log, as these are made, and copied, in full.
        options = ["-U", "postgres", "-A", "trust", "--no-sync", "--wal-segsize=1"]
        run_program("initdb", "-D", directory / "data", *options)
        with started(Cluster(directory / "data", find_free_port()), **settings) as cluster:
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
def started_copy(original: Cluster, **settings: str) -> Iterator[Cluster]:
    """Start a copy of a stopped cluster on the same port. The original stays as it is."""
    with new_directory() as directory:
        run_program("cp", "-a", original.directory, directory / "data")
        with started(Cluster(directory / "data", original.port), **settings) as cluster:
            yield cluster


@contextmanager
def started(cluster: Cluster, **settings: str) -> Iterator[Cluster]:
    cluster.start(**settings)
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
        config = directory / "pgbouncer.ini"
        config.write_text(f"""
            [databases]
            postgres = host=127.0.0.1 port={cluster.port} user=postgres
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = {pool_size}
        """)
        pgbouncer = Popen([find_program("pgbouncer"), "--quiet", config], user=OWNER)
        try:
            wait_until(lambda: is_listening(port))
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            pgbouncer.kill()
            pgbouncer.wait()


@contextmanager
def new_directory() -> Iterator[Path]:
    """Make a directory for OWNER, who can't enter those that pytest makes for root."""
    with TemporaryDirectory() as directory:
        if OWNER:
            shutil.chown(directory, OWNER)
        yield Path(directory)


def find_program(name: str) -> str:
    path = shutil.which(name, path=PROGRAMS)
    assert path
    return path


def run_program(name: str, *arguments: str | Path) -> None:
    run([find_program(name), *arguments], user=OWNER, check=True, cwd="/", stdout=DEVNULL)
