"""What a person with a GPU runs once: does the GPU path compute what the CPU computes, and how fast is it?

    make gpu-check, or: python -m benchmarks.gpu_check [--device auto|cuda|cpu] [--sizes 1280x720,…] [--out FOLDER]

It needs PyTorch, torchvision, pyarrow, safetensors and Pillow, and the models that pcakd ships; photos are seeded
pictures, and the teachers have random weights of the true shapes: neither changes what a step costs. It writes
gpu-check.json and gpu-check.md, whose tables are for docs/performance.md, and ends with 1 where a check failed.

Without a GPU it says so, and checks itself on the CPU with small sizes: figures of that run say nothing.

Checks: float32 (no TF32) against the plain path in float32 on the CPU; `auto` and `bf16` against float32; strips
against the whole picture; memory that runs out against memory that does not; the guided filter against the CPU's.
Figures: see `benchmarks.gpu_speed`.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from benchmarks import gpu_speed
from benchmarks.gpu_speed import Plan, pixels
from pcakd.stylize import engine
from pcakd.stylize.engine import run
from pcakd.stylize.smoothing import smooth_pixels
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer

FULL = Plan(
    sizes=((1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (5120, 2880), (7680, 4320)),
    check=(1024, 768),
    large=(7680, 4320),
    turns=5,
    steps=30,
    photos=256,
    crop=256,
)
SMALL = Plan(sizes=((48, 32),), check=(96, 80), large=(80, 64), turns=1, steps=1, photos=2, crop=32)
"""Enough to see that every line runs."""

PARITY = {"vgg": (2e-3, 5e-5), "mobilenet": (2e-4, 2e-5)}
"""Largest and mean difference from the plain path, on 0..1; what the authors' arrays are held to."""

NEAR = {"auto": 38.0, "bf16": 32.0}
"""Decibels from float32, at least; photographs lie 7 above (docs/performance.md), seeded pictures are harsher."""

SAME = 1e-4
"""Largest difference, on 0..1, between two ways of cutting the same float32 work."""

