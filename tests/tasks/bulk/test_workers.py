"""What a worker does with a block, without Ray."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pcakd.bulk.naming import output_key
from pcakd.bulk.properties import ResultProperties
from pcakd.bulk.schema import ITEM_SCHEMA
from pcakd.photos.images import peek, read_photo
from pcakd.photos.shrink import to_longest_side
from pcakd.photos.write import FORMATS
from pcakd.photos.write import encode as encode_whole
from pcakd.storage import open_storage, sha256_hex
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.stylizer import Stylizer
from tasks.bulk import workers
from tasks.bulk.carried import pack, photo_of, unpack, unpack_rows, with_photo
from tasks.bulk.pipeline import BLOCK_ITEMS, ClusterShares, cut_into_blocks, pack_items
from tasks.bulk.workers import Stylize, Work, fetch, store
from tests import kinds
from tests.corpus import bad_photos, encode, good_photos, odd_photos, photograph
from tests.models import random_checkpoint
from tests.opened import SUFFIXES, check_opened, fits


def table(*names: tuple[str, int], styles: tuple[str, ...] = ("s",)) -> pa.Table:
    rows = [
        {"key": key, "size": size, "etag": "listed", "style": style, "output": f"{style}/{key}.png"}
        for key, size in names
        for style in styles
    ]
    items = pa.Table.from_pylist(rows, ITEM_SCHEMA)
    return items.append_column("part", pa.array([3] * len(items), pa.int32()))


@pytest.fixture
def work(tmp_path) -> Work:
    (tmp_path / "in").mkdir()
    return Work(
        source=open_storage(tmp_path / "in"),
        dest=open_storage(tmp_path / "out"),
        run="run-1",
        model="vgg",
        transform="zca",
        strength=1.0,
        smoothing="none",
        compat="auto",
        quality=95,
    )


def fetched(work: Work, items: pa.Table) -> list:
    """Heads and bodies after a way through the object store's format."""
    return [pair for block in fetch(items, work) for pair in unpack(block)]


def test_photos_of_every_kind_arrive_as_they_are_read_and_bad_ones_with_their_reason(work):
    samples = good_photos(2) + odd_photos() + bad_photos()
    for sample in samples:
        work.source.write(sample.name, sample.data)
    found = fetched(work, table(*[(sample.name, len(sample.data)) for sample in samples]))
    assert [head.item["key"] for head, _ in found] == [sample.name for sample in samples]
    for sample, (head, body) in zip(samples, found, strict=True):
        if sample.reason:
            assert (head.row["status"], head.row["passing"], len(body)) == (sample.reason, False, 0)
            assert sample.name in head.row["message"]
            continue
        expected = read_photo(sample.data)
        if not expected.plain:
            assert (head.kind, bytes(body)) == ("photo", sample.data)
            continue
        photo = photo_of(head, body)
        assert np.array_equal(photo.rgb, expected.rgb)
        assert (photo.alpha is None) == (expected.alpha is None)
        assert photo.alpha is None or np.array_equal(photo.alpha, expected.alpha)
        assert (photo.metadata, photo.profile) == (expected.metadata, expected.profile)
        assert head.row["etag"] == work.source.head(sample.name).etag != "listed"
        assert head.row["part"] == 3


def test_what_is_no_photo_by_its_name_is_left_out_without_being_fetched(work):
    found = fetched(work, table((".DS_Store", 9), ("a.jpg.json", 9)))
    assert [head.row["status"] for head, _ in found] == ["left-out", "left-out"]
    assert not any(head.row["passing"] or len(body) for head, body in found)


def test_what_its_format_cannot_hold_is_told_before_it_is_stylized(work):
    work.source.write("long.png", encode(Image.new("RGB", (66_000, 2)), "PNG"))
    items = table(("long.png", 9))
    items = items.set_column(items.schema.get_field_index("output"), "output", pa.array(["long.jpg"]))
    [(head, body)] = fetched(work, items)
    assert (head.row["status"], head.row["passing"], len(body)) == ("unsupported", False, 0)
    assert "long.png: has 66000×2 pixels, and JPEG ends at 65,500" in head.row["message"]


