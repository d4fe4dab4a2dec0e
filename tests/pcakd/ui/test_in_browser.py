"""The page as people use it: in Chromium, with nothing else to reach."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcakd.photos.images import read_photo
from tests.assets.places import missing
from tests.command import pcakd
from tests.pcakd.ui.page import OpenPage, serving
from tests.servers.browser import Browser, browser, why_not

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if reason := why_not():
        missing(reason)
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """street.jpg (with EXIF), harbour.jpg and evening.jpg, of smooth colours; notes.jpg, which is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(7)
    for number, name in enumerate(("street", "harbour", "evening", "rain")):
        grain = random.integers(0, 256, (6, 9, 3), np.uint8)
        image = Image.fromarray(grain).resize((480 + number * 8, 320), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x010F] = "A maker of cameras"
        image.save(folder / f"{name}.jpg", quality=92, exif=exif)
    (folder / "notes.jpg").write_text("no photo at all")
    return folder


@pytest.fixture(scope="module")
def address(photos) -> Iterator[str]:
    with serving("--photos", photos) as started:
        yield started


@pytest.fixture
def page(chromium, address, tmp_path) -> OpenPage:
    return OpenPage(chromium, address, tmp_path / "downloads")


@pytest.fixture
def pair(page, photos) -> OpenPage:
    page.choose("contents", photos / "street.jpg")
    page.choose("styles", photos / "evening.jpg")
    page.picture()
    return page


def alike(ours: bytes, theirs: bytes) -> bool:
    """Whether files are the same to the byte; pytest would work for minutes to show where they are not."""
    return ours == theirs


def by_command(tmp_path: Path, photos: Path, line: str) -> bytes:
    """What the command line makes, run where the photos are."""
    words = line.split()[1:]
    done = pcakd(*words, "--out", tmp_path / "by-command.jpg", cwd=photos)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "by-command.jpg").read_bytes()


def test_two_photos_become_a_picture_that_follows_its_knobs_and_asks_nobody_else(pair, address):
    first = pair.picture()
    assert pair.browser.complaints == []
    assert all(url.startswith((address, "blob:", "data:")) for url in pair.browser.requests)
    pair.set("#knob-strength", 0)
    second = pair.redrawn(first)
    pixels = """
    (async src => { const i = new Image(); i.src = src; await i.decode();
      const c = new OffscreenCanvas(60, 40), p = c.getContext('2d'); p.drawImage(i, 0, 0, 60, 40);
      return [...p.getImageData(0, 0, 60, 40).data].filter((_, i) => i % 4 < 3); })"""  # without alpha
    before, after = (
        np.array(pair.browser.evaluate(f"{pixels}(document.querySelector('#{id}').src)"), float)
        for id in ("before", "after")
    )
    assert np.abs(before - after).mean() < 2  # strength 0 is the photo, twice through JPEG
    pair.set("#knob-strength", 1)
    pair.redrawn(second)
    strong = np.array(pair.browser.evaluate(f"{pixels}(document.querySelector('#after').src)"), float)
    assert np.abs(before - strong).mean() > 10


def test_the_slider_uncovers_the_photo_with_the_keyboard_too(pair):
    pair.browser.evaluate("document.querySelector('#cut').focus()")
    for _ in range(5):
        pair.browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", windowsVirtualKeyCode=39)
    assert pair.browser.evaluate("document.querySelector('#cut').value") == "55"
    assert "55%" in pair.browser.evaluate("document.querySelector('#after').style.clipPath")


