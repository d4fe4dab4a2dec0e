"""What the page hands over says what the page shows."""

from pathlib import Path

import numpy as np
import pytest

from pcakd.bulk.job import load_job
from pcakd.errors import UsageError
from pcakd.photos.images import read_photo
from pcakd.photos.options import WriteOptions
from pcakd.stylize.options import StylizeOptions
from pcakd.ui.handover import command_line, job_file, job_values
from pcakd.ui.kept import KeptPhoto
from pcakd.ui.setting import Setting


def kept(name: str) -> KeptPhoto:
    screen = read_photo(np.zeros((8, 8, 3), np.uint8))
    return KeptPhoto(id=name, name=name, place=name, path=Path(name), screen=screen, size=(8, 8))


def setting(**changes) -> Setting:
    values = {
        "contents": (kept("street.jpg"), kept("-odd name.jpg")),
        "styles": (kept("evening.jpg"),),
        "weights": (1.0,),
        "model": "vgg",
        "options": StylizeOptions(strength=0.5),
        "writing": WriteOptions(),
    }
    return Setting(**values | changes)


def test_a_series_in_one_look_is_a_job_whose_photos_share_a_look(tmp_path):
    (tmp_path / "job.toml").write_text(job_file(job_values(setting(same_look=True), "in", "out")))
    job, _ = load_job(tmp_path / "job.toml")
    assert (job.look, job.strength) == ("shared", 0.5)
    assert "look" not in job_values(setting(), "in", "out")
    assert "--same-look" in command_line(setting(same_look=True))


def test_a_photo_whose_name_begins_with_a_dash_is_no_option():
    assert "'./-odd name.jpg'" in command_line(setting(same_look=True))


@pytest.mark.parametrize(("source", "dest"), [("", "out"), ("in", "")])
def test_a_job_without_its_places_is_refused_in_one_line(source, dest):
    with pytest.raises(UsageError, match="say where"):
        job_values(setting(), source, dest)
