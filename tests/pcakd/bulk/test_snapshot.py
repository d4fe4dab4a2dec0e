import pytest

import pcakd.bulk.snapshot as snapshot_module
from pcakd.bulk.plan import dry_run
from pcakd.bulk.snapshot import CollisionCheck, Item, literal_prefix, open_manifest, plan_items
from pcakd.errors import NotFoundError, UsageError
from pcakd.storage import open_storage
from tests.pcakd.bulk.made import fill, ledger, resolved, work


@pytest.fixture(params=["local", "s3"])
def places(request, tmp_path):
    """Source and destination addresses."""
    if request.param == "local":
        (tmp_path / "in").mkdir()
        return str(tmp_path / "in"), str(tmp_path / "out")
    bucket = request.getfixturevalue("s3_server").new_bucket()
    return f"s3://{bucket}/in/50%", f"s3://{bucket}/out"


def put(place: str, *keys: str) -> None:
    for key in keys:
        open_storage(place).write(key, key.encode())


def planned(places, **changes) -> list[tuple[str, str, str]]:
    job = resolved(*places, **({"styles": ("x.jpg",)} | changes)).job
    items = plan_items(job, open_storage(job.source), open_storage(job.dest), open_manifest(job))
    return [(item.key, item.style, item.output) for item in items]


def test_items_are_objects_times_styles_in_order(places):
    put(places[0], "b/1.jpg", "a.png", "b.gif")
    assert planned(places, styles=("x.jpg", "night=y.jpg")) == [
        ("a.png", "night", "a.night.png"),
        ("a.png", "x", "a.x.png"),
        ("b.gif", "night", "b.night.gif.png"),
        ("b.gif", "x", "b.x.gif.png"),
        ("b/1.jpg", "night", "b/1.night.jpg"),
        ("b/1.jpg", "x", "b/1.x.jpg"),
    ]
    assert planned(places, styles=("x.jpg", "y.jpg"), combine="mix")[0] == ("a.png", "mix", "a.png")


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"include": ["*.jpg"]}, ["2025/a.jpg", "2026/07/b.jpg", "2026/c.jpg"]),
        ({"include": ["2026/*"]}, ["2026/07/b.jpg", "2026/c.jpg", "2026/d.png"]),
        ({"include": ["2026/*", "2025/*"], "exclude": ["*.png"]}, ["2025/a.jpg", "2026/07/b.jpg", "2026/c.jpg"]),
        ({"exclude": ["2026/*"]}, ["2025/a.jpg"]),
        ({"include": ["202[56]/?.jpg"]}, ["2025/a.jpg", "2026/c.jpg"]),
        ({"include": ["2026/c.jpg"]}, ["2026/c.jpg"]),
        ({"limit": 2}, ["2025/a.jpg", "2026/07/b.jpg"]),
        ({"limit": 1, "exclude": ["2025/*"]}, ["2026/07/b.jpg"]),
    ],
)
def test_globs_and_the_limit_choose_objects(places, changes, keys):
    put(places[0], "2025/a.jpg", "2026/07/b.jpg", "2026/c.jpg", "2026/d.png")
    assert [key for key, _, _ in planned(places, **changes)] == keys


def test_only_what_globs_can_match_is_listed():
    assert literal_prefix(["2026/07*.jpg", "2026/1?/x"]) == "2026/"
    assert literal_prefix(["*.jpg", "a"]) == ""
    assert literal_prefix([]) == ""


def test_ledgers_and_folder_markers_in_a_source_are_no_photos(s3_server):
    bucket = s3_server.new_bucket()
    source = open_storage(f"s3://{bucket}/in")
    for key, data in {"a.jpg": b"x", "_pcakd/1/spec.json": b"{}", "sub/": b"", "sub/b.jpg": b"x", "odd/": b"x"}.items():
        source.write(key, data)
    found = planned((f"s3://{bucket}/in", f"s3://{bucket}/out"))
    assert [key for key, _, _ in found] == ["a.jpg", "odd/", "sub/b.jpg"]


