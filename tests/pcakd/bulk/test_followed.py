"""A destination keeps the version that it was begun with when the alias moves."""

from pathlib import Path

import pytest

from pcakd.bulk import BucketJob, Ledger
from pcakd.bulk.followed import follow
from pcakd.errors import UsageError
from pcakd.storage import open_storage
from pcakd.student.address import Located, register_resolver
from pcakd.student.checkpoint import save_checkpoint
from tests.corpus import jpeg
from tests.models import random_checkpoint
from tests.pcakd.bulk.made import fill, work

REGISTRY: dict[str, Path] = {}
ALIAS = {"champion": "1"}
NAME = "kept:/m@champion"


def resolve(name: str) -> Located:
    """A registry of one model with versions and an alias."""
    version = ALIAS[name.partition("@")[2]] if "@" in name else name.rpartition("/")[2]
    if version not in REGISTRY:
        raise UsageError(f"{name}: no such version")
    return Located(REGISTRY[version], f"kept:/m/{version}")


class Bucket:
    """A job that follows an alias, its destination, and what its runs were told."""

    def __init__(self, folder: Path) -> None:
        fill(folder / "in", 3)
        (folder / "style.jpg").write_bytes(jpeg(1))
        self.dest = open_storage(folder / "out")
        self.values = {
            "source": str(folder / "in"),
            "dest": str(folder / "out"),
            "styles": (str(folder / "style.jpg"),),
        }
        self.told: list[str] = []

    def run(self, **changes) -> tuple[str, int]:
        """(the version that a run worked with, how many items it did)."""
        job = BucketJob(**({"model": NAME} | self.values | changes))
        self.told.clear()
        resolved, begin = follow(job, self.dest, tell=self.told.append)
        ledger = Ledger.open(self.dest, resolved)
        begin()
        snapshot = ledger.begin(open_storage(job.source))
        done = work(snapshot)
        snapshot.finish()
        self.outputs = {item for part in range(snapshot.parts) for item in snapshot.items(part)["output"].to_pylist()}
        return resolved.model, done


@pytest.fixture
def bucket(tmp_path) -> Bucket:
    register_resolver("kept", f"{__name__}:resolve")
    for number in (1, 2):
        checkpoint = random_checkpoint(seed=number)
        REGISTRY[str(number)] = tmp_path / f"{number}.safetensors"
        save_checkpoint(REGISTRY[str(number)], checkpoint.student, checkpoint.metadata)
    ALIAS["champion"] = "1"
    return Bucket(tmp_path)


def test_the_version_of_before_goes_on_and_the_run_says_what_would_be_made_again(bucket):
    assert bucket.run() == ("kept:/m/1", 3)
    ALIAS["champion"] = "2"
    fill(Path(bucket.values["source"]), 5)
    assert bucket.run() == ("kept:/m/1", 2)
    (words,) = bucket.told
    assert "kept:/m@champion is kept:/m/2 by now" in words
    assert "begun with kept:/m/1, which goes on: 3 finished results would be made again" in words
    assert "--restyle" in words


def test_restyle_takes_the_new_version_from_then_on(bucket):
    bucket.run()
    ALIAS["champion"] = "2"
    assert bucket.run(restyle=True) == ("kept:/m/2", 3)
    assert bucket.run() == ("kept:/m/2", 0)
    assert bucket.told == []


def test_a_job_of_which_nothing_is_finished_takes_the_alias_as_it_is(bucket):
    job = BucketJob(model=NAME, **bucket.values)
    resolved, begin = follow(job, bucket.dest)
    Ledger.open(bucket.dest, resolved)
    begin()
    ALIAS["champion"] = "2"
    assert bucket.run() == ("kept:/m/2", 3)


def test_other_styles_or_options_are_another_job_with_the_alias_as_it_is(bucket):
    bucket.run()
    ALIAS["champion"] = "2"
    assert bucket.run(strength=0.5)[0] == "kept:/m/2"


def test_a_version_that_is_named_is_taken_as_it_is(bucket):
    bucket.run()
    assert bucket.run(model="kept:/m/2") == ("kept:/m/2", 3)
    assert bucket.told == []


def test_a_version_of_before_that_is_gone_is_told_with_what_to_do(bucket):
    bucket.run()
    ALIAS["champion"] = "2"
    del REGISTRY["1"]
    with pytest.raises(UsageError, match=r"begun with kept:/m/1, which cannot be had any more .*--restyle"):
        bucket.run()


def test_names_of_results_can_tell_the_version_and_a_new_one_lies_beside_the_old(bucket):
    assert bucket.run(template="v{version}/{key}") == ("kept:/m/1", 3)
    ALIAS["champion"] = "2"
    assert bucket.run(template="v{version}/{key}") == ("kept:/m/1", 0)  # the same destination goes on
    assert bucket.run(template="v{version}/{key}", restyle=True) == ("kept:/m/2", 3)
    assert bucket.outputs == {f"v2/{number:04d}.jpg" for number in range(3)}
