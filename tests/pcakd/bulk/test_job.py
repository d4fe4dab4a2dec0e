from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pcakd.bulk import BucketJob, RunOptions, load_job, look_up
from pcakd.bulk.styles import parse_styles
from pcakd.errors import NotFoundError, PhotoError, UsageError
from tests.pcakd.bulk.made import resolved


def job(**changes) -> BucketJob:
    return BucketJob(**({"source": "in", "dest": "out", "styles": ("x.jpg",)} | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": ""}, "source is empty"),
        ({"dest": ""}, "dest is empty"),
        ({"styles": ()}, "styles are empty"),
        ({"combine": "all"}, "combine is 'all': use one of each, mix"),
        ({"styles": ("a/x.jpg", "b/x.png")}, "styles has two called 'x': write NAME=PLACE"),
        ({"styles": ("a=",)}, "has no photo"),
        ({"styles": ("-a=x.jpg",)}, "styles has the name '-a'"),
        ({"weights": (1.0,)}, "weights count where photos are pooled"),
        ({"styles": ("x.jpg", "y.jpg"), "weights": (1.0,)}, "weights are 1 for 2 styles"),
        ({"styles": ("x.jpg", "y.jpg"), "combine": "mix", "weights": (1.0, -1.0)}, "weights are 1, -1"),
        ({"styles": ("x.jpg", "y.jpg"), "combine": "mix", "weights": (0.0, 0.0)}, "are all 0"),
        ({"overwrite": "yes"}, "overwrite is 'yes': use one of skip, replace, fail"),
        ({"format": "gif"}, "format is 'gif': use one of same, jpeg, png, webp"),
        ({"quality": 0}, "quality is 0: give 1 to 100"),
        ({"max_side": 8}, "max_side is 8"),
        ({"limit": 0}, "limit is 0: give 1 or more"),
        ({"transform": "x"}, "transform is 'x'"),
        ({"strength": 2.0}, "strength is 2.0"),
        ({"smoothing": "x"}, "smoothing is 'x'"),
        ({"compat": "x"}, "compat is 'x'"),
        ({"precision": "fp16"}, "precision is 'fp16'"),
        ({"include": ("",)}, "empty glob"),
        ({"template": "{name}"}, "{name} is no field"),
        ({"styles": ("x.jpg", "y.jpg"), "template": "{key}"}, "2 styles need {style} in it"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(changes, says):
    with pytest.raises(UsageError) as caught:
        job(**changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"workers": 0}, {"memory_limit": 5}, {"device": "gpu"}, {"max_failed": -1}, {"max_failed": 1.5}]
)
def test_wrong_options_of_a_run_are_named(changes):
    with pytest.raises(UsageError, match=next(iter(changes))):
        RunOptions(**changes)


def test_styles_are_named_by_their_file_or_as_asked_and_pooled_by_name():
    specs = job(styles=("s3://b/Late evening.jpg", "rain=a.jpg", "rain=c=d.jpg", "s3://b/x=y.png")).style_specs()
    assert {name: style.photos for name, style in specs.items()} == {
        "Late-evening": ("s3://b/Late evening.jpg",),
        "rain": ("a.jpg", "c=d.jpg"),
        "x-y": ("s3://b/x=y.png",),
    }
    mixed = job(styles=("a.jpg", "b/a.jpg"), combine="mix", weights=(3.0, 1.0)).style_specs()
    assert (list(mixed), mixed["mix"].weights) == (["mix"], (3.0, 1.0))


def test_a_failure_threshold_is_a_share_or_a_number():
    assert not RunOptions().too_many(100, 100)
    assert [RunOptions(max_failed=0.05).too_many(n, 100) for n in (5, 6)] == [False, True]
    assert [RunOptions(max_failed=5).too_many(n, 100) for n in (5, 6)] == [False, True]
    assert RunOptions(max_failed=0).too_many(1, 100)


def test_the_id_depends_on_what_results_depend_on_and_on_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = resolved("in", "out")
    same = [{"dest": "elsewhere"}, {"limit": 5}, {"include": ["*.jpg"]}, {"overwrite": "replace"}]
    same += [{"source": str(tmp_path / "in")}, {"styles": ("a=moved/x.jpg", "b=moved/y.jpg")}]
    same += [{"strength": 1}, {"weights": ()}]
    other = [{"source": "in2"}, {"transform": "ot"}, {"strength": 0.5}, {"smoothing": "none"}, {"compat": "released"}]
    other += [{"transform": "lsft"}, {"transform": "lsft", "balance": 0.5}]
    other += [{"precision": "fp32"}, {"template": "{style}/{key}"}, {"format": "png"}, {"quality": 80}]
    other += [{"max_side": 512}, {"styles": ("a=x.jpg",)}, {"styles": ("a=x.jpg", "c=y.jpg")}]
    for changes in same:
        assert resolved(**({"source": "in", "dest": "out"} | changes)).job_id == base.job_id, changes
    ids = {resolved(**({"source": "in", "dest": "out"} | changes)).job_id for changes in other}
    assert len(ids | {base.job_id}) == len(other) + 1
    assert replace(base, model_digest="2" * 64).job_id != base.job_id
    assert replace(base, model="models:/pcakd-vgg/3").job_id != replace(base, model="models:/pcakd-vgg/4").job_id
    assert replace(base, model="/a/student.safetensors").job_id == replace(base, model="student.safetensors").job_id
    assert len(base.job_id) == 16


def test_the_id_of_a_job_stays_from_version_to_version():
    """Another id for the same job would leave the ledgers that are there behind; see `schema.FORMAT`."""
    found = resolved("s3://bucket/in", "s3://bucket/out", max_side=512)
    assert found.job_id == "a8778b92f07b4112"


def test_resolving_loads_the_model_and_reads_the_style_photos(tmp_path):
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "x.png")
    found = look_up(job(styles=(str(tmp_path / "x.png"),), model="mobilenet"))
    assert (found.model, len(found.model_digest), list(found.photos)) == ("mobilenet", 64, ["x"])
    assert found.photos["x"] == ((tmp_path / "x.png").read_bytes(),)
    assert found.checkpoint is not None
    with pytest.raises(NotFoundError, match=r"missing\.png"):
        look_up(job(styles=(str(tmp_path / "missing.png"),)))
    (tmp_path / "bad.png").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"bad\.png: is not an image"):
        look_up(job(styles=(str(tmp_path / "bad.png"),)))