@pytest.mark.parametrize("heads", [2_000, 0], ids=["few", "many"])
def test_a_manifest_chooses_objects_and_their_options(places, heads, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot_module, "HEADS", heads)
    put(places[0], "a.jpg", "b.jpg", "c/d.jpg", "z.jpg")
    (tmp_path / "m.csv").write_text("key,style,strength\nc/d.jpg,,0.5\na.jpg,y,\na.jpg,x,1\n")
    changes = {"manifest": str(tmp_path / "m.csv"), "styles": ("x.jpg", "y.jpg")}
    job = resolved(*places, **changes).job
    source = open_storage(job.source)
    items = list(plan_items(job, source, open_storage(job.dest), open_manifest(job)))
    assert [(i.key, i.style, i.strength) for i in items] == [
        ("a.jpg", "x", 1.0),
        ("a.jpg", "y", None),
        ("c/d.jpg", "x", 0.5),
        ("c/d.jpg", "y", 0.5),
    ]
    assert [(i.size, i.etag) for i in items[:1]] == [(source.head("a.jpg").size, source.head("a.jpg").etag)]
    assert len(planned(places, **changes, limit=1)) == 2
    (tmp_path / "m.csv").write_text("key\na.jpg\nmissing.jpg\n")
    with pytest.raises(UsageError, match=r"m\.csv: row 2: .* has no object 'missing\.jpg'"):
        planned(places, **changes)


def test_a_manifest_key_that_leaves_the_source_is_no_object(tmp_path):
    fill(tmp_path / "in", 1)
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "m.csv").write_text("key\n../secret.jpg\n")
    with pytest.raises(UsageError, match="has no object"):
        planned((tmp_path / "in", tmp_path / "out"), manifest=str(tmp_path / "m.csv"))


def test_a_changed_manifest_is_another_snapshot_of_the_same_job(tmp_path):
    source = fill(tmp_path / "in", 4)
    place = tmp_path / "m.csv"
    place.write_text("key\n0000.jpg\n0001.jpg\n")
    options = {"manifest": str(place), "styles": ("x.jpg",)}
    first = ledger(source, tmp_path / "out", **options).begin(open_storage(source))
    assert work(first) == 2
    place.write_text("key,strength\n0000.jpg,\n0001.jpg,0.5\n0002.jpg,\n")
    second = ledger(source, tmp_path / "out", **options).begin(open_storage(source))
    assert [i["key"] for i in second.pending(0).to_pylist()] == ["0001.jpg", "0002.jpg"]


def test_two_results_of_one_name_are_found_before_the_job_starts(places):
    put(places[0], "a.jpg", "a.png", "b.jpg", "b.webp", "c.jpg")
    job = resolved(*places, styles=("x.jpg",), format="jpeg")
    says = r"a\.jpg in style x and a\.png in style x would both be written to a\.jpg \(and 1 more\); tell them apart"
    with pytest.raises(UsageError, match=says):
        dry_run(job)
    book = ledger(*places, styles=("x.jpg",), format="jpeg")
    with pytest.raises(UsageError, match=says):
        book.begin(open_storage(places[0]))
    assert book.newest() is None
    assert dry_run(resolved(*places, styles=("x.jpg",), format="jpeg", template="{key}")).items == 5


def test_a_job_that_began_before_content_decided_keeps_the_names_of_its_results(tmp_path):
    place = str(tmp_path / "in"), str(tmp_path / "out")
    put(place[0], "a", "b.jpg")
    assert dry_run(resolved(*place)).sample[0][2] == "a.a"
    book = ledger(*place, styles=("x.jpg",))
    assert dry_run(resolved(*place, styles=("x.jpg",))).sample == [("a", "x", "a"), ("b.jpg", "x", "b.jpg")]
    book.root.delete("names.json")
    assert dry_run(resolved(*place, styles=("x.jpg",))).sample[0] == ("a", "x", "a.png")
    again = ledger(*place, styles=("x.jpg",))
    assert again.begin(open_storage(place[0])).items(0)["output"].to_pylist() == ["a.png", "b.jpg"]


def test_a_video_beside_a_photo_is_not_in_the_way_of_its_result(tmp_path):
    place = str(tmp_path / "in"), str(tmp_path / "out")
    put(place[0], "IMG_1.HEIC", "IMG_1.MOV", "IMG_1.zip")
    book = ledger(*place, styles=("x.jpg",), format="jpeg")
    assert book.begin(open_storage(place[0])).item_count == 3
    assert dry_run(resolved(*place, styles=("x.jpg",), format="jpeg")).items == 3


