"""`make models`: the built-in students from a folder of photos, by the pipeline and the shipped recipes alone."""

import sys

import click


@click.command()
@click.argument("photos")
@click.option("--teacher", "teachers", multiple=True, required=True, metavar="T", help="Name or file; may be repeated.")
@click.option("--judge", default="", metavar="T", help="In whose features styles are compared.  [default: the teacher]")
@click.option("--recipe", default="", help="TOML file in place of the built-in recipe of the teacher's backbone.")
@click.option("--steps", type=click.IntRange(1), help="Steps in all.  [default: the recipe's]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that train together.")
@click.option("--workspace", help="Folder or s3:// prefix of the stage outputs.  [default: PCAKD_WORKSPACE]")
def main(
    photos: str,
    teachers: tuple[str, ...],
    judge: str,
    recipe: str,
    steps: int | None,
    workers: int,
    workspace: str | None,
) -> int:
    """Distil a student of the photos in PHOTOS (folder or s3:// prefix) from each teacher.

    Interrupted? The same command goes on from the last training state.
    """
    from flows.distillation_pipeline import distillation_pipeline
    from flows.parameters import Distillation, Sharding

    for teacher in teachers:
        result = distillation_pipeline(
            sharding=Sharding.model_validate({"source": photos}),
            teacher=teacher,
            distillation=Distillation.model_validate(
                {"recipe": recipe, "judge": judge, "steps": steps, "workers": workers}
            ),
            workspace=workspace,
        )
        click.echo(result.model)
    return 0


if __name__ == "__main__":
    from pcakd.cli.main import run

    sys.exit(run(main))
