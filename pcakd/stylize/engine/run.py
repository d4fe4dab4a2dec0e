"""Style transfer of one photo: encode, match the statistics level by level, decode."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.checks import one_of
from pcakd.errors import UsageError
from pcakd.student.network import LEVELS, Student
from pcakd.stylize.engine.folding import Network
from pcakd.stylize.engine.memory import BASE, LARGE, STRIP_BYTES, choose_stored, default_limit, return_freed_memory
from pcakd.stylize.engine.moments import PixelMoments, moments, sum_moments
from pcakd.stylize.engine.precision import PRECISIONS, Precision, full_float32, precisions
from pcakd.stylize.engine.regions import Matched, Regions, padded_weights
from pcakd.stylize.engine.rows import WHITE, PhotoRows, Rows, Stored
from pcakd.stylize.masks import Mask
from pcakd.stylize.strips import cut, map_strips, single_threaded, strips_at_once
from pcakd.stylize.style import Style
from pcakd.stylize.transforms import AffineMap, Statistics, Transform, transform_map

T = TypeVar("T")

MIN_LIMIT = 640 << 20
"""Smallest memory limit: PyTorch itself takes most of it."""


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How the engine computes; the result is the same but for the precision's rounding."""

    precision: Precision = "fp32"
    """"fp32", "bf16" or "auto" (see `pcakd.stylize.engine.precision`)."""
    memory_limit: int | None = None
    """Bytes that the process (on a GPU: the features on it) should stay below; None picks by device.
    Features that do not fit are computed again: slower, same result. Very large photos in little memory can
    exceed it: the decoded photo and its result must fit."""

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        if self.memory_limit is not None and self.memory_limit < MIN_LIMIT:
            raise UsageError(
                f"memory limit is {self.memory_limit >> 20} MiB: give {MIN_LIMIT >> 20} MiB or more, "
                "PyTorch itself takes most of that"
            )


_TIDY_EVERY = 16
"""Strips of a large photo after which freed memory goes back to the kernel: threads' heaps grow by a gigabyte
within one pass over a 16K photo otherwise, in pieces between tensors of many sizes."""

Maps = Callable[[int, Rows, list[Statistics]], tuple[Rows, AffineMap | None]]
"""A level, its features and their statistics (whole photo, then regions) → features, and a map still to be applied."""

Sink = Callable[[int, Tensor], None]
"""Takes the first row's number and rows 1×3×h×W of the result, unclipped."""


@dataclass
class SharedFeatures:
    """A small photo's features of all levels, which the first call leaves for the next ones with the same student,
    photo and settings."""

    levels: list[Rows] = field(default_factory=list)


