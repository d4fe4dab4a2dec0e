"""Run methods over pairs and graded pairs and collect what the metrics say."""

import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pcakd.errors import UsageError
from pcakd.evaluation.fsim import fsim
from pcakd.evaluation.graded import KINDS, Kind, graded_pair
from pcakd.evaluation.methods import Method
from pcakd.evaluation.metrics import (
    StyleLoss,
    ciede2000,
    delta_e76,
    edge_ssim,
    histogram_correlation,
    luminance_ssim,
    psnr,
    roughness,
    stray_gradients,
)
from pcakd.photos.images import FORMATS, read_photo

READABLE = {*FORMATS, ".gif", ".bmp", ".ppm"}


class Pair(NamedTuple):
    """A content and a style photo of one name, uint8 H×W×3."""

    name: str
    content: np.ndarray
    style: np.ndarray


class Row(NamedTuple):
    """What one method scored on one pair."""

    pair: str
    method: str
    scores: dict[str, float]


Picture = Callable[[str, dict[str, np.ndarray]], None]
"""Takes a pair's name and its photos by column: content, style, (truth,) and one a method."""


def photo_files(folder: Path) -> list[Path]:
    """The photos of a folder by name. Raises UsageError if there are none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)
    if not files:
        raise UsageError(f"{folder}: has no photos (looked for {', '.join(sorted(READABLE))})")
    return files


def _natural(name: str) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def find_pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """(name, content file, style file) of `content/NAME.*` and `style/NAME.*`, in natural order.

    Raises UsageError for a missing folder, or where a content has no style of its name or the other way round.
    """
    contents, styles = ({path.stem: path for path in photo_files(folder / part)} for part in ("content", "style"))
    if single := sorted(set(contents) ^ set(styles)):
        lacks = "style" if single[0] in contents else "content"
        raise UsageError(f"{folder}: {single[0]} has no photo in {lacks}/; names pair the photos")
    return [(name, contents[name], styles[name]) for name in sorted(contents, key=_natural)]


def read_pairs(folder: Path, limit: int | None = None, longest: int | None = None) -> Iterator[Pair]:
    """The pairs of a folder one by one (see `find_pairs`), shrunk to a longest side of `longest` pixels if given."""
    for name, *files in find_pairs(folder)[:limit]:
        content, style = (read_photo(file).rgb8 for file in files)
        if longest:
            content, style = (shrink(rgb, longest / max(rgb.shape[:2])) for rgb in (content, style))
        yield Pair(name, content, style)


def evaluate_pairs(
    methods: Sequence[Method],
    pairs: Iterator[Pair],
    style_loss: StyleLoss | None = None,
    *,
    picture: Picture | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> list[Row]:
    """Score methods on pairs without a truth: kept content (SSIM), taken style (teacher losses), time.

    Each row's scores: "ssim", "edge_ssim", "fsim", "stray" and "roughness" against the content, "histogram" and the
    losses of `StyleLoss` against the style (see `pcakd.evaluation.metrics`), "seconds_per_mp" (wall time of one result
    after a warm-up, style prepared, per million pixels).
    """
    rows = []
    for number, pair in enumerate(pairs):
        wanted = style_loss.statistics(pair.style) if style_loss else None
        columns = {"content": pair.content, "style": pair.style}
        measured: dict[bytes, dict[str, float]] = {}  # methods that agree to the pixel are measured once
        for method in methods:
            style = method.prepare(pair.style)
            if number == 0:
                method.apply(pair.content, style)
            started = time.perf_counter()
            result = method.apply(pair.content, style)
            seconds = time.perf_counter() - started
            if (key := result.tobytes()) not in measured:
                measured[key] = {
                    "ssim": luminance_ssim(pair.content, result),
                    "edge_ssim": edge_ssim(pair.content, result),
                    "fsim": fsim(pair.content, result),
                    "stray": stray_gradients(pair.content, result),
                    "roughness": roughness(pair.content, result),
                    "histogram": histogram_correlation(result, pair.style),
                } | (style_loss(result, wanted) if style_loss and wanted else {})
            scores = dict(measured[key])
            scores["seconds_per_mp"] = seconds / (pair.content.shape[0] * pair.content.shape[1] / 1e6)
            rows.append(Row(pair.name, method.name, scores))
            columns[method.name] = result
        if picture:
            picture(pair.name, columns)
        done(1)
    return rows


def shrink(rgb: np.ndarray, scale: float) -> np.ndarray:
    """The photo scaled by `scale`; the photo itself for a scale of 1 or more."""
    if scale >= 1:
        return rgb
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def evaluate_graded(
    methods: Sequence[Method],
    files: Sequence[Path],
    *,
    seed: int = 0,
    shortest: int = 288,
    kinds: Sequence[Kind] = KINDS,
    picture: Picture | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> dict[Kind, list[Row]]:
    """Score methods against the truth of graded pairs: "psnr" (dB), "ssim" (luminance), "delta_e76", "ciede2000".

    A photo's grade depends on `seed` and its file name alone, not on which other photos there are.
    """
    rows: dict[Kind, list[Row]] = {kind: [] for kind in kinds}
    for path in files:
        whole = read_photo(path).rgb8
        small = shrink(whole, shortest / min(whole.shape[:2]))
        for kind in kinds:
            # Crops that are enlarged are cut from all the pixels there are.
            rgb = whole if kind == "self" else small
            pair = graded_pair(rgb, kind, name=path.stem, seed=(seed, zlib.crc32(path.name.encode())))
            columns = {"content": pair.content, "style": pair.style, "truth": pair.truth}
            for method in methods:
                result = method.apply(pair.content, method.prepare(pair.style))
                scores = {
                    "psnr": psnr(result, pair.truth),
                    "ssim": luminance_ssim(result, pair.truth),
                    "delta_e76": delta_e76(result, pair.truth),
                    "ciede2000": ciede2000(result, pair.truth),
                }
                rows[kind].append(Row(path.stem, method.name, scores))
                columns[method.name] = result
            if picture:
                picture(f"{kind} {path.stem}", columns)
        done(1)
    return rows


def by_method(rows: Sequence[Row]) -> dict[str, list[dict[str, float]]]:
    """Method → its scores, pair by pair, methods in order of appearance."""
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        found.setdefault(row.method, []).append(row.scores)
    return found


def means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Method → metric → mean over pairs, methods in order of appearance; seconds as the median."""
    return {
        method: {
            metric: float((np.median if metric.startswith("seconds") else np.mean)([s[metric] for s in scores]))
            for metric in scores[0]
        }
        for method, scores in by_method(rows).items()
    }


RESAMPLINGS = 2000


def intervals(rows: Sequence[Row]) -> dict[str, dict[str, tuple[float, float]]]:
    """Method → metric → ends of the mean's 95 % interval over pairs, by bootstrap; not of times."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for method, scores in by_method(rows).items():
        # The same draws for every method, so that their intervals compare.
        draws = np.random.default_rng(0).integers(len(scores), size=(RESAMPLINGS, len(scores)))
        names = [name for name in scores[0] if not name.startswith("seconds")]
        table = np.array([[row[name] for name in names] for row in scores])
        low, high = np.quantile(table[draws].mean(1), (0.025, 0.975), axis=0)
        found[method] = {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}
    return found
