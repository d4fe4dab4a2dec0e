"""Drift of a growing dataset: a corpus that changes is told of, one that does not is not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcakd.drift.options import DriftPolicy
from pcakd.drift.verdict import judge
from pcakd.shards import open_dataset
from pcakd.shards.dataset import generation_place
from tasks.drift import before, stage
from tasks.drift.stage import drift_stage
from tasks.eigenbases.stage import eigenbases_stage
from tasks.registry.versions import Registered
from tasks.stages.session import Session
from tests.models import random_checkpoint
from tests.pcakd.distillation import parts
from tests.tasks.eigenbases.test_cache import here
from tests.tasks.shards.histories import grow
from tests.tasks.stages.untracked import session

OLDER, NEW = 60, 40
WIDTHS = {"crop": 32, "channels": parts.CHANNELS}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> str:
    return str(parts.write_inputs(tmp_path_factory.mktemp("inputs")) / "teacher.safetensors")


def photographs(
    folder: Path,
    numbers: range,
    *,
    cast: tuple[float, float, float] = (1, 1, 1),
    noise: float = 0,
    every: int = 1,
    side: int = 72,
) -> None:
    """Smooth pictures of one kind. cast: factors of red, green and blue; noise: levels of 255; both of one picture in
    `every`."""
    folder.mkdir(exist_ok=True)
    for number, photo in zip(numbers, parts.photos(len(numbers), side, seed=numbers.start).photos, strict=True):
        if number % every == 0:
            grain = np.random.default_rng(number).normal(0, noise, photo.shape)
            photo = (photo * np.array(cast) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(photo).save(folder / f"{number:04d}.png")


class Nights:
    """A dataset that grows in a workspace, fitted and measured each night."""

    def __init__(self, folder: Path, teacher: str) -> None:
        self.folder, self.teacher = folder, teacher

    def night(self, **policy) -> tuple:
        dest = self.folder / "workspace" / "shards" / "k"
        grow(self.folder / "photos", dest, val_fraction=0.0)
        shards = generation_place(str(dest), open_dataset(str(dest)).manifest)
        with here(), session(self.folder / "workspace") as one:
            bases = eigenbases_stage.fn(one, shards=shards, teacher=self.teacher, **WIDTHS)
            self.bases = bases
            return drift_stage.fn(
                one, shards=shards, eigenbases=bases, teacher=self.teacher, policy=DriftPolicy(**policy), **WIDTHS
            )


@pytest.fixture
def nights(tmp_path, teacher, monkeypatch) -> Nights:
    monkeypatch.setattr(Session, "attach_ray", lambda self: None)
    monkeypatch.setattr(before, "champion_of", lambda backbone, settings: None)
    photographs(tmp_path / "photos", range(OLDER))
    return Nights(tmp_path, teacher)


def test_the_first_generation_has_nothing_to_be_held_against(nights):
    result, verdict, champion = nights.night(train="if-worth")
    assert (result.manifest["before"], result.manifest["champion"], champion) == (None, None, None)
    assert (verdict.worth, verdict.start, verdict.why) == (True, "teacher", "there is no champion")
    again, _, _ = nights.night()
    assert again.reused


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        ({}, []),
        ({"cast": (1, 0.75, 0.35)}, ["mean colour"]),
        ({"cast": (1, 0.75, 0.35), "every": 2}, ["mean colour"]),
        ({"noise": 25}, ["explain"]),
        ({"side": 140}, ["other sizes"]),
    ],
)
def test_photos_of_another_kind_are_flagged_and_more_of_the_same_are_not(nights, change, warned):
    nights.night()
    photographs(nights.folder / "photos", range(1000, 1000 + NEW), **change)
    result, verdict, _ = nights.night()
    measured = result.manifest["before"]
    assert measured["name"] == "generation 0"
    assert (measured["new"]["photos"], measured["older"]["photos"]) == (NEW, OLDER)
    assert measured["changes"] == {"added": NEW, "changed": 0, "removed": 0}
    assert len(verdict.warnings) == len(warned), verdict
    for words, text in zip(warned, verdict.warnings, strict=True):
        assert words in text
    assert all(0 <= level["lost"] < 0.05 and 0 <= level["angle"] <= 90 for level in measured["levels"])
    for name in ("drift.png", "drift.json"):
        assert (Path(result.place) / name).is_file()


def champion_of_now(nights: Nights, monkeypatch, *, turned: bool = False) -> None:
    """Let a student with the bases of now, or with any others, be champion."""
    from pcakd.eigenbases.files import eigenbases_from
    from pcakd.student.address import Located
    from pcakd.student.checkpoint import Metadata, save_checkpoint
    from pcakd.teacher import load_teacher

    bases = eigenbases_from((Path(nights.bases.place) / "eigenbases.safetensors").read_bytes(), "bases")
    kept = [basis.flip(0) if turned else basis for basis in bases.bases]
    student = random_checkpoint("vgg", channels=parts.CHANNELS).student
    made_of = {"id": "random", "digest": load_teacher(nights.teacher).digest}
    metadata = Metadata(spec=student.spec, teacher=made_of, data_digest=bases.data_digest)
    path = nights.folder / "champion.safetensors"
    digest = save_checkpoint(path, student, metadata, dict(enumerate(kept)))
    champion = Registered(name="pcakd-vgg", version=3, digest=digest, created=False)
    monkeypatch.setattr(before, "champion_of", lambda backbone, settings: champion)
    monkeypatch.setattr(before, "resolve_model", lambda uri, settings: Located(path, uri))


def test_what_the_champion_knows_already_is_not_worth_a_training_and_what_it_does_not_is(nights, monkeypatch):
    nights.night()
    champion_of_now(nights, monkeypatch)
    photographs(nights.folder / "photos", range(1000, 1000 + NEW))
    result, verdict, champion = nights.night(train="if-worth", start="auto", worth_above=0.01)
    assert champion.version == 3
    assert (verdict.worth, verdict.start) == (False, "champion"), verdict
    assert "not above 1.00%" in verdict.why
    assert result.manifest["champion"]["new"]["photos"] == NEW
    champion_of_now(nights, monkeypatch, turned=True)
    _, verdict, _ = nights.night(train="if-worth", start="auto")
    assert (verdict.worth, verdict.start) == (True, "teacher")
    assert judge(result.manifest, DriftPolicy(start="champion")).start == "champion"


def test_a_champion_of_other_widths_or_another_teacher_cannot_be_begun_with(nights, monkeypatch):
    nights.night()
    champion_of_now(nights, monkeypatch)
    shutil.rmtree(nights.folder / "workspace" / "drift")
    monkeypatch.setitem(WIDTHS, "channels", (3, 4, 5, 5))
    result, verdict, champion = nights.night(start="champion")
    assert (champion, verdict.start) == (None, "teacher")
    assert "other widths" in result.manifest["no_champion"]
    assert stage.STAGE == "drift"
