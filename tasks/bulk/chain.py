"""From what a job says to the chain that does it on Ray: model, styles, shares of the cluster, what workers are told.

The bulk job and its estimate send their items through the same one.
"""

from collections.abc import Callable
from typing import Any

from pcakd.bulk.job import Resolved, RunOptions
from pcakd.bulk.properties import ResultProperties
from pcakd.fields import chosen
from pcakd.storage import Storage
from pcakd.video.options import VideoOptions


def prepare(resolved: Resolved, options: RunOptions) -> tuple[Any, dict[str, Any]]:
    """(stylizer, style name → its statistics), computed once for all workers; may be done while Ray starts."""
    from pcakd.stylize.stylizer import Stylizer

    job, checkpoint = resolved.job, resolved.checkpoint
    assert checkpoint is not None
    stylizer = Stylizer(checkpoint, device=options.device, precision=job.precision, memory_limit=options.memory_limit)
    specs = job.style_specs()
    return stylizer, {
        name: stylizer.style(*photos, weights=specs[name].weights) for name, photos in resolved.photos.items()
    }


def make_chain(
    resolved: Resolved,
    options: RunOptions,
    prepared: tuple[Any, dict[str, Any]],
    *,
    items: int,
    run: str,
    places: tuple[Storage, Storage],
    render: str,
    shared: Callable[[Any, dict[str, Any]], dict[str, Any]],
) -> Any:
    """The chain, on the Ray that this process is attached to.

    prepared: as `prepare` gives it. items: how many there are at least. run: its name. places: source and destination.
    render: what "auto" means. shared: (stylizer, styles) → the looks that all photos share, asked where the job wants
    them to.
    """
    from tasks.bulk.pace import Paced
    from tasks.bulk.pipeline import Chain, ClusterShares
    from tasks.bulk.workers import Work
    from tasks.cluster.attach import cluster_cpus, cluster_gpus, cluster_memory

    job, checkpoint = resolved.job, resolved.checkpoint
    assert checkpoint is not None
    stylizer, styles = prepared
    settings: dict[str, Any] = {"precision": job.precision, "memory_limit": options.memory_limit}
    looks = shared(stylizer, styles) if job.look == "shared" else {}
    shares = ClusterShares.for_cluster(
        cluster_cpus(),
        cluster_gpus(),
        cluster_memory(),
        items=max(items, cluster_cpus()) if job.videos else items,  # several can be at one clip
        workers=options.workers,
        device=options.device,
        settings=settings,
    )
    rate = options.rate()
    work = Work(
        source=places[0],
        dest=places[1],
        run=run,
        model=resolved.model,
        transform=job.transform,
        balance=job.balance,
        strength=job.strength,
        smoothing=job.smoothing,
        compat=job.compat,
        render=render,
        quality=job.quality,
        max_side=job.max_side,
        depth=job.depth,
        colour=job.colour,
        create_only=job.overwrite == "fail",
        pace=None if rate is None else Paced.start(run, rate),
        properties=chosen(ResultProperties, vars(job)),
        video=chosen(VideoOptions, vars(job)),
    )
    chain: type[Chain] = Chain
    if job.videos:
        from tasks.bulk.clip_chain import ChainWithClips

        chain = ChainWithClips
    return chain(work, checkpoint._replace(student=checkpoint.student.cpu()), styles, shares, looks)
