"""The stage that fits eigenbases: one pass over the shards by feature-extraction actors, then four small `eigh`.

Fault model: a piece of a shard is reduced by one actor to its moments, which are added once, when they have
arrived. An actor that dies loses the piece it was working on; another actor does that piece again. Pieces and the
tree in which their sums are added depend on the photos alone, so the result does not depend on the number of workers.
"""

import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pcakd.eigenbases.files import eigenbases_bytes, eigenbases_digest, moments_bytes, moments_from
from pcakd.eigenbases.options import Extraction, Widths
from pcakd.eigenbases.pca import Eigenbases, Moments, RankWarning, fit, merge
from pcakd.eigenbases.spectrum import spectrum_csv, spectrum_png
from pcakd.errors import CheckpointError, UsageError
from pcakd.shards import ShardDataset, ShardInfo, open_dataset
from pcakd.storage import Storage
from pcakd.storage.stage import MANIFEST, Finish, StageOutput, read_manifest, stage_key
from pcakd.student.network import DEFAULT_CHANNELS
from pcakd.teacher import Teacher, load_teacher
from tasks.cluster.actors import scatter
from tasks.cluster.attach import ray_cluster
from tasks.cluster.progress import Progress, no_progress
from tasks.eigenbases.cache import MomentsCache, Sums
from tasks.eigenbases.config import FitConfig
from tasks.eigenbases.pieces import Piece, cut_into_pieces, shards_of
from tasks.eigenbases.tree_sum import TreeSum

if TYPE_CHECKING:
    from tasks.eigenbases.extractor import Extractors

logger = logging.getLogger(__name__)

STAGE = "eigenbases"
EIGENBASES_FILE, MOMENTS_FILE = "eigenbases.safetensors", "moments.safetensors"
TABLE_FILE, PLOT_FILE = "spectrum.csv", "spectrum.png"

FEW_PHOTOS = 512
"""Below so many every photo's own spectrum is taken."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a fit gives back: the stage's manifest, the speed of the pass, whether earlier work was used."""

    manifest: dict[str, Any]
    photos_per_second: float | None
    reused: Literal["nothing", "moments", "all"]


