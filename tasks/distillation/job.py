"""The stage that distils a student on Ray Train: one process a worker, gradients averaged by DistributedDataParallel.

Fault model: rank 0 writes the whole training state to the model's storage every `checkpoint_every` steps. When a
worker or its node dies, Ray Train starts the group again, and every worker goes on from that state. A state does not
depend on the number of workers, and a step's crops do not either: a run can go on with more workers, or fewer.
"""

import logging
import tempfile
from collections.abc import Callable
from typing import Any

from pcakd.distillation.config import DistillConfig
from pcakd.distillation.job import Job, describe, prepare, save_results
from pcakd.distillation.trainer import Diverged, StepReport, Trainer
from pcakd.distillation.workers import Workers
from pcakd.errors import FatalError, TransientError, UsageError
from tasks.cluster.attach import cluster_cpus, cluster_gpus, ray_cluster
from tasks.distillation.config import RayOptions
from tasks.distillation.inbox import listening, teller

logger = logging.getLogger(__name__)

TIMEOUT_S = 60
"""Seconds that a worker waits for one that has died."""


def distill(config: DistillConfig, options: RayOptions, *, on_step: Callable[[StepReport], None] | None = None) -> Job:
    """Distil on the Ray cluster; the job, whose model and reports are written then. The rest as `train`."""
    job = prepare(config)
    train(job, options, on_step=on_step)
    return job


def train(
    job: Job,
    options: RayOptions,
    *,
    on_step: Callable[[StepReport], None] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Train a job on the Ray cluster and write its model and reports.

    on_step: told, in this process, of the steps with a validation, the last one, and about one a second of the others.
    check: called on the first worker before a state is written; a FatalError of it ends the training.
    Raises UsageError, CheckpointError, NotFoundError; Diverged (its last good model is written); what `check` raises;
    TransientError when workers failed too often.
    """
    if options.workers > job.recipe.batch:
        raise UsageError(f"workers is {options.workers}: the recipe's batch of {job.recipe.batch} has less rows")
    with (
        ray_cluster(),
        listening(on_step) as tell,
        tempfile.TemporaryDirectory(prefix="pcakd-train-") as scratch,
    ):
        _fit(job, options, {"tell": tell, "check": check}, scratch)


def _fit(job: Job, options: RayOptions, calls: dict[str, Any], scratch: str) -> None:
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = cluster_gpus() > 0 and job.config.device != "cpu"
    if job.config.device == "cuda" and not gpus:
        raise UsageError("device is 'cuda', but the Ray cluster has no GPU; use --device cpu")
    job.begin()
    warn_of_waiting(options, gpus)
    elastic = options.min_workers is not None and options.min_workers < options.workers
    trainer = TorchTrainer(
        train_worker,  # type: ignore[arg-type]
        train_loop_config={"job": job, "threads": max(1, int(options.cpus)), **calls},
        scaling_config=ray.train.ScalingConfig(
            num_workers=(options.min_workers, options.workers) if elastic else options.workers,  # type: ignore[arg-type]
            use_gpu=gpus,
            resources_per_worker={"CPU": options.cpus} | ({"GPU": 1} if gpus else {}),
        ),
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo", timeout_s=TIMEOUT_S),
        run_config=ray.train.RunConfig(
            name=job.name,
            # Ray Train's own notes; its controller, on this node, is all that reads and writes them. What has to last,
            # or to reach other nodes, goes to the model's own storage.
            storage_path=scratch,
            failure_config=ray.train.FailureConfig(max_failures=options.restarts),
        ),
    )
    try:
        ended = trainer.fit().return_value  # type: ignore[attr-defined]
    except ray.train.TrainingFailedError as error:
        raise _cause(error, options) from None
    if isinstance(ended, Exception):
        raise ended


def warn_of_waiting(options: RayOptions, gpus: bool) -> None:
    """Ray waits without a word for nodes that may never come."""
    least = options.min_workers or options.workers
    for kind, wanted, there in (
        ("CPUs", least * options.cpus, cluster_cpus()),
        ("GPUs", least if gpus else 0, cluster_gpus()),
    ):
        if wanted > there:
            logger.warning("the Ray cluster has %d %s, training waits until it has %g", there, kind, wanted)


def _cause(error: BaseException, options: RayOptions) -> Exception:
    """The project's own error that ended the workers, or that they failed too often."""
    for failure in getattr(error, "worker_failures", {}).values():
        inner = getattr(failure, "cause", failure)
        for candidate in (inner, failure):
            if isinstance(candidate, UsageError | FatalError):
                return candidate
    detail = str(error).strip().splitlines()
    return TransientError(
        f"training failed {options.restarts + 1} times ({detail[-1] if detail else type(error).__name__}); "
        "the same command with --resume goes on from the last state"
    )


def train_worker(config: dict[str, Any]) -> FatalError | None:
    """What each worker runs; Ray Train calls it, again after a failure. Gives back what another try would not mend."""
    import ray.train
    import ray.train.torch
    import torch

    job: Job = config["job"]
    context = ray.train.get_context()
    rank = context.get_world_rank()
    torch.set_num_threads(config["threads"])
    device = ray.train.torch.get_device()
    workers = ddp_workers(rank, context.get_world_size())
    trainer = job.trainer(device, workers)

    def save(step: int) -> None:
        refusal = _refusal(config["check"]) if rank == 0 else None
        # All workers have to stop, or the others wait for this one.
        if workers.mean(torch.tensor(float(refusal is not None), device=device)) > 0:
            raise _Stopped("the first worker was told to stop") from refusal
        if rank == 0:
            job.save_state(trainer)
        # Every worker reports, or Ray Train waits; nobody is a step past a state that is not yet written.
        ray.train.report({"step": step, **_last(trainer)})

    try:
        trainer.run(on_step=teller(config["tell"], job.recipe.steps) if rank == 0 else None, on_state=save)
    except Diverged as error:
        if rank == 0:
            job.save_state(trainer)
            save_results(job, trainer)
        return error
    except _Stopped as error:
        return error.__cause__ if rank == 0 else error  # type: ignore[return-value]
    if rank == 0:
        save_results(job, trainer)
    return None


def ddp_workers(rank: int, size: int) -> Workers:
    """This process as one of `size` in the default process group."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    if size == 1:
        return Workers()

    def mean(tensor):
        dist.all_reduce(tensor)
        return tensor / size

    return Workers(rank=rank, size=size, wrap=lambda module: DistributedDataParallel(module), mean=mean)


class _Stopped(FatalError):
    """A worker was told to stop; the cause says why."""


def _refusal(check: Callable[[], None] | None) -> FatalError | None:
    try:
        if check is not None:
            check()
    except FatalError as error:
        return error
    return None


def _last(trainer: Trainer) -> dict[str, float]:
    return {k: v for k, v in (trainer.history[-1] if trainer.history else {}).items() if isinstance(v, float)}


__all__ = ["RayOptions", "ddp_workers", "describe", "distill", "train", "train_worker"]
