"""What a bulk job is told: validated once, from options or a TOML file, and what its id is made of."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pcakd.bulk.budget import Rate, Window, parse_rate, parse_window
from pcakd.bulk.naming import (
    TEMPLATE,
    TEMPLATE_OF_STYLES,
    OutputFormat,
    check_template,
    template_fields,
)
from pcakd.bulk.notify import check_address
from pcakd.bulk.properties import ResultProperties, check_properties
from pcakd.bulk.schema import FORMAT
from pcakd.bulk.styles import Combine, StyleSpec, parse_styles
from pcakd.errors import NotFoundError, UsageError
from pcakd.fields import ALLOWANCE, MEMORY, Bounds, check_fields, check_kinds, chosen, declared
from pcakd.photos.images import read_photo
from pcakd.photos.options import WriteOptions
from pcakd.storage import open_storage, sha256_hex, shown
from pcakd.storage.stage import canonical_json
from pcakd.student.address import is_address
from pcakd.stylize.options import MachineLimits, ModelChoice, StylizeOptions
from pcakd.units import parse_allowance, parse_memory
from pcakd.video.options import VideoOptions

if TYPE_CHECKING:
    from pcakd.student.checkpoint import Checkpoint

SELECTION = ("include", "exclude", "limit", "overwrite")
"""Fields that say which objects a run takes, not what becomes of one: they are no part of the job's id, so that
a run with another --limit or glob goes on with the same ledger. The manifest's content is another of these."""
NO_IDENTITY = (
    *SELECTION,
    *("videos", "manifest", "inventory"),
    *("source", "dest", "styles", "combine", "weights", "model", "template", "compat"),
    *("restyle", "shared_dest"),
    *ResultProperties.__dataclass_fields__,
)
"""Fields that the job's id does not hold as they are: a selection, or what it holds in another form."""
FIRST_FIELDS = ("transform", "strength", "smoothing", "precision", "format", "quality", "max_side")
"""What the ids of the first jobs were made of. A field that came later is part of an id only where it is not at its
default, so that these jobs keep theirs."""


