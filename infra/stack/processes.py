"""Start and stop the stack's processes; a file a process says which it is."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from infra.stack.services import HOST, Service, Stack
from pcakd.environment import VARIABLES
from pcakd.errors import TransientError, UsageError
from pcakd.files import write_atomic

START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 20.0
ATTEMPTS = 3
"""Starts of a service that ends at once: Ray gives its parts 30 s, which a busy machine may exceed."""


class EndedError(TransientError):
    """A service's process ended while it was starting."""


def up(stack: Stack, say: Callable[[str], None]) -> None:
    """Start what is not running and wait until everything answers.

    Raises UsageError for a port that somebody else has, TransientError for a process that ends or does not
    answer in time; what runs by then stays, so that the logs can be read and `up` repeated.
    """
    for service in stack.services():
        process = running(stack, service)
        if process is None:
            say(f"{service.name}: starting; waiting until {service.waits_for}")
            say(f"{service.name}: up (process {_bring_up(stack, service, say).pid})")
        else:
            _wait(stack, service, process)
            say(f"{service.name}: was up already (process {process.pid})")
            if differing := differences(stack, service):
                say(f"{service.name}: was started with other settings; `make restart` takes these: {differing}")


def _bring_up(stack: Stack, service: Service, say: Callable[[str], None]) -> psutil.Process:
    for attempt in range(1, ATTEMPTS + 1):
        _claim_port(service)
        process = _start(stack, service)
        try:
            _wait(stack, service, process)
            return process
        except EndedError as error:
            if attempt == ATTEMPTS:
                raise
            say(f"{error}; starting it again")
    raise AssertionError("unreachable")


def down(stack: Stack, say: Callable[[str], None]) -> None:
    """Stop everything, the last started first."""
    for service in reversed(stack.services()):
        process = running(stack, service)
        if process is None:
            say(f"{service.name}: was not up")
        else:
            stop(process)
            say(f"{service.name}: stopped")
        _file(stack, service).unlink(missing_ok=True)


def settings_of(stack: Stack) -> dict[str, str]:
    """The variables of `pcakd.environment` that every process of the stack is started with; of a secret its hash."""
    given = os.environ | stack.environment()
    found = {name: given.get(name, "").strip() for name in VARIABLES}
    return {
        name: hashlib.sha256(value.encode()).hexdigest() if VARIABLES[name].secret else value
        for name, value in found.items()
        if value
    }


def differences(stack: Stack, service: Service) -> str:
    """What a running service's settings were and what they would be now, in words; "" where they are the same."""
    before, now = _record(stack, service).get("settings"), settings_of(stack)
    if before is None:  # started by an earlier pcakd
        return ""
    words = []
    for name in sorted(set(before) | set(now)):
        if before.get(name) != now.get(name):
            values = (before.get(name, "unset"), now.get(name, "unset"))
            words.append(f"{name} (changed)" if VARIABLES[name].secret else f"{name} ({values[0]} → {values[1]})")
    return ", ".join(words)


def running(stack: Stack, service: Service) -> psutil.Process | None:
    """The service's process if it is the one that was started here."""
    try:
        record = _record(stack, service)
        process = psutil.Process(record["pid"])
        alive = process.create_time() == record["started"] and process.status() != psutil.STATUS_ZOMBIE
        return process if alive else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def stop(process: psutil.Process) -> None:
    """End a process and all that it started: asked first, then killed."""
    with suppress(psutil.Error):
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
        for survivor in alive:
            with suppress(psutil.Error):
                survivor.kill()
        psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)


def _start(stack: Stack, service: Service) -> psutil.Process:
    log = log_file(stack, service)
    log.parent.mkdir(parents=True, exist_ok=True)
    for folder in ("mlflow", "prefect", "run"):
        (stack.data / folder).mkdir(parents=True, exist_ok=True)
    environment = os.environ | stack.environment() | dict(service.environment)
    if service.name == "ray":
        environment.pop("RAY_ADDRESS", None)  # the head would look for a cluster there
    with log.open("ab") as output:
        started = subprocess.Popen(
            service.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process = psutil.Process(started.pid)
    record = {"pid": process.pid, "started": process.create_time(), "settings": settings_of(stack)}
    write_atomic(_file(stack, service), json.dumps(record).encode())
    return process


def _wait(stack: Stack, service: Service, process: psutil.Process) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not service.healthy():
        log = log_file(stack, service)
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise EndedError(f"{service.name} ended while starting: {_last_line(log)} (see {log})")
        if time.monotonic() > deadline:
            raise TransientError(f"{service.name} does not answer after {START_TIMEOUT_S:.0f} s; see {log}")
        time.sleep(0.5)


def _claim_port(service: Service) -> None:
    if service.port is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, service.port))
        except OSError:
            raise UsageError(
                f"{service.name}: port {service.port} is taken by another program; set {service.port_variable}"
            ) from None


def log_file(stack: Stack, service: Service) -> Path:
    return stack.data / "logs" / f"{service.name}.log"


def _file(stack: Stack, service: Service) -> Path:
    return stack.data / "run" / f"{service.name}.json"


def _record(stack: Stack, service: Service) -> dict[str, Any]:
    """What was written when the service was started. Raises OSError, ValueError."""
    return json.loads(_file(stack, service).read_text())


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
