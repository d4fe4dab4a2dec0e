"""`pcakd stylize`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcakd.cli.options import (
    MemorySize,
    colour_option,
    compat_option,
    depth_option,
    device_option,
    model_option,
    precision_option,
    smoothing_option,
    strength_option,
    transform_option,
)
from pcakd.errors import EXIT_PARTIAL, FatalError, PcakdError, UsageError
from pcakd.photos.images import max_pixels_default, read_photo
from pcakd.photos.leftovers import is_left_out
from pcakd.photos.write import FORMATS, check_writable, encode, format_for

if TYPE_CHECKING:
    from pcakd.stylize.style import Style
    from pcakd.stylize.stylizer import MaskedStyle, StylizeOptions, Stylizer


@click.command()
@click.argument("contents", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CONTENT...")
@click.option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Style photo, or a style saved by --save-style. Several are pooled into one style.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for one content; folder for several (made if missing).  [default: NAME.stylized.SUFFIX here]",
)
@model_option
@transform_option
@strength_option
@smoothing_option
@compat_option
@depth_option
@colour_option
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
@device_option
@precision_option
@click.option(
    "--memory-limit",
    type=MemorySize(),
    help="Memory the process should stay below, such as 2GB. Less is slower, the result is the same.  "
    "[default: 2500MB, above 8K more]",
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG and WebP results.")
@click.option("--max-pixels", type=click.IntRange(1), help="Refuse photos of more pixels.  [default: 268435456]")
@click.option("--save-style", type=click.Path(path_type=Path), help="Also save the style statistics to this file.")
@click.option(
    "--resize-like-authors",
    is_flag=True,
    help="Cut the sides to a multiple of 8 (vgg) or 16 (mobilenet) and ignore colour profiles, as the paper's demo "
    "does; --precision auto is fp32 then. With --quality 75 the JPEG is theirs too. For comparisons.",
)
def stylize(
    contents: tuple[Path, ...],
    styles: tuple[Path, ...],
    out: Path | None,
    model: str,
    transform: str,
    strength: float,
    smoothing: str,
    compat: str,
    depth: str,
    colour: str,
    content_mask: Path | None,
    style_mask: Path | None,
    device: str,
    precision: str,
    memory_limit: int | None,
    quality: int,
    max_pixels: int | None,
    save_style: Path | None,
    resize_like_authors: bool,
) -> int:
    """Give photos the style of another photo.

    Each result has exactly its content's size, with its EXIF and other metadata, transparency, 16 bits and frames
    where the format has them. Reads JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF and JPEG 2000; the result's suffix decides
    what is written: JPEG, PNG, WebP, TIFF, AVIF or GIF. Of a folder, all photos in it and below are taken.

    \b
    Examples:
      pcakd stylize street.jpg --style evening.jpg --out street-evening.jpg
      pcakd stylize album/*.jpg --style evening.jpg --out stylized/ --strength 0.7
      pcakd stylize a.jpg --style b.jpg --content-mask a-mask.png --style-mask b-mask.png
    """
    from pcakd.stylize.engine.memory import keep_freed_memory
    from pcakd.stylize.stylizer import StylizeOptions, Stylizer

    keep_freed_memory()
    if (content_mask is None) != (style_mask is None):
        raise UsageError("--content-mask and --style-mask go together: give both or neither")
    if content_mask is not None and (len(contents) > 1 or len(styles) > 1):
        raise UsageError("masks belong to one content and one style photo; give one of each")
    options = StylizeOptions(
        transform=transform,  # type: ignore[arg-type]
        strength=strength,
        smoothing=smoothing,  # type: ignore[arg-type]
        compat=compat,  # type: ignore[arg-type]
        depth=depth,  # type: ignore[arg-type]
        colour=colour,  # type: ignore[arg-type]
    )
    contents, names, left_out = find_photos(contents)
    targets = plan_outputs(contents, out, names)
    limit = max_pixels or max_pixels_default()
    if resize_like_authors and precision == "auto":
        precision = "fp32"  # a comparison should not measure our rounding
    stylizer = Stylizer.load(model, device=device, precision=precision, memory_limit=memory_limit)  # type: ignore[arg-type]
    prepared = _prepare_style(stylizer, styles, style_mask, limit, resize_like_authors)
    if save_style:
        if not hasattr(prepared, "save"):
            raise UsageError("--save-style saves a style without masks")
        prepared.save(save_style)

    failed = 0
    with _progress(len(contents)) as advance:
        for content, target in zip(contents, targets, strict=True):
            try:
                _stylize_one(
                    stylizer, content, target, prepared, options, content_mask, limit, quality, resize_like_authors
                )
            except Exception as error:
                # One bad photo never ends the others, whatever a codec or a full disk makes of it.
                told = _told(error, content)
                if len(contents) == 1:
                    raise told from None
                failed += 1
                click.echo(f"pcakd: skipped {told}", err=True)
            advance()
    if left_out:
        shown = ", ".join(str(path) for path in left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        click.echo(f"pcakd: left out {len(left_out)} that are no photos: {shown}", err=True)
    if failed:
        click.echo(f"pcakd: {failed} of {len(contents)} photos skipped, {len(contents) - failed} written", err=True)
        return EXIT_PARTIAL
    click.echo(str(targets[0]) if len(targets) == 1 else f"{len(targets)} photos written to {targets[0].parent}")
    return 0


def _prepare_style(
    stylizer: "Stylizer", styles: tuple[Path, ...], mask: Path | None, limit: int, like_authors: bool
) -> "Style | MaskedStyle":
    from pcakd.stylize.style import Style, mix_styles
    from pcakd.stylize.stylizer import resize_like_authors

    if mask is not None:
        return stylizer.masked_style(read_photo(styles[0], max_pixels=limit), mask)
    prepared = []
    for path in styles:
        if path.suffix == ".safetensors":
            prepared.append(Style.load(path))
            continue
        photo = read_photo(path, max_pixels=limit, convert_profile=not like_authors)
        if like_authors:
            photo = resize_like_authors(photo, stylizer.student.spec.multiple)
        prepared.append(stylizer.style(photo))
    return mix_styles(prepared)


def _stylize_one(
    stylizer: "Stylizer",
    content: Path,
    target: Path,
    style: "Style | MaskedStyle",
    options: "StylizeOptions",
    mask: Path | None,
    limit: int,
    quality: int,
    like_authors: bool,
) -> None:
    from pcakd.files import write_atomic
    from pcakd.stylize.stylizer import resize_like_authors

    photo = read_photo(
        content,
        max_pixels=limit,
        convert_profile=not like_authors,
        depth=options.depth,
        gamut=options.colour,
    )
    if like_authors:
        photo = resize_like_authors(photo, stylizer.student.spec.multiple)
    format = format_for(target)
    check_writable(photo, format, str(content))
    result = stylizer.render(photo, style, options, content_mask=mask)
    encoded = encode(result, format, quality=quality, name=str(content))
    try:
        write_atomic(target, encoded.data)
    except OSError as error:
        raise FatalError(f"{target}: cannot be written ({error.strerror or error})") from None
    if encoded.notes:
        click.echo(f"pcakd: {target}: {'; '.join(encoded.notes)}", err=True)


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
        format_for(out)  # a file with a suffix that cannot be written: say which can
        targets = [out]
    elif out is not None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out is {out}: is a file, not a folder")
        targets = [out / name.with_name(f"{name.stem}{_suffix(name)}") for name in names]
    else:
        targets = [name.with_name(f"{name.stem}.stylized{_suffix(name)}") for name in names]
    seen: dict[Path, Path] = {}
    originals = {content.resolve() for content in contents}
    for content, target in zip(contents, targets, strict=True):
        if target in seen:
            raise UsageError(f"{content} and {seen[target]} would both be written to {target}; rename one")
        if target.resolve() in originals:
            raise UsageError(f"{target} is a content photo; choose another --out so that it is not overwritten")
        seen[target] = content
    return targets


def _suffix(content: Path) -> str:
    """GIF holds 256 colours: what came as GIF becomes PNG, unless --out says .gif."""
    return content.suffix if FORMATS.get(content.suffix.lower(), "GIF") != "GIF" else ".png"


@contextmanager
def _progress(total: int) -> Iterator:
    """A progress bar on standard error for several photos, if that is a terminal."""
    if total < 2:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("stylizing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