@dataclass(frozen=True, kw_only=True)
class BucketJob(ResultProperties, WriteOptions, ModelChoice, StylizeOptions, VideoOptions):
    """What a bulk job is told."""

    source: str
    """Folder or s3://bucket/prefix with photos."""
    dest: str
    """Folder or s3://bucket/prefix for the results; neither lies in the other."""
    styles: tuple[str, ...]
    """Style photo as PLACE or NAME=PLACE, a file or s3:// address; again for more. Photos of one NAME are pooled into
    one style; a NAME that is not given is the file's."""
    combine: Combine = "each"
    """Several styles. each: every photo in every style; mix: all style photos pooled into one style."""
    weights: tuple[float, ...] = ()
    """How much each style photo counts where they are pooled, in their order; not given: equal."""

    look: Literal["each", "shared"] = "each"
    """How photos come to their looks. each: every photo its own; shared: all of the source have one, decided on 16 of
    them, so that one colour becomes the same colour everywhere."""

    videos: bool = False
    """Stylize videos, too, each shot by one look; not given: they are left out. cut, one_shot, follow, light, codec
    and crf are of them."""

    manifest: str | None = None
    """CSV or Parquet table of what to take; not given: all of the source."""
    inventory: str | None = None
    """manifest.json of an S3 Inventory of the source's bucket, which is taken for its listing; not given: the source
    is listed."""
    include: tuple[str, ...] = ()
    """Take only keys that a glob matches, as 'album/*.jpg'; * matches / too; not given: all."""
    exclude: tuple[str, ...] = ()
    """Leave out keys that a glob matches."""
    limit: Annotated[int | None, Bounds(1)] = None
    """Take only the first so many objects, in the order of their keys."""
    overwrite: Literal["skip", "replace", "fail"] = "skip"
    """skip: leave results of unchanged objects; replace: make all again; fail: keep what this job did not write."""
    restyle: bool = False
    """Where the model's alias names another version than the destination was begun with: take that one, and make all
    results again; not given: the version of before goes on."""
    shared_dest: bool = False
    """Write under names that another job of the destination has, over its results, too; not given: that is refused."""

    template: str = ""
    """Names of results, of {key} {dir} {stem} {ext} {style} {version}, the model's; not given: {dir}{stem}{ext}, with
    several styles {dir}{stem}.{style}{ext}."""
    format: OutputFormat = "same"
    """Of results; same: as the source, PNG for what cannot be written."""
    max_side: Annotated[int | None, Bounds(16, 65_500)] = None
    """Shrink photos to this longest side in pixels first."""

    def __post_init__(self) -> None:
        for name in ("styles", "include", "exclude", "weights", "tags"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        # A file says 1, a command line 1.0: one job, one id.
        object.__setattr__(self, "strength", float(self.strength))
        for name in ("source", "dest"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty: give a folder or s3://bucket/prefix")
        check_fields(self)
        check_properties(self, self.dest)
        if self.inventory and not self.source.startswith("s3://"):
            raise UsageError("inventory is the listing of an S3 bucket, and source is a folder: leave it out")
        styles = self.style_specs()
        if self.look == "shared" and self.options().rendered_by("pcakd") != "look":
            raise UsageError(
                "look is 'shared', but render 'full', compat 'released' and smoothing 'none' have no looks"
            )
        given = [name for name, one in declared(VideoOptions).items() if getattr(self, name) != one.default]
        if given and not self.videos:
            raise UsageError(f"{given[0]} is {getattr(self, given[0])}: it is of videos; add videos, or leave it out")
        if self.videos and self.options().rendered_by("pcakd") != "look":
            raise UsageError("videos need looks, and render 'full', compat 'released' and smoothing 'none' have none")
        if any(not pattern for pattern in (*self.include, *self.exclude)):
            raise UsageError("include or exclude has an empty glob: leave it out")
        if self.template:
            check_template(self.template)
            if len(styles) > 1 and self.manifest is None and "style" not in template_fields(self.template):
                raise UsageError(f"template is {self.template!r}: {len(styles)} styles need {{style}} in it")

    def options(self) -> StylizeOptions:
        """How objects are stylized where their manifest row says nothing else."""
        return chosen(StylizeOptions, vars(self))

    def style_specs(self) -> dict[str, StyleSpec]:
        """Name → style, sorted by name."""
        return parse_styles(self.styles, self.combine, self.weights)

    def output_template(self) -> str:
        return self.template or (TEMPLATE if len(self.style_specs()) == 1 else TEMPLATE_OF_STYLES)


@dataclass(frozen=True, kw_only=True)
class RunOptions(MachineLimits):
    """How a run works; the results do not depend on it, so it is no part of the job's id."""

    workers: Annotated[int | None, Bounds(1)] = None
    """Stylizers at once; not given: what the cluster has room for."""
    max_failed: Annotated[float | None, Bounds(0), ALLOWANCE] = None
    """End early, with a full report, when more have failed: below 1 a share of the results, such as 5%, else a number
    of them."""

    max_minutes: Annotated[float | None, Bounds(above=0)] = None
    """End after so many minutes, with a full report; the same command goes on."""
    max_gb_out: Annotated[float | None, Bounds(above=0)] = None
    """End, with a full report, when this run has written so many GB; the same command goes on."""
    max_rate: str | None = None
    """All workers together take no more than this: objects a second as 20/s, or bytes read and written as 5MB/s."""
    window: str | None = None
    """Work only between these times of the day, as 22:00-06:00 on this machine's clock; end when it closes, the same
    command goes on."""
    to_webdataset: str = ""
    """When all is done, also write the good results as tar shards, as WebDataset reads them, with their rows as JSON,
    under this folder or s3:// prefix."""
    to_parquet: str = ""
    """When all is done, also write the good results and their rows as Parquet shards under this folder or s3:// prefix.
    """
    notify: str = ""
    """Post a signed JSON summary to this URL when the run ends, however it ends; PCAKD_NOTIFY_SECRET signs it."""

    def __post_init__(self) -> None:
        check_fields(self)
        self.rate(), self.hours()
        if self.notify:
            check_address(self.notify)
        if self.max_failed is not None and self.max_failed >= 1 and not float(self.max_failed).is_integer():
            raise UsageError(f"max_failed is {self.max_failed}: give a share below 1, or a whole number of items")

    def too_many(self, failed: int, items: int) -> bool:
        """Whether a run over so many items is to end early."""
        if self.max_failed is None:
            return False
        return failed > (self.max_failed * items if self.max_failed < 1 else self.max_failed)

    def rate(self) -> Rate | None:
        return parse_rate(self.max_rate) if self.max_rate else None

    def hours(self) -> Window | None:
        return parse_window(self.window) if self.window else None

    def spent(self, *, seconds: float, bytes_out: int, now: time) -> str:
        """Which budget is spent, in words; "" for none. now: the time of the day."""
        hours = self.hours()
        if hours is not None and now not in hours:
            return f"it is {now:%H:%M}, outside window {self.window}"
        if self.max_minutes is not None and seconds >= self.max_minutes * 60:
            return f"max_minutes {self.max_minutes:g} are over"
        if self.max_gb_out is not None and bytes_out >= self.max_gb_out * 1e9:
            return f"max_gb_out {self.max_gb_out:g} is written"
        return ""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A job with everything looked up that its results depend on beside the source's objects."""

    job: BucketJob
    model: str
    """The model's name with every alias resolved."""
    model_digest: str
    """Of its weights."""
    style_digests: dict[str, tuple[str, ...]]
    """Name → SHA-256 of each of its photos."""
    photos: dict[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Name → the photos, encoded as they were read: those that the digests are of."""
    checkpoint: "Checkpoint | None" = field(default=None, repr=False, compare=False)
    """The loaded model."""

    def spec(self) -> dict[str, Any]:
        """What the results depend on; its hash is the job's id. Not where things lie: the destination, the style
        photos' and the model's places; nor which objects a run takes."""
        job, styles = self.job, self.job.style_specs()
        return {
            "format_version": FORMAT,
            "source": open_storage(job.source).uri(),
            "styles": {
                name: {"photos": list(digests), "weights": list(styles[name].weights)}
                for name, digests in self.style_digests.items()
            },
            # A file may move; the digest tells whether it is the same model.
            "model": self.model if is_address(self.model) else self.model.rpartition("/")[2],
            "model_digest": self.model_digest,
            "template": job.output_template(),
            **self._values(),
            "compat": self.compat(),
        }

    def _values(self) -> dict[str, Any]:
        """The job's plain fields that its results depend on."""
        values = {name: one for name, one in declared(BucketJob).items() if name not in NO_IDENTITY}
        return {
            name: getattr(self.job, name)
            for name, one in values.items()
            if name in FIRST_FIELDS or getattr(self.job, name) != one.default
        }

    @property
    def version(self) -> str:
        """What `{version}` in names of results stands for: the number of a registered version, else the first digits of
        the weights' digest."""
        return version_in_names(self.model, self.model_digest)

    def compat(self) -> str:
        """The job's, with "auto" looked up in the model."""
        if self.job.compat == "auto" and self.checkpoint is not None:
            return self.checkpoint.metadata.compat
        return self.job.compat

    @property
    def job_id(self) -> str:
        """16 hexadecimal digits."""
        return sha256_hex(canonical_json(self.spec()))[:16]


def version_in_names(model: str, digest: str) -> str:
    """`Resolved.version`, of the model's name and its weights' digest."""
    number = model.rpartition("/")[2]
    return number if is_address(model) and number.isdecimal() else digest[:8]


def look_up(job: BucketJob) -> Resolved:
    """Load the model and read the style photos.

    Raises PhotoError for a style that is no photo, UsageError, NotFoundError and AccessError for what cannot be
    used, TransientError for what is away.
    """
    from pcakd.student.checkpoint import load_checkpoint

    photos = {name: tuple(map(style_photo, style.photos)) for name, style in job.style_specs().items()}
    checkpoint = load_checkpoint(job.model)
    return Resolved(
        job=job,
        model=checkpoint.source,
        model_digest=checkpoint.digest,
        style_digests={name: tuple(sha256_hex(data) for data in group) for name, group in photos.items()},
        photos=photos,
        checkpoint=checkpoint,
    )


def style_photo(place: str) -> bytes:
    """The content of a style photo at a local path or s3:// address. Raises PhotoError for what is none, and what
    `read_place` raises."""
    data = read_place(place)
    read_photo(data, name=shown(place))  # what is wrong with it is said now, not after a million objects are listed
    return data


def read_place(place: str) -> bytes:
    """The content at a local path or s3:// address. Raises NotFoundError, AccessError, TransientError."""
    parent, slash, name = place.rpartition("/")
    if not name:
        raise NotFoundError(f"{place}: is a folder, not a photo")
    return open_storage(parent or ("/" if slash else ".")).read(name)


def load_job(path: str | Path, **changes: Any) -> tuple[BucketJob, RunOptions]:
    """A job file: TOML with the fields of `BucketJob`, and of `RunOptions` under `[run]`.

    Relative places in it count from the file's folder. changes: fields that are given otherwise and win, of
    either. Raises UsageError naming the file and the field.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such job file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not a TOML file ({error})") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    run = values.pop("run", {})
    if not isinstance(run, dict):
        raise UsageError(f"{path}: run is {run!r}: write a table [run]")
    check_kinds(values, BucketJob, f"{path}")
    run = _parsed(run, f"{path}: [run]")
    check_kinds(run, RunOptions, f"{path}: [run]")
    values, run = _beside(values, path.parent), _beside(run, path.parent)
    for name, value in changes.items():
        (run if name in RunOptions.__dataclass_fields__ else values)[name] = value
    if missing := [name for name in ("source", "dest", "styles") if name not in values]:
        raise UsageError(f"{path}: has no {missing[0]}; {', '.join(missing)} must be given")
    try:
        return BucketJob(**values), RunOptions(**run)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _parsed(run: dict[str, Any], name: str) -> dict[str, Any]:
    """Sizes and shares may be written as on the command line."""
    parsers: dict[str | None, Callable[[str], float]] = {MEMORY: parse_memory, ALLOWANCE: parse_allowance}
    run = dict(run)
    for key, one in declared(RunOptions).items():
        if isinstance(value := run.get(key), str) and one.written:
            try:
                run[key] = parsers[one.written](value)
            except UsageError as error:
                raise UsageError(f"{name}: {key}: {error}") from None
    return run


def _beside(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    def place(text: str) -> str:
        return text if "://" in text or not text else str(folder / text)

    def style(text: str) -> str:
        name, equals, rest = text.partition("=")
        return f"{name}={place(rest)}" if equals and "/" not in name else place(text)

    values = dict(values)
    for name in ("source", "dest", "manifest", "inventory", "to_webdataset", "to_parquet"):
        if name in values:
            values[name] = place(values[name])
    if "styles" in values:
        values["styles"] = [style(text) for text in values["styles"]]
    model = values.get("model", "")
    if "/" in model and ":/" not in model:
        values["model"] = place(model)
    return values
