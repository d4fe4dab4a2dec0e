"""Whole bulk jobs on a real Ray, local folders."""

import os
import subprocess
import sys
import tempfile

import pytest

from pcakd import Stylizer
from pcakd.bulk.job import look_up
from pcakd.bulk.ledger import Ledger
from pcakd.bulk.notify import Notifier
from pcakd.errors import NotFoundError, UsageError
from pcakd.photos.images import read_photo
from pcakd.photos.write import encode
from pcakd.storage import open_storage
from pcakd.stylize.clips.run import stylize_clip
from pcakd.stylize.options import StylizeOptions
from pcakd.video.options import VideoOptions
from tasks.bulk import BucketJob, RunOptions, clip_chain, pipeline, stylize_bucket
from tasks.bulk.driver import TooManyFailedError
from tasks.bulk.workers import Stylize
from tests.corpus import bad_photos, good_photos, jpeg, odd_photos
from tests.pcakd.bulk.made import work
from tests.pcakd.video import made
from tests.tasks.bulk import jobs

slow = pytest.mark.slow


class Places:
    """A source folder, a destination, a style and a student."""

    def __init__(self, folder) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        self.source, self.dest = open_storage(folder / "in"), open_storage(folder / "out")
        self.style, self.model = jobs.style(folder), jobs.student(folder)

    def put(self, *samples) -> None:
        for sample in samples:
            self.source.write(sample.name, sample.data)

    def job(self, **changes) -> BucketJob:
        values = {
            "source": self.source.uri(),
            "dest": self.dest.uri(),
            "styles": (str(self.style),),
            "model": str(self.model),
        }
        return BucketJob(**{**values, **changes})


@pytest.fixture
def places(tmp_path) -> Places:
    return Places(tmp_path)


