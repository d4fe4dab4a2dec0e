"""Recipes: every hyperparameter of a distillation, validated once, read from a small TOML file."""

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pcakd.checks import one_of
from pcakd.errors import UsageError
from pcakd.student.network import DEFAULT_CHANNELS, LEVELS, Backbone

STYLE_FIELDS = ("style", "structure", "style_photos", "style_every", "style_crop")
"""Fields that do nothing while `style_photos` is 0."""


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

    crop: int = 128
    """Side of the square training crops, pixels; a multiple of 16."""
    batch: int = 8
    """Crops in one step, over all workers together."""
    flip: float = 0.5
    """Probability that a crop is mirrored."""

    init: Literal["teacher", "random"] = "teacher"
    """"teacher": closed form, layer by layer; "random": PyTorch's own."""
    init_photos: int = 64
    """Crops that the closed form and the scales are computed from."""
    bias_sigmas: float = 2.0
    """Standard deviations by which closed-form biases are raised, so that the ReLU passes most values."""
    coordinates: Literal["whitened", "plain"] = "whitened"
    """What the optimizer turns: each convolution's weights against decorrelated inputs of unit variance, or as
    they are."""
    whitening_ridge: float = 1e-3
    """Share of the mean input variance added before whitening; keeps rare directions from exploding."""

    pair_steps: tuple[int, int, int, int] = (200, 200, 200, 200)
    """Steps of each block pair, 0..3, trained one after the other with the earlier ones frozen."""
    joint_steps: int = 0
    """Steps with all block pairs trained together, after the pairs."""

    optimizer: Literal["adam", "adamw"] = "adam"
    """The update rule."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates of the first and second moment."""
    weight_decay: float = 0.0
    """AdamW's decay a unit of rate."""
    encoder_rate: float = 0.003
    """Peak learning rate of encoder blocks; 0 freezes them. In whitened coordinates divided by √fan-in."""
    decoder_rate: float = 0.01
    """Peak learning rate of decoder blocks, likewise. Higher: the closed form leaves the decoder more to learn."""
    warmup_steps: int = 50
    """Steps of linear warm-up of each phase."""
    final_rate: float = 0.02
    """Share of the peak rate left at a phase's end; the way there is a cosine."""
    clip_norm: float = 20.0
    """Gradient norm above which gradients are scaled down; 0: never."""
    ema: float = 0.998
    """Decay a step of the weights' moving average, which is what is validated and saved; 0: none."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Precision of convolutions; losses, covariances and weights are always fp32."""

    distill: float = 1.0
    """Weight of the distillation loss: student features against the teacher's in k coordinates, each centred photo
    by photo, as a share of the teacher's variance, summed over levels."""
    image: float = 100.0
    """Weight of the mean squared error of the reconstructed picture, range [0, 1]."""
    feature: float = 0.1
    """Weight of the decoder's error against the encoder's features, as a share of their variance, from pair 1 on."""
    perceptual: float = 0.0
    """Weight of the teacher's view of the reconstruction, as a share of its variance, from pair 1 on. Costs a
    teacher pass with gradients."""
    graded: float = 100.0
    """Weight of the mean squared error of transferred pictures whose truth is known."""
    style: float = 1.0
    """Weight of the Gram loss of photos transferred to another's look, relative and a mean over levels as in
    `pcakd.evaluation`, in the teacher's features or those of another network ("judge"). Costs a pass with gradients."""
    structure: float = 3.0
    """Weight of 1 - SSIM of the luminance of those results, guided filter included, against their content."""
    teacher_photos: int = 8
    """Crops of a step, over all workers, that the teacher sees; fewer where it costs more than the student."""
    graded_photos: int = 0
    """Crops of a step, over all workers, that are transferred to their own random colour grade instead of merely
    reconstructed."""
    style_photos: int = 0
    """Pairs of photos a step, over all workers and beside the batch, the one transferred to the look of the other."""
    style_every: int = 1
    """Steps from one with such pairs to the next: a pair costs as much as many crops."""
    style_crop: int = 256
    """Side of their square crops, pixels; a multiple of 16. Large: statistics of few positions say little."""

    validate_every: int = 250
    """Steps between validations on held-out photos."""
    validation_photos: int = 16
    """Held-out photos that are validated on."""
    checkpoint_every: int = 250
    """Steps between saved training states."""
    divergence: float = 10.0
    """A loss this many times its moving average, or one that is not a number, ends the run with the last good
    state."""

    def __post_init__(self) -> None:
        one_of("backbone", self.backbone, DEFAULT_CHANNELS)
        one_of("init", self.init, ("teacher", "random"))
        one_of("coordinates", self.coordinates, ("whitened", "plain"))
        one_of("optimizer", self.optimizer, ("adam", "adamw"))
        one_of("precision", self.precision, ("bf16", "fp32"))
        object.__setattr__(self, "pair_steps", tuple(self.pair_steps))
        object.__setattr__(self, "betas", tuple(self.betas))
        if len(self.pair_steps) != LEVELS or min(self.pair_steps) < 0 or self.joint_steps < 0:
            raise UsageError(f"pair_steps are {self.pair_steps}, joint_steps {self.joint_steps}: give 4 counts and one")
        for name in ("crop", "style_crop"):
            if getattr(self, name) % 16 or getattr(self, name) < 32:
                raise UsageError(f"{name} is {getattr(self, name)}: give a multiple of 16, 32 or more")
        for name, low in {"batch": 1, "init_photos": 1, "validation_photos": 1}.items():
            if getattr(self, name) < low:
                raise UsageError(f"{name} is {getattr(self, name)}: give {low} or more")
        for name in ("validate_every", "checkpoint_every", "style_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: give 1 or more steps")
        for name in ("teacher_photos", "graded_photos"):
            if not 0 <= getattr(self, name) <= self.batch:
                raise UsageError(f"{name} is {getattr(self, name)}: give 0 to batch ({self.batch})")
        if self.style_photos < 0:
            raise UsageError(f"style_photos is {self.style_photos}: give 0 or more")
        for name in ("flip", "final_rate", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}: give 0 to 1")
        positive = ("encoder_rate", "decoder_rate", "clip_norm", "weight_decay", "whitening_ridge", "warmup_steps")
        for name in (
            *positive,
            "distill",
            "image",
            "feature",
            "perceptual",
            "graded",
            "style",
            "structure",
            "bias_sigmas",
        ):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}: give 0 or more")
        if self.divergence <= 1:
            raise UsageError(f"divergence is {self.divergence}: give a factor above 1")

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
        """All fields, keys sorted; those of transfers to other photos only where there are such transfers, so that
        recipes without them have the identity that they had before these fields were known."""
        values = asdict(self)
        if not self.style_photos:
            values = {key: value for key, value in values.items() if key not in STYLE_FIELDS}
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str = "recipe") -> "Recipe":
        """A recipe from plain values. Raises UsageError naming the field."""
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise UsageError(f"{name}: has no field {unknown[0]!r}; fields are {', '.join(known)}")
        for key, value in values.items():
            default = known[key].default
            wanted: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
            wanted = (list, tuple) if isinstance(default, tuple) else wanted
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise UsageError(f"{name}: {key} is {value!r}: give a {wanted[0].__name__}, like {default!r}")
        try:
            return cls(**values)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None


def builtin_recipes() -> dict[str, Path]:
    """Name → file of the recipes that ship with the package."""
    folder = Path(str(resources.files("pcakd"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


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
