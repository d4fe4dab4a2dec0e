"""Recipes: every hyperparameter of a distillation, validated once, read from a small TOML file."""

import json
import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields, check_kinds
from pcakd.student.network import LEVELS, Backbone

LATER_FIELDS = {
    "style_photos": ("style", "structure", "style_photos", "style_every", "style_crop"),
    "across_photos": ("across_photos",),
}
"""Fields that came after the first recipes, by the one of them that is 0 while all of them do nothing."""


class Phase(NamedTuple):
    """One stretch of training."""

    name: str
    levels: tuple[int, ...]  # the block pairs that are trained; all others stand still
    steps: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a student is distilled. Rates, weights and shares have no unit unless one is named."""

    backbone: Backbone = "vgg"
    """Which teacher's layout the student copies: "vgg" or "mobilenet"."""
    seed: int = 0
    """Decides the photos' order, crops, flips, grades and random weights."""

    crop: Annotated[int, Bounds(32)] = 128
    """Side of the square training crops, pixels; a multiple of 16."""
    batch: Annotated[int, Bounds(1)] = 8
    """Crops in one step, over all workers together."""
    flip: Annotated[float, Bounds(0, 1)] = 0.5
    """Probability that a crop is mirrored."""

    init: Literal["teacher", "random"] = "teacher"
    """"teacher": closed form, layer by layer; "random": PyTorch's own."""
    init_photos: Annotated[int, Bounds(1)] = 64
    """Crops that the closed form and the scales are computed from."""
    bias_sigmas: Annotated[float, Bounds(0)] = 2.0
    """Standard deviations by which closed-form biases are raised, so that the ReLU passes most values."""
    coordinates: Literal["whitened", "plain"] = "whitened"
    """What the optimizer turns: each convolution's weights against decorrelated inputs of unit variance, or as
    they are."""
    whitening_ridge: Annotated[float, Bounds(0)] = 1e-3
    """Share of the mean input variance added before whitening; keeps rare directions from exploding."""

    pair_steps: tuple[int, int, int, int] = (200, 200, 200, 200)
    """Steps of each block pair, 0..3, trained one after the other with the earlier ones frozen."""
    joint_steps: Annotated[int, Bounds(0)] = 0
    """Steps with all block pairs trained together, after the pairs."""

    optimizer: Literal["adam", "adamw"] = "adam"
    """The update rule."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates of the first and second moment."""
    weight_decay: Annotated[float, Bounds(0)] = 0.0
    """AdamW's decay a unit of rate."""
    encoder_rate: Annotated[float, Bounds(0)] = 0.003
    """Peak learning rate of encoder blocks; 0 freezes them. In whitened coordinates divided by √fan-in."""
    decoder_rate: Annotated[float, Bounds(0)] = 0.01
    """Peak learning rate of decoder blocks, likewise. Higher: the closed form leaves the decoder more to learn."""
    warmup_steps: Annotated[int, Bounds(0)] = 50
    """Steps of linear warm-up of each phase."""
    final_rate: Annotated[float, Bounds(0, 1)] = 0.02
    """Share of the peak rate left at a phase's end; the way there is a cosine."""
    clip_norm: Annotated[float, Bounds(0)] = 20.0
    """Gradient norm above which gradients are scaled down; 0: never."""
    ema: Annotated[float, Bounds(0, 1)] = 0.998
    """Decay a step of the weights' moving average, which is what is validated and saved; 0: none."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Precision of convolutions; losses, covariances and weights are always fp32. bf16 counts where the processor
    multiplies it fast: elsewhere, as on CPUs without avx512_bf16 or amx_bf16, training is in fp32."""

    distill: Annotated[float, Bounds(0)] = 1.0
    """Weight of the distillation loss: student features against the teacher's in k coordinates, each centred photo
    by photo, as a share of the teacher's variance, summed over levels."""
    image: Annotated[float, Bounds(0)] = 100.0
    """Weight of the mean squared error of the reconstructed picture, range [0, 1]."""
    feature: Annotated[float, Bounds(0)] = 0.1
    """Weight of the decoder's error against the encoder's features, as a share of their variance, from pair 1 on."""
    perceptual: Annotated[float, Bounds(0)] = 0.0
    """Weight of the teacher's view of the reconstruction, as a share of its variance, from pair 1 on. Costs a
    teacher pass with gradients."""
    graded: Annotated[float, Bounds(0)] = 100.0
    """Weight of the mean squared error of transferred pictures whose truth is known."""
    style: Annotated[float, Bounds(0)] = 1.0
    """Weight of the Gram loss of photos transferred to another's look, relative and a mean over levels as in
    `pcakd.evaluation`, in the teacher's features or those of another network ("judge"). Costs a pass with gradients."""
    structure: Annotated[float, Bounds(0)] = 3.0
    """Weight of 1 - SSIM of the luminance of those results, guided filter included, against their content."""
    teacher_photos: Annotated[int, Bounds(0)] = 8
    """Crops of a step, over all workers, that the teacher sees; fewer where it costs more than the student."""
    graded_photos: Annotated[int, Bounds(0)] = 0
    """Crops of a step, over all workers, that are transferred to their own random colour grade instead of merely
    reconstructed."""
    across_photos: Annotated[int, Bounds(0)] = 0
    """So many of these are one end of their photo, and take the grade from its other end: statistics of other content,
    as a real style photo's are."""
    style_photos: Annotated[int, Bounds(0)] = 0
    """Pairs of photos a step, over all workers and beside the batch, the one transferred to the look of the other."""
    style_every: Annotated[int, Bounds(1)] = 1
    """Steps from one with such pairs to the next: a pair costs as much as many crops."""
    style_crop: Annotated[int, Bounds(32)] = 256
    """Side of their square crops, pixels; a multiple of 16. Large: statistics of few positions say little."""

    validate_every: Annotated[int, Bounds(1)] = 250
    """Steps between validations on held-out photos."""
    validation_photos: Annotated[int, Bounds(1)] = 16
    """Held-out photos that are validated on."""
    checkpoint_every: Annotated[int, Bounds(1)] = 250
    """Steps between saved training states."""
    divergence: Annotated[float, Bounds(above=1)] = 10.0
    """A loss this many times its moving average, or one that is not a number, ends the run with the last good
    state."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pair_steps", tuple(self.pair_steps))
        object.__setattr__(self, "betas", tuple(self.betas))
        check_fields(self)
        if len(self.pair_steps) != LEVELS or min(self.pair_steps) < 0:
            raise UsageError(f"pair_steps are {self.pair_steps}: give {LEVELS} counts, 0 or more")
        for name in ("crop", "style_crop"):
            if getattr(self, name) % 16:
                raise UsageError(f"{name} is {getattr(self, name)}: give a multiple of 16, 32 or more")
        for name in ("teacher_photos", "graded_photos"):
            if getattr(self, name) > self.batch:
                raise UsageError(f"{name} is {getattr(self, name)}: give 0 to batch ({self.batch})")
        if self.across_photos > self.graded_photos:
            raise UsageError(f"across_photos is {self.across_photos}: give 0 to graded_photos ({self.graded_photos})")

    def phases(self) -> list[Phase]:
        """What is trained, in order; phases of no steps are left out."""
        phases = [Phase(f"pair {level}", (level,), steps) for level, steps in enumerate(self.pair_steps)]
        phases.append(Phase("joint", tuple(range(LEVELS)), self.joint_steps))
        return [phase for phase in phases if phase.steps]

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases())

    def to_json(self) -> str:
        """All fields, keys sorted; of the later ones only those that do something, so that recipes without them have
        the identity that they had before these fields were known."""
        values = asdict(self)
        for switch, fields in LATER_FIELDS.items():
            if not getattr(self, switch):
                for name in fields:
                    del values[name]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str = "recipe") -> "Recipe":
        """A recipe from plain values. Raises UsageError naming the field."""
        check_kinds(values, cls, name)
        try:
            return cls(**values)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None


def builtin_recipes() -> dict[str, Path]:
    """Name → file of the recipes that ship with the package."""
    folder = Path(str(resources.files("pcakd"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def load_recipe(name: str) -> Recipe:
    """A built-in recipe by name, or a TOML file by path. Raises UsageError."""
    path = builtin_recipes().get(name, Path(name))
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(
            f"{name}: no such recipe; give a .toml file or one of {', '.join(builtin_recipes())}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not a TOML file ({error})") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    return Recipe.from_dict(values, str(path))
