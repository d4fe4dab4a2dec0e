"""`make models`: the built-in students from a folder of photos, by the pipeline and the shipped recipes alone."""

import sys
from pathlib import Path

import click

from flows.distillation_pipeline import distillation_pipeline
from flows.parameters import Distillation, Eigenbases, Sharding
from flows.reports import PipelineResult
from pcakd.distillation.card import scores_table
from pcakd.errors import UsageError
from pcakd.files import write_atomic
from pcakd.storage import open_storage
from pcakd.teacher import load_teacher
from tasks.eigenbases.command import WidthList


@click.command()
@click.argument("photos")
@click.option("--teacher", "teachers", multiple=True, required=True, metavar="T", help="Name or file; may be repeated.")
@click.option("--judge", default="", metavar="T", help="In whose features styles are compared.  [default: the teacher]")
@click.option("--recipe", default="", help="TOML file in place of the built-in recipe of the teacher's backbone.")
@click.option(
    "--begin-with",
    "begun",
    multiple=True,
    metavar="MODEL",
    help="Student to go on from, one for each teacher in their order.  [default: the recipe's start]",
)
@click.option(
    "--channels",
    "widths",
    multiple=True,
    type=WidthList(),
    help="Widths, one list for each teacher in their order.  [default: those of --begin-with, else the paper's]",
)
@click.option("--steps", type=click.IntRange(1), help="Steps in all.  [default: the recipe's]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that train together.")
@click.option("--licence", default="", metavar="TEXT", help="What the cards say of the photos' licences.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("models"), show_default=True, help="Folder.")
@click.option("--workspace", help="Folder or s3:// prefix of the stage outputs.  [default: PCAKD_WORKSPACE]")
def main(
    photos: str,
    teachers: tuple[str, ...],
    judge: str,
    recipe: str,
    begun: tuple[str, ...],
    widths: tuple[tuple[int, ...], ...],
    steps: int | None,
    workers: int,
    licence: str,
    out: Path,
    workspace: str | None,
) -> int:
    """Distil a student of the photos in PHOTOS (folder or s3:// prefix) from each teacher.

    Interrupted? The same command goes on from the last training state.
    """
    backbones = [load_teacher(teacher).info.backbone for teacher in teachers]
    if len(set(backbones)) < len(backbones):
        raise UsageError(
            f"two teachers are for {max(backbones, key=backbones.count)}: a student has its backbone's name"
        )
    for option, given in (("--begin-with", begun), ("--channels", widths)):
        if given and len(given) != len(teachers):
            raise UsageError(f"{option} is given {len(given)} times for {len(teachers)} teachers: once for each")
    nothing = [None] * len(teachers)
    for teacher, begin_with, channels in zip(teachers, begun or nothing, widths or nothing, strict=True):
        result = distillation_pipeline(
            sharding=Sharding.model_validate({"source": photos}),
            teacher=teacher,
            eigenbases=Eigenbases.model_validate({"channels": channels}),
            distillation=Distillation.model_validate(
                {
                    "recipe": recipe,
                    "judge": judge,
                    "begin_with": begin_with or "",
                    "steps": steps,
                    "workers": workers,
                    "photos_licence": licence,
                }
            ),
            workspace=workspace,
        )
        assert isinstance(result, PipelineResult)  # it always trains
        click.echo(collect(result, out))
    return 0


def collect(result: PipelineResult, out: Path) -> Path:
    """Put a pipeline's student and its card, with its scores, into a folder, named by the backbone; the model."""
    place, manifest, scores = open_storage(result.student.place), result.student.manifest, result.scores.manifest
    model = out / f"{manifest['backbone']}.safetensors"
    _, _, card = place.read(manifest["card"]).decode().partition("\n")
    card = f"# {model.stem}\n{card}{scores_table(scores['metrics'], scores['photos'])}"
    write_atomic(model, place.read(manifest["model"]))
    write_atomic(model.with_suffix(".md"), card.encode())
    return model


if __name__ == "__main__":
    from pcakd.cli.main import run

    sys.exit(run(main))
