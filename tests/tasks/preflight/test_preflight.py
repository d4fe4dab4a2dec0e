"""Each check of the preflight: break that thing, read the message."""

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pcakd.errors import AccessError, FatalError, NotFoundError, PcakdError, TransientError, UsageError
from pcakd.storage import LocalStorage, open_storage
from tasks.preflight import checks, job, worker
from tasks.preflight.checks import Faults, Wanted
from tasks.preflight.job import check_cluster, check_here
from tasks.preflight.stage import preflight_stage
from tasks.registry.versions import Registered
from tasks.settings import Settings, embedded_uri
from tasks.stages.session import Session
from tasks.tracking.store import prepare_store
from tests.pcakd.distillation import parts
from tests.tasks.stages.untracked import Untracked


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return parts.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def good(inputs) -> Wanted:
    """A run that can be done."""
    return Wanted(
        source=str(inputs / "photos"),
        teacher=str(inputs / "teacher.safetensors"),
        channels=parts.CHANNELS,
        recipe=str(inputs / "recipe.toml"),
        photos=str(inputs / "photos"),
    )


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        home=tmp_path / "home", workspace=str(tmp_path / "workspace"), tracking_uri="", experiment="preflight"
    )


@pytest.fixture
def no_registry(monkeypatch) -> None:
    """An MLflow that answers, and knows no champion."""
    monkeypatch.setattr(checks, "champion_of", lambda backbone, settings: None)


def fault(wanted: Wanted, settings: Settings) -> PcakdError:
    """The error that a run ends with, before anything was begun."""
    faults = Faults()
    check_here(wanted, open_storage(settings.workspace), settings, faults)
    job.check_own_machine(wanted, faults)
    with pytest.raises(PcakdError) as caught:
        faults.end()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.usefixtures("no_registry")
def test_a_run_that_can_be_done_has_no_faults_and_leaves_nothing_behind(good, settings):
    faults = Faults()
    assert check_here(good, open_storage(settings.workspace), settings, faults) is not None
    faults.end()
    assert [entry.key for entry in open_storage(settings.workspace).list()] == []


