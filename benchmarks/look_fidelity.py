"""How true looks and tables are: at two resolutions, and as one function of colour.

    python -m benchmarks.look_fidelity PAIRS [--photos 20] [--large 4096] [--small 1024] [--pairs-limit 30] [--model M]

Resolution: each content is enlarged to the large size, and that shrunk to the small one; ΔE (CIEDE2000) between the
larger one's result, shrunk, and the smaller one's. Tables: ΔE between what `pcakd stylize` makes of a content and what
the pair's .cube of 33 a side makes of it. Means and 95th percentiles over pixels, then means over photos and the worst.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from pcakd import Stylizer
from pcakd.evaluation.evaluate import read_pairs
from pcakd.stylize.look.lut import Lut
from pcakd.stylize.options import StylizeOptions

CUBE = 33


def resized(rgb: np.ndarray, longest: int) -> np.ndarray:
    """A photo whose longest side is so many pixels."""
    image = Image.fromarray(rgb)
    scale = longest / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def differences(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean and 95th percentile of CIEDE2000 between two photos uint8 of one size."""
    found = deltaE_ciede2000(rgb2lab(a), rgb2lab(b))
    return float(found.mean()), float(np.percentile(found, 95))


def resolution(
    stylizer: Stylizer, content: np.ndarray, style: np.ndarray, render: str, args: argparse.Namespace
) -> tuple[float, float]:
    """How far the results of two sizes of a photo are from each other."""
    large = resized(content, args.large)
    small = resized(large, args.small)
    options = StylizeOptions(render=render)  # type: ignore[arg-type]
    shrunk, own = (np.asarray(stylizer.stylize(photo, style, options)) for photo in (large, small))
    return differences(resized(shrunk, args.small), own)


def table(stylizer: Stylizer, content: np.ndarray, style: np.ndarray) -> tuple[float, float]:
    """How far a .cube is from what it was made of."""
    cube = Lut.of(stylizer.colour_look([content], style), CUBE)
    return differences(np.asarray(stylizer.stylize(content, style)), cube.apply(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--model", default="vgg")
    parser.add_argument("--render", nargs="+", default=["look", "full"], choices=("look", "full"), help="of two sizes")
    for name, default in (("photos", 20), ("large", 4096), ("small", 1024), ("pairs-limit", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    stylizer = Stylizer.load(args.model)
    pairs = list(read_pairs(args.pairs))
    found = {"table": [table(stylizer, one.content, one.style) for one in pairs[: args.pairs_limit]]}
    for render in args.render:
        found[f"two sizes, {render}"] = [
            resolution(stylizer, one.content, one.style, render, args) for one in pairs[: args.photos]
        ]
    print("| | photos | ΔE, mean | 95th percentile | worst photo, mean |\n| --- | ---: | ---: | ---: | ---: |")
    for name, values in found.items():
        means = np.array(values)
        print(
            f"| {name} | {len(means)} | {means[:, 0].mean():.2f} | {means[:, 1].mean():.2f} | {means[:, 0].max():.2f} |"
        )


if __name__ == "__main__":
    main()
