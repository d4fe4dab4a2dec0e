"""The stage on a real Ray cluster, with a small student as teacher.

Starting an actor takes seconds (it imports PyTorch), so the passes share a pool of two.
"""

import hashlib
import io
import os
import signal
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pcakd.eigenbases.extraction import Extraction, accumulate
from pcakd.eigenbases.files import load_eigenbases, moments_from
from pcakd.eigenbases.pca import Moments, Widths, fit
from pcakd.errors import TransientError, UsageError
from pcakd.photos.images import read_photo
from pcakd.shards import open_dataset, tables
from pcakd.storage import open_storage
from pcakd.storage.stage import write_manifest
from pcakd.student.checkpoint import Metadata, save_checkpoint
from pcakd.student.network import Student, StudentSpec
from pcakd.teacher import load_teacher
from tasks.cluster.actors import scatter
from tasks.eigenbases import job as stage
from tasks.eigenbases.extractor import Extractor, Extractors, extractors
from tasks.eigenbases.job import FitConfig, add_up, collect_moments, fit_eigenbases
from tasks.eigenbases.pieces import Piece, cut_into_pieces, shards_of
from tests.command import pcakd

WIDTHS = Widths(channels=(2, 3, 4, 5))
PHOTOS = 150


def jpeg(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_dataset(folder, photos, *, per_shard=60):
    """A sharded dataset with row groups of a few photos."""
    storage, shards = open_storage(folder), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROW_GROUP_BYTES", 40_000)
        for start in range(0, len(photos), per_shard):
            name = tables.shard_name("train", len(shards))
            rows = [
                {
                    "key": key,
                    "image": data,
                    "width": 72,
                    "height": 72,
                    "source_uri": "",
                    "source_etag": "",
                    "sha256": "",
                }
                for key, data in photos[start : start + per_shard]
            ]
            tables.write_shard(storage, name, rows)
            shards.append({"file": name, "rows": len(rows), "bytes": 0, "sha256": ""})
    digest = hashlib.sha256(repr(photos).encode()).hexdigest()
    splits = {"train": {"shards": shards}, "val": {"shards": []}}
    write_manifest(storage, {"stage": "shards", "digest": digest, "splits": splits})
    return folder


@pytest.fixture(scope="module")
def photos():
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (PHOTOS, 8, 8, 3), dtype=np.uint8)
    return [(f"photo{i:03d}.jpg", jpeg(np.kron(c, np.ones((9, 9, 1), np.uint8)))) for i, c in enumerate(coarse)]


@pytest.fixture(scope="module")
def shards(photos, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("shards"), photos)


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    torch.manual_seed(0)
    student = Student(StudentSpec(backbone="mobilenet", channels=(6, 8, 10, 12)))
    path = tmp_path_factory.mktemp("teacher") / "small.safetensors"
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(0.5)  # else most channels of a random network are dead
    save_checkpoint(path, student, Metadata(spec=student.spec, licence="MIT"))
    return path


@pytest.fixture(scope="module")
def config(shards, teacher_file):
    return FitConfig(
        shards=str(shards),
        teacher=str(teacher_file),
        widths=WIDTHS,
        extraction=Extraction(crop=64, spectrum_every=1),
        workers=2,
    )


def in_order(sums):
    """Sums of shards, that came in any order, added up."""
    return add_up([sums[shard] for shard in sorted(sums)])


def same_to_1e_9(a, b):
    return a.photos == b.photos and all(
        (x.covariance - y.covariance).norm() <= 1e-9 * y.covariance.norm()
        and (x.own - y.own).norm() <= 1e-9 * y.own.norm()
        and x.sampled == y.sampled > 0
        and (x.mean - y.mean).norm() <= 1e-9 * y.mean.norm()
        for x, y in zip(a.levels, b.levels, strict=True)
    )


@pytest.fixture(scope="module")
def moments(photos, teacher_file):
    """Of all photos, by one loop without Ray, on one thread as in its workers: more round features differently."""
    decoded = [(key, read_photo(data).rgb) for key, data in photos]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return accumulate(decoded, load_teacher(teacher_file), Extraction(crop=64, spectrum_every=1))[0]
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pieces(shards):
    return cut_into_pieces(shards_of(open_dataset(str(shards)), "train"))


@pytest.fixture(scope="module")
def extractor(config, teacher_file):
    """The actor's class, in this process."""
    extractor = Extractor(open_storage(config.shards), config.extraction, 1, "cpu")
    extractor.start(load_teacher(teacher_file))
    return extractor


@pytest.fixture(scope="module")
def fitted(ray_cluster, config, tmp_path_factory):
    """A whole fit."""
    out = tmp_path_factory.mktemp("bases")
    return out, fit_eigenbases(config, open_storage(out))


@pytest.fixture(scope="module")
def pool(ray_cluster, config, teacher_file, fitted):  # after `fitted`, whose actors want the same two CPUs
    with extractors(load_teacher(teacher_file), open_storage(config.shards), config.extraction, workers=2) as pool:
        yield pool


