"""Several workers, without and with Ray Train; small students of a random teacher."""

import json
import signal
import threading
import time

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from pcakd.distillation import Trainer
from pcakd.distillation.job import DistillConfig, prepare, run_here
from pcakd.distillation.trainer import StepReport
from pcakd.eigenbases.files import eigenbases_bytes, eigenbases_from
from pcakd.errors import UsageError
from pcakd.storage import open_storage
from pcakd.student.checkpoint import load_checkpoint
from tasks.distillation.job import RayOptions, ddp_workers, distill, train, warn_of_waiting
from tasks.lease import SupersededError, acquire
from tests.command import pcakd
from tests.pcakd.distillation import parts

# One graded and one seen photo: the workers' parts of a loss are uneven.
UNEVEN = {"pair_steps": (2, 3, 0, 0), "joint_steps": 0, "teacher_photos": 1, "clip_norm": 0.0}


def make(folder, workers=None):
    """A trainer at the start that `folder` holds: a fit in another process would differ by rounding."""
    teacher, data = parts.teacher(), parts.photos()
    bases = eigenbases_from((folder / "bases").read_bytes(), "bases")
    trainer = Trainer(parts.recipe(**UNEVEN), teacher, bases, data, workers=workers)
    if (folder / "state").exists():
        trainer.load_state((folder / "state").read_bytes())
    return trainer


def gradients(trainer):
    """Gradients of the first step as one vector, in float64, where rounding hides nothing."""
    trainer.objective.double()
    trainer.objective.teacher.double()
    trainer.objective.train_levels((0, 1))
    batch = trainer.batches[trainer.step]
    batch = batch._replace(photos=batch.photos.double(), graded=batch.graded.double())
    model = trainer.workers.wrap(trainer.objective)  # averages gradients for as long as it lives
    model(batch)["total"].backward()
    return torch.cat([p.grad.flatten() for p in trainer.objective.student.parameters() if p.grad is not None])