FILE = """
source = "photos"
dest = "s3://out/album"
styles = ["evening.jpg", "rain=weather/04.jpg"]
strength = 1
include = ["*.jpg"]
[run]
workers = 4
memory_limit = "2GB"
max_failed = "5%"
"""


def test_a_job_file_gives_a_job_with_places_beside_it(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(FILE)
    found, run = load_job(path, limit=7, workers=2)
    assert found.source == str(tmp_path / "photos")
    assert (found.dest, found.limit, found.strength, found.include) == ("s3://out/album", 7, 1, ("*.jpg",))
    assert found.styles == (str(tmp_path / "evening.jpg"), f"rain={tmp_path / 'weather/04.jpg'}")
    assert (run.workers, run.memory_limit, run.max_failed) == (2, 2 << 30, 0.05)
    assert load_job(path, styles=("other.jpg",))[0].styles == ("other.jpg",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source = ", "is not a TOML file"),
        ("sauce = 1", "has no field 'sauce'; fields are source, dest"),
        ('source = 1\ndest = "b"\nstyles = ["c"]', "source is 1: give a text"),
        ('source = "a"\ndest = "b"\nstyles = "c"', "styles is 'c': give a list of texts"),
        ('source = "a"\ndest = "b"\nstyles = [1]', "styles is [1]: give a list of texts"),
        ('source = "a"\ndest = "b"\nstyles = ["c"]\nquality = "high"', "quality is 'high': give a whole number"),
        ('source = "a"\ndest = "b"\nstyles = ["c"]\nlimit = true', "limit is True: give a whole number"),
        ('source = "a"\ndest = "b"\nstyles = ["c"]\nquality = 0', "quality is 0: give 1 to 100"),
        ('source = "a"\ndest = "b"\nstyles = ["c"]\nformat = 3', "format is 3: give a text"),
        ('source = "a"\ndest = "b"', "has no styles"),
        ("run = 3", "write a table [run]"),
        ("[run]\nspeed = 1", "[run]: has no field 'speed'; fields are workers"),
        ('[run]\nmemory_limit = "much"', "memory_limit: 'much' is not a memory size"),
        ('[run]\nmax_failed = "100%"', "neither a number nor a share"),
    ],
)
def test_a_wrong_job_file_is_one_line_that_names_the_file_and_the_field(tmp_path, text, says):
    path = tmp_path / "job.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_job(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_job_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match="no such job file"):
        load_job(tmp_path / "job.toml")


def test_options_younger_than_the_ids_leave_older_jobs_their_own(tmp_path):
    plain = resolved(tmp_path / "in", tmp_path / "out").spec()
    assert not {"depth", "colour"} & plain.keys()
    assert resolved(tmp_path / "in", tmp_path / "out", depth="16").spec()["depth"] == "16"
    assert resolved(tmp_path / "in", tmp_path / "out", colour="source").spec() != plain


def test_a_style_whose_path_has_an_equals_sign_is_a_path_where_the_file_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "year=2026").mkdir()
    (tmp_path / "year=2026" / "e.png").write_bytes(b"x")
    there, absent = parse_styles(["year=2026/e.png"], "each", []), parse_styles(["year=2027/e.png"], "each", [])
    assert {name: spec.photos for name, spec in there.items()} == {"e": ("year=2026/e.png",)}
    assert {name: spec.photos for name, spec in absent.items()} == {"year": ("2027/e.png",)}
