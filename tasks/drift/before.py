"""What a generation is held against: the one that was fitted before it, and the champion's."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pcakd.drift.facts import PhotoFacts, colour_shift, facts_of, facts_record, size_shift
from pcakd.drift.measures import comparable, compare_levels, worst
from pcakd.eigenbases.files import eigenbases_from, moments_from
from pcakd.eigenbases.pca import Moments
from pcakd.errors import PcakdError
from pcakd.shards import ShardDataset, open_dataset
from pcakd.shards.dataset import generation_name
from pcakd.storage import Storage
from pcakd.storage.stage import stage_key
from pcakd.student.checkpoint import Checkpoint, load_checkpoint
from tasks.eigenbases.config import FitConfig
from tasks.eigenbases.job import EIGENBASES_FILE, MOMENTS_FILE, STAGE, kept_moments, key_params
from tasks.registry.champion import champion_of
from tasks.registry.resolve import resolve_model
from tasks.registry.versions import Registered
from tasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A state of before: its bases, and as far as they are still there, its photos and their moments."""

    name: str
    identity: str
    """Hash that changes with the bases."""
    bases: list[Tensor]
    dataset: ShardDataset | None = None
    moments: Moments | None = None


@dataclass(frozen=True, kw_only=True)
class Fits:
    """The eigenbases of a dataset's generations in a workspace, all fitted in one way with one teacher."""

    workspace: Storage
    config: FitConfig
    teacher: str
    """Its digest."""

    def output(self, dataset: ShardDataset) -> Storage:
        """Where those of a generation are, or would be."""
        inputs = {"shards": dataset.digest, "teacher": self.teacher}
        return self.workspace.sub(f"{STAGE}/{stage_key(inputs, key_params(self.config))}")

    def reference(self, dataset: ShardDataset) -> Reference | None:
        """A generation with its bases; None where none are there."""
        place = self.output(dataset)
        if not (place.exists(EIGENBASES_FILE) and place.exists(MOMENTS_FILE)):
            return None
        bases = eigenbases_from(place.read(EIGENBASES_FILE), place.uri(EIGENBASES_FILE))
        moments, _ = moments_from(place.read(MOMENTS_FILE), place.uri(MOMENTS_FILE))
        name = f"generation {dataset.manifest['generation']}"
        return Reference(name=name, identity=dataset.digest, bases=bases.bases, dataset=dataset, moments=moments)


def earlier(dataset: ShardDataset) -> Iterator[ShardDataset]:
    """The generations before this one, the latest first, as far as they are there."""
    for number in range(dataset.manifest["generation"] - 1, -1, -1):
        place = dataset.storage.sub(generation_name(number))
        try:
            yield open_dataset(place)
        except PcakdError:  # removed, or of before generations were kept
            return


def fitted_before(fits: Fits, dataset: ShardDataset) -> Reference | None:
    """The latest generation before this one whose bases are in the workspace, None for none."""
    return next((found for one in earlier(dataset) if (found := fits.reference(one)) is not None), None)


def champion_reference(
    fits: Fits, dataset: ShardDataset, now: list[Tensor], backbone: str, settings: Settings
) -> tuple[Reference | None, str, Registered | None]:
    """The champion with its bases; (None, why, None) where it is none that this dataset can be held against.

    Raises TransientError where the registry does not answer.
    """
    champion = champion_of(backbone, settings=settings)
    if champion is None:
        return None, "there is no champion", None
    model: Checkpoint = load_checkpoint(resolve_model(champion.uri, settings=settings).path)
    if model.metadata.teacher.get("digest") != fits.teacher:
        return None, f"the champion, {champion.uri}, is of another teacher", None
    bases = [model.eigenbases[level] for level in sorted(model.eigenbases)]
    if len(bases) != len(now) or not comparable(bases, now):
        return None, f"the champion, {champion.uri}, is of other widths", None
    digest = model.metadata.data_digest
    photos = next((one for one in (dataset, *earlier(dataset)) if one.digest == digest), None)
    kept = fits.reference(photos) if photos is not None else None
    return (
        Reference(
            name=f"champion {champion.uri}",
            identity=champion.digest,
            bases=bases,
            dataset=photos,
            moments=kept.moments if kept else None,
        ),
        "",
        champion,
    )


def comparison(
    reference: Reference, dataset: ShardDataset, now: list[Tensor], moments: Moments, config: FitConfig
) -> dict[str, Any]:
    """A generation against one of before, for a manifest.

    The new photos are those of the shards that came since: where small shards were packed anew they have older photos
    among them. Of a reference whose photos are not known all photos are new.
    """
    came = shard_files(dataset) - (shard_files(reference.dataset) if reference.dataset else set())
    new = kept_moments(config, came) if came else None
    if came and new is None:
        logging.getLogger("pcakd").warning("the moments of single shards are not kept: new photos are not told apart")
    levels = compare_levels(reference.bases, now, moments, new=new, older=reference.moments)
    added = facts_of(dataset, came) if came else PhotoFacts()
    older = facts_of(reference.dataset) if reference.dataset else PhotoFacts()
    return {
        "name": reference.name,
        "levels": levels,
        "angle": worst(levels, "angle"),
        "lost": worst(levels, "lost"),
        "foreign": worst(levels, "foreign"),
        "colour": colour_shift(added, older),
        "size": size_shift(added, older),
        "new": facts_record(added),
        "older": facts_record(older),
        "changes": changes_since(dataset, reference.dataset),
    }


def shard_files(dataset: ShardDataset) -> set[str]:
    return {shard.file for shards in dataset.splits.values() for shard in shards}


def changes_since(dataset: ShardDataset, older: ShardDataset | None) -> dict[str, int] | None:
    """Objects "added", "changed" and "removed", summed over the generations since; None where they are not known."""
    if older is None:
        return None
    total = {"added": 0, "changed": 0, "removed": 0}
    for one in (dataset, *earlier(dataset)):
        if one.manifest["generation"] <= older.manifest["generation"]:
            return total
        for name, count in one.manifest.get("changes", {}).items():
            total[name] = total.get(name, 0) + count
    return total