CAPPED_SHARE = 0.5
"""Of what the large photo takes at most, what PyTorch may have of the GPU while memory is made to run out."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison: `value` against `bound`, at most or at least."""

    name: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def ok(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def decibels(difference: Tensor) -> float:
    """Peak signal-to-noise ratio of a difference on 0..1."""
    error = float(difference.double().square().mean())
    return 10 * math.log10(1 / error) if error else math.inf


def stylized(stylizer: Stylizer, content: Tensor, style: Style, transform: str = "zca") -> Tensor:
    """float32 1×3×H×W on the CPU, before the guided filter."""
    settings = stylizer.settings
    return engine.transfer(stylizer.student, content, style, transform=transform, settings=settings).cpu()


def style_of(stylizer: Stylizer, photo: Tensor) -> Style:
    return Style(engine.encode_statistics(stylizer.student, photo, settings=stylizer.settings), "")


def parity(model: str, device: str, plan: Plan) -> list[Check]:
    """float32 on the device against the plain path on the CPU; the other precisions against float32."""
    from tests.reference import plain

    content, photo, cpu = pixels(*plan.check, 1), pixels(*plan.check, 0), torch.device("cpu")
    exact = Stylizer.load(model, device=device, precision="fp32")
    student = Stylizer.load(model, device="cpu", precision="fp32").student
    style, found, results = style_of(exact, photo), [], {}
    with torch.inference_mode():
        levels = plain.encode_statistics(student, plain.photo_tensor(photo, cpu))
        for transform in ("zca", "ot", "adain"):
            results[transform] = stylized(exact, content, style, transform)
            expected = plain.transfer(student, plain.photo_tensor(content, cpu), Style(levels, ""), transform=transform)
            difference = (results[transform] - expected).abs()
            for word, value, bound in zip(
                ("largest", "mean"), (difference.max(), difference.mean()), PARITY[model], strict=True
            ):
                name = f"{model}, float32 from the plain path, {transform}, {word}"
                found.append(Check(name=name, value=float(value), bound=bound))
    for precision, bound in NEAR.items():
        near = Stylizer.load(model, device=device, precision=precision)  # type: ignore[arg-type]
        distance = decibels(stylized(near, content, style_of(near, photo)) - results["zca"])
        found.append(Check(name=f"{model}, {precision} from float32, dB", value=distance, bound=bound, at_least=True))
    return found


def tiling(model: str, device: str, plan: Plan) -> Check:
    """Thin strips of which nothing is stored, against the whole picture."""
    content, stylizer = pixels(*plan.check, 1), Stylizer.load(model, device=device, precision="fp32")
    style = style_of(stylizer, pixels(*plan.check, 0))
    whole = stylized(stylizer, content, style)
    with mock.patch.object(run, "STRIP_BYTES", 1 << 16), mock.patch.object(run._Run, "_budget", return_value=0):
        strips = stylized(stylizer, content, style)
    return Check(name=f"{model}, strips from the whole", value=float((strips - whole).abs().max()), bound=SAME)


def fallback(model: str, device: torch.device, plan: Plan) -> list[Check]:
    """Memory that runs out: the result is the same, after more attempts than one.

    A GPU's is made to run out by a limit that PyTorch's allocator keeps; on a CPU the error is planted.
    """
    content, stylizer = pixels(*plan.large, 1), Stylizer.load(model, device=device.type, precision="fp32")
    style = style_of(stylizer, pixels(*plan.check, 0))
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    whole, attempts = stylized(stylizer, content, style), 0
    begin, compute = run._Run.__init__, run._Run.compute

    def counted(self: run._Run, *arguments: object, **keywords: object) -> None:
        nonlocal attempts
        attempts += 1
        begin(self, *arguments, **keywords)  # type: ignore[arg-type]

    def scarce(self: run._Run, *arguments: object, **keywords: object) -> object:
        if device.type == "cpu" and attempts == 1:
            raise torch.OutOfMemoryError
        return compute(self, *arguments, **keywords)  # type: ignore[arg-type]

    if device.type == "cuda":
        torch.cuda.empty_cache()
        every = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(CAPPED_SHARE * torch.cuda.max_memory_reserved(device) / every)
    try:
        with mock.patch.object(run._Run, "__init__", counted), mock.patch.object(run._Run, "compute", scarce):
            less = stylized(stylizer, content, style)
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    difference = float((less - whole).abs().max())
    return [
        Check(name=f"{model}, little memory from much", value=difference, bound=SAME),
        Check(name=f"{model}, attempts in little memory", value=attempts, bound=2, at_least=True),
    ]


def filtering(device: torch.device, plan: Plan) -> Check:
    """The device's guided filter against the CPU's running sums, in grey levels of 255."""
    source, guide = pixels(*plan.check, 1), pixels(*plan.check, 2)
    ours = smooth_pixels(source, guide, device=device).int()
    difference = (ours - smooth_pixels(source, guide, device=torch.device("cpu")).int()).abs().max()
    return Check(name="guided filter from the CPU's, grey levels", value=float(difference), bound=1)


def write(record: dict, checks: list[Check], folder: Path) -> str:
    """gpu-check.json and gpu-check.md; the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    record["checks"] = [asdict(check) | {"ok": check.ok} for check in checks]
    (folder / "gpu-check.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [
        f"{record['device']}, PyTorch {record['torch']}, Python {record['python']}; {record['seconds']:.0f} s in all.",
        "",
        "| check | found | bound | |",
        "| --- | ---: | ---: | --- |",
    ]
    for check in checks:
        sign, word = "≥" if check.at_least else "≤", "ok" if check.ok else "**failed**"
        lines.append(f"| {check.name} | {check.value:.3g} | {sign} {check.bound:.3g} | {word} |")
    text = "\n".join([*lines, "", *gpu_speed.tables(record)]) + "\n"
    (folder / "gpu-check.md").write_text(text)
    return text


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--sizes", help="of the figures, such as 1280x720,3840x2160")
    parser.add_argument("--models", default="vgg,mobilenet")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args(words)
    there = torch.cuda.is_available()
    if arguments.device == "cuda" and not there:
        print("gpu-check: PyTorch sees no CUDA device here; use --device cpu to check the script", file=sys.stderr)
        return 2
    device = torch.device("cuda" if there and arguments.device != "cpu" else "cpu")
    if device.type == "cpu":
        print("gpu-check: no GPU in use; the script checks itself on small sizes, its figures say nothing of any GPU")
    plan = FULL if device.type == "cuda" else SMALL
    if arguments.sizes:
        sizes = tuple(tuple(map(int, size.split("x"))) for size in arguments.sizes.split(","))
        plan = plan.at(sizes)  # type: ignore[arg-type]
    started, models = time.monotonic(), arguments.models.split(",")

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {what}", file=sys.stderr, flush=True)

    say("guided filter")
    checks: list[Check] = [filtering(device, plan)]
    for model in models:
        say(f"{model}: parity")
        checks += parity(model, device.type, plan)
        say(f"{model}: strips")
        checks.append(tiling(model, device.type, plan))
        say(f"{model}: little memory")
        checks += fallback(model, device, plan)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, small sizes"
    record: dict = {"device": name, "torch": torch.__version__, "python": platform.python_version()}
    steps: dict[str, Callable[[], object]] = {
        "photos": lambda: {model: gpu_speed.photos(model, device, plan) for model in models},
        "looks": lambda: {model: gpu_speed.looks(model, device, plan) for model in models},
        "filter": lambda: gpu_speed.guided_filters(device, plan),
        "training": lambda: {model: gpu_speed.training(model, device, plan) for model in models},
        "extraction": lambda: {model: gpu_speed.extraction(model, device, plan) for model in models},
    }
    for step, measure in steps.items():
        say(f"measuring {step}")
        record[step] = measure()
        record["seconds"] = time.monotonic() - started
        text = write(record, checks, arguments.out)  # after each: what was measured stays, whatever comes next
    print(text)
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
