"""A student → its scores on photos whose right answer is known, and on pairs."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pcakd.distillation.students import measure_student
from pcakd.distillation.validation import middle
from pcakd.errors import TransientError, UsageError
from pcakd.evaluation.evaluate import Row, evaluate_graded, evaluate_pairs, find_pairs, means, photo_files, read_pairs
from pcakd.evaluation.graded import Kind
from pcakd.evaluation.methods import Method, baselines, model_methods
from pcakd.evaluation.metrics import StyleLoss
from pcakd.evaluation.report import collected, json_report
from pcakd.photos.images import read_photo
from pcakd.storage import open_storage, sha256_hex
from pcakd.storage.stage import StageOutput, canonical_json
from pcakd.student.checkpoint import load_checkpoint
from pcakd.stylize.stylizer import StylizeOptions, Stylizer
from pcakd.teacher import Teacher, load_teacher
from tasks.evaluation.photos import collect_photos
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

STAGE = "evaluations"
SCORES_FILE = "scores.json"
MODEL = "student"
OWN = "own"
"""Begins the names of scores by the paper's transfer on the student's features alone."""
KINDS: tuple[Kind, ...] = ("same", "across", "apart")
MEASURES = 2
"""Number of the set of measures: scores of another set are made anew."""


@stage_task("evaluate-student")
def evaluate_stage(
    session: Session,
    *,
    model: str,
    photos: str,
    limit: int = 24,
    size: int = 288,
    seed: int = 0,
    pairs: str | None = None,
    teacher: str | None = None,
) -> StageResult:
    """Score a model, by name or file, on graded photos and, where given, on a local folder of pairs.

    photos: a sharded dataset (its validation split, or training photos where that has none), or a folder or
    prefix of photos; the first `limit` of them count. The manifest's "metrics" are same.psnr, across.ssim, ... by the
    model's default, own.same.psnr, ... by the paper's transfer on its features, reconstruction, and with a teacher
    unexplained.0 ... 3.
    """
    with TemporaryDirectory(prefix="pcakd-evaluate-") as folder:
        path = fetch_model(model, Path(folder))
        checkpoint = load_checkpoint(path)
        graded = Path(folder) / "photos"
        digest = collect_photos(photos, graded, limit)
        inputs = {"model": checkpoint.digest, "photos": digest, "pairs": pairs_digest(pairs)}
        params = {"size": size, "seed": seed, "teacher": teacher, "measures": MEASURES}
        output = StageOutput.open(session.workspace, STAGE, inputs=inputs, params=params)

        def make(work: StageWork) -> dict[str, Any]:
            stylizer = Stylizer(checkpoint)
            models = model_methods(MODEL, stylizer, StylizeOptions())
            methods = [*baselines(), *models]
            measured = named_teacher(teacher)
            pictures = Path(folder) / "pictures"
            with collected(pictures, "graded") as sheets:
                rows = evaluate_graded(
                    methods, photo_files(graded), seed=seed, shortest=size, kinds=KINDS, picture=sheets
                )
            pair_rows = _score_pairs(methods, Path(pairs), measured, pictures) if pairs else None
            squares = [middle(read_photo(path).rgb8) for path in photo_files(graded)]
            itself = measure_student(checkpoint, squares, [measured] if measured else [])
            scores = {kind: means(found) for kind, found in rows.items()}
            if pair_rows is not None:
                scores["pairs"] = means(pair_rows)  # type: ignore[index]
            work.storage.write(
                SCORES_FILE, json_report(params | {"photos": photos}, methods, pair_rows, rows, {MODEL: itself})
            )
            files = sorted(pictures.glob("*.jpg"))
            for file in files:
                work.storage.write(file.name, file.read_bytes())
            return work.finish(
                {
                    "model_digest": checkpoint.digest,
                    "backbone": checkpoint.metadata.spec.backbone,
                    "photos": len(photo_files(graded)),
                    "metrics": flat_metrics(scores, MODEL)
                    | {f"{OWN}.{name}": value for name, value in flat_metrics(scores, models[0].name).items()}
                    | itself,
                    "baselines": {m.name: flat_metrics(scores, m.name) for m in baselines()},
                    "pictures": [file.name for file in files],
                }
            )

        return run_stage(session, output, make, report)


def _score_pairs(methods: list[Method], pairs: Path, teacher: Teacher | None, pictures: Path) -> list[Row]:
    with collected(pictures, "pairs") as sheets:
        return evaluate_pairs(methods, read_pairs(pairs), StyleLoss(teacher) if teacher else None, picture=sheets)


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    run.metrics(manifest["metrics"])
    run.tags({"pcakd.model_digest": manifest["model_digest"]})
    send_files(output, run, SCORES_FILE, *manifest["pictures"])


def flat_metrics(scores: dict[Any, dict[str, dict[str, float]]], method: str) -> dict[str, float]:
    """{"same.psnr": ..., "pairs.ssim": ...} of one method; times are left out, they belong to the machine."""
    return {
        f"{kind}.{metric}": value
        for kind, by_method in scores.items()
        for metric, value in by_method[method].items()
        if not metric.startswith("seconds")
    }


def fetch_model(model: str, folder: Path) -> str:
    """A name or local file as it is; a model on S3 as a local copy."""
    if not model.startswith("s3://"):
        return model
    place, _, name = model.rpartition("/")
    path = folder / name
    path.write_bytes(open_storage(place).read(name))
    return str(path)


def pairs_digest(pairs: str | None) -> str:
    """Digest of a local folder of pairs, "" for none."""
    if pairs is None:
        return ""
    files = [(name, content, style) for name, content, style in find_pairs(Path(pairs))]
    return sha256_hex(
        canonical_json([[name, sha256_hex(a.read_bytes()), sha256_hex(b.read_bytes())] for name, a, b in files])
    )


def named_teacher(name: str | None) -> Teacher | None:
    """A teacher to measure with; None, said in the log, where it cannot be had."""
    if name is None:
        return None
    try:
        return load_teacher(name)
    except (UsageError, TransientError) as error:
        logging.getLogger("pcakd").warning("neither style losses nor unexplained variance: %s", error)
        return None
