"""What drift's measures say of real photos: of more of the same, of colour casts, of other sizes, of another source.

    python -m benchmarks.drift PHOTOS TEACHER_FILE [--older 500] [--new 100] [--turns 5]

Photos are drawn at random: older ones, which bases are fitted on, and new ones, as they are and changed. Where names
begin with their source ("bsds_1.jpg"), one source's photos are held against another's, too.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFilter, ImageStat

from pcakd.drift.facts import PhotoFacts, colour_shift, size_shift
from pcakd.drift.measures import compare_levels, worst
from pcakd.drift.options import DriftPolicy
from pcakd.drift.verdict import warnings_of
from pcakd.eigenbases.extraction import Extraction, accumulate
from pcakd.eigenbases.pca import Moments, Widths, fit
from pcakd.photos.images import read_photo
from pcakd.shards.schema import COLOURS
from pcakd.student.network import DEFAULT_CHANNELS
from pcakd.teacher import Teacher, load_teacher

Change = Callable[[np.ndarray], np.ndarray]
"""Of a photo, uint8 H×W×3."""


def cast(red: float, green: float, blue: float) -> Change:
    """Factors of sRGB values."""
    return lambda rgb: (rgb * np.array((red, green, blue))).clip(0, 255).astype(np.uint8)


def some(share: float, change: Change) -> Change:
    """The change for this share of the photos, by the sum of their values."""
    return lambda rgb: change(rgb) if int(rgb.sum()) % 100 < 100 * share else rgb


def smaller(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    return np.asarray(Image.fromarray(rgb).resize((width // 2, height // 2), Image.Resampling.BICUBIC))


def blurred(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(3)))


def noisy(rgb: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(int(rgb.sum())).normal(0, 25, rgb.shape)
    return (rgb + noise).clip(0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "grey": lambda rgb: np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, axis=2),
    "a warm cast (1, 0.95, 0.85)": cast(1, 0.95, 0.85),
    "a warm cast (1, 0.9, 0.7)": cast(1, 0.9, 0.7),
    "a blue cast (0.7, 0.85, 1)": cast(0.7, 0.85, 1),
    "a strong cast (1, 0.75, 0.35)": cast(1, 0.75, 0.35),
    "half of them with that cast": some(0.5, cast(1, 0.75, 0.35)),
    "darkened (0.5, 0.5, 0.5)": cast(0.5, 0.5, 0.5),
    "half the size": smaller,
    "blurred, 3 pixels": blurred,
    "noise of 25 levels": noisy,
}


def measured(
    photos: Iterable[tuple[str, np.ndarray]], teacher: Teacher, extraction: Extraction
) -> tuple[Moments, PhotoFacts]:
    """Moments and facts of photos (key, uint8 H×W×3)."""
    rows: list[dict[str, float]] = []

    def noted() -> Iterator[tuple[str, np.ndarray]]:
        for key, rgb in photos:
            colour = ImageStat.Stat(Image.fromarray(rgb)).mean
            sides = {"source_height": rgb.shape[0], "source_width": rgb.shape[1]}
            rows.append(sides | dict(zip(COLOURS, colour, strict=True)))
            yield key, rgb

    moments, _ = accumulate(noted(), teacher, extraction)
    facts = PhotoFacts()
    facts.add(pa.Table.from_pylist(rows))
    return moments, facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("teacher")
    parser.add_argument("--older", type=int, default=500)
    parser.add_argument("--new", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5, help="draws of new photos that are left as they are")
    parser.add_argument("--crop", type=int, default=256)
    arguments = parser.parse_args()
    teacher, extraction = load_teacher(arguments.teacher), Extraction(crop=arguments.crop)
    widths, policy = Widths(channels=DEFAULT_CHANNELS[teacher.info.backbone]), DriftPolicy()
    rng = np.random.default_rng(0)
    paths = sorted(Path(arguments.photos).glob("*.jpg"))

    def group(chosen: Iterable[Path], change: Change = lambda rgb: rgb) -> tuple[Moments, PhotoFacts]:
        photos = ((path.name, change(read_photo(path.read_bytes()).rgb8)) for path in chosen)
        return measured(photos, teacher, extraction)

    def row(name: str, older: tuple[Moments, PhotoFacts], new: tuple[Moments, PhotoFacts]) -> None:
        together = older[0] + new[0]
        bases = [fit(moments, widths).bases for moments in (older[0], together)]
        levels = compare_levels(*bases, together, new=new[0], older=older[0])
        comparison = {
            "name": "older",
            "foreign": worst(levels, "foreign"),
            "colour": colour_shift(new[1], older[1]),
            "size": size_shift(new[1], older[1]),
            "new": {"photos": new[1].photos},
        }
        told = [words.split(" ")[1] for words in warnings_of(comparison, policy)]
        told = [{"bases": "foreign", "mean": "colour", "of": "size"}[word] for word in told]
        print(
            f"| {name} | {older[1].photos} + {new[1].photos} | {worst(levels, 'angle'):.1f} | "
            f"{worst(levels, 'lost'):.2%} | {comparison['foreign']:.3f} | {comparison['colour']:.2f} | "
            f"{comparison['size']:.2f} | {', '.join(told) or '-'} |",
            flush=True,
        )

    print("| new photos | older + new | angle, degrees | lost | foreign | colour | size | warned of |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    order = [paths[place] for place in rng.permutation(len(paths))]
    older, rest = group(order[: arguments.older]), order[arguments.older :]
    for count in (arguments.new, 30):
        for _ in range(arguments.turns):
            row("as the older ones", older, group(rng.choice(rest, count, replace=False)))  # type: ignore[arg-type]
    chosen = rest[: arguments.new]
    for name, change in CHANGES.items():
        row(name, older, group(chosen, change))
    sources: dict[str, list[Path]] = {}
    for path in order:
        sources.setdefault(path.name.partition("_")[0], []).append(path)
    for name, others in sources.items():
        for other, photos in sources.items():
            if name != other:
                row(f"{other} after {name}", group(others[: arguments.older]), group(photos[: arguments.new]))


if __name__ == "__main__":
    main()
