"""A Prefect worker whose flow runs drive the Ray cluster at RAY_ADDRESS: `python -m infra.run.prefect_worker`.

Ray wants a node on a driver's machine, so this one joins first, with no CPUs and no GPUs: it gets no work. When
either of the two ends, both do, with exit code 1: a fresh start mends it. SIGTERM ends the worker first, so that it
takes no more runs, then the node that the runs need; exit code 0.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

NODE = ["bash", str(Path(__file__).with_name("ray-node.sh")), "worker"]
WORKER = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool"]
JOINED = "Ray runtime started"
"""What `ray start` says when its node is part of the cluster."""
GRACE_S = 50.0
"""For the worker to end its runs; containers are given a little more."""


def main() -> int:
    """Exit code."""
    for name in ("RAY_ADDRESS", "PREFECT_API_URL"):
        if not os.environ.get(name):
            print(f"prefect_worker: {name} is not set", file=sys.stderr)
            return 2
    over = threading.Event()  # something ended, or is asked to
    asked = threading.Event()

    def stop(*_: object) -> None:
        asked.set()
        over.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    environment = {**os.environ, "RAY_HEAD": os.environ["RAY_ADDRESS"], "RAY_NODE_CPUS": "0"}
    node = subprocess.Popen(NODE, env=environment, stdout=subprocess.PIPE, text=True)
    joined = threading.Event()
    threading.Thread(target=_relay, args=(node, joined, over), daemon=True).start()
    while not (joined.wait(0.2) or over.is_set()):
        pass
    worker: subprocess.Popen | None = None
    if not over.is_set():
        worker = subprocess.Popen([*WORKER, os.environ.get("PREFECT_POOL") or "pcakd"])
        threading.Thread(target=_watch, args=(worker, over), daemon=True).start()
    while not over.wait(1):  # with a limit, since a signal is handled between two waits
        pass
    if not asked.is_set():
        ended = "Ray node" if worker is None or worker.poll() is None else "Prefect worker"
        print(f"prefect_worker: the {ended} has ended", file=sys.stderr, flush=True)
    if worker is not None:
        _end(worker)
    _end(node)
    return 0 if asked.is_set() else 1


def _relay(node: subprocess.Popen, joined: threading.Event, over: threading.Event) -> None:
    """Pass on what the node says; note when it has joined, and when it has ended."""
    assert node.stdout is not None
    for line in node.stdout:
        print(line, end="", flush=True)
        if JOINED in line:
            joined.set()
    _watch(node, over)


def _watch(process: subprocess.Popen, over: threading.Event) -> None:
    process.wait()
    over.set()


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
