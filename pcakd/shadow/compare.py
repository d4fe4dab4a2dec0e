"""One photo in one style by two students: how far apart the results are, and which of them kept or took more."""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from pcakd.evaluation.metrics import ciede2000, edge_ssim, histogram_correlation, luminance_ssim, roughness
from pcakd.photos.images import Photo, encode_photo, read_photo, to_image
from pcakd.photos.outcomes import OK, status_of
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer

MEASURED_SIDE = 512
"""Longest side, pixels, of the copies that are measured: results are made at the photos' own size."""
SHOWN_SIDE = 320
"""Longest side, pixels, of the pictures on the page."""
SHOWN = 60
"""Cases that the page has pictures of."""
JUST_SEEN = 2.3
"""CIEDE2000 that people just see between two pictures side by side (Mahy et al. 1994, of CIELAB)."""

WHO = ("champion", "challenger")
MEASURES = {
    "edges": "edges of the photo kept (SSIM of Sobel edges), 1 is all",
    "style": "colours of the style (correlation of histograms), 1 is the style's",
    "rough": "neighbouring colours torn apart, as banding does; 1 is the photo's own",
}
"""Measure of a result by itself → what it says."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A photo in a style. difference: mean CIEDE2000 between the two results; likeness: SSIM of their luminance;
    scores: of each student, its measures; pictures: before, champion, challenger, as JPEG."""

    key: str
    style: str
    status: str = OK
    message: str = ""
    difference: float = 0.0
    likeness: float = 1.0
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    pictures: tuple[bytes, ...] = field(default=(), repr=False)

    def record(self) -> dict[str, Any]:
        """As JSON has it, without pictures."""
        return {name: value for name, value in asdict(self).items() if name != "pictures"}


def compare(
    data: bytes,
    key: str,
    stylizers: Mapping[str, Stylizer],
    styles: Mapping[str, Mapping[str, Style]],
    looks: Mapping[str, list[np.ndarray]],
    options: StylizeOptions,
) -> list[Case]:
    """A photo, encoded, in every style by both students.

    stylizers: "champion" and "challenger" → stylizer; styles: the same → style's name → its statistics; looks: style's
    name → its photos, uint8 H×W×3. What is wrong with a photo becomes its status; nothing is raised for it.
    """
    cases = []
    for name, photos in looks.items():
        try:
            # Read for each: a stylizer may overwrite what it is given.
            results = {
                who: stylizers[who].render(read_photo(data, name=key), styles[who][name], options) for who in WHO
            }
            cases.append(_case(key, name, read_photo(data, name=key), results, photos))
        except Exception as error:  # whatever a photo does to a decoder or a network
            cases.append(Case(key=key, style=name, status=status_of(error), message=" ".join(str(error).split())[:300]))
    return cases


def _case(key: str, style: str, before: Photo, results: Mapping[str, Photo], style_photos: list[np.ndarray]) -> Case:
    small = {who: small_copy(photo) for who, photo in {"before": before, **results}.items()}
    champion, challenger = (small[who] for who in WHO)
    scores = {
        who: {
            "edges": edge_ssim(small["before"], small[who]),
            "style": float(np.mean([histogram_correlation(small[who], photo) for photo in style_photos])),
            "rough": roughness(small["before"], small[who]),
        }
        for who in WHO
    }
    return Case(
        key=key,
        style=style,
        difference=ciede2000(challenger, champion),
        likeness=luminance_ssim(challenger, champion),
        scores=scores,
        pictures=tuple(_jpeg(small[who]) for who in ("before", *WHO)),
    )


def small_copy(photo: Photo) -> np.ndarray:
    """A photo's first frame for measuring, uint8 H×W×3."""
    image = to_image(*photo.encoded(8)).convert("RGB")
    image.thumbnail((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _jpeg(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    return encode_photo(image, "JPEG", quality=80)


class Comparison:
    """All cases of a shadow run; pictures of the worst `SHOWN` alone are kept."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._worst: list[tuple[float, int, Case]] = []

    def add(self, case: Case) -> None:
        self.records.append(case.record())
        if case.status == OK:
            heapq.heappush(self._worst, (case.difference, len(self.records), case))
            if len(self._worst) > SHOWN:
                heapq.heappop(self._worst)

    def worst(self) -> list[Case]:
        """The largest differences first; of equal ones, in the order of keys."""
        return sorted((case for _, _, case in self._worst), key=lambda case: (-case.difference, case.key, case.style))

    def cases(self) -> list[dict[str, Any]]:
        """Every case without pictures: the largest differences first, then those that failed."""
        return sorted(self.records, key=lambda one: (one["status"] != OK, -one["difference"], one["key"], one["style"]))

    def summary(self) -> dict[str, float]:
        """Numbers of the whole: difference.mean, .median, .p95, .worst, seen (the share of cases whose difference is
        seen), and each measure's mean, as champion.edges."""
        good = [one for one in self.records if one["status"] == OK]
        if not good:
            return {}
        apart = np.array([one["difference"] for one in good])
        found = {
            "difference.mean": apart.mean(),
            "difference.median": np.median(apart),
            "difference.p95": np.quantile(apart, 0.95),
            "difference.worst": apart.max(),
            "likeness.mean": np.mean([one["likeness"] for one in good]),
            "seen": np.mean(apart > JUST_SEEN),
        }
        for who in WHO:
            for name in MEASURES:
                found[f"{who}.{name}"] = np.mean([one["scores"][who][name] for one in good])
        return {name: round(float(value), 6) for name, value in found.items()}

    def status(self) -> dict[str, int]:
        """Status → how many cases ended so."""
        return dict(sorted(Counter(one["status"] for one in self.records).items()))