def test_a_download_has_the_bytes_of_the_command_that_is_shown_with_knobs_and_metadata(pair, photos, tmp_path):
    before = pair.picture()
    pair.set("#knob-transform", "ot")
    pair.set("#knob-strength", 0.7)
    pair.set("#knob-quality", 90)
    pair.redrawn(before)
    pair.click("#handover summary")
    line = pair.until("/quality 90/.test(document.querySelector('#command').textContent)"
                      " && document.querySelector('#command').textContent")  # fmt: skip
    pair.click("#make")
    data = pair.downloaded("street.stylized.jpg")
    assert alike(data, by_command(tmp_path, photos, line))
    assert read_photo(data).metadata.exif
    code = pair.text("#python")
    pair.browser.evaluate("0")
    namespace: dict = {}
    work = tmp_path / "work"
    work.mkdir()
    for name in ("street.jpg", "evening.jpg"):
        (work / name).write_bytes((photos / name).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        exec(code, namespace)
    assert alike((work / "street.stylized.jpg").read_bytes(), data)


def test_a_job_file_runs_and_a_cube_is_the_one_of_the_look_command(pair, photos, tmp_path, ray_cluster):
    pair.click("#handover summary")
    pair.set("#source", str(photos))
    pair.set("#dest", str(tmp_path / "stylized"))
    pair.click("#save-job")
    (tmp_path / "job.toml").write_bytes(pair.downloaded("job.toml"))
    (tmp_path / "evening.jpg").write_bytes((photos / "evening.jpg").read_bytes())
    done = pcakd("stylize-bucket", "--job", tmp_path / "job.toml", "--dry-run", fresh=False)
    assert done.returncode == 0, done.stderr
    assert "5 results by vgg" in done.stdout
    done = pcakd("stylize-bucket", "--job", tmp_path / "job.toml", RAY_ADDRESS=ray_cluster)
    assert done.returncode == 3, done.stderr  # notes.jpg is no photo
    made = (tmp_path / "stylized" / "street.jpg").read_bytes()
    assert alike(made, by_command(tmp_path, photos, "pcakd stylize street.jpg --style evening.jpg"))
    pair.click("#cube")
    cube = pair.downloaded("evening.cube")
    pcakd("look", photos / "street.jpg", "--style", photos / "evening.jpg", "--out", tmp_path / "evening.cube")
    assert alike(cube, (tmp_path / "evening.cube").read_bytes())


def test_painted_regions_change_the_picture_and_are_masks_for_the_command(pair, photos, tmp_path):
    before = pair.picture()
    pair.click("#regions summary")
    pair.paint("contents")
    pair.paint("styles")
    pair.redrawn(before)
    assert pair.error() == ""
    pair.click("#masks-save")
    masks = [pair.downloaded(f"{kind}-mask.png") for kind in ("content", "style")]
    pair.click("#make")
    data = pair.downloaded("street.stylized.jpg")
    for kind, mask in zip(("content", "style"), masks, strict=True):
        (tmp_path / f"{kind}-mask.png").write_bytes(mask)
    line = f"pcakd stylize street.jpg --style evening.jpg --content-mask {tmp_path}/content-mask.png"
    assert alike(data, by_command(tmp_path, photos, f"{line} --style-mask {tmp_path}/style-mask.png"))


def test_weighted_styles_and_a_series_in_one_look_are_what_the_command_makes(page, photos, tmp_path):
    page.choose("contents", photos / "street.jpg", photos / "harbour.jpg")
    page.choose("styles", photos / "evening.jpg", photos / "rain.jpg")
    first = page.picture()
    page.set("#styles .cards input", 3)
    second = page.redrawn(first)
    page.click("#handover summary")
    line = page.until("/weight 3/.test(document.querySelector('#command').textContent)"
                      " && document.querySelector('#command').textContent")  # fmt: skip
    page.click("#make")
    assert alike(page.downloaded("harbour.stylized.jpg"), by_command(tmp_path, photos, line))
    page.set("#same-look", True)
    page.redrawn(second)
    line = page.until("/same-look/.test(document.querySelector('#command').textContent)"
                      " && document.querySelector('#command').textContent")  # fmt: skip
    page.click("#make")
    (tmp_path / "stylized.zip").write_bytes(page.downloaded("stylized.zip"))
    done = pcakd(*line.split()[1:-1], tmp_path / "series", cwd=photos)
    assert done.returncode == 0, done.stderr
    import zipfile

    with zipfile.ZipFile(tmp_path / "stylized.zip") as archive:
        for name in ("street", "harbour"):
            assert alike(archive.read(f"{name}.stylized.jpg"), (tmp_path / "series" / f"{name}.jpg").read_bytes())


def test_two_models_are_compared_blind_and_named_after_the_vote(pair):
    pair.click("#compare summary")
    for count in (1, 2):
        pair.click("#pair")
        pair.until("!document.querySelector('#votes').hidden && document.querySelector('#left').naturalWidth")
        assert [pair.text(f"#{side}-name") for side in ("left", "right")] == ["left", "right"]
        pair.click("[data-choice=left]")
        told = "document.querySelector('#counts').textContent"
        pair.until(f"[...{told}.matchAll(/\\d/g)].reduce((sum, m) => sum + Number(m), 0) === {count}")
        assert {pair.text(f"#{side}-name") for side in ("left", "right")} == {"vgg", "mobilenet"}
        pair.browser.evaluate("for (const s of ['left', 'right']) document.getElementById(s + '-name').textContent = s")


def test_the_gallery_and_the_examples_are_chosen_without_a_file(page, photos):
    page.click("#contents .browse")
    page.until("document.querySelectorAll('#picker-photos img').length === 5")
    page.click("#picker-photos li:nth-child(4) button")
    page.until("/rain.jpg|street.jpg|notes.jpg/.test(document.querySelector('#contents .cards')?.textContent)")
    page.click("#styles .examples")
    page.click("#picker-photos button")
    page.picture()


def test_what_is_wrong_is_one_friendly_line_and_the_page_goes_on(page, photos):
    page.choose("contents", photos / "notes.jpg")
    assert page.error().startswith("notes.jpg: ")
    assert "\n" not in page.error()
    page.choose("contents", photos / "street.jpg")
    page.choose("styles", photos / "evening.jpg")
    first = page.picture()
    page.set("#knob-balance", 0.5)
    page.until("/needs transform lsft/.test(document.querySelector('#error').textContent)")
    page.set("#knob-transform", "lsft")
    page.redrawn(first)
    assert page.error() == ""
    page.browser.evaluate("document.querySelector('#model').append(new Option('models:/nobody@champion'))")
    page.set("#model", "models:/nobody@champion")
    page.until("/no model registry|no such model/.test(document.querySelector('#error').textContent)")


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 1200), (False, 400)])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(pair, dark, width):
    pair.browser.emulate(dark=dark, width=width)
    try:
        pair.browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        pair.until("document.querySelector('#job').textContent")
        axe = (resources.files("axe_core_python") / "axe.min.js").read_text()
        pair.browser.evaluate(axe + "; 0")
        found = json.loads(
            pair.browser.evaluate(
                "axe.run().then(r => JSON.stringify(r.violations.map(v => [v.id, v.impact, v.nodes.map(n => n.html)])))"
            )
        )
        assert found == []
        assert pair.browser.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        pair.browser.emulate()


def test_the_keyboard_goes_through_photos_result_and_knobs_in_the_order_they_are_read(pair):
    pair.browser.evaluate("document.body.focus()")
    order = []
    for _ in range(30):
        pair.browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        order.append(pair.browser.evaluate("document.activeElement.closest('section, header, details')?.id ?? ''"))
    rooms = [room for number, room in enumerate(order) if room and room not in order[:number]]
    assert rooms[:3] == ["photos", "view", "knobs"]
