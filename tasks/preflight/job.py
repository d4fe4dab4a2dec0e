"""The checks of a pipeline run, in order; on a cluster that is there also on each of its nodes."""

import secrets
from typing import Any

from pcakd.errors import FatalError, PcakdError, TransientError
from pcakd.storage import Storage, open_storage
from pcakd.teacher import Teacher
from tasks.cluster.attach import cluster_cpus, cluster_gpus
from tasks.preflight.checks import (
    Faults,
    Wanted,
    check_begin_with,
    check_cpus,
    check_photos,
    check_recipe,
    check_registry,
    check_room,
    check_teacher,
    check_workspace,
    own_cpus,
)
from tasks.preflight.worker import PROBE, check_node
from tasks.settings import Settings

NODE_TIMEOUT_S = 60.0
"""A node that has not answered by then is a fault: a worker process needs some seconds to start."""


def check_here(wanted: Wanted, workspace: Storage, settings: Settings, faults: Faults) -> Teacher | None:
    """Check what can be checked without a cluster; the teacher, None where it cannot be had."""
    teacher = check_teacher(wanted, faults)
    check_recipe(wanted, teacher, faults)
    check_begin_with(wanted, teacher, faults)
    check_photos(wanted, faults)
    check_workspace(workspace, faults)
    check_room(wanted, settings, faults)
    check_registry(teacher, settings, faults)
    return teacher


def check_own_machine(wanted: Wanted, faults: Faults) -> None:
    """Where a Ray of this machine will be started: whether it will be large enough."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    check_cpus(wanted, own_cpus(), gpus, "this machine", faults)


def check_cluster(wanted: Wanted, workspace: Storage, teacher: Teacher | None, faults: Faults) -> None:
    """On the cluster that this process is attached to: its size, and on each node storage and teacher."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check_cpus(wanted, cluster_cpus(), cluster_gpus(), "the Ray cluster", faults)
    key = f"{PROBE}/flow-{secrets.token_hex(8)}"
    try:
        workspace.write(key, b"the flow was here")
    except PcakdError as error:
        faults.add(error)
        return
    try:
        remote: Any = ray.remote(num_cpus=0, max_retries=0)(check_node)
        shared = ray.put(teacher)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        calls = {
            remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                open_storage(wanted.source), workspace, key, shared
            ): node["NodeManagerHostname"]
            for node in nodes
        }
        done, late = ray.wait(list(calls), num_returns=len(calls), timeout=NODE_TIMEOUT_S) if calls else ([], [])
        for call in done:
            _take(call, calls[call], faults)
        for call in late:
            ray.cancel(call, force=True)
            faults.add(TransientError(f"on node {calls[call]}: no answer within {NODE_TIMEOUT_S:.0f} s"))
        if not nodes:
            faults.add(TransientError("the Ray cluster has no node with CPUs; start one"))
    finally:
        workspace.delete(key)


def _take(call: Any, host: str, faults: Faults) -> None:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        for fault in ray.get(call):
            faults.add(fault)
    except RayTaskError as error:  # such as code of another version that does not unpickle there
        faults.add(FatalError(f"on node {host}: {str(error.cause or error).strip().splitlines()[-1]}"))
    except RayError as error:
        faults.add(TransientError(f"on node {host}: {str(error).strip().splitlines()[0]}"))
