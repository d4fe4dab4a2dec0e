"""`pcakd stylize`."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcakd.cli.options import field_option, field_options
from pcakd.cli.progress import progress
from pcakd.errors import EXIT_PARTIAL, FatalError, PcakdError, UsageError
from pcakd.fields import chosen
from pcakd.files import write_atomic
from pcakd.photos.images import max_pixels_default, read_photo
from pcakd.photos.leftovers import is_left_out
from pcakd.photos.options import WriteOptions
from pcakd.photos.photo import Photo
from pcakd.photos.write import FORMATS, check_writable, encode, format_for
from pcakd.stylize.options import MachineLimits, ModelChoice, StylizeOptions

if TYPE_CHECKING:
    from pcakd.stylize.look.look import Look
    from pcakd.stylize.style import Style
    from pcakd.stylize.stylizer import MaskedStyle, Stylizer

MANY = 8
"""Photos from which on loading compiled slicing pays, however small they are."""


contents_argument = click.argument(
    "contents", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CONTENT..."
)
style_option = click.option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Style photo, or a style saved by --save-style. Several are pooled into one style.",
)
weight_option = click.option(
    "--weight", "weights", multiple=True, type=click.FloatRange(0), metavar="W",
    help="How much each --style counts where several are pooled, in their order; not given: equal.",
)  # fmt: skip


@click.command()
@contents_argument
@style_option
@weight_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for one content; folder for several (made if missing).  [default: NAME.stylized.SUFFIX here]",
)
@field_option(ModelChoice, "model")
@field_options(StylizeOptions)
@click.option(
    "--content-mask",
    type=click.Path(path_type=Path),
    help="Picture whose colours label regions of the content; black is no label. Any size. Needs --style-mask.",
)
@click.option(
    "--style-mask",
    type=click.Path(path_type=Path),
    help="The same for the style: regions of one colour exchange style, the rest takes the whole photo's.",
)
@field_option(MachineLimits, "device")
@field_option(ModelChoice, "precision")
@field_option(MachineLimits, "memory_limit")
@field_options(WriteOptions)
@click.option("--max-pixels", type=click.IntRange(1), help="Refuse photos of more pixels.  [default: 268435456]")
@click.option("--save-style", type=click.Path(path_type=Path), help="Also save the style statistics to this file.")
@click.option(
    "--same-look",
    is_flag=True,
    help="One look for all contents: what the style does to the series as a whole, the same colours for the same.",
)
@click.option(
    "--resize-like-authors",
    is_flag=True,
    help="Cut the sides to a multiple of 8 (vgg) or 16 (mobilenet) and ignore colour profiles, as the paper's demo "
    "does; --precision auto is fp32 then. With --quality 75 the JPEG is theirs too. For comparisons.",
)
def stylize(
    contents: tuple[Path, ...],
    styles: tuple[Path, ...],
    weights: tuple[float, ...],
    out: Path | None,
    content_mask: Path | None,
    style_mask: Path | None,
    max_pixels: int | None,
    save_style: Path | None,
    same_look: bool,
    resize_like_authors: bool,
    **declared: Any,
) -> int:
    """Give photos the style of another photo.

    Each result has exactly its content's size, with its EXIF and other metadata, transparency, 16 bits and frames
    where the format has them. Reads JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF and JPEG 2000; the result's suffix decides
    what is written: JPEG, PNG, WebP, TIFF, AVIF or GIF. Of a folder, all photos in it and below are taken.

    \b
    Examples:
      pcakd stylize street.jpg --style evening.jpg --out street-evening.jpg
      pcakd stylize album/*.jpg --style evening.jpg --out stylized/ --strength 0.7
      pcakd stylize scan.tif --style evening.jpg --render full
      pcakd stylize a.jpg --style b.jpg --content-mask a-mask.png --style-mask b-mask.png
    """
    if (content_mask is None) != (style_mask is None):
        raise UsageError("--content-mask and --style-mask go together: give both or neither")
    if content_mask is not None and (len(contents) > 1 or len(styles) > 1):
        raise UsageError("masks belong to one content and one style photo; give one of each")
    if weights and (len(weights) != len(styles) or not sum(weights)):
        raise UsageError(f"--weight is given {len(weights)} times for {len(styles)} styles: give one each, or none")
    options, writing = chosen(StylizeOptions, declared), chosen(WriteOptions, declared)
    choice, limits = chosen(ModelChoice, declared), chosen(MachineLimits, declared)
    contents, names, left_out = find_photos(contents)
    targets = plan_outputs(contents, out, names)
    if resize_like_authors:  # a comparison should measure neither our rounding nor our looks
        choice = replace(choice, precision="fp32") if choice.precision == "auto" else choice
        options = replace(options, render="full") if options.render == "auto" else options
    task = _Task(
        load_stylizer(choice, limits), options, writing, max_pixels or max_pixels_default(), resize_like_authors
    )
    style = task.style(styles, weights, style_mask, saved=save_style is not None)
    if save_style:
        if not hasattr(style, "save"):
            raise UsageError("--save-style saves a style without masks")
        style.save(save_style)
    look = None
    if same_look:
        if content_mask is not None or task.stylizer.rendering(options) == "full":
            raise UsageError("--same-look is one look for all places and photos: leave out masks and --render full")
        look = task.stylizer.shared_look(contents, style, options)  # type: ignore[arg-type]

    def one(content: Path, target: Path) -> None:
        task.stylize(content, target, style, content_mask, look)

    return for_each_photo(one, list(zip(contents, targets, strict=True)), left_out)


def load_stylizer(choice: ModelChoice, limits: MachineLimits) -> "Stylizer":
    """The model of a command, with the allocator set for photos."""
    from pcakd.stylize.engine.memory import keep_freed_memory
    from pcakd.stylize.stylizer import Stylizer

    keep_freed_memory()
    return Stylizer.load(
        choice.model, device=limits.device, precision=choice.precision, memory_limit=limits.memory_limit
    )


@dataclass(frozen=True)
class _Task:
    """What is the same for every photo of the command."""

    stylizer: "Stylizer"
    options: StylizeOptions
    writing: WriteOptions
    max_pixels: int
    like_authors: bool

    def read(self, path: Path, **kept: Any) -> Photo:
        """A photo, resized as the paper's demo does where that is wanted. kept: depth and gamut, of `read_photo`."""
        from pcakd.stylize.like_authors import resize_like_authors

        photo = read_photo(path, max_pixels=self.max_pixels, convert_profile=not self.like_authors, **kept)
        return resize_like_authors(photo, self.stylizer.student.spec.multiple) if self.like_authors else photo

    def style(
        self, photos: tuple[Path, ...], weights: tuple[float, ...], mask: Path | None, *, saved: bool
    ) -> "Style | MaskedStyle":
        """The style of all style photos together, or of one and its mask; saved: fit for every way to render."""
        from pcakd.stylize.style import Style, mix_styles

        if mask is not None:
            return self.stylizer.masked_style(read_photo(photos[0], max_pixels=self.max_pixels), mask)
        render = "auto" if saved else self.stylizer.rendering(self.options)
        styles = [
            Style.load(path) if path.suffix == ".safetensors" else self.stylizer.style(self.read(path), render=render)
            for path in photos
        ]
        if weights:
            styles = [replace(style, weight=weight) for style, weight in zip(styles, weights, strict=True)]
        return mix_styles(styles)

    def stylize(
        self, content: Path, target: Path, style: "Style | MaskedStyle", mask: Path | None, look: "Look | None"
    ) -> None:
        """One photo from file to file; look: of all photos, where they share one."""
        photo = self.read(content, depth=self.options.depth, gamut=self.options.colour)
        check_writable(photo, format_for(target), str(content))
        if look is None:
            result = self.stylizer.render(photo, style, self.options, content_mask=mask, overwrite=True)
        else:
            result = self.stylizer.apply(look, photo, overwrite=True)
        write_photo(result, content, target, self.writing.quality)


def write_photo(result: Photo, content: Path, target: Path, quality: int) -> None:
    """A content's result into its file, with a line for what the format has no room for."""
    encoded = encode(result, format_for(target), quality=quality, name=str(content))
    try:
        write_atomic(target, encoded.data)
    except OSError as error:
        raise FatalError(f"{target}: cannot be written ({error.strerror or error})") from None
    if encoded.notes:
        click.echo(f"pcakd: {target}: {'; '.join(encoded.notes)}", err=True)


def for_each_photo(one: Callable[[Path, Path], None], photos: list[tuple[Path, Path]], left_out: list[Path]) -> int:
    """one(content, target) of every photo; the exit code. One that cannot be read is skipped, if it is not the only."""
    from pcakd.stylize.look.slicing import load_kernel

    if len(photos) >= MANY:
        load_kernel()
    failed = 0
    with progress("photos", len(photos)) as advance:
        for content, target in photos:
            try:
                one(content, target)
            except Exception as error:
                # One bad photo never ends the others, whatever a codec or a full disk makes of it.
                told = _told(error, content)
                if len(photos) == 1:
                    raise told from None
                failed += 1
                click.echo(f"pcakd: skipped {told}", err=True)
            advance(1)
    if left_out:
        shown = ", ".join(str(path) for path in left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        click.echo(f"pcakd: left out {len(left_out)} that are no photos: {shown}", err=True)
    if failed:
        click.echo(f"pcakd: {failed} of {len(photos)} photos skipped, {len(photos) - failed} written", err=True)
        return EXIT_PARTIAL
    click.echo(str(photos[0][1]) if len(photos) == 1 else f"{len(photos)} photos written to {photos[0][1].parent}")
    return 0


def _told(error: Exception, content: Path) -> PcakdError:
    """An error that names its photo."""
    if isinstance(error, PcakdError):
        return error
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return FatalError(f"{content}: does not fit in memory; give --memory-limit, or a smaller photo")
    return FatalError(f"{content}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def find_photos(contents: tuple[Path, ...]) -> tuple[tuple[Path, ...], list[Path], list[Path]]:
    """(photos, what their results are called under --out, what was left out).

    Of a folder, all files in it and below but what is no photo by its name; their results keep their folders.
    Raises UsageError for a folder without any.
    """
    photos: list[Path] = []
    names: list[Path] = []
    left_out: list[Path] = []
    for content in contents:
        if not content.is_dir():
            photos.append(content)
            names.append(Path(content.name))
            continue
        files = sorted(path for path in content.rglob("*") if path.is_file())
        found = [path for path in files if not is_left_out(path.relative_to(content).as_posix())]
        if not found:
            raise UsageError(f"{content}: is a folder without photos")
        left_out += [path for path in files if path not in set(found)]
        photos += found
        names += [path.relative_to(content) for path in found]
    return tuple(photos), names, left_out


def plan_outputs(contents: tuple[Path, ...], out: Path | None, names: Sequence[Path] = ()) -> list[Path]:
    """Where each content's result goes; every conflict is found before the first photo is stylized.

    names: what the results are called in a folder; by default as the contents.

    Raises UsageError: several contents for one file, two for one name, a result over a content.
    """
    names = names or [Path(content.name) for content in contents]
    if out is not None and out.suffix.lower() in FORMATS and not out.is_dir():
        if len(contents) > 1:
            raise UsageError(f"--out is {out}: one file for {len(contents)} contents; give a folder")
        targets = [out]
    elif out is not None and re.fullmatch(r"\.[A-Za-z]\w{1,4}", out.suffix) and not out.is_dir() and len(contents) == 1:
        try:
            format_for(out)  # a file with a suffix that cannot be written: say which can
        except UsageError as error:
            raise UsageError(f"{error}; where a folder of that name is meant, make it first") from None
        targets = [out]
    elif out is not None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out is {out}: is a file, not a folder")
        targets = [out / name.with_name(f"{name.stem}{_suffix(name)}") for name in names]
    else:
        targets = [name.with_name(f"{name.stem}.stylized{_suffix(name)}") for name in names]
    if len(contents) > 1:
        targets = _told_apart(contents, targets)
    seen: dict[Path, Path] = {}
    originals = {content.resolve() for content in contents}
    for content, target in zip(contents, targets, strict=True):
        if target in seen:
            raise UsageError(f"{content} and {seen[target]} would both be written to {target}; rename one")
        if target.resolve() in originals:
            raise UsageError(f"{target} is a content photo; choose another --out so that it is not overwritten")
        seen[target] = content
    return targets


def _told_apart(contents: Sequence[Path], targets: list[Path]) -> list[Path]:
    """Of results of one name, those whose photos have other suffixes keep these: a.heic beside a.png → a.heic.png."""
    many = {target for target, count in Counter(targets).items() if count > 1}
    return [
        target.with_name(f"{content.name}{target.suffix}")
        if target in many and content.suffix.lower() != target.suffix.lower()
        else target
        for content, target in zip(contents, targets, strict=True)
    ]


def _suffix(content: Path) -> str:
    """GIF holds 256 colours: what came as GIF becomes PNG, unless --out says .gif."""
    return content.suffix if FORMATS.get(content.suffix.lower(), "GIF") != "GIF" else ".png"