@pytest.mark.usefixtures("no_registry")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"teacher": "nowhere.safetensors"}, "teacher 'nowhere.safetensors' is neither a known name"),
        ({"channels": (99, 1, 1, 1)}, r"channels\[0\] is 99: the teacher has 8"),
        ({"channels": (1, 1, 1, 1), "variance": 0.5}, "give either channels or variance"),
        ({"recipe": "nowhere.toml"}, "nowhere.toml: no such recipe"),
        ({"source": "/nowhere"}, "/nowhere: no such folder"),
        ({"photos": "/nowhere"}, "/nowhere: no such folder"),
        ({"pairs": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_is_asked_for_wrongly_is_a_usage_error(good, settings, changes, says):
    error = fault(replace(good, **changes), settings)
    assert isinstance(error, UsageError)
    with pytest.raises(UsageError, match=says):
        raise error


@pytest.mark.usefixtures("no_registry")
def test_empty_places_are_told(good, settings, tmp_path):
    (tmp_path / "empty" / "content").mkdir(parents=True)
    (tmp_path / "empty" / "style").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no photo")
    (tmp_path / "void").mkdir()
    wanted = replace(good, source=str(tmp_path / "void"), photos=str(tmp_path / "notes"), pairs=str(tmp_path / "empty"))
    words = str(fault(wanted, settings))
    assert "void: holds no objects" in words
    assert "notes: has no photos to evaluate on" in words
    assert "empty" in words.rpartition("(3)")[2]


@pytest.mark.usefixtures("no_registry")
def test_a_judge_is_looked_for_where_the_recipe_uses_one(good, settings, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(Path(good.recipe).read_text() + "style_photos = 1\n")
    assert "no-judge" in str(fault(replace(good, recipe=str(recipe), judge="no-judge"), settings))
    faults = Faults()
    checks.check_recipe(replace(good, judge="no-judge"), None, faults)
    faults.end()


@pytest.mark.usefixtures("no_registry")
def test_a_student_to_begin_with_that_is_not_there_or_does_not_fit(good, settings, inputs):
    def begun(model: str, **changes) -> str:
        return str(fault(replace(good, begin_with=model, **changes), settings))

    assert "nobody: no such model" in begun("nobody")
    assert "mobilenet: is a mobilenet student, teacher" in begun("mobilenet")
    assert "has widths (8, 9, 10, 11), asked for are (3, 4, 5, 6)" in begun(good.teacher)
    faults = Faults()
    checks.check_begin_with(replace(good, begin_with=good.teacher, channels=(8, 9, 10, 11)), None, faults)
    checks.check_begin_with(good, None, faults)
    faults.end()


@pytest.mark.usefixtures("no_registry")
def test_a_gpu_that_is_not_there(good, settings, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "no GPU where the flow runs" in str(fault(replace(good, device="cuda"), settings))


@pytest.mark.usefixtures("no_registry")
def test_a_workspace_that_cannot_be_written(good, settings, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    error = fault(good, replace(settings, workspace=str(tmp_path / "file")))
    assert "cannot write" in str(error)

    monkeypatch.setattr(LocalStorage, "read", lambda self, key: b"something else")
    assert "gives back other bytes" in str(fault(good, settings))


@pytest.mark.usefixtures("no_registry")
def test_a_full_disk(good, settings, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1 << 20))
    error = fault(good, settings)
    assert isinstance(error, FatalError)
    assert "are free where at least" in str(error)
    # Of many photos: as much as they will take, twice.
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=checks.SPARE_BYTES + 1000))
    assert "free" in str(fault(good, settings))
    LocalStorage(settings.workspace).write("shards/k/manifest.json", b"{}")
    faults = Faults()
    checks.check_room(good, settings, faults)
    faults.end()


@pytest.mark.usefixtures("no_registry")
@pytest.mark.parametrize("full", ["home", "workspace", "temporary"])
def test_each_disk_that_is_written_to_is_looked_at(good, settings, monkeypatch, tmp_path, full):
    """Each place on a disk of its own, one of them full."""
    places = {name: tmp_path / name for name in ("home", "workspace", "temporary")}
    for place in places.values():
        place.mkdir()
    monkeypatch.setattr(checks, "tempfile", SimpleNamespace(gettempdir=lambda: str(places["temporary"])))
    disks = {str(place): number for number, place in enumerate(places.values())}
    disk_of = SimpleNamespace(stat=lambda place: SimpleNamespace(st_dev=disks[str(place)]))
    monkeypatch.setattr(checks, "os", disk_of)
    free = {place: 1 << (20 if place == str(places[full]) else 40) for place in disks}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free[str(place)]))
    faults = Faults()
    checks.check_room(good, settings, faults)
    (found,) = faults.found
    assert str(found).startswith(f"{places[full]}: 1.0 MB are free")

    def refuse(place: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk_of, "stat", refuse)
    faults = Faults()
    checks.check_room(good, settings, faults)
    assert f"{places[full]}: cannot be looked at (Permission denied)" in map(str, faults.found)


@pytest.mark.usefixtures("no_registry")
def test_too_few_cpus_may_pass(good, settings, monkeypatch):
    monkeypatch.setenv("PCAKD_NUM_CPUS", "2")
    error = fault(replace(good, workers=4, worker_cpus=2), settings)
    assert isinstance(error, TransientError)
    assert "4 workers of 2 CPUs, 8 in all, and this machine has 2" in str(error)
    monkeypatch.setenv("PCAKD_NUM_CPUS", "8")
    error = fault(replace(good, workers=4, worker_cpus=2, device="cuda"), settings)
    assert "wants 4 GPUs" in str(error)


@pytest.mark.usefixtures("no_registry")
def test_all_faults_are_told_at_once_and_one_that_does_not_pass_decides(good, settings, monkeypatch):
    monkeypatch.setenv("PCAKD_NUM_CPUS", "1")
    wanted = replace(good, teacher="nobody", recipe="nowhere.toml", source="/nowhere", workers=4)
    error = fault(wanted, settings)
    assert isinstance(error, UsageError)
    assert str(error).startswith("4 faults, before anything was begun: (1) teacher 'nobody'")
    for number, words in enumerate(("nobody", "nowhere.toml", "/nowhere", "this machine has 1"), 1):
        assert words in str(error).split(f"({number}) ")[1]


