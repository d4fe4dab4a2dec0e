"""Figures of `benchmarks.gpu_check`: what each step takes on a device, and how much memory.

Milliseconds are medians of turns, the first not counted, each ended by a synchronisation. "Fresh" counts the style
photo's statistics, "cached" does not; both are the engine as `pcakd stylize --render full` runs it, from a decoded
photo to its pixels before the guided filter. "Network" is encoder and decoder of the whole picture without any
transfer: what is left if statistics, maps and launches cost nothing; plain, channels last, and as a CUDA graph.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.distillation.recipe import load_recipe
from pcakd.distillation.trainer import Trainer
from pcakd.eigenbases.extraction import accumulate
from pcakd.eigenbases.options import Extraction
from pcakd.eigenbases.pca import Eigenbases
from pcakd.photos.photo import Photo
from pcakd.student.network import DEFAULT_CHANNELS
from pcakd.stylize import engine
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.smoothing import smooth_pixels
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer
from pcakd.teacher.catalogue import teacher_info
from pcakd.teacher.networks import BUILDERS, Teacher

TEACHERS = {"vgg": "vgg19", "mobilenet": "mobilenet-v1"}
Size = tuple[int, int]  # width, height


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is checked and measured. sizes: of the figures; check, large: of the checks; steps: of a training."""

    sizes: tuple[Size, ...]
    check: Size
    large: Size
    turns: int
    steps: int
    photos: int
    crop: int

    def at(self, sizes: tuple[Size, ...]) -> "Plan":
        return replace(self, sizes=sizes)


@cache
def pixels(width: int, height: int, seed: int) -> Tensor:
    """A seeded picture with detail at every scale, as photographs have: uint8 H×W×3, not to be written to."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for octave in range(2, 9):
        coarse = torch.randn((1, 3, 2**octave, 2**octave), generator=generator) * 2.0 ** (2 - octave)
        total += F.interpolate(coarse, size=(height, width), mode="bicubic")
    return (total * 60 + 128).clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).contiguous()


def milliseconds(work: Callable[[], object], device: torch.device, turns: int) -> float:
    """Median of turns after one that is not counted."""
    found = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append((time.perf_counter() - started) * 1e3)
    return median(found[1:])


def peak_bytes(device: torch.device) -> int | None:
    """The most that tensors took of a GPU since this was asked last; None on a CPU."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def photos(model: str, device: torch.device, plan: Plan) -> list[dict]:
    """A row a size and precision."""
    rows = []
    for size in plan.sizes:
        content, other = pixels(*size, 1), pixels(*size, 0)
        for precision in ("fp32", "auto", "bf16"):
            stylizer = Stylizer.load(model, device=device.type, precision=precision)  # type: ignore[arg-type]
            student, settings = stylizer.student, stylizer.settings
            peak_bytes(device)

            def encode(student=student, other=other, settings=settings) -> Style:
                return Style(engine.encode_statistics(student, other, settings=settings), "")

            style = encode()

            def transfer(style=style, student=student, content=content, settings=settings) -> Tensor:
                return engine.transfer_pixels(student, content, style, settings=settings)

            cached = milliseconds(transfer, device, plan.turns)
            fresh = cached + milliseconds(encode, device, plan.turns)
            row = {"size": f"{size[0]}x{size[1]}", "precision": precision, "fresh_ms": fresh, "cached_ms": cached}
            row["peak_bytes"] = peak_bytes(device)
            if precision != "auto":
                row |= network(stylizer, content, torch.bfloat16 if precision == "bf16" else torch.float32, plan.turns)
            rows.append(row)
    return rows