def test_an_object_in_several_styles_is_fetched_once(work, monkeypatch):
    for sample in good_photos(2):
        work.source.write(sample.name, sample.data)
    reads = []
    real = type(work.source).read_with_info
    monkeypatch.setattr(type(work.source), "read_with_info", lambda self, key: reads.append(key) or real(self, key))
    found = fetched(work, table(("good-0000.jpg", 9), ("good-0001.jpg", 9), styles=("a", "b", "c")))
    assert sorted(reads) == ["good-0000.jpg", "good-0001.jpg"]
    assert [(head.item["key"], head.row["style"], head.row["output"]) for head, _ in found] == [
        (key, style, f"{style}/{key}.png") for key in ("good-0000.jpg", "good-0001.jpg") for style in "abc"
    ]


def test_large_photos_stay_encoded(work, monkeypatch):
    monkeypatch.setattr(workers, "LARGE_PIXELS", 100)
    sample = good_photos(1)[0]
    work.source.write(sample.name, sample.data)
    [(head, body)] = fetched(work, table((sample.name, len(sample.data))))
    assert (head.kind, bytes(body)) == ("photo", sample.data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_result_is_written_whole_and_its_row_names_its_hash(work, mode):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 7, len(mode)), np.uint8)
    head = fetched(work, table(("gone.jpg", 1)))[0][0]
    head.row |= {"status": "", "passing": False}
    block = pack([with_photo(head, read_photo(image))])
    photo = photo_of(*next(unpack(block)))
    assert np.array_equal(photo.rgb, image[..., :3])
    assert photo.alpha is None or np.array_equal(photo.alpha, image[..., 3])
    [row] = unpack_rows(store(block, work))
    data = work.dest.read("s/gone.jpg.png")
    assert (row["status"], row["sha256"], row["output_size"]) == ("ok", sha256_hex(data), len(data))
    assert np.array_equal(np.asarray(Image.open(work.dest.root / "s/gone.jpg.png")), np.asarray(image))


def test_under_fail_an_output_of_other_content_stays(work):
    work = replace(work, create_only=True)
    work.dest.write("s/a.png", b"mine")
    head = pickle.loads(pickle.dumps(fetched(work, table(("a", 1)))[0][0]))
    head.row |= {"status": ""}
    block = pack([with_photo(head, read_photo(Image.new("RGB", (2, 2))))])
    [row] = unpack_rows(store(block, work))
    assert (row["status"], row["passing"]) == ("exists", False)
    assert work.dest.read("s/a.png") == b"mine"
    work.dest.delete("s/a.png")
    assert [unpack_rows(store(block, work))[0]["status"] for _ in range(2)] == ["ok", "ok"]  # its own is no other's


def test_the_longest_side_is_shrunk_and_smaller_photos_stay():
    photo = read_photo(odd_photos()[7].data)  # with alpha
    small = to_longest_side(photo, 32)
    assert (small.size, small.alpha.shape) == ((24, 32), (24, 32))
    assert to_longest_side(photo, 128) is photo
    assert to_longest_side(photo, None) is photo


def test_blocks_are_cut_by_number_and_by_bytes():
    small = table(*[(f"{i:03d}", 1) for i in range(BLOCK_ITEMS * 2 + 1)])
    assert [len(block) for block in cut_into_blocks(small)] == [BLOCK_ITEMS, BLOCK_ITEMS, 1]
    large = table(*[(f"{i}", 1_500_000) for i in range(3)])
    assert [len(block) for block in cut_into_blocks(large)] == [1, 1, 1]
    assert [len(block) for block in cut_into_blocks(small, 1)] == [1] * len(small)
    assert pa.concat_tables(cut_into_blocks(small)).equals(small.combine_chunks())


