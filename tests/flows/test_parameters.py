"""Parameters and deployments, without a server."""

import asyncio
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from prefect.filesystems import LocalFileSystem
from prefect.flows import load_flow_from_entrypoint
from pydantic import ValidationError

from flows.parameters import BulkStylization, Distillation, Drift, Eigenbases, Parameters, Sharding
from pcakd.bulk import BucketJob, RunOptions
from pcakd.distillation.config import DistillConfig
from pcakd.drift.options import DriftPolicy
from pcakd.eigenbases.options import Extraction, Widths
from pcakd.errors import FatalError, TransientError, UsageError
from pcakd.fields import declared, help_texts
from pcakd.shards.config import ShardConfig
from tasks.distillation.config import RayOptions
from tasks.eigenbases.config import FitConfig
from tasks.stages.run import may_pass

ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
NAMES = {
    "shard-dataset",
    "fit-eigenbases",
    "distill-student",
    "evaluate-student",
    "register-student",
    "shadow-student",
    "stylize-bucket",
    "distillation-pipeline",
    "prune-workspace",
}


def test_every_flow_has_a_deployment():
    flows = [load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"])) for deployment in DEPLOYMENTS]
    assert {flow.name for flow in flows} == NAMES


def test_sharding_runs_nightly_and_distillation_weekly():
    schedules = {d["name"]: [s["cron"] for s in d["schedules"]] for d in DEPLOYMENTS if d["schedules"]}
    assert schedules == {"nightly": ["0 2 * * *"], "weekly": ["0 3 * * 0"]}


def test_the_weekly_run_trains_if_it_is_worth_it_and_every_deployments_parameters_are_its_flows():
    by_name = {deployment["name"]: deployment for deployment in DEPLOYMENTS}
    weekly = Drift(**by_name["weekly"]["parameters"]["drift"])
    assert (weekly.train, weekly.start) == ("if-worth", "auto")
    for deployment in DEPLOYMENTS:
        flow = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))
        assert set(deployment.get("parameters", {})) <= set(flow.parameters.properties), deployment["name"]


@pytest.mark.parametrize("model", Parameters.__subclasses__())
def test_every_parameter_is_described(model):
    for name, field in model.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("model", "values", "named"),
    [
        (Sharding, {"source": ""}, "source"),
        (Sharding, {"source": "a", "val_fraction": 1.0}, "val_fraction"),
        (Sharding, {"source": "a", "size": 1}, "size"),
        (Eigenbases, {"channels": [1, 2, 3]}, "channels"),
        (Drift, {"teacher_above": 0.001}, "worth_above"),
        (BulkStylization, {"source": "a", "dest": "b", "styles": []}, "styles"),
    ],
)
def test_a_wrong_value_is_named(model, values, named):
    with pytest.raises(ValidationError, match=named):
        model(**values)


@pytest.mark.parametrize(
    ("model", "classes", "renamed"),
    [
        (Sharding, (ShardConfig,), {}),
        (Eigenbases, (Extraction, FitConfig, Widths), {}),
        (Distillation, (DistillConfig, RayOptions), {"worker_cpus": "cpus"}),
        (BulkStylization, (BucketJob, RunOptions), {}),
        (Drift, (DriftPolicy,), {}),
    ],
)
def test_a_form_says_of_each_field_what_its_dataclass_says(model, classes, renamed):
    schema = model.model_json_schema()["properties"]
    for name, shown in schema.items():
        cls = next(cls for cls in classes if renamed.get(name, name) in declared(cls))
        field = declared(cls)[renamed.get(name, name)]
        assert shown["description"] == help_texts(cls)[field.name]
        if not field.required and name != "model":
            wanted = list(field.default) if isinstance(field.default, tuple) else field.default
            assert shown["default"] == wanted, name
        limits = next((kind for kind in shown.get("anyOf", [shown]) if kind.get("type") != "null"), {})
        for word, limit in {"minimum": "low", "maximum": "high", "exclusiveMaximum": "below"}.items():
            assert limits.get(word) == (getattr(field.bounds, limit) if field.bounds else None), (name, word)


def test_a_bulk_jobs_form_has_all_fields_of_the_job_what_to_take_first():
    names = list(BulkStylization.model_fields)
    assert set(names) == {field.name for cls in (BucketJob, RunOptions) for field in fields(cls)}
    assert names[:3] == ["source", "dest", "styles"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"memory_limit": 1000}, "greater than or equal to"),
        ({"max_failed": 1.5}, "whole number of items"),
        ({"template": "{size}"}, "size"),
        ({"source": ""}, "source"),
    ],
)
def test_a_bulk_jobs_form_refuses_what_the_job_refuses(values, words):
    with pytest.raises(ValidationError, match=words):
        BulkStylization(**{"source": "a", "dest": "b", "styles": ["c.jpg"]} | values)


class Ended:
    def __init__(self, error):
        self.error = error

    def result(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "again"), [(TransientError("x"), True), (UsageError("x"), False), (FatalError("x"), False)]
)
def test_only_what_may_pass_is_tried_again(error, again):
    assert may_pass(None, None, Ended(error)) is again


async def copied(source: Path, target: Path) -> None:
    await LocalFileSystem(basepath=str(source)).aget_directory(str(source), str(target))


def test_where_prefect_copies_the_folder_for_a_run_the_environment_stays_behind(tmp_path):
    source, target = tmp_path / "project", tmp_path / "run"
    for name in (".venv/lib/big.so", ".git/objects/a", "flows/shard_dataset.py", "pcakd/models/vgg.safetensors"):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text("")
    shutil.copy(ROOT / ".prefectignore", source)
    asyncio.run(copied(source, target))
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {".prefectignore", "flows/shard_dataset.py", "pcakd/models/vgg.safetensors"}