def test_a_result_where_another_needs_a_folder_is_found_for_local_destinations(s3_server, tmp_path):
    bucket = s3_server.new_bucket()
    put(f"s3://{bucket}/in", "a.jpg", "a.jpg/b.jpg", "c.jpg")
    with pytest.raises(UsageError, match=r"a\.jpg/b\.jpg needs a folder where the result of a\.jpg is written"):
        dry_run(resolved(f"s3://{bucket}/in", tmp_path / "out", styles=("x.jpg",)))
    assert dry_run(resolved(f"s3://{bucket}/in", f"s3://{bucket}/out", styles=("x.jpg",))).items == 3


def test_names_that_a_disk_takes_for_the_same_collide_there(tmp_path):
    items = [Item("A.jpg", 1, "", "x", "A.jpg"), Item("a.jpg", 1, "", "x", "a.jpg")]
    for fold in (False, True):
        check = CollisionCheck(open_storage(tmp_path), fold=fold)
        for item in items:
            check.add(item.key, item.output)
        if fold:
            with pytest.raises(UsageError, match="would both be written"):
                check.finish(lambda: iter(items))
        else:
            check.finish(lambda: iter(items))


def test_long_keys_leave_room_for_the_destinations_prefix(s3_server):
    bucket = s3_server.new_bucket()
    key = "/".join(["x" * 200] * 4) + "/" + "y" * 150 + ".jpg"
    put(f"s3://{bucket}/in", key)
    short = planned((f"s3://{bucket}/in", f"s3://{bucket}/out"))[0][2]
    assert short == key
    prefix = "p" * 200
    shortened = planned((f"s3://{bucket}/in", f"s3://{bucket}/{prefix}"))[0][2]
    assert len(f"{prefix}/{shortened}") <= 1024
    put(f"s3://{bucket}/{prefix}", shortened)


def test_nothing_to_do_is_said(places, tmp_path):
    with pytest.raises(UsageError, match="holds no objects"):
        planned(places)
    put(places[0], "a.jpg")
    with pytest.raises(UsageError, match="holds no objects that the globs take"):
        planned(places, include=["*.png"])


def test_places_in_each_other_or_missing_are_refused(tmp_path):
    fill(tmp_path / "in", 1)
    for source, dest in [("in", "in/out"), ("in/sub", "in"), ("in", "in")]:
        with pytest.raises(UsageError, match="lie in each other"):
            dry_run(resolved(tmp_path / source, tmp_path / dest))
    with pytest.raises(NotFoundError):
        dry_run(resolved(tmp_path / "nowhere", tmp_path / "out"))


def test_a_dry_run_counts_and_writes_nothing(tmp_path):
    source = fill(tmp_path / "in", 12)
    plan = dry_run(resolved(source, tmp_path / "out"), sample=3)
    assert (plan.tally.objects, plan.items, plan.tally.bytes, plan.finished) == (12, 24, sum(range(1, 13)), 0)
    assert plan.sample == [
        ("0000.jpg", "a", "0000.a.jpg"),
        ("0000.jpg", "b", "0000.b.jpg"),
        ("0001.jpg", "a", "0001.a.jpg"),
    ]
    assert plan.tally.suffixes == {".jpg": 12}
    assert not (tmp_path / "out").exists()
    snapshot = ledger(source, tmp_path / "out").begin(open_storage(source))
    work(snapshot)
    (source / "0000.jpg").write_bytes(b"another photo")
    assert dry_run(resolved(source, tmp_path / "out")).finished == 22
    assert dry_run(resolved(source, tmp_path / "out", overwrite="replace")).finished == 0


def test_file_names_that_are_no_text_are_planned_and_found_again(tmp_path):
    source = fill(tmp_path / "in", 1)
    odd = b"\xff.jpg".decode("utf-8", "surrogateescape")
    (source / odd).write_bytes(b"x")
    book = ledger(source, tmp_path / "out", styles=("x.jpg",))
    snapshot = book.begin(open_storage(source))
    assert work(snapshot) == 2
    snapshot.finish()
    (source / "0001.jpg").write_bytes(b"x")
    assert work(ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))) == 1