def test_what_travels_is_a_blocks_own_items_and_not_all_that_they_are_a_slice_of():
    many = table(*[(f"{i:05d}", 1) for i in range(BLOCK_ITEMS * 100)])
    packed = [pack_items(block) for block in cut_into_blocks(many)]
    assert sum(map(len, packed)) < 10 * len(pack_items(many)), "a hundred times would be all, each time"
    assert pa.ipc.open_stream(packed[1]).read_all().equals(many.slice(BLOCK_ITEMS, BLOCK_ITEMS).combine_chunks())


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers"), [(1, 0, None), (2, 0, None), (2, 0, 5), (16, 0, 4), (16, 2, None)]
)
def test_two_jobs_at_once_find_room_on_a_cluster(cpus, gpus, workers):
    how = {"workers": workers, "device": "auto", "settings": {"memory_limit": None}}
    shares = ClusterShares.for_cluster(cpus, gpus, 64 << 30, items=1000, **how)
    assert shares.stylizers * shares.cpus + 2 * shares.helpers * shares.helper_cpus <= cpus / 2
    assert shares.stylizers * shares.gpus <= gpus
    assert shares.stylizers == (workers or gpus or cpus)
    shares = ClusterShares.for_cluster(cpus, gpus, 64 << 30, items=1, **how)
    assert shares.stylizers == 1


def test_stylizers_are_as_many_as_the_memory_has_room_for():
    def stylizers(memory: int, limit: int | None) -> int:
        settings = {"memory_limit": limit}
        shares = ClusterShares.for_cluster(16, 0, memory, items=1000, workers=None, device="auto", settings=settings)
        return shares.stylizers

    assert (stylizers(8 << 30, None), stylizers(8 << 30, 1 << 30), stylizers(1 << 30, None)) == (3, 8, 1)


@pytest.fixture(scope="module")
def stylize():
    """The actor's work without Ray."""
    worker = Stylize.__new__(Stylize)
    worker.stylizer = Stylizer(random_checkpoint(), device="cpu")
    worker.looks = {}
    worker.styles = {"s": worker.stylizer.style(photograph(2))}
    return worker


def test_every_kind_of_photo_comes_out_as_through_python_and_what_is_refused_is_final(work, stylize):
    good, refused = kinds.kinds(), kinds.refused()
    for kind in good:
        work.source.write(f"good-{kind.name}", kind.data)
    for name, data, _, _ in refused:
        work.source.write(f"bad-{name}", data)
    names = sorted([f"good-{kind.name}" for kind in good] + [f"bad-{name}" for name, *_ in refused])
    items = table(*[(name, 9) for name in names])
    outputs = [output_key(name) for name in names]
    items = items.set_column(items.schema.get_field_index("output"), "output", pa.array(outputs))
    stylize.work = work
    rows = {}
    for block in fetch(items, work):
        for done in stylize(block):
            rows |= {row["key"]: row for row in unpack_rows(store(done, work))}
    assert sorted(rows) == names
    for name, _, reason, word in refused:
        row = rows[f"bad-{name}"]
        assert (row["status"], row["passing"]) == (reason, False), name
        assert word in row["message"]
    options = StylizeOptions(smoothing="none")
    for kind in good:
        row = rows[f"good-{kind.name}"]
        assert row["status"] == "ok", (kind.name, row.get("message"))
        assert (row["height"], row["width"]) == kind.colours.shape[:2]
        result = stylize.stylizer.render(read_photo(kind.data), stylize.styles["s"], options)
        encoded = encode_whole(result, FORMATS[Path(row["output"]).suffix])
        assert work.dest.read(row["output"]) == encoded.data, kind.name
        assert row.get("message", "") == "; ".join(encoded.notes)


