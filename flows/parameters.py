"""The flows' parameters: validated models, whose descriptions are the form in Prefect's interface."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pcakd.bulk.naming import OutputFormat


class Parameters(BaseModel):
    """Base: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sharding(Parameters):
    """How photos become Parquet shards."""

    source: str = Field(description="Folder or s3://bucket/prefix with photos.", min_length=1)
    shortest_side: int = Field(
        default=512, ge=8, le=16384, description="Photos are shrunk to this shortest side, pixels."
    )
    shard_mb: int = Field(default=128, ge=1, le=2000, description="Megabytes of photos in a shard.")
    val_fraction: float = Field(default=0.05, ge=0, lt=1, description="Share of the photos for the validation split.")
    limit: int | None = Field(default=None, ge=1, description="Take only the first so many objects of the listing.")


class Eigenbases(Parameters):
    """How the teacher's global eigenbases are fitted."""

    crop: int = Field(
        default=256, ge=0, le=4096, description="Side of the square cut from each photo, pixels; 0: whole."
    )
    limit: int | None = Field(default=None, ge=1, description="Use only the first so many photos.")
    channels: tuple[int, int, int, int] | None = Field(
        default=None, description="Eigenvectors to keep at levels 0 to 3; empty: the paper's widths."
    )
    variance: float | None = Field(default=None, gt=0, lt=1, description="Instead: the fewest that explain this share.")


class Distillation(Parameters):
    """How the student is trained."""

    recipe: str = Field(
        default="", description="Built-in recipe or TOML file; empty: the one of the teacher's backbone."
    )
    judge: str = Field(
        default="", description="Name or file of the network in whose features styles are compared; empty: the teacher."
    )
    steps: int | None = Field(
        default=None, ge=1, description="Steps in all, shared out as in the recipe; empty: its own."
    )
    seed: int | None = Field(default=None, ge=0, description="In place of the recipe's.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU if there is one.")
    workers: int = Field(default=1, ge=1, description="Processes that train together; more than one train on Ray.")
    worker_cpus: int = Field(default=1, ge=1, description="CPUs, and threads, of each of several processes.")


class Evaluation(Parameters):
    """What a student is measured on."""

    photos: str | None = Field(
        default=None, description="Folder or prefix of photos to grade; empty: the validation split of the shards."
    )
    limit: int = Field(default=24, ge=1, description="Measure on the first so many photos.")
    size: int = Field(default=288, ge=32, le=4096, description="Shortest side of the photos, pixels.")
    seed: int = Field(default=0, ge=0, description="Decides the colour grades.")
    pairs: str | None = Field(default=None, description="Local folder with content/ and style/; empty: none.")


class Registration(Parameters):
    """When a student becomes the champion."""

    tolerance: float = Field(default=0.01, ge=0, lt=1, description="Share of the champion's score it may be worse by.")
    axes: dict[str, Literal["higher", "lower"]] = Field(
        default={"same.psnr": "higher", "across.psnr": "higher"},
        min_length=1,
        description="Score → which way is better. With pairs also pairs.ssim (higher) and pairs.gram (lower).",
    )


class BulkStylization(Parameters):
    """A bulk job: the fields of `BucketJob`, then those of `RunOptions`."""

    source: str = Field(description="Folder or s3://bucket/prefix with photos.", min_length=1)
    dest: str = Field(description="Folder or s3://bucket/prefix for the results.", min_length=1)
    styles: list[str] = Field(
        min_length=1, description="Style photos, PLACE or NAME=PLACE; those of one NAME are pooled into one style."
    )
    combine: Literal["each", "mix"] = Field(
        default="each", description="each: every photo in every style; mix: all style photos pooled into one style."
    )
    weights: list[float] = Field(
        default=[], description="How much each style photo counts where they are pooled; empty: equal."
    )
    manifest: str | None = Field(
        default=None, description="CSV or Parquet table of what to take; empty: all of the source."
    )
    include: list[str] = Field(default=[], description="Take only keys that one of these globs matches; empty: all.")
    exclude: list[str] = Field(default=[], description="Leave out keys that one of these globs matches.")
    limit: int | None = Field(default=None, ge=1, description="Take only the first so many objects.")
    overwrite: Literal["skip", "replace", "fail"] = Field(
        default="skip",
        description="skip: leave results of unchanged objects; replace: make all again; fail: keep what the job did "
        "not write.",
    )
    model: str = Field(default="models:/pcakd-vgg@champion", description="Built-in name, file, or models:/NAME@ALIAS.")
    transform: Literal["zca", "ot", "adain"] = Field(default="zca", description="Feature transform.")
    strength: float = Field(default=1.0, ge=0, le=1, description="0: the content; 1: the full style.")
    smoothing: Literal["guided", "none"] = Field(default="guided", description="guided: restore the content's edges.")
    compat: Literal["auto", "released", "pcakd"] = Field(
        default="auto", description="released: the paper's method alone; auto: what the model says."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="Of convolutions.")
    template: str = Field(
        default="", description="Names of results, of {key} {dir} {stem} {ext} {style}; empty: the sources' own."
    )
    format: OutputFormat = Field(default="same", description="Of the results.")
    quality: int = Field(default=95, ge=1, le=100, description="Of JPEG and WebP results.")
    max_side: int | None = Field(
        default=None, ge=16, le=65_500, description="Photos are shrunk to this longest side first, pixels."
    )
    depth: Literal["same", "8", "16"] = Field(default="same", description="Bits a channel of PNG and TIFF results.")
    colour: Literal["srgb", "source"] = Field(default="srgb", description="Colour space; source: the photo's own.")
    workers: int | None = Field(
        default=None, ge=1, description="Stylizers at once; empty: what the cluster has room for."
    )
    memory_limit: int | None = Field(
        default=None, ge=64 << 20, description="Bytes that each stylizer should stay below."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU if there is one.")
    max_failed: float | None = Field(
        default=None,
        ge=0,
        description="End early when more have failed: below 1 a share of the results, else a number.",
    )


WORKSPACE = "Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE."
