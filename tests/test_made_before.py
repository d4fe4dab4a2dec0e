"""What was made before goes on: the names and formats under which earlier versions left their work.

The values here were written down from an earlier version. A test that fails says that a workspace, a half-done job or
a half-trained state of yesterday would not be found, or not be read: mend the code, not the value.
"""

import hashlib
import io
from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

import tasks.distillation.stage as distillation
import tasks.eigenbases.stage as eigenbases
import tasks.evaluation.stage as evaluation
from pcakd.bulk.schema import ITEM_SCHEMA, ROW_SCHEMA
from pcakd.bulk.snapshot import Item, items_table
from pcakd.distillation import Trainer
from pcakd.shards.schema import LISTING_SCHEMA, OBJECTS_SCHEMA, OUTCOME_SCHEMA, SHARD_SCHEMA
from pcakd.storage import open_storage
from pcakd.storage.stage import write_manifest
from tasks.bulk.driver import joined
from tests.pcakd.bulk.made import resolved
from tests.pcakd.distillation import parts
from tests.tasks.stages.untracked import session

RECIPE = """\
backbone = "mobilenet"
crop = 64
batch = 2
teacher_photos = 2
init_photos = 4
pair_steps = [4, 4, 4, 4]
warmup_steps = 2
validate_every = 8
validation_photos = 2
checkpoint_every = 4
"""


@pytest.fixture
def key_of_stage(tmp_path, monkeypatch, s3_server):
    """The key that a stage gives its output, told instead of making it; inputs have fixed digests."""
    for module in (eigenbases, distillation, evaluation):
        monkeypatch.setattr(module, "run_stage", lambda session, output, make, report: output.key)
    for module in (eigenbases, distillation):
        monkeypatch.setattr(module, "load_teacher", lambda name: SimpleNamespace(digest="t" * 64))
        monkeypatch.setattr(module, "open_dataset", lambda place: SimpleNamespace(digest="d" * 20))
    monkeypatch.setattr(evaluation, "load_checkpoint", lambda path: SimpleNamespace(digest="m" * 64))
    monkeypatch.delenv("PCAKD_MAX_PIXELS", raising=False)
    client = s3_server.client()
    client.create_bucket(Bucket="made-before")
    for name in ("a.jpg", "b c.jpg", "ü.jpg"):
        client.put_object(Bucket="made-before", Key=f"photos/{name}", Body=name.encode())
    (tmp_path / "recipe.toml").write_text(RECIPE)
    write_manifest(open_storage(tmp_path / "bases"), {"eigenbases_digest": "e" * 64})

    def key(stage, **arguments):
        places = {name: str(tmp_path / value[1:]) for name, value in arguments.items() if str(value)[:1] == "@"}
        with session(tmp_path / "workspace") as one:
            return stage.fn(one, **arguments | places)

    yield key
    for name in ("a.jpg", "b c.jpg", "ü.jpg"):
        client.delete_object(Bucket="made-before", Key=f"photos/{name}")
    client.delete_bucket(Bucket="made-before")


PHOTOS = "s3://made-before/photos"
BASES = {"shards": "x", "teacher": "y"}
STUDENT = BASES | {"eigenbases": "@bases", "recipe": "@recipe.toml"}
KEYS = [
    # Not the shards': a dataset that grows looks for that of yesterday (tests/tasks/shards/test_growth.py).
    (eigenbases.eigenbases_stage, BASES, "bc92bd3a8b836da8a62c"),
    (eigenbases.eigenbases_stage, BASES | {"crop": 64, "limit": 9, "channels": (1, 2, 3, 4)}, "0732f273f0b710e3183b"),
    (eigenbases.eigenbases_stage, BASES | {"variance": 0.85}, "0e4903ad6254dffc23e9"),
    (distillation.distill_stage, STUDENT, "ea12fb2d77643486c9d0"),
    (distillation.distill_stage, STUDENT | {"steps": 40, "seed": 7, "workers": 2}, "f806488842080eddac32"),
    # Evaluations from before students had scores of their own are made anew: the registry's gate asks for those.
    (evaluation.evaluate_stage, {"model": "x", "photos": PHOTOS}, "3a1bd46c55110fa86f7b"),
    (
        evaluation.evaluate_stage,
        {"model": "x", "photos": PHOTOS, "limit": 1, "seed": 3},
        "adcfc3c04e1e96cd7947",
    ),
]


@pytest.mark.parametrize(("stage", "arguments", "expected"), KEYS)
def test_a_stage_finds_its_output_by_the_key_that_it_had(stage, arguments, expected, key_of_stage):
    assert key_of_stage(stage, **arguments) == expected


JOBS = [
    ({}, "15c9c0ebba49d70b"),
    ({"combine": "mix", "weights": (3.0, 1.0)}, "36fd7c92ab99fcbe"),
    ({"strength": 0.5, "transform": "ot", "quality": 80, "max_side": 512, "format": "png"}, "842d433fba0f4d37"),
    ({"template": "{stem}-{style}{ext}", "compat": "released", "include": ("*.jpg",), "limit": 3}, "aa05f592761e3866"),
]


@pytest.mark.parametrize(("fields", "expected"), JOBS)
def test_a_bulk_job_goes_on_under_the_id_that_it_had(fields, expected):
    assert resolved("s3://in/album", "s3://out", **fields).job_id == expected


SCHEMAS = {
    "listing": (LISTING_SCHEMA, "f57b4eb5848eca27"),
    "shard": (SHARD_SCHEMA, "2397c6288461c48d"),
    "outcome": (OUTCOME_SCHEMA, "91c6025f3de829a2"),
    "objects": (OBJECTS_SCHEMA, "87349a6650d02979"),
    "item": (ITEM_SCHEMA, "3af103d75b8b4fc8"),
    "row": (ROW_SCHEMA, "29e01630ed85cdda"),
}


def test_an_item_is_the_same_as_before_items_had_versions():
    item = Item("a.jpg", 7, "e", "x", "a.jpg", None, 0.5)
    assert item.told() == ("a.jpg", 7, "e", "x", "a.jpg", None, 0.5, None)
    tables = [items_table([item]).drop_columns("version"), items_table([item._replace(version="v")])]
    assert joined(tables)["version"].to_pylist() == [None, "v"]


ADDED = {"source_sha256", "red", "green", "blue", "version"}
"""Columns that came later; readers take tables without them."""


@pytest.mark.parametrize("name", SCHEMAS)
def test_tables_have_the_columns_that_they_had(name):
    schema, expected = SCHEMAS[name]
    assert digest(str(pa.schema([field for field in schema if field.name not in ADDED]))) == expected


STATE = ("average", "history", "loss_average", "objective", "optimizer", "recipe", "step", "version")


def test_a_training_state_of_then_is_gone_on_from():
    trainer = Trainer(parts.recipe(), parts.teacher(), parts.bases(parts.teacher(), parts.photos()), parts.photos())
    trainer.start()
    record = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    shapes = sorted((name, tuple(value.shape)) for name, value in record["objective"].items())
    assert record["version"] == 1
    assert digest(record["recipe"] + repr(shapes)) == "56f227bdebc6a95a"
    buffer = io.BytesIO()
    torch.save({name: record[name] for name in STATE}, buffer)  # without what was added since
    trainer.load_state(buffer.getvalue())
    assert trainer.step == 0


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