def test_a_name_without_suffix_keeps_its_name_and_its_contents_format(work, stylize):
    for name, format in (("jpeg", "JPEG"), ("webp", "WEBP"), ("gif", "GIF")):
        work.source.write(name, encode(photograph(3), format))
    items = table(("gif", 9), ("jpeg", 9), ("webp", 9))
    outputs = [output_key(name) for name in ("gif", "jpeg", "webp")]
    items = items.set_column(items.schema.get_field_index("output"), "output", pa.array(outputs))
    stylize.work = work
    for block in fetch(items, work):
        for done in stylize(block):
            store(done, work)
    found = {name: peek(work.dest.read(name)).format for name in outputs}
    assert found == {"gif": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


@pytest.mark.slow
@pytest.mark.parametrize("format", [format for format in SUFFIXES if format != "GIF"])
def test_every_kind_in_every_format_is_written_whole_or_refused_for_good(work, stylize, format):
    good = {kind.name: kind for kind in kinds.kinds()}
    for name, kind in good.items():
        work.source.write(name, kind.data)
    items = table(*[(name, 9) for name in good])
    outputs = [f"{name}{SUFFIXES[format]}" for name in good]
    items = items.set_column(items.schema.get_field_index("output"), "output", pa.array(outputs))
    # At strength 0 a result has its photo's own colours.
    stylize.work = work = replace(work, strength=0.0, smoothing=StylizeOptions().smoothing)
    blocks = [store(done, work) for block in fetch(items, work) for done in stylize(block)]
    rows = [row for block in blocks for row in unpack_rows(block)]
    assert sorted(row["key"] for row in rows) == sorted(good)
    for row in rows:
        kind = good[row["key"]]
        if not fits(kind, format):
            assert (row["status"], row["passing"]) == ("unsupported", False)
            assert "and JPEG holds one picture" in row["message"]
            continue
        assert row["status"] == "ok", row["message"]
        check_opened(kind, work.dest.read(row["output"]), format)


@pytest.mark.parametrize("server", ["s3_server", pytest.param("ceph", marks=pytest.mark.slow)])
def test_a_result_on_s3_has_its_objects_properties_and_its_row_the_version_that_was_read(
    work, stylize, request, server
):
    # moto knows storage classes and encryption; Ceph, which is strict, has one class and no keys here.
    found = request.getfixturevalue(server)
    with pytest.MonkeyPatch.context() as patch:
        for name, text in found.environment().items():
            patch.setenv(name, text)
        bucket, client = found.new_bucket(), found.client()
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        kept = {"ContentType": "image/jpeg", "CacheControl": "max-age=60", "ContentLanguage": "de"}
        kept |= {"ContentDisposition": 'inline; filename="a.jpg"', "Metadata": {"album": "summer"}}
        data = encode(photograph(3), "JPEG")
        version = client.put_object(Bucket=bucket, Key="in/a.jpg", Body=data, Tagging="team=a", **kept)["VersionId"]
        given = {"storage_class": "STANDARD_IA", "sse": "AES256"} if server == "s3_server" else {}
        how = ResultProperties(keep_properties="all", tags=("made=pcakd",), **given)
        places = {"source": open_storage(f"s3://{bucket}/in"), "dest": open_storage(f"s3://{bucket}/out")}
        stylize.work = work = replace(work, properties=how, **places)
        [row] = [
            row
            for block in fetch(table(("a.jpg", len(data))), work)
            for done in stylize(block)
            for row in unpack_rows(store(done, work))
        ]
        assert (row["status"], row["version"], row.get("message")) == ("ok", version, None)
        answer = client.head_object(Bucket=bucket, Key=f"out/{row['output']}")
        tags = client.get_object_tagging(Bucket=bucket, Key=f"out/{row['output']}")["TagSet"]
    assert row["output"].endswith(".png"), "another format: what names that is not kept"
    assert (answer["ContentType"], answer["CacheControl"], answer["ContentLanguage"]) == (
        "image/png",
        "max-age=60",
        "de",
    )
    assert "ContentDisposition" not in answer
    assert (answer["Metadata"]["album"], answer["Metadata"]["pcakd-sha256"]) == ("summer", row["sha256"])
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "a", "made": "pcakd"}
    if given:
        assert (answer["StorageClass"], answer["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
