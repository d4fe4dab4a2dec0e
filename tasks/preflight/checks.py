"""What a pipeline run needs, and the checks of it. Nothing is decoded or computed on, and no Ray is started.

faults = Faults()
check_photos(wanted, faults)
...
faults.end()          # one error with all of them, of the gravest kind
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from pcakd.distillation.recipe import Recipe, load_recipe
from pcakd.eigenbases.options import Widths
from pcakd.environment import setting, whole_number
from pcakd.errors import AccessError, FatalError, PcakdError, TransientError, UsageError
from pcakd.evaluation.evaluate import find_pairs
from pcakd.storage import LocalStorage, Storage, open_storage
from pcakd.student.checkpoint import load_checkpoint
from pcakd.stylize.options import Device
from pcakd.teacher import Teacher, load_teacher
from pcakd.units import shown_bytes
from tasks.evaluation.photos import photos_of
from tasks.preflight.worker import KINDS, check_write, kind_of
from tasks.registry.champion import champion_of
from tasks.registry.names import registered_name
from tasks.settings import Settings

SPARE_BYTES = 256 << 20
"""What has to be free for models, journals and temporary files, wherever they are written."""

SAMPLED = 10_000
"""Objects of a source that room is reckoned from: listing all of it is the next stage's work."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run has been asked for, as far as it can be wrong. The fields are those of the flow's parameters."""

    source: str
    shortest_side: int = 512
    limit: int | None = None
    teacher: str
    channels: tuple[int, ...] | None = None
    variance: float | None = None
    recipe: str = ""
    judge: str = ""
    begin_with: str = ""
    device: Device = "auto"
    workers: int = 1
    worker_cpus: float = 1
    photos: str | None = None
    """What is evaluated on; None: the shards."""
    pairs: str | None = None


@dataclass
class Faults:
    """What was found wrong."""

    found: list[PcakdError] = field(default_factory=list)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """An error of the project that ends the block is a fault."""
        try:
            yield
        except PcakdError as error:
            self.found.append(error)

    def add(self, error: PcakdError) -> None:
        """Note a fault, once."""
        if str(error) not in map(str, self.found):
            self.found.append(error)

    def end(self) -> None:
        """Raise all faults as one: UsageError if one has to be mended by somebody, FatalError if none may pass on
        its own, TransientError if all may."""
        if not self.found:
            return
        kind = min((kind_of(error) for error in self.found), key=KINDS.index)
        if len(self.found) == 1:
            raise kind(f"before anything was begun: {self.found[0]}")
        listed = "; ".join(f"({number}) {error}" for number, error in enumerate(self.found, 1))
        raise kind(f"{len(self.found)} faults, before anything was begun: {listed}")


def check_teacher(wanted: Wanted, faults: Faults) -> Teacher | None:
    """The teacher; None where it cannot be had here. Its widths are held against those asked for."""
    with faults.noted():
        teacher = load_teacher(wanted.teacher)
        if wanted.channels is not None or wanted.variance is not None:
            with faults.noted():
                Widths(channels=wanted.channels, variance=wanted.variance).check(teacher.channels)
        return teacher
    return None


def check_recipe(wanted: Wanted, teacher: Teacher | None, faults: Faults) -> None:
    """The recipe, the judge that it asks for, the device."""
    recipe: Recipe | None = None
    with faults.noted():
        if wanted.recipe or teacher is not None:
            recipe = load_recipe(wanted.recipe or teacher.info.backbone)  # type: ignore[union-attr]
    if wanted.judge and recipe is not None and recipe.style_photos:
        with faults.noted():
            load_teacher(wanted.judge)
    if wanted.device == "cuda" and wanted.workers == 1 and not torch.cuda.is_available():
        faults.add(UsageError("device is 'cuda', but there is no GPU where the flow runs; use auto or cpu"))


def check_begin_with(wanted: Wanted, teacher: Teacher | None, faults: Faults) -> None:
    """The student that is gone on from: that it is there, and of the teacher's backbone and the widths asked for."""
    if not wanted.begin_with:
        return
    with faults.noted():
        spec = load_checkpoint(wanted.begin_with).metadata.spec
        if teacher is not None and spec.backbone != teacher.info.backbone:
            raise UsageError(
                f"{wanted.begin_with}: is a {spec.backbone} student, teacher {teacher.name} is for "
                f"{teacher.info.backbone}; begin with one of that backbone"
            )
        if wanted.channels not in (None, spec.channels):
            raise UsageError(f"{wanted.begin_with}: has widths {spec.channels}, asked for are {wanted.channels}")


