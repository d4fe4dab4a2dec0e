import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pcakd import Stylizer
from pcakd.errors import NotFoundError, UsageError
from pcakd.images import encode_photo
from tasks.stylize_bucket import BucketJob, stylize_bucket
from tasks.stylize_bucket.job import output_key


@pytest.fixture
def photos(tmp_path):
    """A folder with a JPEG, a GIF below it and a file that is no photo; a style beside it."""
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a.jpg", "sub/b.gif")):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(source / name)
    (source / "c.jpg").write_bytes(b"no photo")
    Image.fromarray(np.full((40, 40, 3), (200, 120, 40), np.uint8)).save(tmp_path / "style.png")
    return source


def job(photos, **changes) -> BucketJob:
    values = {"source": str(photos), "dest": str(photos.parent / "out"), "styles": (str(photos.parent / "style.png"),)}
    return BucketJob(**{**values, "model": "mobilenet", **changes})


def test_every_object_gets_one_row_and_every_good_one_the_librarys_result(photos):
    report = stylize_bucket(job(photos))
    assert report.status == {"ok": 2, "not-an-image": 1}
    assert report.failed == 1
    rows = {row["key"]: row for row in pq.read_table(report.results).to_pylist()}
    assert set(rows) == {"a.jpg", "c.jpg", "sub/b.gif"}
    assert rows["sub/b.gif"]["output"] == "sub/b.gif.png"
    assert rows["c.jpg"]["output"] is None
    expected = Stylizer.load("mobilenet").stylize(photos / "a.jpg", photos.parent / "style.png")
    assert (photos.parent / "out" / "a.jpg").read_bytes() == encode_photo(expected, "JPEG", quality=95)


def test_a_finished_job_run_again_writes_nothing(photos):
    first = stylize_bucket(job(photos))
    result = photos.parent / "out" / "a.jpg"
    stamp = result.stat().st_mtime_ns
    again = stylize_bucket(job(photos))
    assert (again.job_id, again.reused, again.status) == (first.job_id, True, first.status)
    assert result.stat().st_mtime_ns == stamp
    assert stylize_bucket(job(photos, strength=0.5)).job_id != first.job_id


def test_places_in_each_other_or_missing_are_refused(photos):
    with pytest.raises(UsageError, match="lie in each other"):
        stylize_bucket(job(photos, dest=str(photos / "out")))
    with pytest.raises(NotFoundError, match="no such folder"):
        stylize_bucket(job(photos, source=str(photos / "nowhere")))


@pytest.mark.parametrize("wrong", [{"styles": ()}, {"quality": 0}, {"limit": 0}, {"transform": "x"}, {"strength": 2.0}])
def test_a_job_of_impossible_values_is_refused(photos, wrong):
    with pytest.raises(UsageError):
        job(photos, **wrong)


def test_a_result_that_cannot_keep_its_suffix_keeps_its_name():
    assert output_key("a/b.JPG") == "a/b.JPG"
    assert output_key("a.png") != output_key("a.gif") == "a.gif.png"