@pytest.mark.slow
def test_an_mlflow_that_does_not_answer_may_pass(good, settings):
    error = fault(good, replace(settings, tracking_uri="http://127.0.0.1:9"))
    assert isinstance(error, TransientError)
    assert "the model registry at http://127.0.0.1:9" in str(error)


def test_a_name_whose_champion_is_no_student_is_told(good, settings, monkeypatch):
    stranger = Registered(name="pcakd-vgg", version=4, digest="", created=False)
    monkeypatch.setattr(checks, "champion_of", lambda backbone, settings: stranger)
    assert "models:/pcakd-vgg/4: is the champion, but no student" in str(fault(good, settings))


@pytest.mark.slow
def test_a_champion_that_is_no_student_is_told(good, settings, tmp_path):
    settings = replace(settings, tracking_uri=embedded_uri(tmp_path))
    prepare_store(settings.tracking_uri, "preflight")
    from mlflow import MlflowClient

    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    client.create_registered_model("pcakd-vgg")
    client.create_model_version("pcakd-vgg", source=str(tmp_path))
    faults = Faults()
    check_here(good, open_storage(settings.workspace), settings, faults)
    faults.end()
    client.set_registered_model_alias("pcakd-vgg", "champion", "1")
    assert "models:/pcakd-vgg/1: is the champion, but no student" in str(fault(good, settings))


def test_a_node_tells_its_own_faults(good, tmp_path):
    source, workspace = open_storage(good.source), open_storage(tmp_path / "workspace")
    workspace.write("_preflight/flow", b"here")
    teacher = parts.teacher()
    assert worker.check_node(source, workspace, "_preflight/flow", teacher) == []

    unshared = worker.check_node(source, open_storage(tmp_path / "other"), "_preflight/flow", None)
    assert "is not the folder that the flow writes to" in str(unshared[0])
    refused = worker.check_node(source, ReadOnly(tmp_path / "workspace"), "_preflight/flow", None)
    assert [str(fault).partition(": ")[2] for fault in refused] == ["no permission to write"]
    away = worker.check_node(open_storage(tmp_path / "nowhere"), workspace, "_preflight/flow", None)
    assert [str(fault).rpartition("nowhere")[2] for fault in away] == [": no such folder"]

    next(teacher.parameters()).data.fill_(float("nan"))
    damaged = worker.check_node(source, workspace, "_preflight/flow", teacher)
    assert "its features are not finite" in str(damaged[0])
    broken = worker.check_node(source, workspace, "_preflight/flow", object())  # type: ignore[arg-type]
    assert isinstance(broken[0], FatalError)
    told = unshared + refused + away + damaged + broken
    assert all(str(fault).startswith(f"on node {os.uname().nodename}: ") for fault in told)


class ReadOnly(LocalStorage):
    def write(self, key, data):
        raise AccessError("no permission to write")


@dataclass
class Answer:
    """What a node of a cluster answers; late: not in time. error: instead of its faults."""

    faults: list[PcakdError] = field(default_factory=list)
    error: Exception | None = None
    late: bool = False

    def remote(self, *args: object) -> "Answer":
        return self

    def __hash__(self) -> int:
        return id(self)


@pytest.fixture
def cluster(monkeypatch) -> Callable[..., None]:
    """Makes this process one of a cluster whose nodes give these answers, None where a node has no CPUs."""
    import ray

    def get(answer: Answer) -> list[PcakdError]:
        if answer.error is not None:
            raise answer.error
        return answer.faults

    def make(**answers: Answer | None) -> None:
        nodes = [
            {"Alive": True, "Resources": {"CPU": 2} if answer else {}, "NodeID": "0" * 56, "NodeManagerHostname": name}
            for name, answer in answers.items()
        ]
        asked = iter([answer for answer in answers.values() if answer])
        monkeypatch.setattr(ray, "nodes", lambda: nodes)
        task = SimpleNamespace(options=lambda **options: next(asked))
        monkeypatch.setattr(ray, "remote", lambda **options: lambda function: task)
        monkeypatch.setattr(ray, "put", lambda value: value)
        monkeypatch.setattr(ray, "get", get)
        monkeypatch.setattr(ray, "cancel", lambda call, force: None)

        def wait(calls: list[Answer], num_returns: int, timeout: float) -> tuple[list[Answer], list[Answer]]:
            return [call for call in calls if not call.late], [call for call in calls if call.late]

        monkeypatch.setattr(ray, "wait", wait)
        monkeypatch.setattr(job, "cluster_cpus", lambda: 4)
        monkeypatch.setattr(job, "cluster_gpus", lambda: 1)

    return make


