"""What a worker does with a clip, without Ray: on the quick S3 server and on folders."""

import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pcakd import Stylizer
from pcakd.bulk.properties import ResultProperties
from pcakd.bulk.schema import ITEM_SCHEMA
from pcakd.errors import TransientError
from pcakd.storage import open_storage, sha256_hex
from pcakd.storage.base import ObjectReader
from pcakd.storage.s3_client import client_for
from pcakd.stylize.clips.run import stylize_clip
from pcakd.stylize.options import StylizeOptions
from pcakd.video.options import VideoOptions
from tasks.bulk.clips import Begun, StoredClip, begin, join, make, whole
from tasks.bulk.workers import Work
from tests.models import random_checkpoint
from tests.pcakd.video import made
from tests.tasks.bulk import jobs

SEGMENT = 8
SIZE = (64, 48)


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(random_checkpoint(), device="cpu")


@pytest.fixture(scope="module")
def styles(stylizer, tmp_path_factory):
    return {"evening": stylizer.style(jobs.style(tmp_path_factory.mktemp("style")))}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr("pcakd.stylize.clips.plan.SEGMENT", SEGMENT)


@pytest.fixture
def work(tmp_path) -> Work:
    (tmp_path / "in").mkdir()
    return work_between(open_storage(tmp_path / "in"), open_storage(tmp_path / "out"))


def work_between(source, dest, **changes) -> Work:
    values = {
        "source": source,
        "dest": dest,
        "run": "run-1",
        "model": "vgg",
        "transform": "zca",
        "strength": 1.0,
        "smoothing": "guided",
        "compat": "auto",
        "quality": 95,
    }
    return Work(**values | changes)


def item(key: str, output: str | None = None, **own) -> dict:
    empty = dict.fromkeys(ITEM_SCHEMA.names)
    return empty | {"part": 3, "key": key, "size": 9, "etag": "", "style": "evening", "output": output or key} | own


def clip(folder: Path, name: str = "street.mp4", frames: int = 20, **how) -> bytes:
    return made.write(folder / name, made.pan(frames, size=SIZE), **how).read_bytes()


def in_one_piece(stylizer, styles, folder: Path, data: bytes, name: str = "street.mp4") -> bytes:
    """The library's own result."""
    (folder / name).write_bytes(data)
    target = (folder / "whole").with_suffix(Path(name).suffix)
    stylize_clip(stylizer, folder / name, target, styles["evening"], StylizeOptions(), VideoOptions())
    return target.read_bytes()


def test_parts_that_are_made_apart_are_joined_to_what_one_piece_is(stylizer, styles, tmp_path, s3_server):
    bucket = s3_server.new_bucket()
    source, dest = open_storage(f"s3://{bucket}/in"), open_storage(f"s3://{bucket}/out")
    data = clip(tmp_path, audio="aac")
    source.write("a/street.mp4", data)
    work = work_between(source, dest)
    begun = begin(work, item("a/street.mp4"), stylizer, styles, {})
    assert isinstance(begun, Begun), begun
    begun = pickle.loads(pickle.dumps(begun))
    assert begun.segments == 3
    parts = [make(begun, segments) for segments in (range(2, 3), range(2))]
    assert [failed for failed, _ in parts] == [None, None]
    row = join(work, begun, [parts[1][1], parts[0][1]])
    assert (row["status"], row["width"], row["height"], row["part"]) == ("ok", *SIZE, 3)
    result = dest.read("a/street.mp4")
    assert result == in_one_piece(stylizer, styles, tmp_path, data)
    assert (row["sha256"], row["output_size"]) == (sha256_hex(result), len(result))
    assert row["etag"] == source.head("a/street.mp4").etag
    assert row["put_s"] > 0


def test_a_clip_is_read_in_ranges_and_a_storage_that_goes_away_is_no_end_of_the_clip(
    stylizer, styles, tmp_path, s3_server, monkeypatch
):
    bucket = s3_server.new_bucket()
    source = open_storage(f"s3://{bucket}/in")
    source.write("street.mkv", clip(tmp_path, "street.mkv", 60, codec="ffv1"))
    monkeypatch.setattr("tasks.bulk.clips.READ_BYTES", 50_000)
    reads, real = [], ObjectReader.readinto

    def readinto(self, buffer):
        reads.append(len(buffer))
        if len(reads) > 3:
            raise TransientError("the storage is away")
        return real(self, buffer)

    monkeypatch.setattr(ObjectReader, "readinto", readinto)
    row = begin(work_between(source, source.sub("out")), item("street.mkv"), stylizer, styles, {})
    assert (row["status"], row["passing"], row["message"]) == ("unreachable", True, "the storage is away")
    assert len(reads) >= 4
    assert max(reads) == 50_000
    assert StoredClip(source, "street.mkv").open().name == "street.mkv"


