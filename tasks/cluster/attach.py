"""The Ray cluster that a stage runs on: the one that RAY_ADDRESS names, else one started for the occasion."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from pcakd.environment import setting, whole_number
from pcakd.errors import FatalError, PcakdError, TransientError, UsageError
from tasks.cluster.head import watched_head

if TYPE_CHECKING:
    from ray.runtime_context import RuntimeContext

DEFAULT_OBJECT_STORE_BYTES = 512 << 20

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Otherwise a token file is written to the home folder.
    "RAY_AUTH_MODE": "disabled",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # Ray's C++ side warns on standard error of what Ray Data itself does with its actors.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # After an interrupt a thread of Ray Data may outlive `ray.shutdown`; a call of its would attach this process to
    # whatever cluster runs on the machine.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # Ray sets CUDA_VISIBLE_DEVICES to "" for tasks that ask for no GPU, and warns of it.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray's log monitor looks for new log files ten times a second, and has no reader: `log_to_driver` is off.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "3600",
}


@contextmanager
def ray_cluster(
    *, num_cpus: int | None = None, num_gpus: int | None = None, object_store_bytes: int | None = None
) -> Iterator["RuntimeContext"]:
    """Attach to Ray for the block; what was started for it is stopped at its end.

    In this order: the Ray that this process is attached to already (left as it is); the cluster at
    RAY_ADDRESS; a local one with `num_cpus` (default: PCAKD_NUM_CPUS, else all of the machine) and an
    object store of `object_store_bytes` (default: PCAKD_OBJECT_STORE_MB, else 512 MiB).

    Raises UsageError for a value that is none, TransientError when the cluster cannot be reached; what Ray raises
    in the block becomes an error of the project.
    """
    import_ray_quietly()
    import ray

    if ray.is_initialized():
        with project_errors():
            yield ray.get_runtime_context()
        return
    address = setting("RAY_ADDRESS")
    options: dict = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": False,
        "include_dashboard": False,
        "_temp_dir": setting("PCAKD_RAY_TEMP_DIR") or None,
    }
    if address and address != "local":
        options = {
            "address": address,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "configure_logging": False,
        }
    else:
        options |= {
            "address": "local",
            "num_cpus": num_cpus or whole_number("PCAKD_NUM_CPUS"),
            "num_gpus": num_gpus,
            "object_store_memory": object_store_bytes
            or (whole_number("PCAKD_OBJECT_STORE_MB") or 0) << 20
            or DEFAULT_OBJECT_STORE_BYTES,
        }
    if address not in ("", "local", "auto"):
        _check_reachable(address)
    try:
        with _without_stderr(), _callers_sigterm():
            ray.init(**options)
    except Exception as error:  # a node that is slow to start is a bare Exception in Ray
        ray.shutdown()
        where = f"at RAY_ADDRESS={address}" if address else "on this machine"
        raise TransientError(
            f"no Ray cluster {where} ({(str(error) or type(error).__name__).splitlines()[0]})"
        ) from None
    context = ray.get_runtime_context()
    # A client of a cluster elsewhere, ray://, is told of its loss by exceptions.
    watched = nullcontext() if address.startswith("ray://") else watched_head(context.gcs_address)
    try:
        with watched, project_errors():
            yield context
    finally:
        ray.shutdown()


@contextmanager
def project_errors() -> Iterator[None]:
    """Within the block an error of Ray's becomes one of the project's: no caller has to know both.

    What a worker raised is raised here: an error of the project as it is, any other as FatalError, for another try
    would end the same way. All else that Ray raises may pass, as lost nodes and objects do: TransientError.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, PcakdError):
            raise error.cause from None
        raise FatalError(f"a worker failed ({first_line(error.cause)}); this is a defect, please report it") from error
    except RayError as error:
        raise TransientError(f"Ray gave up ({first_line(error)}); the same command goes on") from error


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0][:200]}" if words else type(error).__name__


@contextmanager
def _callers_sigterm() -> Iterator[None]:
    """Give SIGTERM back to who has it: Ray's start takes it over, and Prefect would not know a cancelled run by it."""
    mine = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(mine) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, mine)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's C++ side tells there that it obeys RAY_BACKEND_LOG_LEVEL; what goes wrong is an exception, too."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def import_ray_quietly() -> None:
    """Set what Ray reads at its import. Values that the user set stay."""
    for name, default in _ENVIRONMENT.items():
        os.environ.setdefault(name, default)


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes, and ends the process from its C++ side."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"RAY_ADDRESS is {address!r}: give host:port, ray://host:port, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise TransientError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error.strerror or error}); "
            "start it, or unset RAY_ADDRESS to run on this machine"
        ) from None


def cluster_cpus() -> int:
    """CPUs of the cluster that this process is attached to, at least 1."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def cluster_gpus() -> int:
    """GPUs of the cluster that this process is attached to."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0))


def cluster_memory() -> int:
    """Bytes of memory that the cluster's processes may take, its object store not counted."""
    import ray

    return int(ray.cluster_resources().get("memory", 0))
