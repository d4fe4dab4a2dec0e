"""Content against style for each transform of the features, over its knob: a table, and its curves drawn.

    python -m benchmarks.transforms PAIRS TEACHER MODEL… [--limit 12] [--size 384] [--render full look] [--out FOLDER]

Every pair is stylized by the paper's transfer with each transform and each setting of its knob: `strength` for zca, ot
and adain, `balance` for lsft. SSIM of luminance to the content and Gram distance to the style, means over pairs, are a
point of the curve; stray gradients (halos) stand beside them. "Held by": the transform, if any, one of whose points (or
the line between two of them) has as much SSIM and less Gram distance.
"""

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pcakd.evaluation.evaluate import read_pairs
from pcakd.evaluation.metrics import StyleLoss, luminance_ssim, stray_gradients
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.stylizer import Stylizer
from pcakd.teacher import load_teacher

KNOBS = {
    "zca": ("strength", (0.5, 0.75, 1.0)),
    "ot": ("strength", (0.5, 0.75, 1.0)),
    "adain": ("strength", (0.5, 0.75, 1.0)),
    "lsft": ("balance", (0.1, 0.25, 0.4, 0.55, 0.75, 1.0)),
}
"""Name of a transform's knob, and its settings from content to style."""


def measured(stylizer: Stylizer, options: StylizeOptions, pairs: list, loss: StyleLoss, styles: list) -> dict:
    """Means over pairs."""
    render = stylizer.rendering(options)
    found = []
    for pair, statistics in zip(pairs, styles, strict=True):
        result = np.asarray(stylizer.stylize(pair.content, stylizer.style(pair.style, render=render), options))
        gram = loss(result, statistics)["gram"]
        found.append((luminance_ssim(result, pair.content), gram, stray_gradients(pair.content, result)))
    return dict(zip(("ssim", "gram", "stray"), map(float, np.mean(found, 0)), strict=True))


def held_by(row: dict, rows: list[dict]) -> list[str]:
    """Transforms whose curve passes beyond a point: as much SSIM, less Gram distance."""
    names = []
    for transform in KNOBS:
        curve = sorted((other["ssim"], other["gram"]) for other in rows if other["transform"] == transform)
        ssim, gram = map(np.array, zip(*curve, strict=True))
        if transform != row["transform"] and row["ssim"] <= ssim[-1]:
            least = float(np.interp(row["ssim"], ssim, np.minimum.accumulate(gram[::-1])[::-1]))
            if least < row["gram"] - 1e-4:
                names.append(transform)
    return names


def drawn(panels: dict[str, list[dict]]) -> bytes:
    """The curves as a picture, PNG, one panel a model and way of rendering."""
    figure, buffer = Figure(figsize=(4.4 * len(panels), 3.6), layout="constrained"), io.BytesIO()
    for axes, (title, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for transform in KNOBS:
            points = [row for row in rows if row["transform"] == transform]
            axes.plot([p["ssim"] for p in points], [p["gram"] for p in points], marker="o", label=transform)
        axes.set_xlabel("SSIM to the content")
        axes.set_ylabel("Gram distance to the style")
        axes.set_title(title)
        axes.legend()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("teacher")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--render", nargs="+", default=["full", "look"])
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    loss = StyleLoss(load_teacher(arguments.teacher))
    pairs = list(read_pairs(arguments.pairs, arguments.limit, arguments.size))
    styles = [loss.statistics(pair.style) for pair in pairs]
    arguments.out.mkdir(parents=True, exist_ok=True)
    panels: dict[str, list[dict]] = {}
    for model in arguments.models:
        stylizer = Stylizer.load(model)
        for render in arguments.render:
            rows: list[dict] = []
            for transform, (knob, settings) in KNOBS.items():
                for setting in settings:
                    options = StylizeOptions(compat="released", render=render, transform=transform)
                    found = measured(stylizer, replace(options, **{knob: setting}), pairs, loss, styles)
                    rows.append({"transform": transform, "knob": setting} | found)
                    print(model, render, json.dumps(rows[-1]), flush=True)
            print(f"\n{model}, {render}, {len(pairs)} pairs\n\n| transform | knob | SSIM | Gram | stray | held by |")
            print("| --- | ---: | ---: | ---: | ---: | --- |")
            for row in rows:
                numbers = f"{row['ssim']:.3f} | {row['gram']:.3f} | {row['stray']:.1f}"
                print(f"| {row['transform']} | {row['knob']} | {numbers} | {', '.join(held_by(row, rows))} |")
            panels[f"{Path(model).stem}, {render}"] = rows
            (arguments.out / "transforms.json").write_text(json.dumps(panels, indent=1))
            (arguments.out / "transforms.png").write_bytes(drawn(panels))


if __name__ == "__main__":
    main()
