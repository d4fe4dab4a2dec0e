"""A checkpoint as an MLflow model: code, weights, a stored example, signature, requirements that install."""

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pcakd.photos.images import encode_photo, to_image
from pcakd.student.checkpoint import load_checkpoint
from pcakd.stylize.stylizer import Stylizer
from tasks.registry.names import CHECKPOINT_FILE, EXAMPLE_FILES

REQUIREMENTS = ("mlflow", "torch", "numpy", "numba", "pillow", "safetensors", "pandas")
PARAMS: dict[str, Any] = {
    "transform": "zca",
    "balance": 1.0,
    "strength": 1.0,
    "smoothing": "guided",
    "compat": "auto",
    "depth": "same",
    "colour": "srgb",
    "render": "auto",
    "format": "JPEG",
    "quality": 95,
}
"""Parameters of `predict` and their defaults."""
EXAMPLE_PARAMS = PARAMS | {"format": "PNG"}


def requirements() -> list[str]:
    """What the model's environment installs, at the versions that it was made with."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]


def write_package(checkpoint: bytes, folder: Path) -> dict[str, Any]:
    """Lay the model's parts into an empty local folder; the arguments for `mlflow.pyfunc.log_model`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    weights = folder / CHECKPOINT_FILE
    weights.write_bytes(checkpoint)
    example = folder / "example"
    write_example(weights, example)
    signature = ModelSignature(
        # Both are needed: the model says so in a sentence, MLflow would with the whole input.
        inputs=Schema([ColSpec("binary", name, required=False) for name in ("content", "style")]),
        outputs=Schema([ColSpec("binary", "image")]),
        params=ParamSchema([ParamSpec(name, _TYPES[type(value)], value) for name, value in PARAMS.items()]),
    )
    return {
        "python_model": str(Path(__file__).with_name("model_code.py")),
        "artifacts": {"checkpoint": str(weights), "example": str(example)},
        "code_paths": [str(copy_code(folder / "code"))],
        "signature": signature,
        "input_example": (example_input(example), EXAMPLE_PARAMS),
        "pip_requirements": requirements(),
    }


_TYPES = {str: "string", float: "double", int: "long"}


def write_example(weights: Path, folder: Path) -> None:
    """A content, a style, and what the library makes of them."""
    folder.mkdir()
    y, x = np.mgrid[0:64, 0:96]
    waves = np.stack([np.sin(x / 7), np.sin((x + y) / 11), np.cos(y / 5)], -1)
    content = (waves * 90 + 128).astype(np.uint8)
    style = (np.stack([x * 2, 60 + y * 2, 200 - x], -1) % 256).astype(np.uint8)
    for name, pixels in zip(EXAMPLE_FILES, (content, style), strict=False):
        (folder / name).write_bytes(encode_photo(to_image(pixels), "PNG"))
    stylizer = Stylizer(load_checkpoint(weights), device="cpu")
    result = stylizer.stylize(folder / EXAMPLE_FILES[0], folder / EXAMPLE_FILES[1])
    (folder / EXAMPLE_FILES[2]).write_bytes(encode_photo(result, "PNG"))


def example_input(folder: Path):
    """The example's data frame, one row."""
    import pandas as pd

    content, style = ((folder / name).read_bytes() for name in EXAMPLE_FILES[:2])
    return pd.DataFrame({"content": [content], "style": [style]})


def copy_code(folder: Path) -> Path:
    """The library without its built-in models, so that a model can be loaded where pcakd is not installed."""
    import pcakd

    source = Path(pcakd.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "models", "recipes", "cli")
    shutil.copytree(source, folder / "pcakd", ignore=ignored)
    return folder / "pcakd"
