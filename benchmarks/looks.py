"""Looks against every pixel through the student, and both against the strongest plain baseline.
Run: make bench, or python -m benchmarks.looks

One photo from JPEG to JPEG (a seeded picture, quality 95), by turns in one process: "look" and "full" are what
`pcakd stylize` runs with that --render, "plain" is benchmarks/plain.py. The style is a photo of the content's size;
"fresh" counts its decoding and statistics, "cached" does not. Medians over turns, the first not counted; factors are
medians of the turns' own. Wall and CPU seconds (all threads): on a machine that others use only the latter say much.

Each allocator is a process of its own: "kept" is glibc as `pcakd` sets it, "glibc" as it comes, "jemalloc" returns
nothing (Ray's own library, or PCAKD_JEMALLOC=FILE).

    --sizes 1280x720,…   --turns 3   --model vgg   --allocators kept,jemalloc   --plain-up-to 3840x2160
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SIZES = "1280x720,1920x1080,3840x2160,7680x4320"
ALLOCATORS = ("kept", "glibc", "jemalloc")
STEPS = ("decode", "style", "network", "slice", "filter", "encode")


class Turn:
    """Wall and CPU seconds of a turn's steps."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.wall[step], self.cpu[step] = time.perf_counter() - wall, time.process_time() - cpu
        return result

    def total(self, kind: str, cached: bool) -> float:
        return sum(seconds for step, seconds in getattr(self, kind).items() if not (cached and step == "style"))


def run_ours(stylizer, render: str, content: bytes, style: bytes, timed: Turn) -> bytes:
    from pcakd.photos.images import read_photo
    from pcakd.photos.write import encode
    from pcakd.stylize.options import StylizeOptions

    options = StylizeOptions(render=render)  # type: ignore[arg-type]
    photo = timed("decode", lambda: read_photo(content))
    known = timed("style", lambda: stylizer.style(read_photo(style), render=render))
    if render == "look":
        look = timed("network", lambda: stylizer.look(photo, known, options))
        result = timed("slice", lambda: stylizer.apply(look, photo, overwrite=True))
    else:
        result = timed("network", lambda: stylizer.render(photo, known, options))
    return timed("encode", lambda: encode(result, "JPEG").data)


def measure(model: str, sizes: list[str], turns: int, plain_up_to: str, allocator: str) -> None:
    """Print one line of JSON a size."""
    import torch

    from benchmarks import plain
    from benchmarks.performance import picture
    from pcakd.stylize.engine.memory import keep_freed_memory
    from pcakd.stylize.look.slicing import load_kernel
    from pcakd.stylize.stylizer import Stylizer

    if allocator == "kept":
        keep_freed_memory()
    load_kernel()
    stylizer = Stylizer.load(model, device="cpu")
    for size in sizes:
        width, height = map(int, size.split("x"))
        photos = picture(width, height, 0), picture(width, height, 1)
        paths: dict[str, Callable[[Turn], bytes]] = {
            "look": partial(run_ours, stylizer, "look", *photos),
            "full": partial(run_ours, stylizer, "full", *photos),
        }
        if width * height <= np.prod([int(side) for side in plain_up_to.split("x")]) and find_spec("cv2"):
            paths["plain"] = partial(plain.run, stylizer.student, *photos)
        found: dict[str, list[Turn]] = {name: [] for name in paths}
        for number in range(turns + 1):
            for name, run in paths.items():
                turn = Turn()
                run(turn)
                if number or not turns:
                    found[name].append(turn)
        record: dict[str, Any] = {
            "size": size,
            "allocator": allocator,
            "threads": torch.get_num_threads(),
            "load": os.getloadavg()[0],
        }
        for name, all_turns in found.items():
            record[name] = {
                kind: {
                    step: float(np.median([getattr(t, kind)[step] for t in all_turns]))
                    for step in STEPS
                    if step in all_turns[0].cpu
                }
                for kind in ("wall", "cpu")
            }
            if name != "look":
                pairs = list(zip(found["look"], all_turns, strict=True))
                record[name]["factor"] = {
                    f"{kind}, {word}": float(
                        np.median([t.total(kind, cached) / look.total(kind, cached) for look, t in pairs])
                    )
                    for kind in ("wall", "cpu")
                    for word, cached in (("fresh", False), ("cached", True))
                }
        print(json.dumps(record), flush=True)


def environment(allocator: str) -> dict[str, str] | None:
    """Variables of a process with an allocator; None where its library is not there."""
    if allocator != "jemalloc":
        return {}
    spec = find_spec("ray")
    beside = Path(spec.origin).parent / "core" / "libjemalloc.so" if spec and spec.origin else Path("none")
    library = Path(os.environ.get("PCAKD_JEMALLOC", beside))
    if not library.exists():
        return None
    return {"LD_PRELOAD": str(library), "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vgg")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--allocators", default="kept,jemalloc", help=", ".join(ALLOCATORS))
    parser.add_argument("--plain-up-to", default="3840x2160", help="larger sizes run without the baseline")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/looks.jsonl"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sizes = arguments.sizes.split(",")
        measure(arguments.model, sizes, arguments.turns, arguments.plain_up_to, arguments.inside)
        return
    if not find_spec("cv2"):
        print("no plain baseline: pip install opencv-contrib-python-headless", file=sys.stderr)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for allocator in arguments.allocators.split(","):
        variables = environment(allocator)
        if variables is None:
            print(f"{allocator}: its library is not here; left out", file=sys.stderr)
            continue
        command = [sys.executable, "-m", "benchmarks.looks", *sys.argv[1:], "--inside", allocator]
        with subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                show(json.loads(line))
                lines.append(line)
        if process.returncode:
            sys.exit(process.returncode)
        arguments.out.write_text("".join(lines))


def show(record: dict[str, Any]) -> None:
    """One size of one allocator, for people."""
    print(f"{record['size']}, {record['allocator']}, load {record['load']:.1f}")
    for name in ("look", "full", "plain"):
        if name not in record:
            continue
        wall, cpu = (sum(record[name][kind].values()) for kind in ("wall", "cpu"))
        steps = ", ".join(f"{step} {seconds:.3f}" for step, seconds in record[name]["cpu"].items())
        print(f"  {name:5} {wall:6.2f} s, {cpu:6.2f} CPU s ({steps})")
        for word, factor in record[name].get("factor", {}).items():
            print(f"        look is {factor:.1f} × as fast ({word})")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
