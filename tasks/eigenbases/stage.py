"""Shards and a teacher → eigenbases."""

from functools import partial
from typing import Any

from pcakd.eigenbases.extraction import Extraction
from pcakd.eigenbases.pca import Widths
from pcakd.shards import open_dataset
from pcakd.shards.dataset import ShardDataset
from pcakd.storage.stage import StageOutput
from pcakd.teacher import load_teacher
from tasks.eigenbases.job import EIGENBASES_FILE, PLOT_FILE, STAGE, TABLE_FILE, FitConfig, fit_eigenbases, key_params
from tasks.stages.lineage import read_shards
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker


@stage_task("fit-eigenbases")
def eigenbases_stage(
    session: Session,
    *,
    shards: str,
    teacher: str,
    crop: int = 256,
    limit: int | None = None,
    channels: tuple[int, ...] | None = None,
    variance: float | None = None,
) -> StageResult:
    """Fit the eigenbases of a teacher on a sharded dataset's training photos."""
    widths = None if channels is None and variance is None else Widths(channels=channels, variance=variance)
    config = FitConfig(shards=shards, teacher=teacher, widths=widths, limit=limit, extraction=Extraction(crop=crop))
    loaded, dataset = load_teacher(teacher), open_dataset(shards)
    output = StageOutput.open(
        session.workspace,
        STAGE,
        inputs={"shards": dataset.digest, "teacher": loaded.digest},
        params=key_params(config),
    )

    def make(work: StageWork) -> dict[str, Any]:
        return fit_eigenbases(config, work.storage, finish=work.finish, attach=session.attach_ray).manifest

    return run_stage(session, output, make, partial(report, dataset))


def report(dataset: ShardDataset, output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    read_shards(run, dataset)
    run.params({"teacher": manifest["teacher"]["id"], "kept": manifest["channels"]})
    run.metrics({f"explained.{level}": share for level, share in enumerate(manifest["explained"])})
    run.metrics({"photos": manifest["photos"]})
    run.tags({"pcakd.eigenbases_digest": manifest["eigenbases_digest"]})
    send_files(output, run, PLOT_FILE, TABLE_FILE, EIGENBASES_FILE, "manifest.json")
