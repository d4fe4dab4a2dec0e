"""The demo's steps, on the services that `__main__` has chosen."""

from collections.abc import Callable
from pathlib import Path

from flows.demo.photos import demo_photo, write_bulk_photos, write_training_photos
from flows.demo.teacher import choose_teacher
from flows.distillation_pipeline import distillation_pipeline
from flows.parameters import BulkStylization, Distillation, Eigenbases, Evaluation, Sharding
from flows.reports import PipelineResult, score_table
from flows.stylize_bucket import stylize_bucket
from pcakd.files import write_atomic
from pcakd.photos.grid import photo_grid
from pcakd.photos.images import encode_photo, read_photo, to_image
from pcakd.student.address import Located
from pcakd.teacher import load_teacher
from tasks.registry import promote_by_hand, resolve_model
from tasks.settings import Settings

STYLE = "rocket"


def run_demo(out: Path, recipe: str, steps: int, say: Callable[[str], None]) -> None:
    """Run the pipeline in `out`, then a bulk job with its champion; tell what was made."""
    teacher, why = choose_teacher()
    say(f"Teacher: {teacher} ({why}).")
    photos = write_training_photos(out / "photos")
    say(f"Distilling a student from {photos} parts of photographs, {steps + 40} steps ...")
    info = load_teacher(teacher).info
    init = "random" if info.layout == "mobilenet-v2" else "teacher"
    file = out / "recipe.toml"
    write_atomic(file, recipe.format(backbone=info.backbone, init=init, joint=steps).encode())
    result = distillation_pipeline(
        sharding=Sharding.model_validate({"source": str(out / "photos"), "shortest_side": 192, "val_fraction": 0.25}),
        teacher=teacher,
        eigenbases=Eigenbases.model_validate({"crop": 128}),
        distillation=Distillation.model_validate({"recipe": str(file)}),
        evaluation=Evaluation(limit=6, size=192),
    )
    assert isinstance(result, PipelineResult)  # it always trains
    champion = _champion(result, say)
    write_bulk_photos(out / "bulk" / "in")
    status = stylize_bucket(
        BulkStylization.model_validate(
            {
                "source": str(out / "bulk" / "in"),
                "dest": str(out / "bulk" / "out"),
                "styles": [str(demo_photo(STYLE))],
                "model": champion.source,
            }
        )
    )
    grid = draw_grid(out)
    _tell(out, result, champion.source, status, grid, say)


def _champion(result: PipelineResult, say: Callable[[str], None]) -> Located:
    """The demo's student, champion by the gate or by hand: so short a training rarely reaches the floors."""
    registered, decision = result.registration.registered, result.registration.decision
    if not decision.passed:
        say(f"\nThe gate keeps {registered.uri} a challenger: it {decision.reason}.")
        say(
            "A model for real work trains longer. The demo promotes it by hand, as "
            f"`pcakd registry promote {registered.name} {registered.version}` does."
        )
        promote_by_hand(
            registered.name, registered.version, why="the demo's own student, by hand", settings=Settings.read()
        )
    return resolve_model(f"models:/{registered.name}@champion")


def draw_grid(out: Path) -> Path:
    """Content, style and result of the bulk job side by side."""
    style = to_image(read_photo(demo_photo(STYLE)).rgb)
    rows = []
    for content in sorted((out / "bulk" / "in").iterdir()):
        result = out / "bulk" / "out" / content.name
        rows.append([to_image(read_photo(content).rgb), style, to_image(read_photo(result).rgb)])
    path = out / "before-after.jpg"
    grid = photo_grid(rows, header=["content", "style", "by the champion"])
    write_atomic(path, encode_photo(grid, "JPEG", quality=90))
    return path


def bulk_report(out: Path) -> Path:
    """The page of the newest listing that the bulk job worked on."""
    return max(
        (out / "bulk" / "out").glob("_pcakd/*/snapshots/*/report/report.html"), key=lambda path: path.stat().st_mtime
    )


def _tell(
    out: Path, result: PipelineResult, champion: str, status: dict[str, int], grid: Path, say: Callable[[str], None]
) -> None:
    say("\nWhat was made:")
    for stage in (result.shards, result.eigenbases, result.student, result.scores):
        say(f"  {stage.stage:<12} {'found' if stage.reused else 'made '}  {stage.place}")
    decision = result.registration.decision
    say(f"  registered   {result.registration.registered.uri}, {decision.reason}")
    say(f"  champion     {champion}; {status.get('ok', 0)} photographs stylized: {out / 'bulk' / 'out'}")
    say(f"\n{'':<20}{'same':>10}{'across':>10}   PSNR in dB on graded photos")
    for row in score_table(result.scores):
        say(f"  {row['method']:<18}{row['same.psnr']:>10.2f}{row['across.psnr']:>10.2f}")
    say("\nHow to open it:")
    say(f"  pictures     {grid}")
    say(f"  bulk report  {bulk_report(out)}")
    say(f"  MLflow       mlflow ui --backend-store-uri {Settings.read().tracking_uri}")
    say(f"  Prefect      PREFECT_HOME={out / 'prefect'} prefect server start")
    say(
        f"  a photo      MLFLOW_TRACKING_URI={Settings.read().tracking_uri} pcakd stylize PHOTO --style STYLE "
        f"--model models:/{result.registration.registered.name}@champion"
    )