def fit_eigenbases(
    config: FitConfig,
    output: Storage,
    *,
    progress: Progress = no_progress,
    finish: Finish | None = None,
    attach: Callable[[], None] = lambda: None,
) -> FitResult:
    """Fit eigenbases and write them into `output`, manifest last.

    finish: writes the manifest; None: without asking anybody. attach: called before Ray is used.

    A finished fit of the same photos, teacher and parameters is returned as it is; where only the widths
    differ, the moments in `output` are used again and no photo is read. Shards whose moments are kept beside them are
    not read either; where that is all of them no Ray is started.
    Raises UsageError, NotFoundError, TransientError, FatalError.
    """
    work = _opened(config)
    stage = StageOutput.at(output, STAGE, inputs=work.inputs, params=key_params(config))
    if (manifest := _finished(stage, work)) is not None:
        return FitResult(manifest=manifest, photos_per_second=None, reused="all")
    moments, left_out = _saved_moments(output, work.facts)
    reused, speed = moments is not None, None
    if moments is None:
        moments, left_out, speed = _one_pass(work, progress, attach)
        output.write(MOMENTS_FILE, moments_bytes(moments, left_out=left_out, **work.facts))
    bases, notes = work.fit(moments, left_out)
    _write_bases(output, bases, work.teacher)
    content = _content(work.teacher, bases) | {
        "photos": moments.photos,
        "left_out": left_out,
        "warnings": notes,
        "files": [EIGENBASES_FILE, MOMENTS_FILE, TABLE_FILE, PLOT_FILE],
    }
    manifest = (finish or stage.finish)(content)
    return FitResult(manifest=manifest, photos_per_second=speed, reused="moments" if reused else "nothing")


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What a fit works on: the teacher, the dataset cut into pieces, and how photos are fed to the teacher."""

    config: FitConfig
    teacher: Teacher
    widths: Widths
    dataset: ShardDataset
    shards: list[ShardInfo]
    pieces: list[Piece]
    extraction: Extraction

    @property
    def inputs(self) -> dict[str, str]:
        return {"shards": self.dataset.digest, "teacher": self.teacher.digest}

    @property
    def facts(self) -> dict[str, Any]:
        """What saved moments must have been made from to be these."""
        return {"inputs": self.inputs, "params": _pass_params(self.config, self.extraction)}

    @property
    def cache(self) -> MomentsCache:
        params = {"crop": self.extraction.crop, "spectrum_every": self.extraction.spectrum_every}
        return MomentsCache(storage=self.dataset.storage, teacher=self.teacher.digest, params=params)

    @property
    def whole(self) -> dict[str, ShardInfo]:
        """The shards of which every photo is taken: all but the one that a limit cuts."""
        taken = Counter[str]()
        for piece in self.pieces:
            taken[piece.shard] += len(piece)
        return {shard.file: shard for shard in self.shards if taken[shard.file] == shard.rows > 0}

    def known(self) -> dict[str, Sums]:
        """What is kept of the shards."""
        found = {file: self.cache.read(shard) for file, shard in self.whole.items()}
        return {file: sums for file, sums in found.items() if sums is not None}

    def keep(self, file: str, sums: Sums) -> None:
        if (shard := self.whole.get(file)) is not None:
            self.cache.write(shard, sums)

    def extractors(self) -> AbstractContextManager["Extractors"]:
        from tasks.eigenbases.extractor import extractors  # Ray takes seconds to import

        workers, threads = self.config.workers, self.config.threads
        return extractors(self.teacher, self.dataset.storage, self.extraction, workers=workers, threads=threads)

    def fit(self, moments: Moments, left_out: dict[str, int]) -> tuple[Eigenbases, list[str]]:
        return fit_moments(moments, self.widths, _identity(self.teacher), self.dataset.digest, left_out)


def _opened(config: FitConfig) -> _Work:
    teacher = load_teacher(config.teacher)
    widths = config.widths or Widths(channels=paper_widths(teacher))
    widths.check(teacher.channels)
    dataset = open_dataset(config.shards)
    shards = shards_of(dataset, config.split)
    pieces = cut_into_pieces(shards, limit=config.limit)
    extraction = config.extraction
    if sum(len(piece) for piece in pieces) < FEW_PHOTOS:
        extraction = replace(extraction, spectrum_every=1)
    return _Work(
        config=config,
        teacher=teacher,
        widths=widths,
        dataset=dataset,
        shards=shards,
        pieces=pieces,
        extraction=extraction,
    )


def _one_pass(
    work: _Work, progress: Progress, attach: Callable[[], None]
) -> tuple[Moments, dict[str, int], float | None]:
    """The sums of all shards, those that are kept nowhere made now, and the photos a second of that."""
    known = work.known()
    missing = [piece for piece in work.pieces if piece.shard not in known]
    photos, speed = sum(len(piece) for piece in missing), None
    if missing:
        attach()
        with ray_cluster(), work.extractors() as pool:
            started = time.monotonic()
            known |= collect_moments(pool, missing, progress, work.keep)
            speed = photos / max(time.monotonic() - started, 1e-9)
    moments, left_out = add_up([known[shard] for shard in dict.fromkeys(piece.shard for piece in work.pieces)])
    return moments, left_out, speed


def _finished(stage: StageOutput, work: _Work) -> dict[str, Any] | None:
    """The manifest of an earlier run of this very fit; that of another one is taken away, as it is to be made anew."""
    if (manifest := read_manifest(stage.storage)) is None:
        return None
    if manifest.get("key") == _former_key(work):
        manifest = stage.adopt(manifest)
    if manifest.get("key") == stage.key:
        return manifest
    stage.storage.delete(MANIFEST)
    return None


def _identity(teacher: Teacher) -> dict[str, str]:
    return {"id": teacher.name, "digest": teacher.digest}


def _write_bases(output: Storage, bases: Eigenbases, teacher: Teacher) -> None:
    output.write(EIGENBASES_FILE, eigenbases_bytes(bases))
    output.write(TABLE_FILE, spectrum_csv(bases).encode())
    output.write(PLOT_FILE, spectrum_png(bases, title=f"Eigenbases of {teacher.name} over {bases.photos:,} photos"))


def _content(teacher: Teacher, bases: Eigenbases) -> dict[str, Any]:
    """What the manifest tells of the teacher and its bases."""
    return {
        "teacher": _identity(teacher) | {"source": teacher.info.source, "licence": teacher.info.licence},
        "backbone": teacher.info.backbone,
        "eigenbases_digest": eigenbases_digest(bases),
        "channels": list(bases.channels),
        "teacher_channels": list(teacher.channels),
        "explained": [float(e[k - 1]) for e, k in zip(bases.explained, bases.channels, strict=True)],
    }


def paper_widths(teacher: Teacher) -> tuple[int, ...]:
    """The paper's widths for the teacher's backbone; no more than the teacher has (a student as teacher)."""
    return tuple(min(k, c) for k, c in zip(DEFAULT_CHANNELS[teacher.info.backbone], teacher.channels, strict=True))


def collect_moments(
    pool: "Extractors",
    pieces: Sequence[Piece],
    progress: Progress = no_progress,
    keep: Callable[[str, Sums], None] = lambda shard, sums: None,
) -> dict[str, Sums]:
    """One pass: for each shard the moments of its pieces, each counted once, and photos left out by reason.

    keep: told the sums of a shard as soon as they are whole.
    """
    numbers: dict[str, list[int]] = {}
    for piece in pieces:
        numbers.setdefault(piece.shard, []).append(piece.index)
    trees = {shard: TreeSum(len(indices)) for shard, indices in numbers.items()}
    left_out = {shard: Counter[str]() for shard in numbers}
    waiting = {shard: len(indices) for shard, indices in numbers.items()}
    results = scatter(pool.actors, pool.start, lambda actor, piece: actor.moments.remote(piece), pieces) if pool else ()
    sums: dict[str, Sums] = {}
    with progress("photos", sum(len(piece) for piece in pieces)) as advance:
        for piece, (moments, missing) in results:
            shard = piece.shard
            trees[shard].add(piece.index - numbers[shard][0], moments)
            left_out[shard].update(missing)
            waiting[shard] -= 1
            if not waiting[shard]:
                sums[shard] = trees.pop(shard).total(), dict(sorted(left_out[shard].items()))
                keep(shard, sums[shard])
            advance(len(piece))
    return sums


def add_up(sums: Sequence[Sums]) -> Sums:
    """The sums of all shards, in their order."""
    tree, left_out = TreeSum(len(sums)), Counter[str]()
    for number, (moments, missing) in enumerate(sums):
        tree.add(number, moments)
        left_out.update(missing)
    return tree.total(), dict(sorted(left_out.items()))


def fit_moments(
    moments: Moments, widths: Widths, teacher: dict[str, str], data_digest: str, left_out: dict[str, int]
) -> tuple[Eigenbases, list[str]]:
    """Eigenbases and the warnings they come with. Raises UsageError where every photo was left out."""
    if moments.photos == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "there are none"
        raise UsageError(f"no photo to fit eigenbases on: {reasons}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RankWarning)
        bases = fit(moments, widths, teacher=teacher, data_digest=data_digest)
    return bases, [str(warning.message) for warning in caught if issubclass(warning.category, RankWarning)]


def kept_moments(config: FitConfig, files: Collection[str]) -> Moments | None:
    """The moments of these shards, as a fit has left them beside the dataset; None where one's are not kept, or none
    of them is of the split."""
    work = _opened(config)
    shards = [shard for shard in work.shards if shard.file in files]
    found = [sums[0] for shard in shards if (sums := work.cache.read(shard)) is not None]
    return merge(found) if found and len(found) == len(shards) else None


def key_params(config: FitConfig) -> dict[str, Any]:
    """What a fit's key is made of beside photos and teacher: what was asked for, as it was asked for."""
    asked = config.widths
    params: dict[str, Any] = {
        "crop": config.extraction.crop,
        "limit": config.limit,
        "channels": list(asked.channels) if asked and asked.channels else None,
        "variance": asked and asked.variance,
    }
    # Left out where they are the defaults: the keys of outputs that are there know nothing of them.
    if config.extraction.spectrum_every != Extraction.spectrum_every:
        params["spectrum_every"] = config.extraction.spectrum_every
    if config.split != "train":
        params["split"] = config.split
    return params


def _former_key(work: _Work) -> str:
    """The key that the manifest of such a fit had when it was made from other parameters than its folder's."""
    widths = work.widths
    params = _pass_params(work.config, work.extraction) | {
        "channels": list(widths.channels) if widths.channels else None,
        "variance": widths.variance,
        "targets": False,
    }
    return stage_key(work.inputs, params)


def _pass_params(config: FitConfig, extraction: Extraction) -> dict[str, Any]:
    """What the moments depend on beside photos and teacher."""
    return {
        "crop": extraction.crop,
        "spectrum_every": extraction.spectrum_every,
        "split": config.split,
        "limit": config.limit,
    }


def _saved_moments(output: Storage, facts: dict[str, Any]) -> tuple[Moments | None, dict[str, int]]:
    """Moments of an earlier fit of the same photos with the same teacher and crops, if they stand in `output`."""
    if not output.exists(MOMENTS_FILE):
        return None, {}
    try:
        moments, header = moments_from(output.read(MOMENTS_FILE), output.uri(MOMENTS_FILE))
    except CheckpointError as error:
        logger.warning("%s; it is made anew", error)
        return None, {}
    if {name: header.get(name) for name in facts} != facts:
        return None, {}
    return moments, header.get("left_out", {})
