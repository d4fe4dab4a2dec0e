"""Pipeline runs small enough for a test: `python -m tests.flows.small WORKSPACE PARAMETERS.json…`, in a row."""

import json
import sys
from pathlib import Path

from tests.assets.places import Assets

RECIPE = """\
backbone = "mobilenet"
init = "{init}"
crop = 64
batch = 2
teacher_photos = 2
init_photos = 4
pair_steps = [4, 4, 4, {steps}]
warmup_steps = 2
validate_every = 8
validation_photos = 2
checkpoint_every = 4
"""


def parameters(assets: Assets, folder: Path, *, steps: int = 4, init: str = "teacher") -> dict:
    """Parameters of `distillation-pipeline`: the small photos and the real MobileNet; the recipe goes to a folder.

    steps: of the last block pair; the others have four each. init: the recipe's; with "random" so few steps leave a
    student that gives the same grey for everything.
    """
    recipe = folder / f"{init}-{steps}.toml"
    recipe.write_text(RECIPE.format(steps=steps, init=init))
    return {
        "sharding": {
            "source": str(assets / "photos_small"),
            "shortest_side": 96,
            "limit": 16,
            "val_fraction": 0.25,
        },
        "teacher": str(assets / "teachers/mobilenet_v1_1.0_224_to_conv_dw_6.safetensors"),
        "eigenbases": {"crop": 64},
        "distillation": {"recipe": str(recipe)},
        "evaluation": {"limit": 2, "size": 64},
    }


if __name__ == "__main__":
    from flows.distillation_pipeline import distillation_pipeline

    for file in sys.argv[2:]:
        distillation_pipeline(workspace=sys.argv[1], **json.loads(Path(file).read_text()))
