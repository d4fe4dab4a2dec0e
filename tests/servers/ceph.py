"""A real S3 server for tests: a one-node Ceph object gateway on loopback, state in memory."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.s3 import S3Server

SCRIPT = Path(__file__).with_name("ceph_rgw.sh")
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")

_folders: dict[str, Path] = {}
"""Endpoint of a running server → its folder."""


def why_not() -> str | None:
    """Why this machine cannot run the server, None if it can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"no Ceph object gateway: {', '.join(absent)} missing; `make test-deps` installs them (Debian, as root)"
    if os.geteuid() != 0:
        return "no Ceph object gateway: it is started as root"
    return None


@contextmanager
def ceph_server() -> Iterator[S3Server]:
    """Start it (about 12 s, 400 MB resident), stop it at the end of the block."""
    folder, port = tempfile.mkdtemp(prefix="pcakd-ceph-"), _free_port()
    try:
        # Output to a file: the daemons inherit it, and a pipe would never end.
        log = Path(folder) / "start.log"
        with log.open("wb") as output:
            started = subprocess.run(
                ["bash", str(SCRIPT), "start", folder, str(port)],
                stdout=output,
                stderr=output,
                timeout=240,
                check=False,
            )
        if started.returncode:
            raise RuntimeError(f"the Ceph object gateway did not start:\n{log.read_text()[-2000:]}")
        server = S3Server(endpoint=f"http://127.0.0.1:{port}", access_key="testaccess", secret_key="testsecret")
        _folders[server.endpoint] = Path(folder)
        yield server
    finally:
        subprocess.run(["bash", str(SCRIPT), "stop", folder], check=False, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    """A port p such that p, p + 300 and p + 301 (the monitor's) are free."""
    for _ in range(100):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
            if port > 65_000:
                continue
            with socket.socket() as one, socket.socket() as two:
                try:
                    one.bind(("127.0.0.1", port + 300))
                    two.bind(("127.0.0.1", port + 301))
                except OSError:
                    continue
            return port
    raise RuntimeError("no free ports")


def new_user(server: S3Server, name: str) -> S3Server:
    """A user of the server who owns nothing and may do nothing, with the access key NAME."""
    words = ["radosgw-admin", "-c", str(_folders[server.endpoint] / "ceph.conf"), "-n", "client.rgw", "user", "create"]
    words += [f"--uid={name}", f"--display-name={name}", f"--access-key={name}", f"--secret-key={name}-secret"]
    subprocess.run(words, capture_output=True, timeout=120, check=True)
    return S3Server(endpoint=server.endpoint, access_key=name, secret_key=f"{name}-secret")
