"""Health checks of the containers: `python -m infra.run.healthy SERVICE`; exit code 0 or 1.

http URL      something answers there with a status below 400
ray HOST:PORT a cluster answers there, with at least one node alive
worker        a Prefect worker of the pool PREFECT_POOL sent a sign of life to PREFECT_API_URL
"""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request


def main(words: list[str]) -> int:
    """Exit code: 0 healthy, 1 not, 2 for words that are no check."""
    match words:
        case ["http", url]:
            return 0 if answer(url) is not None else 1
        case ["ray", address]:
            command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
            return 1 if subprocess.run(command, capture_output=True, check=False).returncode else 0
        case ["worker"]:
            return 0 if worker_is_online() else 1
    print(__doc__, file=sys.stderr)
    return 2


def worker_is_online() -> bool:
    """Whether a worker of the pool is online, as the Prefect server sees it."""
    pool = os.environ.get("PREFECT_POOL") or "pcakd"
    body = answer(f"{os.environ.get('PREFECT_API_URL', '')}/work_pools/{pool}/workers/filter", b"{}")
    return body is not None and any(worker.get("status") == "ONLINE" for worker in json.loads(body))


def answer(url: str, body: bytes | None = None) -> bytes | None:
    """The answer's content, None where there is none; with PREFECT_API_AUTH_STRING where that is set."""
    headers = {"Content-Type": "application/json"}
    if login := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as got:
            return got.read()
    except (OSError, ValueError, urllib.error.URLError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
