"""What a bulk job is told: validated once, from options or a TOML file, and what its id is made of."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcakd.bulk.naming import (
    OUTPUT_FORMATS,
    TEMPLATE,
    TEMPLATE_OF_STYLES,
    OutputFormat,
    check_template,
    template_fields,
)
from pcakd.bulk.schema import FORMAT
from pcakd.bulk.styles import Combine, StyleSpec, parse_styles
from pcakd.checks import one_of, within
from pcakd.errors import NotFoundError, UsageError
from pcakd.photos.images import read_photo
from pcakd.storage import open_storage, sha256_hex, shown
from pcakd.storage.stage import canonical_json
from pcakd.student.address import is_address
from pcakd.stylize.options import DEVICES, StylizeOptions
from pcakd.units import parse_allowance, parse_memory

if TYPE_CHECKING:
    from pcakd.student.checkpoint import Checkpoint

OVERWRITES = ("skip", "replace", "fail")
SELECTION = ("include", "exclude", "limit", "overwrite")
"""Fields that say which objects a run takes, not what becomes of one: they are no part of the job's id, so that
a run with another --limit or glob goes on with the same ledger. The manifest's content is another of these."""


@dataclass(frozen=True, kw_only=True)
class BucketJob:
    """What a bulk job is told."""

    source: str
    """Folder or s3:// prefix with photos."""
    dest: str
    """Folder or s3:// prefix for the results; neither lies in the other."""
    styles: tuple[str, ...]
    """Style photos as PLACE or NAME=PLACE, local paths or s3:// addresses; places of one NAME are pooled."""
    combine: Combine = "each"
    """"each": every object in every style; "mix": all style photos pooled into one style."""
    weights: tuple[float, ...] = ()
    """How much each style photo counts where they are pooled; empty: equal."""

    manifest: str | None = None
    """CSV or Parquet table of the objects to take, instead of the whole listing (see `pcakd.bulk.manifest`)."""
    include: tuple[str, ...] = ()
    """Globs over whole keys, `*` matches "/", too; an object is taken if one matches; empty: all."""
    exclude: tuple[str, ...] = ()
    """Globs; an object that one of them matches is left out."""
    limit: int | None = None
    """Take only the first so many objects, in the order of their keys."""
    overwrite: str = "skip"
    """"skip": leave results of objects that are unchanged since; "replace": make every result again;
    "fail": never touch an object at the destination that the job has not written."""

    model: str = "vgg"
    """Built-in name, checkpoint file, or models:/NAME@ALIAS."""
    transform: str = "zca"
    """Feature transform: "zca", "ot" or "adain"."""
    strength: float = 1.0
    """0: the content; 1: the full style."""
    smoothing: str = "guided"
    """"guided" or "none"."""
    compat: str = "auto"
    """"auto", "released" or "pcakd" (see `pcakd.stylize.options.StylizeOptions`)."""
    precision: str = "auto"
    """"auto", "fp32" or "bf16"; decides the pixels, so it is part of the job's id."""

    template: str = ""
    """Name of a result from {key} {dir} {stem} {ext} {style}; empty: the source's own, with ".{style}" before the
    suffix where there are several styles."""
    format: OutputFormat = "same"
    """Of the results: "same", "jpeg", "png", "webp", "tiff" or "avif"."""
    quality: int = 95
    """Of JPEG and WebP results."""
    max_side: int | None = None
    """Photos are shrunk to this longest side in pixels before they are stylized; None: never."""
    depth: str = "same"
    """Bits a channel of PNG and TIFF results: "same" as the source's, "8" or "16"."""
    colour: str = "srgb"
    """Colour space of the results: "srgb", or "source": the photo's own RGB space."""

    def __post_init__(self) -> None:
        for name in ("styles", "include", "exclude", "weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        # A file says 1, a command line 1.0: one job, one id.
        object.__setattr__(self, "strength", float(self.strength))
        for name in ("source", "dest"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty: give a folder or s3://bucket/prefix")
        styles = self.style_specs()
        one_of("overwrite", self.overwrite, OVERWRITES)
        one_of("format", self.format, OUTPUT_FORMATS)
        one_of("precision", self.precision, ("auto", "fp32", "bf16"))
        within("quality", self.quality, 1, 100)
        if self.max_side is not None:
            within("max_side", self.max_side, 16, 65_500)
        if self.limit is not None:
            within("limit", self.limit, 1)
        if any(not pattern for pattern in (*self.include, *self.exclude)):
            raise UsageError("include or exclude has an empty glob: leave it out")
        if self.template:
            check_template(self.template)
            if len(styles) > 1 and self.manifest is None and "style" not in template_fields(self.template):
                raise UsageError(f"template is {self.template!r}: {len(styles)} styles need {{style}} in it")
        self.options()

    def options(self) -> StylizeOptions:
        """How objects are stylized where their manifest row says nothing else. Raises UsageError."""
        return StylizeOptions(
            transform=self.transform,  # type: ignore[arg-type]
            strength=self.strength,
            smoothing=self.smoothing,  # type: ignore[arg-type]
            compat=self.compat,  # type: ignore[arg-type]
            depth=self.depth,  # type: ignore[arg-type]
            colour=self.colour,  # type: ignore[arg-type]
        )

    def style_specs(self) -> dict[str, StyleSpec]:
        """Name → style, sorted by name."""
        return parse_styles(self.styles, self.combine, self.weights)

    def output_template(self) -> str:
        return self.template or (TEMPLATE if len(self.style_specs()) == 1 else TEMPLATE_OF_STYLES)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run works; the results do not depend on it, so it is no part of the job's id."""

    workers: int | None = None
    """Stylizers that work at once; None: as many as the cluster has room for."""
    memory_limit: int | None = None
    """Bytes that each stylizer should stay below; None: its default."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    max_failed: float | None = None
    """End the run early when more items have failed: below 1 a share of the items, from 1 on a number; None: never."""

    def __post_init__(self) -> None:
        one_of("device", self.device, DEVICES)
        if self.workers is not None:
            within("workers", self.workers, 1)
        if self.memory_limit is not None:
            within("memory_limit", self.memory_limit, 64 << 20)
        if self.max_failed is not None and not (
            0 <= self.max_failed < 1 or (self.max_failed >= 1 and float(self.max_failed).is_integer())
        ):
            raise UsageError(f"max_failed is {self.max_failed}: give a share below 1, or a whole number of items")

    def too_many(self, failed: int, items: int) -> bool:
        """Whether a run over so many items is to end early."""
        if self.max_failed is None:
            return False
        return failed > (self.max_failed * items if self.max_failed < 1 else self.max_failed)


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
        names: tuple[str, ...] = ("transform", "strength", "smoothing", "precision", "format", "quality", "max_side")
        # Younger than the ids: in them only where something is said, so that older jobs keep theirs.
        names += tuple(name for name, usual in (("depth", "same"), ("colour", "srgb")) if getattr(job, name) != usual)
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
            **{name: getattr(job, name) for name in names},
            "compat": self.compat(),
        }

    def compat(self) -> str:
        """The job's, with "auto" looked up in the model."""
        if self.job.compat == "auto" and self.checkpoint is not None:
            return self.checkpoint.metadata.compat
        return self.job.compat

    @property
    def job_id(self) -> str:
        """16 hexadecimal digits."""
        return sha256_hex(canonical_json(self.spec()))[:16]


def look_up(job: BucketJob) -> Resolved:
    """Load the model and read the style photos.

    Raises PhotoError for a style that is no photo, UsageError, NotFoundError and AccessError for what cannot be
    used, TransientError for what is away.
    """
    from pcakd.student.checkpoint import load_checkpoint

    photos = {name: tuple(map(_style_photo, style.photos)) for name, style in job.style_specs().items()}
    checkpoint = load_checkpoint(job.model)
    return Resolved(
        job=job,
        model=checkpoint.source,
        model_digest=checkpoint.digest,
        style_digests={name: tuple(sha256_hex(data) for data in group) for name, group in photos.items()},
        photos=photos,
        checkpoint=checkpoint,
    )


def _style_photo(place: str) -> bytes:
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
    _check_types(values, BucketJob, f"{path}")
    run = _parsed(run, f"{path}: [run]")
    _check_types(run, RunOptions, f"{path}: [run]")
    values = _beside(values, path.parent)
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
    parsers: dict[str, Callable[[str], float]] = {"memory_limit": parse_memory, "max_failed": parse_allowance}
    run = dict(run)
    for key, parse in parsers.items():
        if isinstance(value := run.get(key), str):
            try:
                run[key] = parse(value)
            except UsageError as error:
                raise UsageError(f"{name}: {key}: {error}") from None
    return run


_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "str | None": ((str,), "a text"),
    "int": ((int,), "a whole number"),
    "int | None": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "float | None": ((int, float), "a number"),
    "tuple[str, ...]": ((list,), "a list of texts"),
    "tuple[float, ...]": ((list,), "a list of numbers"),
}


def _check_types(values: Mapping[str, Any], cls: type, name: str) -> None:
    known = {field.name: _annotation(field.type) for field in fields(cls)}
    if unknown := sorted(set(values) - set(known)):
        raise UsageError(f"{name}: has no field {unknown[0]!r}; fields are {', '.join(known)}")
    for key, value in values.items():
        kinds, words = _KINDS[known[key]]
        items = value if isinstance(value, list) else [value]
        inner = (str,) if words.endswith("texts") else (int, float) if words.endswith("numbers") else kinds
        good = isinstance(value, kinds) and all(isinstance(v, inner) and not isinstance(v, bool) for v in items)
        if not good:
            raise UsageError(f"{name}: {key} is {value!r}: give {words}")


def _annotation(kind: Any) -> str:
    text = kind if isinstance(kind, str) else getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind)
    return "str" if text.startswith("typing.Literal") else text


def _beside(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    def place(text: str) -> str:
        return text if "://" in text or not text else str(folder / text)

    def style(text: str) -> str:
        name, equals, rest = text.partition("=")
        return f"{name}={place(rest)}" if equals and "/" not in name else place(text)

    values = dict(values)
    for name in ("source", "dest", "manifest"):
        if name in values:
            values[name] = place(values[name])
    if "styles" in values:
        values["styles"] = [style(text) for text in values["styles"]]
    model = values.get("model", "")
    if "/" in model and ":/" not in model:
        values["model"] = place(model)
    return values
