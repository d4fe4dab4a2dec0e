"""Which photos a shadow run takes, and what it says of two students."""

import numpy as np
import pytest
from PIL import Image

from pcakd import Stylizer
from pcakd.errors import UsageError
from pcakd.photos.images import read_photo
from pcakd.shadow.compare import MEASURES, SHOWN, WHO, Case, Comparison, compare, small_copy
from pcakd.shadow.config import ShadowJob
from pcakd.shadow.page import page
from pcakd.shadow.sample import choose
from pcakd.storage import open_storage
from pcakd.stylize.options import StylizeOptions
from tests.corpus import jpeg
from tests.models import random_checkpoint


def job(source, **changes) -> ShadowJob:
    return ShadowJob(challenger="b", champion="a", source=str(source), styles=("evening.jpg",), **changes)


@pytest.fixture
def folder(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"photo")
    (tmp_path / "notes.txt").write_bytes(b"no photo")
    (tmp_path / "_pcakd").mkdir()
    (tmp_path / "_pcakd" / "spec.json").write_bytes(b"{}")
    return tmp_path


def keys(folder, **changes) -> set[str]:
    return {info.key for info in choose(open_storage(folder), job(folder, **changes))}


def test_a_sample_is_the_same_each_time_grows_by_adding_and_holds_photos_alone(folder):
    ten = keys(folder, sample=10)
    assert len(ten) == 10
    assert keys(folder, sample=10) == ten
    assert ten < keys(folder, sample=20)
    assert keys(folder, sample=100) == {f"{number:02}.jpg" for number in range(30)}
    assert keys(folder, include=("0*.jpg",)) == {f"0{number}.jpg" for number in range(10)}
    with pytest.raises(UsageError, match="holds no photos that the globs take"):
        keys(folder, include=("*.heic",))


def of(champion: Stylizer, challenger: Stylizer, data: bytes) -> Case:
    stylizers = dict(zip(WHO, (champion, challenger), strict=True))
    styles = {who: {"evening": one.style(read_photo(jpeg(1001)))} for who, one in stylizers.items()}
    (case,) = compare(
        data, "a.jpg", stylizers, styles, {"evening": [small_copy(read_photo(jpeg(1001)))]}, StylizeOptions()
    )
    return case


def test_a_student_beside_itself_does_not_differ_and_another_does():
    one, other = (Stylizer(random_checkpoint(seed=seed), device="cpu") for seed in (0, 1))
    same = of(one, one, jpeg(3))
    assert (same.status, same.difference, same.likeness) == ("ok", 0, 1)
    assert same.scores["champion"] == same.scores["challenger"]
    case = of(one, other, jpeg(3))
    assert case.difference > 1
    assert set(case.scores["challenger"]) == set(MEASURES)
    assert len(case.pictures) == 3


def test_a_photo_that_cannot_be_read_is_a_case_with_its_reason():
    one = Stylizer(random_checkpoint(), device="cpu")
    case = of(one, one, b"no photo")
    assert case.status == "not-an-image"
    assert "a.jpg" in case.message


def test_the_page_shows_the_largest_differences_first_and_keeps_no_more_pictures_than_it_shows():
    found = Comparison()
    scores = {who: dict.fromkeys(MEASURES, 0.5) for who in WHO}
    for number in np.random.default_rng(0).permutation(SHOWN + 20).tolist():
        case = Case(
            key=f"{number:03}.jpg", style="evening", difference=number / 10, scores=scores, pictures=(b"x",) * 3
        )
        found.add(case)
    found.add(Case(key="bad.jpg", style="evening", status="truncated", message="<b>cut</b>"))
    worst = [case.key for case in found.worst()]
    assert worst == [f"{number:03}.jpg" for number in range(SHOWN + 19, 19, -1)]
    assert found.status() == {"ok": SHOWN + 20, "truncated": 1}
    numbers = found.summary()
    assert numbers["difference.worst"] == (SHOWN + 19) / 10
    assert numbers["difference.mean"] == pytest.approx(np.mean(np.arange(SHOWN + 20)) / 10)
    assert numbers["seen"] == pytest.approx(np.mean(np.arange(SHOWN + 20) > 23), abs=1e-6)
    facts = {
        "title": "8 beside 7",
        "source": "s3://photos",
        "options": {},
        "summary": numbers,
        "status": found.status(),
    }
    facts |= {who: {"name": f"models:/pcakd-vgg/{i}", "digest": "0" * 64} for i, who in enumerate(WHO)}
    text = page(facts, found.worst(), found.cases()).decode()
    assert text.index("079.jpg") < text.index("078.jpg") < text.index("020.jpg")
    assert "&lt;b&gt;cut&lt;/b&gt;" in text
    assert text.count("data:image/jpeg") == 3 * SHOWN


def test_a_small_copy_is_small_and_has_three_channels():
    photo = read_photo(Image.new("RGBA", (2000, 1000)))
    assert small_copy(photo).shape == (256, 512, 3)


def test_impossible_jobs_are_refused(tmp_path):
    with pytest.raises(UsageError, match="sample is 0"):
        job(tmp_path, sample=0)
    with pytest.raises(UsageError, match="styles are empty"):
        ShadowJob(challenger="b", source="s", styles=())
    with pytest.raises(UsageError, match="strength"):
        job(tmp_path, strength=2.0)
