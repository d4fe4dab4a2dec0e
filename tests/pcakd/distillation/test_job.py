import pytest

from pcakd.distillation.config import DistillConfig
from pcakd.distillation.job import Job, run_here
from pcakd.storage import open_storage
from pcakd.student.checkpoint import load_checkpoint
from tests.corpus import photograph
from tests.pcakd.distillation import parts


@pytest.fixture
def job(tmp_path) -> Job:
    (tmp_path / "photos").mkdir()
    for i in range(4):
        photograph(i, 64, 80).save(tmp_path / "photos" / f"{i}.png")
    teacher = parts.teacher()
    config = DistillConfig(
        shards=str(tmp_path / "photos"),
        eigenbases="unused",
        teacher="unused",
        out=str(tmp_path / "small.safetensors"),
        held_out=str(tmp_path / "photos"),
        device="cpu",
        resume=True,
        photos_licence="drawn for this test",
    )
    return Job(
        config=config,
        recipe=parts.recipe(style_photos=1, style_crop=32),
        teacher=teacher,
        judge=None,
        bases=parts.bases(teacher, parts.photos()),
        folder=open_storage(tmp_path),
        name="small",
        run="flow run quiet-test",
    )


def test_a_finished_run_leaves_model_reports_and_a_card_that_names_all_it_is_made_of(job, tmp_path):
    trainer = run_here(job, lambda report: None)
    model = load_checkpoint(tmp_path / "small.safetensors")
    card = (tmp_path / "small.md").read_text()
    told = ("# small", "flow run quiet-test", "12 steps of 4 crops of 32 pixels", "drawn for this test", "`random`")
    for word in (*told, model.metadata.data_digest, model.metadata.commit, model.metadata.eigenbases_digest, "MIT"):
        assert word in card, card
    assert f"{trainer.cpu_seconds / 60:.1f} minutes" in card
    assert {path.name for path in tmp_path.iterdir()} >= {f"small.{end}" for end in ("losses.json", "photos.png")}


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_leaves_the_model_so_far_and_goes_on_from_its_last_state(job, tmp_path, signal):
    def stop(report) -> None:
        if report.step == 6:
            raise signal

    with pytest.raises(signal):
        run_here(job, stop)
    assert "6 of 12 steps" in (tmp_path / "small.md").read_text()
    load_checkpoint(tmp_path / "small.safetensors")
    assert run_here(job, lambda report: None).step == 12
    assert "12 steps" in (tmp_path / "small.md").read_text()
    assert "of 12 steps" not in (tmp_path / "small.md").read_text()


def test_a_mistake_in_the_midst_of_a_run_leaves_no_model(job, tmp_path):
    def fail(report) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        run_here(job, fail)
    assert not (tmp_path / "small.safetensors").exists()
