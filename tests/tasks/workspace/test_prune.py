"""What a workspace holds, who needs it, and what goes: manifests as the stages write them, in a folder."""

import json
import os
import time
from pathlib import Path

import pytest

from flows.cli import PIPELINE_COMMANDS
from pcakd.cli.main import make_group, run
from pcakd.errors import TransientError, UsageError
from pcakd.storage import Storage, open_storage
from pcakd.storage.stage import MANIFEST, canonical_json
from tasks.drift.stage import STAGE as DRIFT
from tasks.eigenbases.job import STAGE as EIGENBASES
from tasks.evaluation.stage import STAGE as EVALUATIONS
from tasks.lease import acquire, lease
from tasks.registry.names import DIGEST_TAG
from tasks.registry.shadow import STAGE as SHADOWS
from tasks.settings import Settings
from tasks.shards.generation import STAGE as SHARDS
from tasks.workspace import needs
from tasks.workspace.config import PruneOptions
from tasks.workspace.contents import STAGES, Output, read_workspace
from tasks.workspace.prune import Stock, remove, take_stock
from tests.tasks.registry.bare import Model, new_store

OLD_S = 100 * 86400.0


class Workspace:
    """A folder with outputs as runs leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage: Storage = open_storage(str(folder))

    def output(self, name: str, *, days: float = 100, inputs: dict | None = None, **manifest: object) -> Path:
        """An output of so many days ago; a 1 kB file beside its manifest."""
        place = self.folder / name
        place.mkdir(parents=True)
        (place / "data").write_bytes(bytes(1000))
        if manifest:
            (place / MANIFEST).write_bytes(canonical_json({"inputs": inputs or {}} | manifest))
        self.age(place, days)
        return place

    def generation(self, name: str, number: int, digest: str) -> None:
        """An earlier generation of a dataset, as old as the dataset."""
        place = self.folder / name / "generations" / f"{number:06d}"
        place.mkdir(parents=True)
        (place / MANIFEST).write_text(json.dumps({"digest": digest}))
        self.age(place, 100)

    def age(self, place: Path, days: float) -> None:
        then = time.time() - days * 86400
        for path in place.rglob("*"):
            os.utime(path, (then, then))

    def needed(self, registered: dict[str, str], keep_days: float = 30) -> dict[str, list[str]]:
        """Output → why it stays, of those that do."""
        found = needs.needs_of(
            read_workspace(self.storage), registered, needs.at_work(self.storage), keep_days=keep_days
        )
        return {name: why for name, why in found.items() if why}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Two datasets of one source, each with bases and a student; the newer dataset has two generations."""
    found = Workspace(tmp_path / "workspace")
    found.output("shards/old", days=200, source="s3://photos", digest="d0", generation=0)
    found.output("shards/new", source="s3://photos", digest="d2", generation=2)
    found.generation("shards/new", 1, "d1")
    found.output("eigenbases/b0", eigenbases_digest="e0", inputs={"shards": "d0", "teacher": "t"})
    found.output("eigenbases/b1", days=110, eigenbases_digest="e1", inputs={"shards": "d1", "teacher": "t"})
    found.output("eigenbases/b2", eigenbases_digest="e2", inputs={"shards": "d2", "teacher": "t"})
    found.output("students/s0", model_digest="m0", inputs={"shards": "d0", "eigenbases": "e0"})
    found.output("students/s1", model_digest="m1", inputs={"shards": "d1", "eigenbases": "e1"})
    found.output("evaluations/v0", model_digest="m0", inputs={"model": "m0", "photos": "p"})
    found.output("evaluations/v1", model_digest="m1", inputs={"model": "m1", "photos": "p"})
    return found


def test_the_stages_folders_are_those_that_the_stages_write():
    assert set(STAGES) == {SHARDS, EIGENBASES, "students", EVALUATIONS, DRIFT, SHADOWS}


def test_a_registered_student_keeps_its_bases_its_photos_and_its_scores(workspace):
    needed = workspace.needed({"m0": "pcakd-vgg version 1"})
    assert set(needed) == {
        *("students/s0", "eigenbases/b0", "shards/old", "evaluations/v0"),
        *("shards/new", "eigenbases/b2"),
    }
    assert needed["students/s0"] == ["pcakd-vgg version 1", "evaluations/v0 was made of it"]
    assert needed["evaluations/v0"] == ["tells of pcakd-vgg version 1"]
    assert "students/s0 was made of it" in needed["shards/old"]


def test_a_dataset_is_needed_for_a_student_of_any_of_its_generations(workspace):
    needed = workspace.needed({"m1": "pcakd-vgg version 2"})
    assert "students/s1 was made of it" in needed["shards/new"]
    assert "eigenbases/b1" in needed


def test_the_newest_photos_of_a_source_and_their_newest_bases_stay_without_any_model(workspace):
    assert workspace.needed({}) == {
        "shards/new": ["the newest photos of s3://photos", "eigenbases/b2 was made of it"],
        "eigenbases/b2": ["the newest bases of these photos"],
    }


def test_what_was_written_lately_stays_with_all_that_it_was_made_of(workspace):
    needed = workspace.needed({}, keep_days=105)
    assert "written in the last 105 days" in needed["students/s0"]
    assert "shards/old" in needed  # 200 days old
    assert "eigenbases/b1" in needed  # students/s1 was made of it


