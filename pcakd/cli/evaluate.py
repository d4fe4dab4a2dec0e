"""`pcakd evaluate`."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcakd.cli.options import field_option, field_options
from pcakd.cli.progress import progress
from pcakd.errors import TransientError, UsageError
from pcakd.stylize.options import MachineLimits, StylizeOptions

if TYPE_CHECKING:
    from pcakd.evaluation.evaluate import Pair, Row
    from pcakd.evaluation.graded import Kind
    from pcakd.evaluation.methods import Method
    from pcakd.evaluation.metrics import StyleLoss
    from pcakd.teacher import Teacher

DEFAULT_TEACHER = "vgg19-normalised"
STYLE_LOSSES = ("gram", "moments")
MEASURES = ("ssim", "edge_ssim", "fsim", *STYLE_LOSSES, "histogram", "stray", "roughness")
"""Of pairs: the columns of their table, which costs PyTorch to import."""
WORST = 10
"""Pairs on the sheet of the worst."""
STUDENT_PHOTOS = 16
"""Photos, at most, that students are measured on by themselves."""


@click.command()
@click.argument("model")
@click.option("--against", multiple=True, metavar="MODEL", help="Another model to put beside it; may be repeated.")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with content/NAME.* and style/NAME.*: how much content is kept, how much style is taken.",
)
@click.option(
    "--graded",
    type=click.Path(path_type=Path),
    metavar="PHOTOS",
    help="Folder of photos; each gets a seeded random colour grade, so that the right result is known.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["same", "across", "apart", "self"]),
    default=("same", "across", "apart", "self"),
    show_default=True,
    help="Graded pairs: same photo as style; the other side of the photo (60 % each); the other half; self: a jittered "
    "crop, with another crop as style.",
)
@field_option(
    StylizeOptions,
    "compat",
    multiple=True,
    default=("auto",),
    help="As in `pcakd stylize`; repeated, every model runs with each.",
)
@field_option(
    StylizeOptions,
    "render",
    multiple=True,
    default=("auto",),
    help="As in `pcakd stylize`; repeated, every model runs with each.",
)
@field_options(StylizeOptions, "transform", "balance")
@field_option(StylizeOptions, "smoothing")
@click.option(
    "--teacher",
    help="Teacher whose features measure the style of pairs: a name or file.  "
    f"[default: {DEFAULT_TEACHER}, if its weights are here]",
)
@click.option(
    "--own-teacher",
    "own_teachers",
    multiple=True,
    metavar="T",
    help="Teacher that a model here was distilled from: how much of its variance the model leaves unexplained.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the grades.")
@click.option(
    "--size",
    type=click.IntRange(32),
    default=288,
    show_default=True,
    help="Shortest side that photos are shrunk to for --graded, pixels.",
)
@click.option(
    "--pairs-size", type=click.IntRange(32), help="Longest side that pairs are shrunk to.  [default: as they are]"
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many pairs and photos.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every score to this file.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Write sheets of pictures into this folder.")
@click.option(
    "--worst",
    type=click.Choice(MEASURES),
    help=f"With --pictures: one more sheet, of the {WORST} pairs on which MODEL is worst by this measure, worst first.",
)
@field_option(MachineLimits, "device")
def evaluate(
    model: str,
    against: tuple[str, ...],
    pairs: Path | None,
    graded: Path | None,
    kinds: tuple[str, ...],
    compat: tuple[str, ...],
    render: tuple[str, ...],
    transform: str,
    balance: float,
    smoothing: str,
    teacher: str | None,
    own_teachers: tuple[str, ...],
    seed: int,
    size: int,
    pairs_size: int | None,
    limit: int | None,
    json_file: Path | None,
    pictures: Path | None,
    worst: str | None,
    device: str,
) -> int:
    """Measure a model, beside others and beside three simple baselines.

    Pairs have no right answer: SSIM of luminance and of edges, FSIM, halos and banding against the content; Gram and
    mean/std losses in a teacher's features and histograms against the style. Graded pairs have one: PSNR, SSIM and
    colour differences against it. Means come with 95 % intervals. A model whose default is another method is measured
    by the paper's transfer, too: that row tells how good its features are.
    Baselines: content unchanged, Reinhard in Lab, linear Monge-Kantorovich in RGB.

    \b
    Examples:
      pcakd evaluate vgg --graded photos/
      pcakd evaluate mine.safetensors --against vgg --pairs pairs/ --graded photos/ --json scores.json --pictures out/
      pcakd evaluate vgg --graded photos/ --compat released --compat pcakd
    """
    if pairs is None and graded is None:
        raise UsageError("nothing to measure on: give --pairs DIR or --graded PHOTOS, or both")
    if worst and not (pairs and pictures):
        raise UsageError(f"--worst {worst} is a sheet of pairs: give --pairs DIR and --pictures DIR with it")

    from rich.console import Console

    from pcakd.evaluation.evaluate import find_pairs, photo_files, read_pairs
    from pcakd.evaluation.methods import baselines
    from pcakd.evaluation.report import graded_table, json_report, levels_table, pairs_table, students_table
    from pcakd.files import write_atomic
    from pcakd.teacher import load_teacher

    # What is wrong with the places is told before any model is loaded.
    pair_names = find_pairs(pairs)[:limit] if pairs else []
    graded_files = photo_files(graded)[:limit] if graded else []
    teachers = [load_teacher(name) for name in own_teachers]
    methods = [*baselines(), *_models((model, *against), compat, render, transform, balance, smoothing, device)]
    # A table on a pipe is as wide as it needs to be.
    console = Console() if Console().is_terminal else Console(width=240)
    pair_rows = graded_rows = measure = None
    if pairs:
        measure = _style_loss(teacher, device)
        if worst in STYLE_LOSSES and measure is None:
            raise UsageError(f"--worst {worst} is measured in a teacher's features: give --teacher")
        pair_rows = _on_pairs(methods, read_pairs(pairs, limit, pairs_size), len(pair_names), measure, pictures)
        if worst and pictures:
            _on_worst(methods, pair_rows, read_pairs(pairs, limit, pairs_size), worst, pictures)
        used = f", losses in {measure.teacher.info.name}" if measure else ""
        console.print(pairs_table(pair_rows, methods, f"{len(pair_names)} pairs of {pairs}{used}"))
        if measure:
            console.print(levels_table(pair_rows, methods))
            teachers.append(measure.teacher)
    if graded:
        graded_rows = _on_graded(methods, graded_files, pictures, seed=seed, shortest=size, kinds=kinds)
        title = f"{len(graded_files)} photos of {graded}, graded with seed {seed}"
        console.print(graded_table(graded_rows, methods, title))
    files = graded_files or [content for _, content, _ in pair_names]
    students = _students((model, *against), files, teachers)
    console.print(students_table(students, f"students by themselves, {min(len(files), STUDENT_PHOTOS)} photos"))
    if json_file:
        settings: dict[str, Any] = {
            "transform": transform,
            "balance": balance,
            "smoothing": smoothing,
            "render": list(render),
            "teacher": {"name": measure.teacher.info.name, "digest": measure.teacher.digest} if measure else None,
            "seed": seed,
            "size": size,
            "pairs_size": pairs_size,
        }
        write_atomic(json_file, json_report(settings, methods, pair_rows, graded_rows, students))
    return 0


def _on_pairs(
    methods: list["Method"],
    pairs: Iterator["Pair"],
    count: int,
    measure: "StyleLoss | None",
    pictures: Path | None,
) -> list["Row"]:
    from pcakd.evaluation.evaluate import evaluate_pairs
    from pcakd.evaluation.report import collected

    with collected(pictures, "pairs") as sheets, progress("pairs", count) as advance:
        return evaluate_pairs(methods, pairs, measure, picture=sheets, done=advance)


def _on_worst(
    methods: list["Method"], rows: list["Row"], pairs: Iterator["Pair"], measure: str, pictures: Path
) -> None:
    """Draw the pairs again on which the first model scored worst."""
    from pcakd.evaluation.evaluate import evaluate_pairs
    from pcakd.evaluation.methods import baselines
    from pcakd.evaluation.report import collected, worst_pairs

    names = worst_pairs(rows, methods[len(baselines())].name, measure, WORST)
    found = {pair.name: pair for pair in pairs if pair.name in names}
    with collected(pictures, f"pairs-worst-{measure}") as sheets, progress("worst pairs", len(names)) as advance:
        evaluate_pairs(methods, iter([found[name] for name in names]), picture=sheets, done=advance)


def _on_graded(
    methods: list["Method"], files: list[Path], pictures: Path | None, **grades: Any
) -> dict["Kind", list["Row"]]:
    """grades: seed, shortest side and kinds, as `evaluate_graded` takes them."""
    from pcakd.evaluation.evaluate import evaluate_graded
    from pcakd.evaluation.report import collected

    with collected(pictures, "graded") as sheets, progress("graded photos", len(files)) as advance:
        return evaluate_graded(methods, files, picture=sheets, done=advance, **grades)


def _models(
    names: tuple[str, ...],
    compats: tuple[str, ...],
    renders: tuple[str, ...],
    transform: str,
    balance: float,
    smoothing: str,
    device: str,
) -> list["Method"]:
    from pcakd.evaluation.methods import model_methods
    from pcakd.stylize.stylizer import Stylizer

    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise UsageError(f"{twice[0]}: is given twice")
    methods: list[Method] = []
    for name in names:
        stylizer = Stylizer.load(name, device=device)  # type: ignore[arg-type]
        for compat, render in product(compats, renders):
            options = StylizeOptions(
                transform=transform,  # type: ignore[arg-type]
                balance=balance,
                smoothing=smoothing,  # type: ignore[arg-type]
                compat=compat,  # type: ignore[arg-type]
                render=render,  # type: ignore[arg-type]
            )
            said = ", ".join(choice for choice in (compat, render) if choice != "auto")
            label = f"{Path(name).stem} ({said})" if said else Path(name).stem
            if any(method.name == label for method in methods):
                label = label.replace(Path(name).stem, name)
            methods += model_methods(label, stylizer, options)
    return methods


def _students(names: tuple[str, ...], files: list[Path], teachers: list["Teacher"]) -> dict[str, dict[str, float]]:
    """What each model is by itself, on photos spread over the files."""
    from pcakd.distillation.students import measure_student
    from pcakd.distillation.validation import middle
    from pcakd.photos.images import read_photo
    from pcakd.student.checkpoint import load_checkpoint

    photos = [middle(read_photo(path).rgb8) for path in files[:: -(-len(files) // STUDENT_PHOTOS)]]
    return {name: measure_student(load_checkpoint(name), photos, teachers) for name in names}


def _style_loss(teacher: str | None, device: str) -> "StyleLoss | None":
    """The measure of style; without an explicit teacher and without weights of the default one, none."""
    from pcakd.evaluation.metrics import StyleLoss
    from pcakd.stylize.device import pick_device
    from pcakd.teacher import load_teacher

    try:
        return StyleLoss(load_teacher(teacher or DEFAULT_TEACHER), pick_device(device))  # type: ignore[arg-type]
    except (UsageError, TransientError) as error:
        if teacher:
            raise
        click.echo(f"pcakd: no style losses: {error}; or give --teacher", err=True)
        return None