def test_what_ails_the_nodes_of_a_cluster_is_told_of_each(good, tmp_path, cluster):
    from ray.exceptions import RaySystemError, RayTaskError

    other_code = RayTaskError("check_node", "a traceback", AttributeError("no such class"))
    cluster(
        head=None,
        well=Answer(),
        damaged=Answer([FatalError("on node damaged: its features are not finite")]),
        late=Answer(late=True),
        other=Answer(error=other_code),
        lost=Answer(error=RaySystemError("it is gone")),
    )
    workspace, faults = open_storage(tmp_path / "workspace"), Faults()
    check_cluster(replace(good, workers=2, device="cuda"), workspace, None, faults)
    assert [(type(found), str(found)) for found in faults.found] == [
        (TransientError, "training wants 2 GPUs, and the Ray cluster has 1; use fewer workers"),
        (FatalError, "on node damaged: its features are not finite"),
        (FatalError, "on node other: no such class"),
        (TransientError, "on node lost: System error: it is gone"),
        (TransientError, "on node late: no answer within 60 s"),
    ]
    assert [entry.key for entry in workspace.list()] == []


def test_a_cluster_without_a_node_that_computes_and_a_workspace_that_it_cannot_be_asked_of(good, tmp_path, cluster):
    cluster(head=None)
    faults = Faults()
    check_cluster(good, open_storage(tmp_path / "workspace"), None, faults)
    check_cluster(good, ReadOnly(tmp_path / "workspace"), None, faults)
    assert [str(found) for found in faults.found] == [
        "the Ray cluster has no node with CPUs; start one",
        "no permission to write",
    ]


@pytest.mark.slow
def test_on_a_cluster_every_node_is_asked(good, tmp_path, ray_cluster):
    faults = Faults()
    workspace = open_storage(tmp_path / "workspace")
    check_cluster(good, workspace, parts.teacher(), faults)
    faults.end()
    assert [entry.key for entry in workspace.list()] == []
    check_cluster(replace(good, source="/nowhere", workers=9), workspace, None, faults)
    assert [type(found) for found in faults.found] == [TransientError, UsageError]
    assert "the Ray cluster has 2" in str(faults.found[0])
    assert "on node" in str(faults.found[1])


@pytest.mark.usefixtures("no_registry")
def test_the_first_task_of_a_run_ends_it_and_starts_no_ray(good, settings, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(Session, "attach_ray", lambda self: pytest.fail("a Ray was started"))
    with ExitStack() as stack:
        session = Session(settings, Untracked(), "a test", logging.getLogger("pcakd"), stack)  # type: ignore[arg-type]
        preflight_stage.fn(session, good)
        with pytest.raises(UsageError, match="nobody"):
            preflight_stage.fn(session, replace(good, teacher="nobody"))


@pytest.mark.usefixtures("no_registry")
def test_a_cluster_that_does_not_answer_is_a_fault_among_the_others(good, settings, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with ExitStack() as stack:
        session = Session(settings, Untracked(), "a test", logging.getLogger("pcakd"), stack)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"2 faults.*nobody.*no Ray cluster answers at RAY_ADDRESS=127\.0\.0\.1:9"):
            preflight_stage.fn(session, replace(good, teacher="nobody"))


def test_a_fault_is_told_once():
    faults = Faults()
    for _ in range(2):
        faults.add(NotFoundError("x: no such folder"))
    with pytest.raises(UsageError, match="before anything was begun: x: no such folder"):
        faults.end()
