"""Moments that add up: kept a shard, in this process instead of Ray's actors; the teacher's work is counted."""

import warnings
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcakd.eigenbases.extraction import Extraction, accumulate
from pcakd.eigenbases.files import load_eigenbases, moments_from
from pcakd.eigenbases.pca import RankWarning, Widths, unexplained
from pcakd.eigenbases.pca import fit as fit_bases
from pcakd.photos.images import read_photo
from pcakd.shards import open_dataset
from pcakd.storage import open_storage
from pcakd.teacher import load_teacher
from tasks.eigenbases import extractor as actors
from tasks.eigenbases import job
from tasks.eigenbases.cache import FOLDER
from tasks.eigenbases.extractor import Extractor
from tasks.eigenbases.job import FitConfig, fit_eigenbases
from tasks.shards import compaction
from tests.pcakd.distillation import parts
from tests.tasks.shards.histories import grow, write

WIDTHS = Widths(channels=parts.CHANNELS)
SETTINGS = {"val_fraction": 0.0, "shard_mb": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return str(parts.write_inputs(tmp_path_factory.mktemp("inputs")) / "teacher.safetensors")


@contextmanager
def here():
    """Fits are made in this process in this block; keys of the photos that the teacher saw."""
    seen: list[str] = []

    class Worker(Extractor):
        def _photos(self, piece, unreadable):
            for key, rgb in super()._photos(piece, unreadable):
                seen.append(key)
                yield key, rgb

    @contextmanager
    def extractors(teacher, shards, extraction, *, workers=None, threads=1):
        worker = Worker(shards, extraction, torch.get_num_threads(), "cpu")
        worker.start(teacher)
        yield SimpleNamespace(actors=[worker], start=None)

    def scatter(workers, start, call, pieces):
        for piece in pieces:
            yield piece, workers[0].moments(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "ray_cluster", nullcontext)
        patch.setattr(job, "scatter", scatter)
        patch.setattr(job, "spectrum_png", lambda bases, title: b"half a second of drawing")
        patch.setattr(actors, "extractors", extractors)
        yield seen


def fit(dataset, out, teacher, **options):
    """Fit; the keys of the photos that the teacher saw."""
    config = FitConfig(shards=str(dataset), teacher=teacher, widths=WIDTHS, extraction=Extraction(crop=32), **options)
    with here() as seen:
        result = fit_eigenbases(config, open_storage(out), attach=lambda: seen.append("ray"))
    return seen, result


def assert_from_nothing(dataset, out, teacher):
    """The moments and bases are those of one loop over the photos, within 1e-9."""
    found, _ = moments_from((out / "moments.safetensors").read_bytes(), "moments")
    rows = open_dataset(str(dataset)).rows("train")
    decoded = [(row.key, read_photo(row.image).rgb) for row in rows]
    wanted, _ = accumulate(decoded, load_teacher(teacher), Extraction(crop=32, spectrum_every=1))
    assert found.photos == wanted.photos
    for a, b in zip(found.levels, wanted.levels, strict=True):
        for x, y in ((a.mean, b.mean), (a.covariance, b.covariance), (a.own, b.own)):
            assert (x - y).norm() <= 1e-9 * y.norm()
        assert a.sampled == b.sampled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankWarning)
        bases, other = load_eigenbases(out / "eigenbases.safetensors"), fit_bases(wanted, WIDTHS)
    for level, (one, two) in enumerate(zip(bases.bases, other.bases, strict=True)):
        left = [unexplained(wanted.covariance(level), basis) for basis in (one, two)]
        assert left[0] == pytest.approx(left[1], abs=1e-9)  # also where photos are too few to tell vectors apart
    for one, two in zip(bases.spectra, other.spectra, strict=True):
        assert (one - two).norm() <= 1e-9 * two.norm()


@pytest.fixture
def grown(tmp_path):
    write(tmp_path / "source", {f"{n:02d}.jpg": n for n in range(20)})
    grow(tmp_path / "source", tmp_path / "shards", **SETTINGS)
    return tmp_path


def test_the_teacher_sees_new_photos_and_those_of_a_shard_that_lost_one(grown, teacher):
    source, shards = grown / "source", grown / "shards"
    seen, _ = fit(shards, grown / "0", teacher)
    assert len(seen) == 21
    write(source, {f"{n:02d}.jpg": n for n in range(23)})
    grow(source, shards, **SETTINGS)
    seen, _ = fit(shards, grown / "1", teacher)
    assert seen == ["ray", "20.jpg", "21.jpg", "22.jpg"]
    assert_from_nothing(shards, grown / "1", teacher)
    write(source, {f"{n:02d}.jpg": n for n in range(22)})  # the last one goes: its shard's sum is made again
    grow(source, shards, **SETTINGS)
    seen, _ = fit(shards, grown / "2", teacher)
    assert seen == ["ray", "20.jpg", "21.jpg"]
    assert_from_nothing(shards, grown / "2", teacher)


def test_where_every_shards_moments_are_kept_no_ray_is_started(grown, teacher):
    fit(grown / "shards", grown / "0", teacher)
    seen, result = fit(grown / "shards", grown / "1", teacher)
    assert (seen, result.photos_per_second) == ([], None)
    names = ("moments.safetensors", "eigenbases.safetensors")
    assert all((grown / "0" / name).read_bytes() == (grown / "1" / name).read_bytes() for name in names)
    seen, _ = fit(f"{grown}/shards/generations/000000", grown / "2", teacher)
    assert seen == [], "a generation's address shares them"


def test_kept_moments_of_other_crops_other_teachers_or_damaged_ones_do_not_count(grown, teacher, tmp_path):
    fit(grown / "shards", grown / "0", teacher)
    with here() as seen:
        config = FitConfig(shards=str(grown / "shards"), teacher=teacher, widths=WIDTHS, extraction=Extraction(crop=48))
        fit_eigenbases(config, open_storage(grown / "1"))
    assert len(seen) == 20
    for path in (grown / "shards" / FOLDER).iterdir():
        path.write_bytes(b"damaged")
    seen, _ = fit(grown / "shards", grown / "2", teacher)
    assert len(seen) == 21
    assert_from_nothing(grown / "shards", grown / "2", teacher)


def test_a_limit_that_cuts_a_shard_neither_uses_nor_leaves_the_moments_of_the_whole(grown, teacher):
    seen, _ = fit(grown / "shards", grown / "0", teacher, limit=7)
    assert len(seen) == 8
    assert not (grown / "shards" / FOLDER).exists()
    fit(grown / "shards", grown / "1", teacher)
    seen, result = fit(grown / "shards", grown / "2", teacher, limit=7)
    assert (len(seen), result.manifest["photos"]) == (8, 7)


NAMES = [f"{letter}{n}.jpg" for letter in "amz" for n in range(3)]
SOURCES = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 6), min_size=1)


@pytest.mark.slow
@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.lists(SOURCES, min_size=2, max_size=4))
def test_after_any_history_the_bases_are_those_of_a_fit_from_nothing(tmp_path_factory, teacher, history):
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MANY", 2)
        for night, contents in enumerate(history):
            write(folder / "source", contents)
            grow(folder / "source", folder / "shards", **SETTINGS)
            fit(folder / "shards", folder / str(night), teacher)
            assert_from_nothing(folder / "shards", folder / str(night), teacher)
