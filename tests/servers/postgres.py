"""A PostgreSQL server for tests: Debian's, on a free loopback port, in a temporary folder, not run as root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from tests.servers.processes import end, free_port, wait_until

USER = PASSWORD = "pcakd"
FAST_SHUTDOWN = signal.SIGINT
"""What makes it end without waiting for its clients."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server."""

    port: int
    """On 127.0.0.1."""

    def new_database(self, name: str) -> None:
        """Create an empty database."""
        connection = self.connect("postgres")
        try:
            connection.autocommit = True  # CREATE DATABASE takes no transaction
            with connection.cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{name}"')
        finally:
            connection.close()

    def url(self, database: str, driver: str = "") -> str:
        """Its address for SQLAlchemy; driver: "asyncpg" for Prefect, "" (psycopg2) for MLflow."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def rows(self, database: str, query: str) -> list[tuple]:
        """What a query finds."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    def connect(self, database: str):
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, connect_timeout=5
        )


def programs() -> Path | None:
    """The folder of Debian's newest initdb and postgres, which are on nobody's PATH; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = found[-1] if found else shutil.which("initdb")
    return Path(named).parent if named else None


def why_not() -> str | None:
    """Why this machine cannot run the server, None if it can."""
    if programs() is None:
        return "no PostgreSQL: initdb is missing; `make test-deps` installs it (Debian, as root)"
    return None


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start it (about 3 s), stop it at the end of the block."""
    folder, port, where = Path(tempfile.mkdtemp(prefix="pcakd-postgres-")), free_port(), programs()
    assert where is not None
    # PostgreSQL refuses to run as root.
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if (account := _account()) else {}
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        log = folder / "log"
        log.touch()
        if account:
            for path in (folder, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        data = folder / "data"
        words = [where / "initdb", "--pgdata", data, "--username", USER, "--pwfile", secret, "--auth=scram-sha-256"]
        words += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        with log.open("ab") as output:
            made = subprocess.run(words, cwd=folder, stdout=output, stderr=output, check=False, timeout=120, **who)
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{log.read_text()[-2000:]}")
        words = [where / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        # Nothing here outlives a crash of the machine.
        words += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=32MB"]
        with log.open("ab") as output:
            process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=output, start_new_session=True, **who)
        try:
            server = Postgres(port=port)
            wait_until(lambda: _answers(server), process, log, seconds=60)
            yield server
        finally:
            end(process, FAST_SHUTDOWN)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd | None:
    """Whom to run it as: a user without rights where this is root, None for this user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no user postgres or nobody to run PostgreSQL as")


def _answers(server: Postgres) -> bool:
    try:
        server.connect("postgres").close()
    except psycopg2.OperationalError:
        return False
    return True