@pytest.mark.slow
def test_the_pass_over_shards_equals_one_loop_over_the_photos(fitted, moments):
    out, result = fitted
    saved, _ = moments_from((out / stage.MOMENTS_FILE).read_bytes(), "moments")
    assert same_to_1e_9(saved, moments)
    assert result.manifest["photos"] == PHOTOS
    bases = load_eigenbases(out / stage.EIGENBASES_FILE).bases
    for ours, plain in zip(bases, fit(moments, WIDTHS).bases, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_it_writes_bases_moments_table_plot_and_last_the_manifest(fitted):
    out, result = fitted
    there = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert there == sorted([*result.manifest["files"], "manifest.json"])
    lines = (out / stage.TABLE_FILE).read_text().splitlines()
    assert lines[0] == "level,rank,eigenvalue,share,explained,own,kept"
    assert len(lines) == 1 + 6 + 8 + 10 + 12
    assert Image.open(out / stage.PLOT_FILE).size[0] > 400
    assert result.manifest["channels"] == [2, 3, 4, 5]


@pytest.mark.slow
def test_a_finished_fit_is_returned_and_other_widths_need_no_photo(fitted, config, monkeypatch):
    out, first = fitted

    def no_cluster():
        raise AssertionError("the photos were read again")

    monkeypatch.setattr(stage, "ray_cluster", no_cluster)
    assert fit_eigenbases(config, open_storage(out)).manifest == first.manifest
    again = fit_eigenbases(replace(config, widths=Widths(variance=0.9)), open_storage(out))
    assert again.reused == "moments"
    assert again.manifest["params"]["variance"] == 0.9


@pytest.mark.slow
def test_the_moments_are_the_same_to_the_last_bit_with_one_worker_and_with_two(pool, pieces, moments):
    one, _ = in_order(collect_moments(Extractors(pool.actors[:1], pool.teacher), pieces))
    two, _ = in_order(collect_moments(pool, pieces))
    assert same_to_1e_9(one, moments)
    for a, b in zip(one.levels, two.levels, strict=True):
        assert torch.equal(a.covariance, b.covariance)
        assert torch.equal(a.own, b.own)


@pytest.mark.slow
def test_an_actor_killed_mid_pass_costs_nothing_but_time(pool, pieces, moments):
    """SIGKILL to an actor while it works; its piece is done again and counted once."""
    import ray

    victim = ray.get(pool.start(pool.actors[0]))
    killed = []

    @contextmanager
    def kill_once(what, total):
        def advance(count):
            if not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(count)

        yield advance

    disturbed, left_out = in_order(collect_moments(pool, pieces, kill_once))
    assert killed[0] < PHOTOS
    assert left_out == {}
    assert same_to_1e_9(disturbed, moments)
    assert ray.get(pool.start(pool.actors[0]), timeout=120) != victim  # Ray has started it anew


@pytest.mark.slow
def test_a_unit_that_kills_every_worker_ends_the_pass(ray_cluster):
    import ray

    @ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0)
    class Fragile:
        @ray.method(max_task_retries=-1)
        def start(self):
            return os.getpid()

        def work(self, unit):
            if unit == "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            return unit

    workers = [Fragile.remote() for _ in range(2)]
    units = ["a", "poison", "b"]
    results = scatter(workers, lambda actor: actor.start.remote(), lambda actor, unit: actor.work.remote(unit), units)
    with pytest.raises(TransientError, match="poison lost 3 workers"):
        list(results)
    for worker in workers:
        ray.kill(worker)


def test_unreadable_photos_are_left_out_and_counted(config, photos, teacher_file, tmp_path):
    folder = write_dataset(tmp_path / "shards", [("bad", b"no photo"), *photos[:9]])
    extractor = Extractor(open_storage(folder), config.extraction, 1, "cpu")
    extractor.start(load_teacher(teacher_file))
    moments, left_out = extractor.moments(Piece(index=0, shard="train/shard-000000.parquet", start=0, stop=10))
    assert moments.photos == 9
    assert left_out == {"unreadable": 1}


def test_a_piece_takes_its_rows_across_row_groups(extractor, photos):
    piece = Piece(index=0, shard="train/shard-000001.parquet", start=20, stop=55)
    taken = extractor._photos(piece, Counter())
    assert [key for key, _ in taken] == [key for key, _ in photos[80:115]]


def test_photos_that_are_all_left_out_are_an_error_that_says_why():
    with pytest.raises(UsageError, match="5 constant-colour"):
        stage.fit_moments(Moments.zeros((1, 1, 1, 1)), WIDTHS, {}, "", {"constant-colour": 5})


def test_a_folder_without_shards_is_an_error(config, tmp_path):
    with pytest.raises(UsageError, match="pcakd shard"):
        fit_eigenbases(replace(config, shards=str(tmp_path)), open_storage(tmp_path / "out"))
    with pytest.raises(UsageError, match="split 'val'"):
        fit_eigenbases(replace(config, split="val"), open_storage(tmp_path / "out"))


@pytest.mark.parametrize("fields", [{"limit": 0}, {"workers": 0}, {"threads": 0}, {"split": "test"}])
def test_a_fit_that_makes_no_sense_is_refused(fields):
    with pytest.raises(UsageError, match=next(iter(fields))):
        FitConfig(shards="x", teacher="y", **fields)


@pytest.mark.slow
def test_the_command_prints_the_widths_and_where_the_bases_are(fitted, config):
    out, _ = fitted
    done = pcakd(
        "fit-eigenbases",
        config.shards,
        "--teacher",
        config.teacher,
        "--out",
        out,
        "--crop",
        64,
        "--channels",
        "1,2,3,4",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["level", "kept", "of", "explained"]
    assert [line.split()[1] for line in done.stdout.splitlines()[1:5]] == ["1", "2", "3", "4"]
    assert "150 photos (from saved moments)" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(stage.EIGENBASES_FILE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--channels", "ten"], "four whole numbers"),
        (["--channels", "99,1,1,1"], "channels[0] is 99: the teacher has 6"),
        (["--channels", "1,1,1,1", "--variance", "0.9"], "exclude each other"),
        (["--crop", "5"], "crop is 5"),
        (["--teacher", "vgg7"], "'vgg7'"),
        (["--split", "val"], "no photos in the split 'val'"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(config, tmp_path, options, message):
    done = pcakd(
        "fit-eigenbases", config.shards, "--teacher", config.teacher, "--out", tmp_path / "out", *options, fresh=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