def test_what_a_clip_cannot_be_made_of_is_its_row_and_nothing_is_left(stylizer, styles, work, tmp_path):
    (tmp_path / "made").mkdir()
    work.source.write("text.mp4", b"Dear all, " * 100)
    work.source.write("empty.mov", b"")
    hdr = {"codec": "libx265", "pixels": "yuv420p10le", "tags": (1, 9, 9, 16), **made.PLAIN_X265}
    work.source.write("hdr.mkv", clip(tmp_path / "made", "hdr.mkv", 2, **hdr))
    work.source.write("flac.mkv", clip(tmp_path / "made", "flac.mkv", 2, audio="flac"))
    rows = {
        key: begin(work, item(key), stylizer, styles, {}) for key in ("text.mp4", "empty.mov", "hdr.mkv", "gone.mp4")
    }
    begun = begin(work, item("flac.mkv", "flac.webm"), stylizer, styles, {})
    rows["flac.mkv"] = whole(work, begun)
    assert {key: row["status"] for key, row in rows.items()} == {
        "text.mp4": "unsupported",
        "empty.mov": "unsupported",
        "hdr.mkv": "unsupported",
        "flac.mkv": "unsupported",
        "gone.mp4": "missing",
    }
    assert "is no clip that can be read" in rows["text.mp4"]["message"]
    assert "is HDR (PQ)" in rows["hdr.mkv"]["message"]
    assert rows["flac.mkv"]["message"].startswith("flac.webm: has no room for the clip's audio (flac)")
    assert all(row["finished"] and "\n" not in row["message"] for row in rows.values())
    assert not work.dest.exists("flac.webm")
    assert not [name for name in os.listdir(os.environ.get("TMPDIR", "/tmp")) if name.startswith("pcakd-clip-")]


@pytest.mark.slow
def test_a_segment_that_fails_is_the_clips_row(stylizer, styles, work, tmp_path, monkeypatch):
    work.source.write("street.mp4", clip(tmp_path))
    begun = begin(work, item("street.mp4"), stylizer, styles, {})

    def fails(clip, plan, writing, segments):
        if segments.start == 1:
            raise MemoryError
        yield from ()

    monkeypatch.setattr("tasks.bulk.clips.encoded", fails)
    row = whole(work, begun)
    assert (row["status"], row["passing"]) == ("no-memory", True)
    assert not work.dest.exists("street.mp4")


@pytest.mark.slow
def test_a_clip_that_changes_while_it_is_read_is_tried_again(stylizer, styles, work, tmp_path):
    work.source.write("street.mp4", clip(tmp_path))
    begun = begin(work, item("street.mp4"), stylizer, styles, {})
    work.source.write("street.mp4", clip(tmp_path, frames=21))
    row = whole(work, begun)
    assert (row["status"], row["passing"]) == ("unreachable", True)
    assert "has changed while it was read" in row["message"]
    assert not work.dest.exists("street.mp4")


@pytest.mark.slow
def test_under_the_policy_fail_what_stands_there_stays(stylizer, styles, work, tmp_path, monkeypatch):
    work.source.write("street.mp4", clip(tmp_path, frames=4))
    only = work_between(work.source, work.dest, create_only=True)
    begun = begin(only, item("street.mp4"), stylizer, styles, {})
    for most in (1 << 20, 0):
        monkeypatch.setattr("tasks.bulk.clips.SINGLE_PUT_BYTES", most)
        assert whole(only, begun)["status"] == "ok"
        assert whole(only, begun)["status"] == "ok"  # the very same is there
        work.dest.write("street.mp4", b"of somebody")
        assert whole(only, begun)["status"] == "exists"
        assert work.dest.read("street.mp4") == b"of somebody"
        work.dest.delete("street.mp4")


@pytest.mark.slow
def test_results_have_their_objects_metadata_and_a_videos_media_type(stylizer, styles, tmp_path, s3_server):
    bucket = s3_server.new_bucket()
    source, dest = open_storage(f"s3://{bucket}/in"), open_storage(f"s3://{bucket}/out")
    client = client_for(s3_server.endpoint)
    client.put_object(Bucket=bucket, Key="in/a.mp4", Body=clip(tmp_path, frames=3), Metadata={"camera": "x100"})
    work = work_between(source, dest, properties=ResultProperties(tags=("made=pcakd",)))
    assert whole(work, begin(work, item("a.mp4"), stylizer, styles, {}))["status"] == "ok"
    found = client.head_object(Bucket=bucket, Key="out/a.mp4")
    assert (found["ContentType"], found["Metadata"]["camera"]) == ("video/mp4", "x100")
    assert dest.tags("a.mp4") == {"made": "pcakd"}


@pytest.mark.slow
def test_clips_take_the_look_that_all_of_a_job_share(stylizer, styles, work, tmp_path):
    work.source.write("street.mkv", clip(tmp_path, "street.mkv", 6))
    look = stylizer.shared_look([jobs.style(tmp_path)], styles["evening"])
    begun = begin(work, item("street.mkv", strength=0.5), stylizer, styles, {"evening": look})
    (course,) = begun.plan.courses
    assert course.looks == (look.at(0.5),)
    assert whole(work, begun)["status"] == "ok"


def test_a_clip_that_takes_hours_is_no_run_that_is_stuck_until_it_takes_too_many(monkeypatch):
    from tasks.bulk import clip_chain

    chain = object.__new__(clip_chain.ChainWithClips)
    chain.work, chain._shared, chain.shares = None, b"", None
    monkeypatch.setattr(clip_chain, "_Calls", Endless)
    monkeypatch.setitem(
        sys.modules, "ray", SimpleNamespace(wait=lambda *a, **how: ([], []), cancel=lambda *a, **how: 0)
    )
    monkeypatch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(RayError=OSError))
    run = chain._run_clips([{}], 1)
    assert [next(run), next(run)] == [[], []]
    monkeypatch.setattr(clip_chain, "CALL_S", 0.0)
    assert next(run) is None
    run.close()


def nothing(*args, **how):
    return [], []


class Endless:
    """Calls that never end."""

    def __init__(self, *args) -> None:
        pass

    def beginning(self, item):
        return object