@slow
def test_a_job_its_second_run_and_what_changed_since(places, ray_cluster):
    samples = good_photos(20) + odd_photos() + bad_photos()
    places.put(*samples)
    (places.source.root / "late.jpg").symlink_to(places.folder / "late")
    first = stylize_bucket(places.job())
    rows = jobs.final_rows(places.dest)
    reasons = {sample.name: sample.reason or "ok" for sample in samples}
    assert {key: row["status"] for key, row in rows.items()} == reasons | {"late.jpg": "missing"}
    assert first.status == first.totals.status
    assert sum(first.status.values()) == len(samples) + 1
    jobs.check_outputs(places.dest, rows)
    for sample in samples:
        if sample.name in ("good-0003.jpg", "alpha.png", "photo.gif", "rotated.jpg"):
            output = rows[sample.name]["output"]
            assert places.dest.read(output) == jobs.expected(places.model, places.style, sample.data, output)
    report = open_storage(places.dest.root / "_pcakd" / first.job_id / "snapshots/000001/report")
    assert {entry.key for entry in report.list()} == {"report.html", "report.json", "failed.csv", "slowest.csv"}

    # What failed for a passing reason is taken again, and nothing else.
    (places.folder / "late").write_bytes(jpeg(500))
    stamps = {path: path.stat().st_mtime_ns for path in places.dest.root.rglob("*.*g")}
    second = stylize_bucket(places.job())
    assert (second.status["ok"], second.processed, second.reused) == (first.status["ok"] + 1, 1, False)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())

    # An object that changed is done again, a new one is done, one that vanished keeps its result.
    places.source.write("good-0001.jpg", jpeg(501))
    places.source.write("new.jpg", jpeg(502))
    places.source.delete("good-0002.jpg")
    third = stylize_bucket(places.job())
    assert (first.snapshot, second.snapshot, third.snapshot, third.processed) == (1, 2, 3, 2)
    assert third.status == second.status
    written = {path.name for path in places.dest.root.glob("*.*g") if path.stat().st_mtime_ns != stamps.get(path)}
    assert written == {"good-0001.jpg", "new.jpg", "late.jpg"}
    expected = jobs.expected(places.model, places.style, jpeg(501), "x.jpg")
    assert places.dest.read("good-0001.jpg") == expected
    assert "good-0002.jpg" in jobs.outputs(places.dest)

    # Its results as shards, too: of a job that is done they alone are written.
    fourth = stylize_bucket(places.job(), RunOptions(to_parquet=str(places.folder / "shards")))
    assert fourth.reused
    assert [(packed.rows, packed.reused) for packed in fourth.packed] == [(third.status["ok"], False)]

    # Nothing to do: no Ray, no photo read or written.
    code = "import sys; from tests.tasks.bulk.test_job import again; again(*sys.argv[1:])"
    words = [sys.executable, "-c", code, str(places.folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr


def again(folder: str) -> None:
    """Run the finished job in a process of its own."""
    from pathlib import Path

    from pcakd.storage.local import LocalStorage

    read, real = [], LocalStorage.read_with_info
    LocalStorage.read_with_info = lambda self, key: read.append(str(self.root / key)) or real(self, key)
    base = Path(folder)
    job = BucketJob(
        source=f"{base}/in", dest=f"{base}/out", styles=(f"{base}/evening.jpg",), model=f"{base}/student.safetensors"
    )
    report = stylize_bucket(job)
    assert report.reused
    assert not [module for module in ("ray", "prefect", "mlflow") if module in sys.modules]
    assert not [path for path in read if path.startswith(f"{base}/in/")]


@slow
def test_with_a_shared_look_one_colour_is_the_same_everywhere_and_stays_so_in_later_runs(places, ray_cluster):
    photos = [jpeg(number) for number in range(3)]
    places.put(*bad_photos()[:3])
    for number, data in enumerate(photos[:2]):
        places.source.write(f"{number}.jpg", data)
    first = stylize_bucket(places.job(look="shared", format="png"))
    places.source.write("2.jpg", photos[2])
    second = stylize_bucket(places.job(look="shared", format="png"))
    assert (first.status["ok"], second.status["ok"], second.processed) == (2, 3, 1)
    assert first.job_id == second.job_id != look_up(places.job(format="png")).job_id
    stylizer = Stylizer.load(places.model)
    look = stylizer.shared_look(photos[:2], stylizer.style(places.style))
    for number, data in enumerate(photos):
        wanted = encode(stylizer.apply(look, read_photo(data)), "PNG").data
        assert places.dest.read(f"{number}.png") == wanted


def test_a_shared_look_is_refused_where_photos_have_none(places, tmp_path):
    for changes in ({"render": "full"}, {"compat": "released"}, {"smoothing": "none"}):
        with pytest.raises(UsageError, match="look is 'shared', but"):
            places.job(look="shared", **changes)
    (tmp_path / "table.csv").write_text("key,transform\n0.jpg,ot\n")
    places.source.write("0.jpg", jpeg(0))
    with pytest.raises(UsageError, match=r"0\.jpg: has a transform or smoothing of its own"):
        stylize_bucket(places.job(look="shared", manifest=str(tmp_path / "table.csv")))


@slow
def test_videos_are_left_out_until_they_are_asked_for_and_a_long_one_is_the_work_of_many(places, ray_cluster, tmp_path):
    (tmp_path / "made").mkdir()
    long = made.write(tmp_path / "made" / "long.mkv", made.pan(1210, size=(32, 24), step=0), audio="aac")
    short = made.write(tmp_path / "made" / "short.mp4", made.pan(30, size=(64, 48)))
    places.put(*good_photos(3))
    for path in (long, short):
        places.source.write(path.name, path.read_bytes())
    places.source.write("bad.mov", b"no clip")
    before = stylize_bucket(places.job())
    assert before.status == {"ok": 3, "left-out": 3}
    stamps = {path: path.stat().st_mtime_ns for path in places.dest.root.glob("*.jpg")}

    report = stylize_bucket(places.job(videos=True), RunOptions(workers=2))
    assert (report.job_id, report.processed) == (before.job_id, 3)
    assert report.status == {"ok": 5, "unsupported": 1}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    rows = jobs.final_rows(places.dest)
    assert "is no clip that can be read" in rows["bad.mov"]["message"]
    stylizer = Stylizer.load(places.model)
    for path in (long, short):
        target = path.with_stem("whole")
        stylize_clip(stylizer, path, target, stylizer.style(places.style), StylizeOptions(), VideoOptions())
        assert places.dest.read(path.name) == target.read_bytes()
        assert rows[path.name]["output_size"] == target.stat().st_size
    assert set(jobs.outputs(places.dest)) == {row["output"] for row in rows.values() if row["status"] == "ok"}
    assert stylize_bucket(places.job(videos=True)).reused

    # How clips are made is part of a job's id, and nothing but clips has it.
    assert look_up(places.job(videos=True, follow=2.0)).job_id != report.job_id


@slow
def test_clips_of_a_bucket_come_to_lie_in_a_bucket_with_what_their_objects_had(
    places, ceph, ceph_bucket, ray_cluster, tmp_path
):
    (tmp_path / "made").mkdir()
    long = made.write(tmp_path / "made" / "long.mkv", made.pan(1210, size=(32, 24), step=0), audio="aac")
    short = made.write(tmp_path / "made" / "short.mp4", made.pan(30, size=(64, 48)))
    client = ceph.client()
    for path, kind in ((long, "video/x-matroska"), (short, "video/mp4")):
        had = {"ContentType": kind, "Metadata": {"album": "summer"}}
        client.put_object(Bucket=ceph_bucket, Key=f"in/{path.name}", Body=path.read_bytes(), **had)
    uris = {"source": f"s3://{ceph_bucket}/in", "dest": f"s3://{ceph_bucket}/out"}
    report = stylize_bucket(places.job(**uris, videos=True), RunOptions(workers=2))
    assert report.status == {"ok": 2}
    dest, stylizer = open_storage(uris["dest"]), Stylizer.load(places.model)
    for path, kind in ((long, "video/x-matroska"), (short, "video/mp4")):
        target = path.with_stem("whole")
        stylize_clip(stylizer, path, target, stylizer.style(places.style), StylizeOptions(), VideoOptions())
        assert dest.read(path.name) == target.read_bytes()
        head = client.head_object(Bucket=ceph_bucket, Key=f"out/{path.name}")
        assert (head["ContentType"], head["Metadata"]["album"]) == (kind, "summer")
    assert set(jobs.outputs(dest)) == {"long.mkv", "short.mp4"}
    assert not dest.sweep(), "no upload is left unfinished"
    assert stylize_bucket(places.job(**uris, videos=True)).reused


@slow
def test_a_clip_that_ends_its_worker_each_time_costs_only_itself(places, ray_cluster, monkeypatch, tmp_path):
    (tmp_path / "made").mkdir()
    for name in ("killer.mp4", "good.mp4"):
        places.source.write(name, made.write(tmp_path / "made" / name, made.pan(4, size=(32, 24))).read_bytes())
    monkeypatch.setattr(clip_chain, "_begin", deadly)
    report = stylize_bucket(places.job(videos=True))
    assert report.status == {"ok": 1, "crashed": 1}
    assert set(jobs.outputs(places.dest)) == {"good.mp4"}
    monkeypatch.undo()
    assert stylize_bucket(places.job(videos=True)).status == {"ok": 2}


@slow
def test_a_run_that_ends_within_a_long_clip_begins_it_anew_and_leaves_nothing_of_it(
    places, ray_cluster, monkeypatch, tmp_path
):
    (tmp_path / "made").mkdir()
    for name, frames in (("a.mp4", 4), ("long.mkv", 1100)):
        path = made.write(tmp_path / "made" / name, made.pan(frames, size=(32, 24), step=0))
        places.source.write(name, path.read_bytes())
    after = clip_chain._Calls.after

    def interrupted(self, first, long, number):
        if long is not None:  # a part of the long clip is done
            raise KeyboardInterrupt
        return after(self, first, long, number)

    monkeypatch.setattr(clip_chain._Calls, "after", interrupted)
    with pytest.raises(KeyboardInterrupt):  # with one worker the short clip is over by then, on any machine
        stylize_bucket(places.job(videos=True), RunOptions(workers=1))
    assert set(jobs.outputs(places.dest)) == {"a.mp4"}
    stamp = (places.dest.root / "a.mp4").stat().st_mtime_ns
    monkeypatch.undo()
    report = stylize_bucket(places.job(videos=True), RunOptions(workers=2))
    assert (report.status, report.processed) == ({"ok": 2}, 1)
    assert (places.dest.root / "a.mp4").stat().st_mtime_ns == stamp
    assert set(jobs.outputs(places.dest)) == {"a.mp4", "long.mkv"}
    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("pcakd-clip-")]


def deadly(work, item, *rest):
    """Ends its process at one clip, as the kernel does for want of memory."""
    from tasks.bulk.clip_chain import _begin

    if item["key"] == "killer.mp4":
        os.abort()
    return _begin(work, item, *rest)


def test_what_is_of_videos_is_refused_where_they_are_left_out_or_have_no_look(places):
    for changes, told in (
        ({"follow": 2.0}, r"follow is 2\.0: it is of videos"),
        ({"codec": "hevc"}, "codec is hevc: it is of videos"),
        ({"videos": True, "render": "full"}, "videos need looks"),
        ({"videos": True, "smoothing": "none"}, "videos need looks"),
    ):
        with pytest.raises(UsageError, match=told):
            places.job(**changes)


@slow
def test_a_photo_that_ends_its_worker_each_time_costs_only_itself(places, ray_cluster, monkeypatch):
    places.put(*good_photos(40))
    places.source.write("killer.jpg", jpeg(7))
    monkeypatch.setattr(pipeline, "Stylize", Deadly)
    report = stylize_bucket(places.job())
    assert report.status == {"ok": 40, "crashed": 1}
    rows = jobs.final_rows(places.dest)
    assert rows["killer.jpg"]["status"] == "crashed"
    assert rows["killer.jpg"]["passing"]
    jobs.check_outputs(places.dest, rows)


class Deadly(Stylize):
    """Ends its process at one photo, as the kernel does for want of memory."""

    def _one(self, head, body):
        if head.item["key"] == "killer.jpg":
            os.abort()
        return super()._one(head, body)


@slow
def test_a_giant_photo_under_a_small_memory_limit_is_tiled(places, ray_cluster):
    giant = jpeg(1, 4100, 4200)  # more than goes through the object store as pixels
    places.put(*good_photos(3))
    places.source.write("giant.jpg", giant)
    report = stylize_bucket(places.job(smoothing="none"), RunOptions(memory_limit=640 << 20, workers=1))
    assert report.status == {"ok": 4}
    rows = jobs.final_rows(places.dest)
    assert (rows["giant.jpg"]["width"], rows["giant.jpg"]["height"]) == (4200, 4100)
    jobs.check_outputs(places.dest, rows)


@slow
def test_more_failures_than_allowed_end_the_job_early_with_a_report(places, ray_cluster):
    for number in range(200):
        places.source.write(f"bad-{number:03d}.jpg", b"no photo")
    places.put(*good_photos(200))
    reports = []
    with pytest.raises(TooManyFailedError, match="of 400 items failed"):
        stylize_bucket(places.job(), RunOptions(max_failed=0.1), reported=reports.append)
    assert "of 400 items failed" in reports[0].numbers["stopped"]
    snapshot = jobs.snapshot_of(places.dest)
    totals = snapshot.totals()
    assert snapshot.done() is None
    assert 40 < totals.status["not-an-image"] < 200
    assert sum(totals.status.values()) == 400
    assert totals.pending > 100
    assert snapshot.report.exists("report.html")
    assert b"not-an-image" in snapshot.report.read("failed.csv")
    # Once more is allowed, the same job goes on where it stopped.
    report = stylize_bucket(places.job())
    assert report.status == {"ok": 200, "not-an-image": 200}
    assert report.processed == totals.pending


def test_places_in_each_other_or_missing_are_refused(places):
    with pytest.raises(UsageError, match="lie in each other"):
        stylize_bucket(places.job(dest=f"{places.source.uri()}/out"))
    for place in (f"{places.dest.uri()}/shards", places.source.uri()):
        with pytest.raises(UsageError, match="lie in each other"):
            stylize_bucket(places.job(), RunOptions(to_webdataset=place))
    with pytest.raises(NotFoundError, match="no such folder"):
        stylize_bucket(places.job(source=f"{places.folder}/nowhere"))
    with pytest.raises(UsageError, match="holds no objects"):
        stylize_bucket(places.job())


def test_word_of_a_run_that_ends_goes_out_and_whether_it_arrives_changes_nothing(places, monkeypatch):
    monkeypatch.setenv("PCAKD_NOTIFY_SECRET", "open sesame")
    told, untold = [], []
    monkeypatch.setattr(Notifier, "send", lambda self, message, **how: told.append(message) or "nobody was told")
    options = RunOptions(notify="https://ops.example/bulk")
    with pytest.raises(UsageError, match="holds no objects"):
        stylize_bucket(places.job(), options, untold=untold.append)
    [message] = told
    assert (message["event"], message["exit_code"]) == ("stopped", 2)
    assert "holds no objects" in message["error"]
    assert message["dest"] == places.dest.uri()
    assert untold == ["nobody was told"]

    # One with nothing left to do says what there is.
    places.put(*good_photos(3))
    job = places.job()
    snapshot = Ledger.open(places.dest, look_up(job)).begin(places.source)
    work(snapshot, status=lambda item: ("truncated" if item["key"] == "good-0001.jpg" else "ok", False))
    snapshot.finish()
    report = stylize_bucket(job, options)
    assert report.reused
    message = told[-1]
    assert (message["event"], message["exit_code"], message["reused"]) == ("finished", 3, True)
    assert message["totals"]["status"] == {"ok": 2, "truncated": 1}
    assert (message["job"], message["report"]) == (report.job_id, report.page)