def check_photos(wanted: Wanted, faults: Faults) -> None:
    """The source, and what is evaluated on."""
    with faults.noted():
        source = open_storage(wanted.source)
        source.check()
        if next(iter(source.list()), None) is None:
            raise UsageError(f"{source}: holds no objects")
    if wanted.photos is not None:
        with faults.noted():
            if next(photos_of(wanted.photos, 1), None) is None:
                raise UsageError(f"{wanted.photos}: has no photos to evaluate on")
    if wanted.pairs is not None:
        with faults.noted():
            find_pairs(Path(wanted.pairs))


def check_workspace(workspace: Storage, faults: Faults) -> None:
    """That the workspace can be written to here."""
    with faults.noted():
        check_write(workspace)


def check_room(wanted: Wanted, settings: Settings, faults: Faults) -> None:
    """Room on the local disks that will be written to."""
    needed = {Path(tempfile.gettempdir()): SPARE_BYTES, settings.home: SPARE_BYTES}
    workspace = open_storage(settings.workspace)
    if isinstance(workspace, LocalStorage):
        with faults.noted():
            needed[workspace.root] = SPARE_BYTES + _room_for_shards(wanted, workspace)
    devices: dict[int, tuple[Path, int]] = {}
    for place, size in needed.items():
        there = _existing(place)
        with faults.noted():
            try:
                device = os.stat(there).st_dev
            except OSError as error:
                raise AccessError(f"{there}: cannot be looked at ({error.strerror})") from None
            devices[device] = max(devices.get(device, (there, 0)), (there, size), key=lambda entry: entry[1])
    for place, size in devices.values():
        free = shutil.disk_usage(place).free
        if free < size:
            faults.add(
                FatalError(
                    f"{place}: {shown_bytes(free)} are free where at least {shown_bytes(size)} will be needed; free "
                    "some, or choose another PCAKD_WORKSPACE, PCAKD_HOME or TMPDIR"
                )
            )


def check_registry(teacher: Teacher | None, settings: Settings, faults: Faults) -> None:
    """That MLflow answers, and that the name a student will be registered under is not somebody else's."""
    backbone = teacher.info.backbone if teacher is not None else "vgg"
    with faults.noted():
        champion = champion_of(backbone, settings=settings)
        if champion is not None and not champion.digest:
            raise UsageError(
                f"{champion.uri}: is the champion, but no student of pcakd's; take the alias `champion` off "
                f"{registered_name(backbone)}, or set PCAKD_EXPERIMENT and MLFLOW_TRACKING_URI to another registry"
            )


def check_cpus(wanted: Wanted, there: int, gpus: int, where: str, faults: Faults) -> None:
    """That a training with several workers has room. there, gpus: CPUs and GPUs of the cluster."""
    if wanted.workers == 1:
        return
    needed = wanted.workers * wanted.worker_cpus
    if needed > there:
        faults.add(
            TransientError(
                f"training wants {wanted.workers} workers of {wanted.worker_cpus:g} CPUs, {needed:g} in all, and "
                f"{where} has {there}; give fewer workers, or start more nodes"
            )
        )
    if wanted.device == "cuda" and gpus < wanted.workers:
        faults.add(TransientError(f"training wants {wanted.workers} GPUs, and {where} has {gpus}; use fewer workers"))


def own_cpus() -> int:
    """CPUs of a Ray that would be started here."""
    return whole_number("PCAKD_NUM_CPUS") or os.cpu_count() or 1


def has_cluster() -> bool:
    """Whether the work is done on a cluster that is there already."""
    return setting("RAY_ADDRESS") not in ("", "local")


def _room_for_shards(wanted: Wanted, workspace: LocalStorage) -> int:
    """At least so many bytes for shards that are not there yet: while they are made, the photos are there twice."""
    if next(iter(workspace.list("shards/")), None) is not None:
        return 0
    source = open_storage(wanted.source)
    entries = islice(source.list(), min(wanted.limit or SAMPLED, SAMPLED))
    # A shrunk JPEG of a photograph has about half a byte a pixel, and is seldom larger than its source.
    most = wanted.shortest_side**2 // 2
    return 2 * sum(min(entry.size, most) for entry in entries)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
