"""What a clip costs: seconds of decoding, of looks and of encoding, and the memory of a short and a long one.
Run: python -m benchmarks.clips [--size 1920x1080] [--frames 96] [--memory 10,600] [--model vgg]

A camera pans over a photo (H.264, 25 frames a second). Each part is run by itself over the same frames: decoding, to
RGB, through a held look and back to the encoder's format, encoding; then both passes of `pcakd stylize-video` as they
come. CPU seconds of all threads and wall seconds a frame; on a machine with other work only the former say much.

Memory is the peak of a whole `pcakd stylize-video` process on small clips (320×180) of so many seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from skimage import data

from pcakd import Stylizer
from pcakd.stylize.clips.run import plan_clip, stylize_clip
from pcakd.stylize.engine.memory import keep_freed_memory
from pcakd.stylize.options import StylizeOptions
from pcakd.video.clip import frames_of, open_clip
from pcakd.video.codecs import choose_writing
from pcakd.video.colours import FrameColours
from pcakd.video.options import VideoOptions
from pcakd.video.segments import encode_segment

PRESET = {"preset": "veryfast", "crf": "20"}


def panned(path: Path, width: int, height: int, frames: int) -> Path:
    """A clip of that size: a camera that goes to and fro over a photo."""
    photo = cv2.resize(data.coffee(), (width * 5 // 4, height * 5 // 4), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.options = PRESET
        for number in range(frames):
            left, top = ((1 - np.cos(number / period)) / 2 for period in (40, 70))
            x, y = int(left * (photo.shape[1] - width)), int(top * (photo.shape[0] - height))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(photo[y : y + height, x : x + width]), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def speed(stylizer: Stylizer, style: Any, path: Path, frames: int) -> Iterator[str]:
    """Lines of a table."""
    clip, options, video = open_clip(path), StylizeOptions(), VideoOptions()
    target = path.with_name("out.mp4")
    writing = choose_writing(clip, target, video)
    plan = plan_clip(stylizer, clip, style, options, video)
    colours = FrameColours(clip.tags, clip.height, deep=clip.deep)
    look = plan.courses[0].looks[0]
    kept = [timed.frame for timed in list(frames_of(clip))[:8]]
    pictures = [colours.rgb(frame) for frame in kept]
    made = [look.apply(rgb) for rgb in pictures]
    ready = [colours.frame(rgb, writing.pixels) for rgb in made]
    step = round(1 / (clip.rate * clip.time_base))

    def encode() -> None:
        def timed() -> Iterator[av.VideoFrame]:
            for number in range(frames):
                frame = ready[min(number % 14, 14 - number % 14)]
                frame.pts, frame.duration = number * step, step
                yield frame

        for _ in encode_segment(clip, writing, timed()):
            pass

    def over(work: Callable[[int], Any]) -> Callable[[], Any]:
        return lambda: [work(number % 8) for number in range(frames)] and None

    parts: dict[str, Callable[[], Any]] = {
        "decode": lambda: sum(1 for _ in frames_of(clip)),
        "to RGB": over(lambda number: colours.rgb(kept[number])),
        "look": over(lambda number: look.apply(pictures[number], out=made[number])),
        "from RGB": over(lambda number: colours.frame(made[number], writing.pixels)),
        "encode": encode,
        "first pass: decode, shots, looks": lambda: plan_clip(stylizer, clip, style, options, video),
        "all, both passes": lambda: stylize_clip(stylizer, path, target, style, options, video),
    }
    yield "| part | CPU ms a frame | wall ms a frame | frames a second |"
    yield "| --- | ---: | ---: | ---: |"
    for name, work in parts.items():
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpu, wall = (time.process_time() - cpu) / frames, (time.perf_counter() - wall) / frames
        yield f"| {name} | {1000 * cpu:.1f} | {1000 * wall:.1f} | {1 / wall:.1f} |"


def peak(path: Path, style: Path, model: str) -> tuple[float, float]:
    """(MB at most, CPU seconds) of a whole command."""
    words = ["stylize-video", path, "--style", style, "--model", model, "--out", path.with_name("long.mp4")]
    process = subprocess.Popen([sys.executable, "-m", "flows.cli", *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"pcakd stylize-video ended with {process.returncode}")
    return usage.ru_maxrss / 1000, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--memory", default="10,600", help="seconds of clips, empty for none")
    parser.add_argument("--model", default="vgg")
    args = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        style = folder / "style.png"
        cv2.imwrite(str(style), cv2.cvtColor(data.rocket(), cv2.COLOR_RGB2BGR))
        if args.frames:
            width, height = map(int, args.size.split("x"))
            stylizer = Stylizer.load(args.model, device="cpu")
            known = stylizer.style(style, render="look")
            for line in speed(stylizer, known, panned(folder / "clip.mp4", width, height, args.frames), args.frames):
                print(line, flush=True)
        for seconds in filter(None, args.memory.split(",")):
            megabytes, cpu = peak(panned(folder / "memory.mp4", 320, 180, 25 * int(seconds)), style, args.model)
            print(f"{seconds} s of 320×180: at most {megabytes:,.0f} MB, {cpu:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
