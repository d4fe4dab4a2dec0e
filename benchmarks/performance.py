"""How fast stylizing is, step by step, and what memory it takes. Run: make bench, or python -m benchmarks.performance

Both paths in one process with the same allocator settings, taking turns: "fast" is what `pcakd stylize` runs,
"plain" is tests/reference/plain.py (whole pictures, float32, PyTorch as it comes) with the plain guided filter.
The first turn is not counted; medians are printed, ratios are medians of the turns' own ratios. CPU seconds
(of all threads) stand beside wall seconds: on a machine that others use only the former say much.
Stages: decode the JPEG, statistics of the style (same size as the content), transfer, guided filter, encode.
Peak memory is that of a process of its own that stylizes one photo file of that size into another.

    --sizes 1280x720,2560x1440   --models vgg,mobilenet (names or checkpoint files)   --turns 3
    --plain-up-to 2560x1440      larger sizes run the fast path only
    --device cuda                the same on a GPU (needs PyTorch only); steps end with a synchronisation
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZES = "1280x720,1920x1080,2560x1440,3840x2160,5120x2880,7680x4320"
STEPS = ("decode", "style", "transfer", "filter", "encode")
CACHED = ("decode", "transfer", "filter", "encode")


def picture(width: int, height: int, seed: int) -> bytes:
    """A seeded JPEG with detail at every scale, as photographs have."""
    import torch
    from PIL import Image
    from torch.nn import functional as F

    from pcakd.photos.images import encode_photo

    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for octave in range(2, 9):
        shape = (1, 3, 2**octave, 2**octave)
        coarse = torch.randn(shape, generator=generator) * 2.0 ** (2 - octave)
        total += F.interpolate(coarse, size=(height, width), mode="bicubic")
    pixels = (total * 60 + 128).clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()
    return encode_photo(Image.fromarray(np.ascontiguousarray(pixels)), "JPEG", quality=90)


class Clock:
    """Wall and CPU seconds of named steps."""

    def __init__(self, device) -> None:
        self.device = device
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def time(self, step: str, work: Callable):
        start, cpu = time.perf_counter(), time.process_time()
        result = work()
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize()
        self.wall[step] = time.perf_counter() - start
        self.cpu[step] = time.process_time() - cpu
        return result


def fast_turn(stylizer, content: bytes, style: bytes, clock: Clock) -> None:
    import torch

    from pcakd.photos.images import encode_photo, read_photo, to_image
    from pcakd.stylize.engine import encode_statistics, transfer_pixels
    from pcakd.stylize.smoothing import smooth_pixels
    from pcakd.stylize.style import Style

    student, settings = stylizer.student, stylizer.settings
    rgb = torch.from_numpy(clock.time("decode", lambda: read_photo(content)).rgb)
    other = torch.from_numpy(read_photo(style).rgb)
    levels = clock.time("style", lambda: encode_statistics(student, other, settings=settings))
    pixels = clock.time("transfer", lambda: transfer_pixels(student, rgb, Style(levels, ""), settings=settings))
    pixels = clock.time("filter", lambda: smooth_pixels(pixels, rgb, device=clock.device))
    clock.time("encode", lambda: encode_photo(to_image(pixels.numpy()), "JPEG"))


def plain_turn(stylizer, content: bytes, style: bytes, clock: Clock) -> None:
    import torch

    from pcakd.photos.images import encode_photo, read_photo, to_image
    from pcakd.stylize.smoothing import guided_filter
    from pcakd.stylize.style import Style
    from tests.reference import plain

    student, device = stylizer.student, clock.device

    def smooth(result: torch.Tensor) -> torch.Tensor:
        source, guide = (result[0] * 255).floor(), rgb.to(device).permute(2, 0, 1).float()
        filtered = guided_filter(guide, source).round().clamp(0, 255).to(torch.uint8)
        return filtered.permute(1, 2, 0).cpu()

    with torch.inference_mode():
        rgb = torch.from_numpy(clock.time("decode", lambda: read_photo(content)).rgb)
        other = plain.photo_tensor(torch.from_numpy(read_photo(style).rgb), device)
        levels = clock.time("style", lambda: plain.encode_statistics(student, other))
        photo = plain.photo_tensor(rgb, device)
        result = clock.time("transfer", lambda: plain.transfer(student, photo, Style(levels, "")))
        pixels = clock.time("filter", lambda: smooth(result))
        clock.time("encode", lambda: encode_photo(to_image(pixels.numpy()), "JPEG"))


def case(stylizer, width: int, height: int, turns: int, with_plain: bool) -> dict:
    """Seconds of every step and the ratios plain ÷ fast, of one model at one size."""
    content, style = picture(width, height, 0), picture(width, height, 1)
    paths = {"fast": fast_turn} | ({"plain": plain_turn} if with_plain else {})
    clocks: dict[str, list[Clock]] = {name: [] for name in paths}
    for turn in range(turns + 1):
        for name, run in paths.items():
            clock = Clock(stylizer.device)
            run(stylizer, content, style, clock)
            if turn or turns == 0:
                clocks[name].append(clock)
    found: dict = {}
    for name in paths:
        found[name] = {
            kind: {step: float(np.median([getattr(c, kind)[step] for c in clocks[name]])) for step in STEPS}
            for kind in ("wall", "cpu")
        }
    if with_plain:
        pairs = list(zip(clocks["plain"], clocks["fast"], strict=True))
        for kind in ("wall", "cpu"):
            found[f"ratio_{kind}"] = {
                label: float(np.median([_sum(p, kind, steps) / _sum(f, kind, steps) for p, f in pairs]))
                for label, steps in (
                    ("end to end, fresh style", STEPS),
                    ("end to end, cached style", CACHED),
                    ("core, fresh style", ("style", "transfer")),
                    ("core, cached style", ("transfer",)),
                )
            }
    return found


def _sum(clock: Clock, kind: str, steps: tuple[str, ...]) -> float:
    return sum(getattr(clock, kind)[step] for step in steps)


_MEMORY = """
import sys
sys.argv[0] = "pcakd"
from flows.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
# Not getrusage: its maximum is inherited from the process that started this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def peak_memory(model: str, width: int, height: int, device: str, precision: str) -> int:
    """Bytes of resident memory, at most, of `pcakd stylize` of one photo with a style photo of 1920×1080."""
    with tempfile.TemporaryDirectory() as folder:
        content, style, out = (str(Path(folder, name)) for name in ("content.jpg", "style.jpg", "out.jpg"))
        Path(content).write_bytes(picture(width, height, 0))
        Path(style).write_bytes(picture(1920, 1080, 1))
        options = ["--model", model, "--device", device, "--precision", precision, "--out", out]
        arguments = ["stylize", content, "--style", style, *options]
        done = subprocess.run([sys.executable, "-c", _MEMORY, *arguments], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1]) << 10