class _Run:
    """One photo's way through the network on one device."""

    def __init__(
        self,
        student: Student,
        photo: Tensor,
        settings: EngineSettings,
        share: float,
        visible: Tensor | None = None,
        shared: SharedFeatures | None = None,
    ) -> None:
        self.device = _device(student)
        self.shared = shared
        self.network = Network(student, precisions(settings.precision, self.device, student.spec.backbone))
        self.photo = PhotoRows(photo, student.spec.multiple, self.device)
        self._visible = None if visible is None else padded_weights(visible[None, None], self.photo)
        self.large = self.device.type == "cpu" and self.photo.height * self.photo.width >= LARGE
        if self.large:
            return_freed_memory()
        budget = int(self._budget(settings) * share)
        self.strip_bytes = STRIP_BYTES if self.device.type == "cpu" else max(STRIP_BYTES, budget // 16)
        features: Rows = self.photo
        sizes = {}
        for level in range(LEVELS):
            features = self.network.encode_block(level, features)
            size = features.height * features.width * features.channels * features.dtype.itemsize
            sizes[f"l{level}"] = size
            sizes[f"x{level}"] = size
        for level in range(LEVELS - 1):
            itemsize = self.network.precisions.decoder[level + 1].itemsize
            sizes[f"x{level}"] = sizes[f"x{level}"] // self.network.precisions.encoder[level].itemsize * itemsize
        self.stored = choose_stored(sizes, budget)

    def _budget(self, settings: EngineSettings) -> int:
        """Bytes for stored features."""
        height, width = self.photo.size
        if self.device.type != "cpu":
            free, _ = torch.cuda.mem_get_info(self.device)
            return min(settings.memory_limit or free, free) * 3 // 4
        limit = settings.memory_limit or default_limit(height * width)
        working = min(strips_at_once() * 6 * STRIP_BYTES, limit // 4)
        pixel = 18 if self.photo.deep else 6  # of the photo and its result
        return limit - BASE - working - pixel * height * width

    def compute(
        self, source: Rows, *, store: float, weights: Tensor | None = None, statistics: bool = True
    ) -> tuple[Rows, list[Statistics]]:
        """Store a share of the source's rows, or gather its statistics, or both, in one pass over its strips.

        weights: 1×R×H×W of regions. Statistics: of the whole, then of each region, weighed by what is visible.
        """
        visible = self._pooled_visible(source) if statistics else None
        if visible is not None and weights is not None:
            weights = weights * visible
        stored = Stored(source, store) if store > 0 else None

        def strip(start: int, stop: int) -> list[PixelMoments]:
            rows = source.rows(start, stop)
            if stored is not None:
                stored.write(start, rows)
            if not statistics:
                return []
            regions = [] if weights is None else weights[:, :, start:stop].split(1, dim=1)
            whole = None if visible is None else visible[:, :, start:stop]
            return [moments(rows, whole), *(moments(rows, region) for region in regions)]

        parts = self._map(strip, source)
        found = [sum_moments(list(column)).statistics() for column in zip(*parts, strict=True)]
        return stored or source, found

    def _pooled_visible(self, source: Rows) -> Tensor | None:
        """How much each pixel of a level is seen, 1×1×height×width; None where all are."""
        if self._visible is None:
            return None
        return F.adaptive_avg_pool2d(self._visible, (source.height, source.width))

    def _map(self, work: Callable[[int, int], T], source: Rows) -> list[T]:
        """work(start, stop) of every strip of a source."""
        strips = self.strips(source)
        if not self.large:
            return map_strips(work, strips, self.device)
        every = {start for start, _ in strips[_TIDY_EVERY - 1 :: _TIDY_EVERY]}

        def tidied(start: int, stop: int) -> T:
            result = work(start, stop)
            if start in every:
                return_freed_memory()
            return result

        return map_strips(tidied, strips, self.device)

    def strips(self, source: Rows) -> list[tuple[int, int]]:
        """Strips of a source: of the photo's own width, so that its inner features are counted, too."""
        row_bytes = source.width * 2 * max(source.channels, 16) * 4
        return cut(source.height, max(self.strip_bytes // row_bytes, 4), least=2)

    def features(self) -> list[Rows]:
        """Features of level 0..3, stored as planned, or all of them where further calls want them; without
        statistics."""
        if self.shared is not None and self.shared.levels:
            return list(self.shared.levels)
        shares = {level: self.stored[f"l{level}"] for level in (1, 2)}
        if self.shared is not None:
            shares = dict.fromkeys(range(LEVELS), 1.0)
        features: list[Rows] = []
        source: Rows = self.photo
        for level in range(LEVELS):
            source = self.network.encode_block(level, source)
            if (share := shares.get(level, 0.0)) > 0:
                source, _ = self.compute(source, store=share, statistics=False)
            features.append(source)
        if self.shared is not None:
            self.shared.levels = list(features)
        return features

    def decode(self, maps: Maps | None, regions: Regions | None, sink: Sink) -> None:
        """Encode and decode the photo; `maps` turns a level's statistics into what is done with its features."""
        features = self.features()
        x = features[-1]
        for level in reversed(range(LEVELS)):
            name = f"x{level}" if level < LEVELS - 1 else f"l{level}"
            weights = None if regions is None else regions.pooled(x.height, x.width)
            store = self.stored[name]
            found: list[Statistics] = []
            if store > 0 or maps is not None:
                x, found = self.compute(x, store=store, weights=weights, statistics=maps is not None)
            before: AffineMap | None = None
            if maps is not None:
                with single_threaded():
                    x, before = maps(level, x, found)
            x = self.network.decode_block(level, x, features[level - 1] if level else self.photo, before)
            if level:
                features.pop()  # this level's features are not needed again
        height, _ = self.photo.size

        def strip(start: int, stop: int) -> None:
            stop = min(stop, height)
            if start < stop:
                sink(start, x.rows(start, stop)[..., : self.photo.size[1]])

        self._map(strip, x)


def encode_statistics(
    student: Student,
    photo: Tensor,
    weight: Tensor | None = None,
    *,
    settings: EngineSettings | None = None,
    shared: SharedFeatures | None = None,
) -> tuple[Statistics, ...]:
    """Statistics of every level of a photo, float 1×3×H×W in [0, 1] or uint8 H×W×3.

    weight: 1×1×H×W of a region, 0 or more, or None for the whole photo. shared: as for `transfer`.
    """

    def encode(run: _Run) -> tuple[Statistics, ...]:
        regions = None if weight is None else Regions(weight, [], run.photo)
        levels = []
        source: Rows = run.photo
        known = None if shared is None else run.features()
        for level in range(LEVELS):
            if known is None:
                source, store = run.network.encode_block(level, source), run.stored.get(f"l{level}", 0.0)
            else:
                source, store = known[level], 0.0
            weights = None if regions is None else regions.pooled(source.height, source.width)
            source, found = run.compute(source, store=store, weights=weights)
            levels.append(found[-1])
        return tuple(levels)

    return _attempt(student, photo, settings, encode, shared=shared)


def encode_features(
    student: Student, photo: Tensor, levels: Collection[int], *, settings: EngineSettings | None = None
) -> list[Tensor]:
    """Features of some levels of a small photo, float 1×3×H×W in [0, 1] or uint8 H×W×3, from the lowest up, each whole:
    1×C×h×w of the level's size, in the precision that the level is computed in."""

    def encode(run: _Run) -> list[Tensor]:
        features = []
        source: Rows = run.photo
        for level in range(max(levels) + 1):
            source, _ = run.compute(run.network.encode_block(level, source), store=1.0, statistics=False)
            if level in levels:
                features.append(source.rows(0, source.height))
        return features

    return _attempt(student, photo, settings, encode)


def transfer(student: Student, content: Tensor, style: Style, **options) -> Tensor:
    """Content photo, float 1×3×H×W in [0, 1] or uint8 H×W×3, with the style's statistics: 1×3×H×W in [0, 1].

    Options as for `transfer_pixels`, but rounding. shared: the photo's features, of an earlier call or for later ones.
    """
    out = torch.empty(1, 3, *_size(content), device=_device(student))

    def sink(start: int, rows: Tensor) -> None:
        torch.clamp(rows.float(), 0, 1, out=out[:, :, start : start + rows.shape[2]])

    _transfer(student, content, style, sink, **options)
    return out


def transfer_pixels(student: Student, content: Tensor, style: Style, *, truncate: bool = True, **options) -> Tensor:
    """Content photo with the style's statistics as uint8 H×W×3 on the CPU; of deep photos (uint16) as float32 0..255.

    truncate: cut to whole grey levels, as the guided filter of the released demo takes it; else round.

    Options: transform ("zca"), balance (1.0), strength (1.0), content_mask, region_styles, visible, settings. visible:
    float H×W in 0..1, how much each pixel counts in statistics. Regions of `content_mask` whose label is in
    `region_styles` are matched, each by itself, to that style; the rest is matched as a whole to `style`.
    """
    deep = content.dtype == torch.uint16
    out = torch.empty(*_size(content), 3, dtype=torch.float32 if deep else torch.uint8)

    def sink(start: int, rows: Tensor) -> None:
        levels = rows.float().clamp_(0, 1).mul_(255)
        levels = levels if truncate or deep else levels.round_()
        out[start : start + rows.shape[2]] = levels[0].permute(1, 2, 0).to(out.dtype)

    _transfer(student, content, style, sink, **options)
    return out


def _transfer(
    student: Student,
    content: Tensor,
    style: Style,
    sink: Sink,
    *,
    transform: Transform = "zca",
    balance: float = 1.0,
    strength: float = 1.0,
    content_mask: Mask | None = None,
    region_styles: Mapping[str, Style] | None = None,
    visible: Tensor | None = None,
    settings: EngineSettings | None = None,
    shared: SharedFeatures | None = None,
) -> None:
    def decode(run: _Run) -> None:
        regions = Regions.of(content_mask, region_styles, run.photo) if strength > 0 else None

        def maps(level: int, x: Rows, found: list[Statistics]) -> tuple[Rows, AffineMap | None]:
            whole = transform_map(transform, found[0], style.levels[level], balance=balance).blend(strength)
            if regions is None:
                return x, whole
            own = [
                transform_map(transform, statistics, region.levels[level], balance=balance).blend(strength)
                for statistics, region in zip(found[1:], regions.styles, strict=True)
            ]
            return Matched(x, whole, own, regions.pooled(x.height, x.width)), None

        run.decode(maps if strength > 0 else None, regions, sink)

    _attempt(student, content, settings, decode, visible, shared)


def reconstruct(student: Student, photo: Tensor, *, settings: EngineSettings | None = None) -> Tensor:
    """The photo 1×3×H×W in [0, 1] through encoder and decoder without any transfer, clipped to [0, 1]."""
    out = torch.empty(1, 3, *_size(photo), device=_device(student))

    def sink(start: int, rows: Tensor) -> None:
        torch.clamp(rows.float(), 0, 1, out=out[:, :, start : start + rows.shape[2]])

    _attempt(student, photo, settings, lambda run: run.decode(None, None, sink))
    return out


def _attempt(
    student: Student,
    photo: Tensor,
    settings: EngineSettings | None,
    work: Callable[[_Run], T],
    visible: Tensor | None = None,
    shared: SharedFeatures | None = None,
) -> T:
    """work(run); where a GPU runs out of memory, again with a quarter of it, three times."""
    share = 1.0
    while True:
        try:
            with torch.inference_mode(), full_float32():
                return work(_Run(student, photo, settings or EngineSettings(), share, visible, shared))
        except torch.OutOfMemoryError:
            if share < 1 / 60:
                raise
        share /= 4
        torch.cuda.empty_cache()


def _size(photo: Tensor) -> tuple[int, int]:
    height, width = photo.shape[:2] if photo.dtype in WHITE else photo.shape[-2:]
    return height, width


def _device(student: Student) -> torch.device:
    return next(student.parameters()).device


def photo_tensor(rgb: Tensor, device: torch.device) -> Tensor:
    """uint8 H×W×3 → float32 1×3×H×W in [0, 1] on the device."""
    return rgb.to(device).permute(2, 0, 1)[None].float() / 255