def worker(rank, size, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=size)
    found = gradients(make(folder, ddp_workers(rank, size)))
    trainer = make(folder, ddp_workers(rank, size))
    trainer.run()
    if rank == 0:
        torch.save({"gradients": found, "totals": [row["total"] for row in trainer.history]}, folder / "rank0.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_gloo_workers_have_the_gradients_of_one_with_the_doubled_batch(tmp_path):
    (tmp_path / "bases").write_bytes(eigenbases_bytes(parts.bases(parts.teacher(), parts.photos())))
    trainer = make(tmp_path)
    trainer.start()
    (tmp_path / "state").write_bytes(trainer.state())
    torch.multiprocessing.spawn(worker, args=(2, tmp_path), nprocs=2)
    two = torch.load(tmp_path / "rank0.pt")
    one = gradients(make(tmp_path))
    assert one.norm() > 0.1
    torch.testing.assert_close(two["gradients"], one, atol=1e-6, rtol=1e-6)
    trainer.run()
    assert two["totals"] == pytest.approx([row["total"] for row in trainer.history], rel=1e-4)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Photos, teacher, bases and recipe as files."""
    return parts.write_inputs(tmp_path_factory.mktemp("inputs"))


def options(inputs, out, **changes):
    return {
        "shards": str(inputs / "photos"),
        "eigenbases": str(inputs / "bases"),
        "teacher": str(inputs / "teacher.safetensors"),
        "recipe": str(inputs / "recipe.toml"),
        "held_out": str(inputs / "photos"),
        "out": str(out),
        "device": "cpu",
    } | changes


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_training_goes_on_from_the_last_state(inputs, tmp_path, ray_cluster):
    killed: list[int] = []

    def kill_one():
        while not (tmp_path / "model.state.pt").exists():
            time.sleep(0.02)
        for process in psutil.Process().children(recursive=True):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)
                return

    killer = threading.Thread(target=kill_one)
    killer.start()
    heard: list[StepReport] = []
    config = DistillConfig(**options(inputs, tmp_path / "model.safetensors"))
    job = distill(config, RayOptions(workers=2, cpus=0.5), on_step=heard.append)
    killer.join()
    assert len(killed) == 1
    history = json.loads((tmp_path / "model.losses.json").read_text())["history"]
    assert [row["step"] for row in history] == list(range(1, 101))
    alone = run_here(prepare(DistillConfig(**options(inputs, tmp_path / "alone.safetensors"))), lambda report: None)
    assert [row["total"] for row in history] == pytest.approx([row["total"] for row in alone.history], rel=0.01)
    assert load_checkpoint(tmp_path / "model.safetensors").metadata.eigenbases_digest
    assert job.name == "model"
    assert heard[-1].step == 100
    assert heard[-1].validation


@pytest.mark.slow
def test_the_workers_of_a_run_that_was_overtaken_stop(inputs, tmp_path, ray_cluster, monkeypatch):
    monkeypatch.setattr("tasks.distillation.job.TIMEOUT_S", 20)  # the second worker waits so long for the first
    leases = open_storage(tmp_path / "lease")
    held = acquire(leases, holder="me")
    leases.create("00000002.json", b"{}")
    job = prepare(DistillConfig(**options(inputs, tmp_path / "model.safetensors")))
    with pytest.raises(SupersededError, match="another run took this stage over"):
        train(job, RayOptions(workers=2, cpus=0.5), check=held.claim.check)
    assert not (tmp_path / "model.state.pt").exists()
    assert not (tmp_path / "model.safetensors").exists()
    held.release()


@pytest.mark.slow
def test_a_cluster_that_is_too_small_is_named(ray_cluster, caplog):
    warn_of_waiting(RayOptions(workers=4, cpus=1), gpus=False)
    warn_of_waiting(RayOptions(workers=4, min_workers=2, cpus=1), gpus=False)
    assert caplog.messages == ["the Ray cluster has 2 CPUs, training waits until it has 4"]


@pytest.mark.slow
def test_the_command_distils_here_and_leaves_model_curves_and_pictures(inputs, tmp_path):
    arguments = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in options(inputs, tmp_path / "m.safetensors").items()
        if name != "shards"
    ]
    done = pcakd("distill", inputs / "photos", *arguments, "--steps", 12)
    assert done.returncode == 0, done.stderr
    assert "held-out photos: reconstruction" in done.stdout
    assert "pair 1 step" in done.stderr
    for name in ("m.losses.png", "m.photos.png"):
        assert np.asarray(Image.open(tmp_path / name)).std() > 5
    student = load_checkpoint(tmp_path / "m.safetensors")
    assert student.metadata.origin.startswith("distilled by pcakd: 12 steps")
    again = pcakd("distill", inputs / "photos", *arguments, "--steps", 12, "--resume")
    assert again.returncode == 0
    assert load_checkpoint(tmp_path / "m.safetensors").digest == student.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eigenbases": "/nowhere"}, "eigenbases.safetensors"),
        ({"teacher": "nobody"}, "teacher 'nobody' is neither"),
        ({"shards": "/nowhere"}, "no photos"),
        ({"out": "model.bin"}, "ends in .safetensors"),
        ({"recipe": "mobilenet"}, "the recipe for mobilenet"),
    ],
)
def test_a_user_s_mistake_is_one_line(inputs, tmp_path, change, message):
    values = options(inputs, tmp_path / "m.safetensors") | change
    shards = values.pop("shards")
    done = pcakd(
        "distill", shards, *(f"--{name.replace('_', '-')}={value}" for name, value in values.items()), fresh=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_a_gpu_that_is_not_there_is_one_line_and_an_older_state_stays(inputs, tmp_path):
    (tmp_path / "m.state.pt").write_bytes(b"of an earlier training")
    values = options(inputs, tmp_path / "m.safetensors", device="cuda")
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if name != "shards"]
    done = pcakd("distill", values["shards"], *arguments, fresh=False, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no CUDA device" in line
    assert (tmp_path / "m.state.pt").exists()


@pytest.mark.slow
def test_a_gpu_that_the_cluster_does_not_have_is_refused(inputs, tmp_path, ray_cluster, monkeypatch):
    monkeypatch.setattr("tasks.distillation.job.cluster_gpus", lambda: 0)
    config = DistillConfig(**options(inputs, tmp_path / "m.safetensors", device="cuda"))
    with pytest.raises(UsageError, match="the Ray cluster has no GPU"):
        distill(config, RayOptions(workers=2))


def test_more_workers_than_rows_are_refused(inputs, tmp_path):
    config = DistillConfig(**options(inputs, tmp_path / "m.safetensors"))
    with pytest.raises(UsageError, match="workers is 5"):
        distill(config, RayOptions(workers=5))
