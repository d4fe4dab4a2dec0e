"""What other engines give on the network alone: encoder and decoder without any transfer, float32, one photo.

    pip install onnxruntime openvino onnx onnxscript    beside the project, not needed by it
    python -m benchmarks.engines [--size 1920x1088] [--turns 3] [--models vgg,mobilenet] [--engines ...]

Engines take turns in one process: "plain" (eager PyTorch, whole pictures), "pcakd" (the fast path at fp32),
"channels-last" (plain in that layout), "compile" (torch.compile, inductor; needs a C++ compiler), "onnxruntime" and
"openvino" (of an ONNX export; both fuse and choose layouts by themselves). Medians of wall and CPU seconds, seconds
until the first result, largest difference from plain. A photo's transfer would need the statistics between the blocks
in addition, which only "plain" and "pcakd" have; so this is the most that the others could give.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ENGINES = "plain,pcakd,channels-last,compile,onnxruntime,openvino"


def build(name: str, student, photo, folder: Path) -> Callable:
    """A function of no arguments that reconstructs the photo as a float32 tensor 1×3×H×W."""
    import torch

    if name == "plain":
        return lambda: student(photo)
    if name == "pcakd":
        from pcakd.stylize.engine import reconstruct

        return lambda: reconstruct(student, photo)
    if name == "channels-last":
        model = student.to(memory_format=torch.channels_last)
        return lambda: model(photo.contiguous(memory_format=torch.channels_last))
    if name == "compile":
        model = torch.compile(student.to(memory_format=torch.channels_last))
        return lambda: model(photo.contiguous(memory_format=torch.channels_last))
    path = folder / "student.onnx"
    if not path.exists():
        torch.onnx.export(student, (photo,), str(path), dynamo=True, verbose=False)
    data = photo.numpy()
    if name == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [session.get_inputs()[0].name]
        return lambda: torch.from_numpy(session.run(None, dict(zip(names, [data], strict=True)))[0])
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    return lambda: torch.from_numpy(request.infer([data])[0].copy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="vgg,mobilenet")
    parser.add_argument("--size", default="1920x1088", help="sides are multiples of 16")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--engines", default=ENGINES)
    arguments = parser.parse_args()

    import torch

    from pcakd.student.checkpoint import load_checkpoint
    from pcakd.stylize.engine.memory import keep_freed_memory

    keep_freed_memory()
    width, height = map(int, arguments.size.split("x"))
    photo = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    for model in arguments.models.split(","):
        runs: dict[str, Callable] = {}
        first: dict[str, float] = {}
        outputs: dict[str, torch.Tensor] = {}
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            for name in arguments.engines.split(","):
                # Each its own copy: a layout set for one must not change another's.
                student = load_checkpoint(model).student.eval()
                started = time.perf_counter()
                try:
                    runs[name] = build(name, student, photo, Path(folder))
                    outputs[name] = runs[name]().clamp(0, 1)
                except Exception as error:
                    print(f"{model} {name}: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)
                    runs.pop(name, None)
                    continue
                first[name] = time.perf_counter() - started
            seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
            for _ in range(arguments.turns):
                for name, run in runs.items():
                    wall, cpu = time.perf_counter(), time.process_time()
                    run()
                    seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
        for name in runs:
            wall, cpu = (statistics.median(column) for column in zip(*seconds[name], strict=True))
            print(
                f"{model} {arguments.size} {name}: {wall:.3f} s wall, {cpu:.3f} s CPU, first result after "
                f"{first[name]:.1f} s, largest difference from plain "
                f"{float((outputs[name] - outputs['plain']).abs().max()):.1e}; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