def draw(record: dict, path: Path) -> None:
    """Seconds against megapixels, and what they are spent on."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    models = list(record["models"])
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for model in models:
        sizes = record["models"][model]
        for name, line in (("fast", "-o"), ("plain", "--s")):
            points = [(_megapixels(s), sum(c[name]["cpu"].values())) for s, c in sizes.items() if name in c]
            if points:
                axes[0].plot(*zip(*points, strict=True), line, label=f"{Path(model).stem}, {name}")
    axes[0].set(xlabel="megapixels", ylabel="CPU seconds, fresh style", xscale="log", yscale="log")
    axes[0].legend()
    size = "2560x1440" if all("2560x1440" in record["models"][m] for m in models) else next(iter(sizes))
    bars, bottom = [Path(m).stem for m in models], np.zeros(len(models))
    for step in STEPS:
        heights = np.array([record["models"][m][size]["fast"]["cpu"][step] for m in models])
        axes[1].bar(bars, heights, bottom=bottom, label=step)
        bottom += heights
    axes[1].set(ylabel="CPU seconds", title=f"fast path, {size}")
    axes[1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _megapixels(size: str) -> float:
    width, height = size.split("x")
    return int(width) * int(height) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="vgg,mobilenet")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--plain-up-to", default="2560x1440")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--no-memory", action="store_true", help="skip the processes that measure peak memory")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()

    import torch

    from pcakd.bfloat16 import fast_bfloat16
    from pcakd.stylize.engine.memory import keep_freed_memory
    from pcakd.stylize.stylizer import Stylizer

    allocator = "glibc keeping freed memory" if keep_freed_memory() else "as the environment sets it"
    record: dict = {"torch": torch.__version__, "processor": platform.processor() or platform.machine(), "models": {}}
    record |= {"threads": torch.get_num_threads(), "allocator": allocator, "precision": arguments.precision}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for model in arguments.models.split(","):
        stylizer = Stylizer.load(model, device=arguments.device, precision=arguments.precision)
        record |= {"device": str(stylizer.device), "fast_bfloat16": fast_bfloat16(stylizer.device)}
        for size in arguments.sizes.split(","):
            width, height = map(int, size.split("x"))
            with_plain = _megapixels(size) <= _megapixels(arguments.plain_up_to)
            found = case(stylizer, width, height, arguments.turns, with_plain)
            if stylizer.device.type == "cuda":
                found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
                torch.cuda.reset_peak_memory_stats()
            if not arguments.no_memory:
                found["peak_bytes"] = peak_memory(model, width, height, stylizer.device.type, arguments.precision)
            record["models"].setdefault(model, {})[size] = found
            print(model, size, json.dumps(found), flush=True)
            (arguments.out / "performance.json").write_text(json.dumps(record, indent=1))
    draw(record, arguments.out / "performance.png")


if __name__ == "__main__":
    main()
