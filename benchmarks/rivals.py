"""What else there is: our students beside the released ones, colour transfers, and what a Python user would take.

    python -m benchmarks.rivals PAIRS PHOTOS TEACHER [--against RELEASED …] [--size 384] [--pairs 30] [--photos 24]

Two tables as Markdown: pairs of different photos, and photos with a known grade (PSNR in dB). Each student stands there
twice: by the paper's transfer, every pixel, and by default.
"""

import argparse
from pathlib import Path

import numpy as np
from color_matcher import ColorMatcher

from pcakd.evaluation.evaluate import evaluate_graded, evaluate_pairs, means, photo_files, read_pairs
from pcakd.evaluation.graded import KINDS
from pcakd.evaluation.methods import Method, baselines, model_method
from pcakd.evaluation.metrics import StyleLoss
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.stylizer import Stylizer
from pcakd.teacher import load_teacher

PAIRS_COLUMNS = {"ssim": "SSIM", "edge_ssim": "edge SSIM", "gram": "Gram", "moments": "mean/std", "stray": "stray"}


def color_matcher(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """The default method of the package color-matcher (GPL-3.0; installed for this comparison alone)."""
    result = ColorMatcher().transfer(src=content, ref=style)
    return np.asarray(result).real.clip(0, 255).round().astype(np.uint8)


def methods(against: list[str]) -> list[Method]:
    """Baselines, color-matcher, other students, ours."""
    found = [*baselines(), Method("color-matcher", lambda style: style, color_matcher)]
    for place in against:
        found.append(model_method(Path(place).stem, Stylizer.load(place), StylizeOptions(compat="released")))
    for name in ("vgg", "mobilenet"):
        stylizer = Stylizer.load(name)
        paper = StylizeOptions(compat="released", render="full")
        found.append(model_method(f"{name}, paper's transfer", stylizer, paper))
        found.append(model_method(f"{name}, default", stylizer, StylizeOptions()))
    return found


def table(title: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> str:
    lines = [title, "", f"| method | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="PAIRS")
    parser.add_argument("graded", type=Path, metavar="PHOTOS")
    parser.add_argument("teacher")
    parser.add_argument("--against", nargs="*", default=[])
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--photos", type=int, default=24)
    arguments = parser.parse_args()
    found = methods(arguments.against)
    loss = StyleLoss(load_teacher(arguments.teacher))
    scores = means(evaluate_pairs(found, read_pairs(arguments.folder, arguments.pairs, arguments.size), loss))
    rows = [(m.name, [f"{scores[m.name][key]:.3f}" for key in PAIRS_COLUMNS]) for m in found]
    print(
        table(f"{arguments.pairs} pairs, longest side {arguments.size}:", list(PAIRS_COLUMNS.values()), rows),
        flush=True,
    )
    photos = photo_files(arguments.graded)[: arguments.photos]
    graded = {kind: means(rows) for kind, rows in evaluate_graded(found, photos).items()}
    rows = [(m.name, [f"{graded[kind][m.name]['psnr']:.2f}" for kind in KINDS]) for m in found]
    print(table(f"{len(photos)} graded photos, PSNR in dB:", list(KINDS), rows))


if __name__ == "__main__":
    main()
