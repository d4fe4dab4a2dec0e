"""Does a stylized clip flicker more than its source, and what does holding a look cost the style?
Run: python -m benchmarks.flicker [--style PHOTO]… [--model vgg] [--frames 48] [--noise 2] [--follow 1]

Clips are made here of real photos (384×256, 25 frames a second, with noise, as H.264): a pan, light that falls and
warms, things that move before a still background, a cut; and the animation that scikit-image ships. Each is stylized
with a held look, with one that follows, and frame by frame, by a look of each frame's own and by the full path. Numbers
are means over styles: photos that scikit-image ships (astronaut, rocket, cat), where none are given.

- Warping error: optical flow of the source (OpenCV's DIS) carries each frame to the next; the root mean square of what
  differs, in levels of 255, where nothing is hidden: flows there and back agree, and no edge of a motion is near. No
  pair lies across a cut. "÷ source" is beside the source's own by the same flow; "÷ gain" that again beside how much
  stronger the result shows small differences between neighbours: noise grows with a style's contrast, flicker does not.
- Drift: the mean colour of what stands still, its standard deviation over the frames of a shot, in levels.
- ΔE to own: mean CIEDE2000 between a result and that by each frame's own look.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import av
import cv2
import numpy as np
from skimage import data

from pcakd import Stylizer
from pcakd.evaluation.metrics import ciede2000
from pcakd.photos.images import Photo, read_photo
from pcakd.stylize.engine.memory import keep_freed_memory
from pcakd.stylize.options import StylizeOptions
from pcakd.video.clip import frames_of, open_clip
from pcakd.video.colours import FrameColours

WIDTH, HEIGHT = 384, 256
SMALL = 12
"""Levels."""
Frames = list[np.ndarray]
"""uint8 H×W×3 each."""


@dataclass(frozen=True)
class Moving:
    """A clip. cuts: numbers of the frames that begin a shot; still: what never moves, bool H×W, or None."""

    name: str
    frames: Frames
    cuts: tuple[int, ...] = ()
    still: np.ndarray | None = None

    def shots(self) -> Iterator[slice]:
        ends = [0, *self.cuts, len(self.frames)]
        yield from (slice(start, stop) for start, stop in pairwise(ends))


def camera(photo: np.ndarray, frames: int, speed: float = 1.7, zoom: float = 0.15) -> Frames:
    """A camera that pans over a photo and comes nearer, by parts of a pixel."""
    found = []
    room = min(photo.shape[1] / WIDTH, photo.shape[0] / HEIGHT)
    for number in range(frames):
        scale = min(1.0, room) * (1 - zoom * number / frames)
        left = min(speed * number, photo.shape[1] - WIDTH * scale)
        matrix = np.array([[scale, 0, left], [0, scale, (photo.shape[0] - HEIGHT * scale) / 2]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        found.append(cv2.warpAffine(photo, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT))
    return found


def dusk(frames: Frames) -> Frames:
    """Light that falls to 40 % and warms."""
    ends = np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.38, 0.26])
    shares = np.linspace(0, 1, len(frames))
    return [
        (frame * ((1 - s) * ends[0] + s * ends[1])).round().astype(np.uint8)
        for frame, s in zip(frames, shares, strict=True)
    ]


def passers(background: np.ndarray, cloth: np.ndarray, frames: int) -> tuple[Frames, np.ndarray]:
    """Figures in the colours of another photo that walk before a still background; (frames, where nobody walks)."""
    scene = cv2.resize(background, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    found, walked = [], np.zeros((HEIGHT, WIDTH), bool)
    for number in range(frames):
        frame = scene.copy()
        for who, (start, speed, top) in enumerate(((-30, 4.3, 90), (420, -3.1, 110), (150, 1.6, 70))):
            body = np.zeros((HEIGHT, WIDTH), np.uint8)
            middle = start + speed * number
            cv2.ellipse(
                body, (round(16 * middle), 16 * (top + 70)), (16 * 22, 16 * 60), 0, 0, 360, 255, -1, cv2.LINE_AA, 4
            )
            cv2.circle(body, (round(16 * middle), 16 * top), 16 * 14, 255, -1, cv2.LINE_AA, 4)
            shift = np.array([[1, 0, middle - 200], [0, 1, -30.0 * who]])
            dress = cv2.warpAffine(cloth, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
            share = body[..., None] / 255.0
            frame = (frame * (1 - share) + dress * share).round().astype(np.uint8)
            walked |= body > 0
        found.append(frame)
    return found, ~walked


def clips(frames: int, noise: float) -> Iterator[Moving]:
    """The clips of the table."""
    china, flower, coffee = (_photo(name) for name in ("china.jpg", "flower.jpg", "coffee"))
    walking, still = passers(china, coffee, frames)
    half = frames // 2
    yield Moving("pan", _noisy(camera(china, frames), noise))
    yield Moving("light", _noisy(dusk(camera(flower, frames, speed=0.8)), noise))
    yield Moving("people", _noisy(walking, noise), still=still)
    both = camera(china, half) + camera(flower, frames - half)
    yield Moving("cut", _noisy(both, noise), cuts=(half,))
    with av.open(str(Path(data.data_dir) / "no_time_for_that_tiny.gif")) as clip:
        yield Moving("animation", [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])


def _photo(name: str) -> np.ndarray:
    if name == "coffee":
        return data.coffee()
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image(name))


def _noisy(frames: Frames, sigma: float) -> Frames:
    random = np.random.default_rng(0)
    return [
        (frame + random.normal(0, sigma, frame.shape)).round().clip(0, 255).astype(np.uint8) if sigma else frame
        for frame in frames
    ]


@dataclass(frozen=True)
class Flow:
    """How a frame goes over into the next. back: float32 H×W×2, where each pixel of the next was; seen: bool H×W."""

    back: np.ndarray
    seen: np.ndarray

    @classmethod
    def between(cls, frame: np.ndarray, following: np.ndarray) -> "Flow":
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (frame, following)]
        there, back = dis.calc(grey[0], grey[1], None), dis.calc(grey[1], grey[0], None)  # type: ignore[call-overload]
        returned = back + _carried(there, back)
        lengths = (back**2).sum(-1) + (_carried(there, back) ** 2).sum(-1)
        agrees = (returned**2).sum(-1) < 0.01 * lengths + 0.5
        slopes = sum((np.stack(np.gradient(back[..., axis])) ** 2).sum(0) for axis in (0, 1))
        smooth = slopes < 0.01 * (back**2).sum(-1) + 0.002
        y, x = np.mgrid[: back.shape[0], : back.shape[1]].astype(np.float32)
        x, y = x + back[..., 0], y + back[..., 1]
        inside = (x >= 0) & (y >= 0) & (x <= back.shape[1] - 1) & (y <= back.shape[0] - 1)
        return cls(back, agrees & smooth & inside)

    def error(self, frame: np.ndarray, following: np.ndarray) -> float:
        """Root mean square of what differs, levels."""
        moved = _carried(frame.astype(np.float32), self.back)
        return float(np.sqrt(((moved - following)[self.seen] ** 2).mean()))


def _carried(values: np.ndarray, back: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: back.shape[0], : back.shape[1]].astype(np.float32)
    return cv2.remap(values, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def flows(clip: Moving) -> dict[int, Flow]:
    """Number of a frame → its flow into the next, within shots."""
    numbers = [number for shot in clip.shots() for number in range(shot.start, shot.stop - 1)]
    return {number: Flow.between(clip.frames[number], clip.frames[number + 1]) for number in numbers}


def warping_error(frames: Frames, known: dict[int, Flow]) -> float:
    """Mean over pairs of frames, levels."""
    return fmean(flow.error(frames[number], frames[number + 1]) for number, flow in known.items())


def drift(frames: Frames, clip: Moving) -> list[float]:
    """Standard deviation of the mean colour of what stands still, levels, of the worst channel; none if all moves."""
    if clip.still is None:
        return []
    return [float(np.std([frame[clip.still].mean(0) for frame in frames], axis=0).max())]


def gain(frames: Frames, source: Frames) -> float:
    """How much stronger neighbours differ in a result than in the source, root mean square, where they differ by less
    than `SMALL` there: what differences of the size of noise grow by."""
    before, after = 0.0, 0.0
    for own, made in list(zip(source, frames, strict=True))[:: max(1, len(frames) // 8)]:
        for axis in (0, 1):
            steps, grown = (np.diff(frame.astype(np.float32), axis=axis) for frame in (own, made))
            small = np.abs(steps).max(-1) < SMALL
            before, after = before + float((steps[small] ** 2).sum()), after + float((grown[small] ** 2).sum())
    return float(np.sqrt(after / before))


def filmed(clip: Moving, path: Path) -> Moving:
    """The clip as a camera leaves it, H.264 in 4:2:0, written to a file: its frames are those that are decoded."""
    height, width = (side // 2 * 2 for side in clip.frames[0].shape[:2])
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", 25)
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.codec_context.options = "yuv420p", {"crf": "16"}
        for number, picture in enumerate(clip.frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    found = open_clip(path)
    colours = FrameColours(found.tags, found.height, deep=found.deep)
    return replace(clip, frames=[colours.rgb(timed.frame) for timed in frames_of(found)])


Way = Callable[[Moving, Path], Frames]
"""What makes frames of a clip and its file."""
OWN = "own look of each frame"
IGNORED = "held look, light ignored"


def ways(stylizer: Stylizer, style: np.ndarray, follow: float) -> dict[str, Way]:
    """Name → way, in one style."""
    photo, every_pixel = Photo(rgb=style), StylizeOptions(render="full")
    by_look, full = stylizer.style(photo, render="look"), stylizer.style(photo, render="full")

    def held(clip: Moving, path: Path, **video: Any) -> Frames:
        return [frame.rgb for frame in stylizer.video(path, by_look, **video)]

    return {
        "held look": held,
        IGNORED: lambda clip, path: held(clip, path, light="ignore"),
        f"look that follows, {follow:g} s": lambda clip, path: held(clip, path, follow=follow),
        OWN: lambda clip, path: [stylizer.look(rgb, by_look).apply(rgb) for rgb in clip.frames],
        "full path, frame by frame": lambda clip, path: [
            stylizer.render(Photo(rgb=rgb), full, every_pixel).rgb for rgb in clip.frames
        ],
    }


@dataclass
class Row:
    """A way on a clip, a number a style each; the source has one error alone."""

    clip: str
    way: str
    error: list[float]
    over: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)

    def line(self) -> str:
        """Of the table: means, of the shares the worst, too."""
        shares = [f"{fmean(one):.3f} ({max(one):.3f})" if one else "" for one in (self.over, self.plain)]
        drift = f"{fmean(self.drift):.3f}" if self.drift else ""
        apart = f"{fmean(self.apart):.2f}" if self.apart else ""
        return f"| {self.clip} | {self.way} | {fmean(self.error):.2f} | {' | '.join(shares)} | {drift} | {apart} |"


def measured(clip: Moving, styles: list[dict[str, Way]], folder: Path) -> Iterator[Row]:
    """A row for the source, then for each way."""
    path = folder / f"{clip.name}.mp4"
    clip = filmed(clip, path)
    known = flows(clip)
    source = warping_error(clip.frames, known)
    yield Row(clip.name, "source", [source], drift=drift(clip.frames, clip))
    rows = {name: Row(clip.name, name, []) for name in styles[0]}
    for named in styles:
        results = {name: way(clip, path) for name, way in named.items()}
        for name, frames in results.items():
            row, error = rows[name], warping_error(frames, known)
            row.error.append(error)
            row.over.append(error / source)
            row.plain.append(error / source / gain(frames, clip.frames))
            row.drift += drift(frames, clip)
            row.apart.append(fmean(map(ciede2000, frames[::6], results[OWN][::6])))
    yield from rows.values()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", type=Path, action="append", help="style photo; again for more")
    parser.add_argument("--model", default="vgg")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--clip", action="append", help="only this one; again for more")
    parser.add_argument("--noise", type=float, default=2.0, help="standard deviation, levels")
    parser.add_argument("--follow", type=float, default=1.0, help="seconds")
    args = parser.parse_args()
    keep_freed_memory()
    photos = [read_photo(path).rgb for path in args.style or ()] or [data.astronaut(), data.rocket(), data.chelsea()]
    stylizer = Stylizer.load(args.model, device="cpu")
    styles = [ways(stylizer, np.ascontiguousarray(photo), args.follow) for photo in photos]
    print("| clip | way | warping error | ÷ source (worst) | ÷ gain (worst) | drift | ΔE to own |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips(args.frames, args.noise):
            if args.clip and clip.name not in args.clip:
                continue
            for row in measured(clip, styles, Path(folder)):
                print(row.line(), flush=True)


if __name__ == "__main__":
    main()