def test_a_student_that_another_went_on_from_stays(workspace):
    workspace.output("students/s2", model_digest="m2", inputs={"shards": "d2", "begin_with": "m0"})
    assert workspace.needed({"m2": "pcakd-vgg version 3"})["students/s0"] == ["students/s2 was made of it"]


def test_an_unfinished_output_goes_when_it_is_old_and_a_damaged_manifest_is_as_none(workspace):
    workspace.output("students/begun", days=1)
    (workspace.output("students/damaged", days=99, model_digest="m0") / MANIFEST).write_text("{")
    workspace.age(workspace.folder / "students/damaged", 99)
    needed = workspace.needed({"m0": "pcakd-vgg version 1"})
    assert "students/begun" in needed
    assert "students/damaged" not in needed


def stock(workspace: Workspace) -> Stock:
    outputs = read_workspace(workspace.storage)
    found = needs.needs_of(outputs, {"m0": "x"}, needs.at_work(workspace.storage), keep_days=30)
    return Stock(workspace=workspace.storage, outputs=outputs, needs=found)


def test_what_is_removed_is_gone_whole_and_all_else_is_untouched(workspace):
    other = workspace.folder / "page-styles" / "a.jpg"
    other.parent.mkdir()
    other.write_bytes(b"style")
    found = stock(workspace)
    assert {one.name for one in found.unneeded} == {"eigenbases/b1", "students/s1", "evaluations/v1"}
    told: list[Output] = []
    remove(found, holder="test", removed=told.append)
    assert told == found.unneeded
    assert {one.name for one in read_workspace(workspace.storage)} == {name for name, why in found.needs.items() if why}
    assert other.read_bytes() == b"style"


def test_nothing_goes_while_a_run_is_at_work(workspace):
    with lease(workspace.storage, "students/begun", holder="flow run brave-otter"):
        found = stock(workspace)
        with pytest.raises(TransientError, match="flow run brave-otter is working on students/begun"):
            remove(found, holder="test")
    assert {one.name for one in read_workspace(workspace.storage)} == set(found.needs)
    remove(found, holder="test")
    assert not (workspace.folder / "students/s1").exists()


def test_a_run_that_begins_meanwhile_ends_the_removal(workspace):
    found, begun = stock(workspace), []

    def begin(one: Output) -> None:
        begun.append(acquire(workspace.storage.sub("_leases/students/begun"), holder="flow run brave-otter"))

    with pytest.raises(TransientError, match="brave-otter"):
        remove(found, holder="test", removed=begin)
    begun[0].release()
    assert len(begun) == 1
    assert len(read_workspace(workspace.storage)) == len(found.outputs) - 1


def test_datasets_of_one_source_with_other_options_both_stay_and_a_version_without_digest_keeps_nothing(workspace):
    workspace.output("shards/small", days=150, source="s3://photos", params={"shortest_side": 96}, digest="d9")
    assert "the newest photos of s3://photos" in workspace.needed({})["shards/small"]
    workspace.output("drift/first", inputs={"shards": "d0", "before": ""}, generation=0)
    assert "drift/first" not in workspace.needed({"m0": "pcakd-vgg version 1"})


def test_a_holder_that_has_been_silent_for_long_holds_nothing_up(workspace):
    record = {"holder": "dead", "released": False, "host": "elsewhere", "boot": "", "pid": 1, "started": 1.0}
    place = workspace.folder / "_leases" / "students" / "begun"
    place.mkdir(parents=True)
    (place / "00000001.json").write_text(json.dumps(record))
    assert needs.at_work(workspace.storage) == {"students/begun": "dead"}
    workspace.age(place, 1)
    assert needs.at_work(workspace.storage) == {}


@pytest.mark.slow
def test_the_command_lists_and_prunes_by_what_a_real_registry_says(workspace, tmp_path, monkeypatch, capsys):
    store = new_store(tmp_path / "registry")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    monkeypatch.setenv("PCAKD_WORKSPACE", str(workspace.folder))

    def call(*words: str) -> tuple[int, str, str]:
        return run(make_group(PIPELINE_COMMANDS), ["workspace", *words]), *capsys.readouterr()

    code, _, error = call("prune")
    assert code == 2
    assert "has no model, but the workspace has students" in error
    with pytest.raises(UsageError, match="has no model"):
        take_stock(Settings.read(), PruneOptions())
    model = Model(store, "pcakd-vgg", 0)
    model.client.create_model_version("pcakd-vgg", str(tmp_path / "m0"), tags={DIGEST_TAG: "m0"})
    code, output, _ = call("list", "--json")
    assert code == 0
    named = {f"{one['stage']}/{one['key']}": one for one in json.loads(output)}
    assert named["students/s0"]["needed_for"] == ["pcakd-vgg version 1", "evaluations/v0 was made of it"]
    assert named["students/s1"]["needed_for"] == []
    assert "nobody needs it" in call("list")[1]
    code, output, _ = call("prune")
    assert output.endswith("3 outputs, 3.3 kB, would be removed; --delete does it\n")
    assert (workspace.folder / "students/s1").exists()
    code, output, _ = call("prune", "--delete")
    assert (code, output.count("removed ")) == (0, 3)
    assert not (workspace.folder / "students/s1").exists()
    assert call("prune", "--delete")[1].endswith("every output is needed\n")
