"""What holds for every stage: one key, and a manifest that only the holder of its lease writes."""

import json
from contextlib import contextmanager

import pytest

from pcakd.storage.stage import MANIFEST
from tasks.distillation.stage import distill_stage
from tasks.eigenbases.stage import eigenbases_stage
from tasks.evaluation.stage import evaluate_stage
from tasks.lease import SupersededError, lease
from tasks.shards import job as shards_job
from tasks.shards.stage import shard_stage
from tasks.stages import run
from tests.pcakd.distillation import parts
from tests.tasks.stages.untracked import session

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return parts.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def shards(inputs, workspace, ray_cluster):
    """The finished stage of shards."""
    with session(workspace) as one:
        return shard_stage.fn(one, source=str(inputs / "photos"), shortest_side=64, val_fraction=0.2)


@contextmanager
def overtaken(workspace, name, **rest):
    """A lease whose holder was frozen for so long that another run has taken over by now."""
    with lease(workspace, name, **rest) as held:
        held.storage.create(f"{held.number + 1:08d}.json", b'{"released": true}')
        yield held


def stages(inputs, shards):
    """Stage → a call of it, small."""
    teacher = str(inputs / "teacher.safetensors")
    return {
        "shards": (shard_stage, {"source": str(inputs / "photos"), "shortest_side": 32}),
        "eigenbases": (eigenbases_stage, {"shards": shards.place, "teacher": teacher, "channels": parts.CHANNELS}),
        "students": (
            distill_stage,
            {
                "shards": shards.place,
                "eigenbases": str(inputs / "bases"),
                "teacher": teacher,
                "recipe": str(inputs / "recipe.toml"),
                "steps": 2,
                "device": "cpu",
            },
        ),
        "evaluations": (evaluate_stage, {"model": teacher, "photos": str(inputs / "photos"), "limit": 1, "size": 64}),
    }


@pytest.mark.parametrize("stage", ["shards", "eigenbases", "students", "evaluations"])
def test_a_holder_that_was_frozen_finds_out_before_it_writes_its_manifest(
    stage, inputs, workspace, shards, monkeypatch
):
    call, arguments = stages(inputs, shards)[stage]
    before = set(workspace.glob(f"{stage}/*/{MANIFEST}"))
    monkeypatch.setattr(run, "lease", overtaken)
    with session(workspace) as one, pytest.raises(SupersededError, match="another run took this stage over"):
        call.fn(one, **arguments)
    assert set(workspace.glob(f"{stage}/*/{MANIFEST}")) == before
    monkeypatch.undo()
    with session(workspace) as one:  # whoever took over makes it
        result = call.fn(one, **arguments)
    assert not result.reused
    assert set(workspace.glob(f"{stage}/*/{MANIFEST}")) - before == {workspace / stage / result.key / MANIFEST}


FORMER = {
    # Key, inputs and parameters as manifests had them beside their folder's, made from other inputs.
    "shards": {"key": "5" * 20, "inputs": {"listing": "6" * 64}},
    "eigenbases": {"key": "7" * 20, "params": {"crop": 256, "split": "train", "spectrum_every": 1, "targets": False}},
}


@pytest.mark.parametrize("stage", FORMER)
def test_a_stage_has_one_key_and_an_output_under_a_former_one_is_found(stage, inputs, workspace, shards, monkeypatch):
    call, arguments = stages(inputs, shards)[stage]
    with session(workspace) as one:
        made = call.fn(one, **arguments)
    path = workspace / stage / made.key / MANIFEST
    manifest = json.loads(path.read_text())
    assert manifest["key"] == made.key
    path.write_text(json.dumps(manifest | FORMER[stage]))
    if stage == "shards":  # it looks for what is new
        monkeypatch.setattr(shards_job, "ray_cluster", None)
    else:
        monkeypatch.setattr(run, "lease", None)  # nothing may be made
    with session(workspace) as one:
        found = call.fn(one, **arguments)
    assert (found.reused, found.key, found.manifest) == (True, made.key, manifest)
    assert json.loads(path.read_text()) == manifest
