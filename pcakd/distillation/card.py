"""A model's card: what it is made of, by what, and how good it came out, as Markdown beside the model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pcakd.distillation.recipe import Recipe
from pcakd.student.checkpoint import Metadata
from pcakd.teacher.catalogue import TeacherInfo


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a card tells beside the model's own metadata."""

    recipe: Recipe
    recipe_name: str
    teacher: TeacherInfo
    judge: TeacherInfo | None
    """In whose features styles were compared; None: the teacher."""
    photos: int
    """Photos trained on."""
    photos_licence: str
    """What is known of their licences; "": nothing."""
    weights: int
    """Inference weights."""
    steps: int
    cpu_seconds: float
    """CPU time of one worker's steps and validations."""
    devices: tuple[str, ...] = ()
    """What computed them."""
    run: str
    """The flow run, "" outside a flow."""
    begun_with: str = ""
    """The student that was gone on from, "" where it began with the teacher."""


def model_card(name: str, metadata: Metadata, origin: Origin) -> str:
    """The card of a model called `name`."""
    recipe, spec = origin.recipe, metadata.spec
    pairs = -(-origin.steps // recipe.style_every) * recipe.style_photos
    lines = [
        ("Weights", f"{origin.weights:,}, widths {' / '.join(map(str, spec.channels))}, {spec.backbone} layout."),
        (
            "Teacher",
            f"`{metadata.teacher['id']}` ({origin.teacher.source}), digest `{metadata.teacher['digest'][:16]}`.",
        ),
        (
            "Judge",
            f"styles were compared in the features of `{(origin.judge or origin.teacher).name}`." if pairs else "",
        ),
        ("Photos", f"{origin.photos:,}, not part of the model; digest `{metadata.data_digest}`."),
        ("Eigenbases", f"digest `{metadata.eigenbases_digest}`."),
        ("Recipe", f"`{origin.recipe_name}`, SHA-256 `{hashlib.sha256(recipe.to_json().encode()).hexdigest()}`."),
        ("Training", _training(origin, pairs)),
        ("Begun with", f"the weights of `{origin.begun_with}`." if origin.begun_with else ""),
        ("Made by", f"{origin.run or 'pcakd distill'}, commit `{metadata.commit or 'unknown'}`."),
        ("On held-out photos", _held_out(metadata.metrics)),
        ("Licence", f"{metadata.licence[0].upper()}{metadata.licence[1:]}."),
        ("The photos' licences", origin.photos_licence or "not stated; they decide what the weights may be used for."),
    ]
    return "\n".join([f"# {name}", "", *(f"- **{title}**: {text}" for title, text in lines if text), ""])


def scores_table(scores: Mapping[str, float], photos: int) -> str:
    """What the evaluation found, as a section of the card. scores: as the evaluation's manifest has its metrics."""
    rows = [f"| {name} | {value:.4g} |" for name, value in sorted(scores.items()) if name.count(".") < 3]
    return "\n".join([f"\n## Scores on {photos} photos not trained on\n", "| | |", "| --- | --- |", *rows, ""])


def _training(origin: Origin, pairs: int) -> str:
    recipe = origin.recipe
    done = f"{origin.steps:,}" if origin.steps >= recipe.steps else f"{origin.steps:,} of {recipe.steps:,}"
    made = f"{done} steps of {recipe.batch} crops of {recipe.crop} pixels, {recipe.coordinates} coordinates"
    if pairs:
        made += f", and {pairs:,} transfers between photos at {recipe.style_crop} pixels"
    if origin.cpu_seconds == origin.cpu_seconds:  # not a number where a part of the run did not keep count
        made += f"; {origin.cpu_seconds / 60:.1f} minutes of CPU time"
    if gpus := [name for name in origin.devices if name != "CPU"]:
        made += f" beside {', '.join(gpus)}"
    return f"{made}."


def _held_out(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return ""
    shares = " / ".join(f"{metrics[f'distill.{level}']:.3f}" for level in range(4))
    return (
        f"reconstruction {metrics['reconstruction']:.1f} dB; transfers to a photo's grade {metrics['graded']:.1f} dB; "
        f"share of the teacher's centred feature variance left unexplained, levels 0 to 3: {shares}."
    )
