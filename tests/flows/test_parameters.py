"""Parameters and deployments, without a server."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from pydantic import ValidationError

from flows.parameters import BulkStylization, Eigenbases, Parameters, Sharding
from pcakd.bulk import BucketJob, RunOptions
from pcakd.errors import FatalError, TransientError, UsageError
from tasks.stages.run import may_pass

ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
NAMES = {
    "shard-dataset",
    "fit-eigenbases",
    "distill-student",
    "evaluate-student",
    "register-student",
    "stylize-bucket",
    "distillation-pipeline",
}


def test_every_flow_has_a_deployment():
    flows = [load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"])) for deployment in DEPLOYMENTS]
    assert {flow.name for flow in flows} == NAMES


def test_sharding_runs_nightly_and_distillation_weekly():
    schedules = {d["name"]: [s["cron"] for s in d["schedules"]] for d in DEPLOYMENTS if d["schedules"]}
    assert schedules == {"nightly": ["0 2 * * *"], "weekly": ["0 3 * * 0"]}


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
        (BulkStylization, {"source": "a", "dest": "b", "styles": []}, "styles"),
    ],
)
def test_a_wrong_value_is_named(model, values, named):
    with pytest.raises(ValidationError, match=named):
        model(**values)


def test_a_bulk_jobs_form_has_the_fields_of_the_job_and_its_defaults():
    wanted = {field.name: field for cls in (BucketJob, RunOptions) for field in fields(cls)}
    assert list(BulkStylization.model_fields) == list(wanted)
    for name, field in BulkStylization.model_fields.items():
        if name != "model" and not field.is_required():
            default = wanted[name].default
            assert field.default == (list(default) if isinstance(default, tuple) else default), name


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
