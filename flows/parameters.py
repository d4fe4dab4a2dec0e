"""The flows' parameters: validated models, whose descriptions are the form in Prefect's interface.

What a dataclass of `pcakd` or `tasks` declares is read from there, so that a form accepts what the job accepts.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from pcakd.bulk import BucketJob, RunOptions
from pcakd.distillation.config import DistillConfig
from pcakd.drift.options import DriftPolicy
from pcakd.eigenbases.options import Extraction, Widths
from pcakd.errors import UsageError
from pcakd.fields import Declared, chosen, declared, help_texts, own_first
from pcakd.shadow.config import ShadowJob
from pcakd.shards.config import ShardConfig
from pcakd.stylize.options import StylizeOptions
from tasks.distillation.config import RayOptions
from tasks.eigenbases.config import FitConfig
from tasks.registry.gate import AXES, Floors
from tasks.workspace.config import PruneOptions

Model = TypeVar("Model", bound="Parameters")
Source = tuple[type, Mapping[str, str]]
"""A dataclass, and its field's name → the parameter's name."""


class Parameters(BaseModel):
    """Base: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    if TYPE_CHECKING:  # the fields that `declared_by` adds

        def __getattr__(self, name: str) -> Any: ...


def fields_of(cls: type, *names: str, **renamed: str) -> Source:
    """Fields of a dataclass for a form; no names: all. renamed: field → what the form calls it."""
    return cls, {name: name for name in names or (() if renamed else own_first(cls))} | renamed


def declared_by(*sources: Source, **defaults: Any) -> Callable[[type[Model]], type[Model]]:
    """Give a model the fields that dataclasses declare: types, defaults, bounds, descriptions.

    defaults: of parameters where a flow's differ from a command's.
    """

    def decorate(model: type[Model]) -> type[Model]:
        fields: dict[str, Any] = {}
        for cls, names in sources:
            for name, parameter in names.items():
                fields[parameter] = _field(declared(cls)[name], help_texts(cls)[name], defaults.get(parameter))
        return create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
        )

    return decorate


def _field(one: Declared, text: str, default: Any) -> tuple[Any, Any]:
    limits: dict[str, Any] = {}
    if one.bounds is not None:
        bounds = one.bounds
        limits = {"ge": bounds.low, "le": bounds.high, "lt": bounds.below, "gt": bounds.above}
    if one.required:
        limits["min_length"] = 1
        return one.annotation, Field(description=text, **limits)
    given = one.default if default is None else default
    return one.annotation | None if one.optional else one.annotation, Field(default=given, description=text, **limits)


@declared_by(fields_of(ShardConfig, "source", "shortest_side", "shard_mb", "val_fraction", "limit"))
class Sharding(Parameters):
    """How photos become Parquet shards."""


@declared_by(fields_of(Extraction, "crop"), fields_of(FitConfig, "limit"), fields_of(Widths, "channels", "variance"))
class Eigenbases(Parameters):
    """How the teacher's global eigenbases are fitted."""

    @model_validator(mode="after")
    def widths_that_a_fit_accepts(self) -> "Eigenbases":
        if self.channels is not None or self.variance is not None:
            accepted(Widths, self)
        return self


@declared_by(
    fields_of(DistillConfig, "recipe", "judge", "begin_with", "steps", "seed", "device", "photos_licence"),
    fields_of(RayOptions, "workers", cpus="worker_cpus"),
)
class Distillation(Parameters):
    """How the student is trained."""


class Evaluation(Parameters):
    """What a student is measured on."""

    photos: str | None = Field(
        default=None, description="Folder or prefix of photos to grade; empty: the validation split of the shards."
    )
    limit: int = Field(default=24, ge=1, description="Measure on the first so many photos.")
    size: int = Field(default=288, ge=32, le=4096, description="Shortest side of the photos, pixels.")
    seed: int = Field(default=0, ge=0, description="Decides the colour grades.")
    pairs: str | None = Field(default=None, description="Local folder with content/ and style/; empty: none.")


@declared_by(
    fields_of(ShadowJob, "source", "styles", "sample", "include", "exclude"),
    fields_of(StylizeOptions, "transform", "strength", "smoothing", "compat", "render"),
)
class Shadow(Parameters):
    """A shadow run: two students on a sample of production's photos."""

    at_most: float | None = Field(
        default=None,
        gt=0,
        description="Before a promotion: the largest mean difference (CIEDE2000) from the champion that lets a student "
        "become champion; empty: any.",
    )

    @model_validator(mode="after")
    def what_a_shadow_run_accepts(self) -> "Shadow":
        try:
            chosen(ShadowJob, {"challenger": "unknown yet"} | self.model_dump())
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self


@declared_by(fields_of(DriftPolicy))
class Drift(Parameters):
    """What is made of how far the photos have moved."""

    @model_validator(mode="after")
    def bounds_that_a_verdict_accepts(self) -> "Drift":
        accepted(DriftPolicy, self)
        return self


@declared_by(fields_of(Floors))
class Registration(Parameters):
    """When a student becomes the champion."""

    shadow: Shadow | None = Field(
        default=None, description="A shadow run beside the champion before it is decided; empty: none."
    )

    tolerance: float = Field(default=0.01, ge=0, lt=1, description="Share of the champion's score it may be worse by.")
    axes: dict[str, Literal["higher", "lower"]] = Field(
        default=AXES,
        min_length=1,
        description="Score → which way is better; own: of the paper's transfer, without a matched grade. With pairs "
        "also own.pairs.ssim (higher) and own.pairs.gram (lower).",
    )

    @model_validator(mode="after")
    def floors_that_the_gate_accepts(self) -> "Registration":
        accepted(Floors, self)
        return self


@declared_by(
    fields_of(BucketJob),
    fields_of(RunOptions),
    model="models:/pcakd-vgg@champion",
)
class BulkStylization(Parameters):
    """A bulk job: the fields of `BucketJob`, then those of `RunOptions`."""

    @model_validator(mode="after")
    def what_a_bulk_job_accepts(self) -> "BulkStylization":
        accepted(BucketJob, self)
        accepted(RunOptions, self)
        return self


@declared_by(fields_of(PruneOptions))
class Pruning(Parameters):
    """What stays in the workspace, and whether the rest is removed."""


def accepted(cls: type, parameters: Parameters) -> None:
    """Hold parameters against the dataclass that the work is done with. Raises ValueError with its words."""
    try:
        chosen(cls, parameters.model_dump())
    except UsageError as error:
        raise ValueError(str(error)) from None