@torch.inference_mode()
def network(stylizer: Stylizer, content: Tensor, dtype: torch.dtype, turns: int) -> dict[str, float | None]:
    """Encoder and decoder of the whole picture, at a multiple of 16 pixels; None for what does not fit the memory."""
    height, width = (max(side // 16, 2) * 16 for side in content.shape[:2])
    photo = F.interpolate(content.permute(2, 0, 1)[None].float() / 255, size=(height, width))
    found: dict[str, float | None] = {}
    for name, layout in (("network", torch.contiguous_format), ("channels_last", torch.channels_last)):
        try:
            student = stylizer.student.to(dtype, memory_format=layout)  # type: ignore[call-overload]
            x = photo.to(stylizer.device, dtype, memory_format=layout)
            found[f"{name}_ms"] = milliseconds(lambda student=student, x=x: student(x), stylizer.device, turns)
            if name == "channels_last" and stylizer.device.type == "cuda":
                found["graph_ms"] = milliseconds(graphed(student, x), stylizer.device, turns)
        except torch.OutOfMemoryError:
            found[f"{name}_ms"] = None
            torch.cuda.empty_cache()
    return found


def graphed(student: torch.nn.Module, x: Tensor) -> Callable[[], object]:
    """Replays the network on x as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # cuDNN chooses and allocates before the capture
        for _ in range(2):
            student(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        student(x)
    return graph.replay


def looks(model: str, device: torch.device, plan: Plan) -> list[dict]:
    """Deciding a look, and putting a photo through it."""
    stylizer, rows = Stylizer.load(model, device=device.type), []
    options = StylizeOptions(render="look")
    for size in plan.sizes:
        content, other = (Photo(rgb=pixels(*size, seed).numpy()) for seed in (1, 0))
        style = stylizer.style(other, render="look")
        look = stylizer.look(content, style, options)
        peak_bytes(device)

        def decide(content=content, style=style) -> object:
            return stylizer.look(content, style, options)

        def apply(look=look, content=content) -> object:
            return stylizer.apply(look, content)

        times = {"look_ms": decide, "apply_ms": apply}
        row: dict = {name: milliseconds(work, device, plan.turns) for name, work in times.items()}
        rows.append({"size": f"{size[0]}x{size[1]}"} | row | {"peak_bytes": peak_bytes(device)})
    return rows


def guided_filters(device: torch.device, plan: Plan) -> list[dict]:
    """The guided filter alone."""
    rows = []
    for size in plan.sizes:
        source, guide = pixels(*size, 1), pixels(*size, 2)
        peak_bytes(device)

        def work(source=source, guide=guide) -> Tensor:
            return smooth_pixels(source, guide, device=device)

        taken = milliseconds(work, device, plan.turns)
        rows.append({"size": f"{size[0]}x{size[1]}", "filter_ms": taken, "peak_bytes": peak_bytes(device)})
    return rows


class _Random(dict[str, Tensor]):
    """Tensors of a teacher, made as they are asked for: seeded, of a size that keeps features from fading."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, shape in shapes.items():
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
            scale = (2 / fan_in) ** 0.5
            value = torch.randn(shape, generator=generator) * scale if len(shape) > 1 else torch.full(shape, 0.1)
            if name.endswith(("_bn.weight", "running_var")):
                value = torch.ones(shape)
            self[name] = value


def random_teacher(backbone: str) -> Teacher:
    """The paper's teacher with random weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    if backbone == "vgg":
        widths = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
        widths |= {12: (256, 256), 14: (256, 256), 16: (256, 256), 19: (512, 256)}
        for number, (wide, narrow) in widths.items():
            shapes[f"features.{number}.weight"] = (wide, narrow, 3, 3)
            shapes[f"features.{number}.bias"] = (wide,)
    else:
        layers = {"conv1": (32, 3, 3, 3), "conv_dw_1": (32, 1, 3, 3), "conv_pw_1": (64, 32, 1, 1)}
        layers |= {"conv_dw_2": (64, 1, 3, 3), "conv_pw_2": (128, 64, 1, 1), "conv_dw_3": (128, 1, 3, 3)}
        layers |= {"conv_pw_3": (128, 128, 1, 1), "conv_dw_4": (128, 1, 3, 3), "conv_pw_4": (256, 128, 1, 1)}
        layers |= {"conv_dw_5": (256, 1, 3, 3), "conv_pw_5": (256, 256, 1, 1), "conv_dw_6": (256, 1, 3, 3)}
        for name, shape in layers.items():
            shapes[f"{name}.weight"] = shape
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{name}_bn.{part}"] = shape[:1]
    info = teacher_info(TEACHERS[backbone])
    return BUILDERS[info.layout](info, _Random(shapes))


class Pictures:
    """Seeded photos, all of one size."""

    digest = "seeded"

    def __init__(self, count: int, side: int) -> None:
        self._few = [pixels(side, side, seed).numpy() for seed in range(min(count, 16))]
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        return self._few[index % len(self._few)]

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((f"{i}.png", self[i]) for i in range(len(self)))


def training(model: str, device: torch.device, plan: Plan) -> dict:
    """Steps a second of the built-in recipe, after its start and a few steps; crops smaller on a CPU."""
    recipe, teacher = load_recipe(model), random_teacher(model)
    changes: dict = {"init": "random", "joint_steps": 2 * plan.steps, "validate_every": 10**6}
    if plan.crop < recipe.crop:
        changes |= {"crop": 32, "style_crop": 32, "batch": 2, "init_photos": 2, "style_every": 1}
        changes |= {"teacher_photos": 1, "graded_photos": 1, "style_photos": 1}
    recipe = replace(recipe, **changes)
    bases = [
        torch.linalg.qr(torch.randn(wide, narrow, generator=torch.Generator().manual_seed(wide)))[0]
        for wide, narrow in zip(teacher.channels, DEFAULT_CHANNELS[recipe.backbone], strict=True)
    ]
    unknown = [torch.full((len(basis),), float("nan"), dtype=torch.float64) for basis in bases]
    fitted = Eigenbases(bases=bases, spectra=unknown, explained=unknown, own=unknown, photos=0)
    trainer = Trainer(recipe, teacher, fitted, Pictures(64, 2 * recipe.style_crop), device=device)
    warm = max(plan.steps // 3, 1)
    trainer.run(until=warm)
    peak_bytes(device)
    started = time.perf_counter()
    trainer.run(until=warm + plan.steps)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    rate = plan.steps / (time.perf_counter() - started)
    return {"steps_per_second": rate, "crops_per_second": rate * recipe.batch, "peak_bytes": peak_bytes(device)}


def extraction(model: str, device: torch.device, plan: Plan) -> dict:
    """Photos a second from decoded photos to moments, the teacher in float32."""
    teacher = random_teacher(model).to(device)
    options, source = Extraction(crop=plan.crop), Pictures(plan.photos, plan.crop)
    accumulate(Pictures(options.batch_on(device), plan.crop).named(), teacher, options)
    peak_bytes(device)
    started = time.perf_counter()
    accumulate(source.named(), teacher, options)
    rate = len(source) / (time.perf_counter() - started)
    return {"photos_per_second": rate, "batch": options.batch_on(device), "peak_bytes": peak_bytes(device)}


def tables(record: dict) -> list[str]:
    """Lines of Markdown of what was measured so far."""
    lines: list[str] = []
    for model, rows in record.get("photos", {}).items():
        keys = ["fresh_ms", "cached_ms", "network_ms", "channels_last_ms", "graph_ms", "peak_bytes"]
        lines += _table(f"{model}, every pixel", ["size", "precision", *keys], rows)
    for model, rows in record.get("looks", {}).items():
        lines += _table(f"{model}, looks", ["size", "look_ms", "apply_ms", "peak_bytes"], rows)
    lines += _table("guided filter", ["size", "filter_ms", "peak_bytes"], record.get("filter", []))
    trained = [{"recipe": model} | row for model, row in record.get("training", {}).items()]
    lines += _table("training", ["recipe", "steps_per_second", "crops_per_second", "peak_bytes"], trained)
    extracted = [{"teacher": TEACHERS[model]} | row for model, row in record.get("extraction", {}).items()]
    return lines + _table("extraction", ["teacher", "photos_per_second", "batch", "peak_bytes"], extracted)


def _table(title: str, keys: list[str], rows: list[dict]) -> list[str]:
    if not rows:
        return []
    heads = [key.replace("_bytes", ", GB").replace("_ms", ", ms").replace("_", " ") for key in keys]
    cells = [[_cell(key, row.get(key)) for key in keys] for row in rows]
    body = [f"| {' | '.join(line)} |" for line in [heads, ["---"] + ["---:"] * (len(keys) - 1), *cells]]
    return [f"### {title}", "", *body, ""]


def _cell(key: str, value: object) -> str:
    if value is None:
        return "–"
    if key.endswith("_bytes"):
        return f"{float(value) / 1e9:.2f}"  # type: ignore[arg-type]
    return f"{value:.2f}" if isinstance(value, float) else str(value)
