"""`pcakd stylize-video`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pcakd.cli.look import pooled_style
from pcakd.cli.options import field_option, field_options
from pcakd.cli.progress import how_far, open_display, rate_since
from pcakd.cli.stylize import load_stylizer, style_option
from pcakd.errors import EXIT_PARTIAL, PcakdError, UsageError
from pcakd.fields import chosen
from pcakd.stylize.options import MachineLimits, ModelChoice, StylizeOptions
from pcakd.video.options import SUFFIXES, VideoOptions, need_video


@click.command("stylize-video")
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CLIP...")
@style_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for one clip; folder for several (made if missing).  [default: NAME.stylized.SUFFIX here]",
)
@field_options(VideoOptions)
@field_option(ModelChoice, "model")
@field_options(StylizeOptions, "transform", "balance", "strength", "compat")
@field_option(MachineLimits, "device")
@field_option(ModelChoice, "precision")
@field_option(MachineLimits, "memory_limit")
def stylize_video(clips: tuple[Path, ...], styles: tuple[Path, ...], out: Path | None, **declared: Any) -> int:
    """Give clips the style of a photo: one look a shot, so that nothing flickers.

    A clip is read twice: once to find its shots and their looks, once to write it. Size, rotation, time stamps, depth
    and colour tags stay; audio, subtitles and chapters are copied. Writes MP4, MOV, MKV and WebM.

    \b
    Examples:
      pcakd stylize-video street.mp4 --style evening.jpg --out street-evening.mp4
      pcakd stylize-video day/*.mov --style evening.jpg --out evening/ --follow 4
    """
    need_video("pcakd stylize-video")
    from pcakd.video.codecs import check_target

    video = chosen(VideoOptions, declared)
    options = chosen(StylizeOptions, declared | {"render": "look"})
    targets = plan_targets(clips, out)
    for target in targets:
        check_target(target)
    stylizer = load_stylizer(chosen(ModelChoice, declared), chosen(MachineLimits, declared))
    style = pooled_style(stylizer, styles)
    failed = 0
    for clip, target in zip(clips, targets, strict=True):
        try:
            _one(stylizer, clip, target, style, options, video)
        except PcakdError as error:
            if len(clips) == 1:
                raise
            failed += 1
            click.echo(f"pcakd: skipped {error}", err=True)
    if failed:
        click.echo(f"pcakd: {failed} of {len(clips)} clips skipped, {len(clips) - failed} written", err=True)
        return EXIT_PARTIAL
    return 0


def _one(stylizer: Any, clip: Path, target: Path, style: Any, options: StylizeOptions, video: VideoOptions) -> None:
    from pcakd.stylize.clips.run import stylize_clip

    started = time.monotonic()
    with _frame_progress(clip) as told:
        plan, notes = stylize_clip(stylizer, clip, target, style, options, video, told)
    if notes:
        click.echo(f"pcakd: {target}: {'; '.join(notes)}", err=True)
    shots, seconds = len(plan.courses), time.monotonic() - started
    click.echo(f"{target}: {plan.frames:,} frames, {shots} shot{'s' * (shots != 1)}, {plan.frames / seconds:.1f}/s")


@contextmanager
def _frame_progress(clip: Path) -> Iterator[Callable[[str, int, int | None], None]]:
    """Told frame by frame; frames a second and the time left are those of the pass that is under way."""
    doing, started = "", time.monotonic()
    with open_display(str(clip)) as display:

        def told(what: str, done: int, total: int | None) -> None:
            nonlocal doing, started
            if what != doing:
                doing, started = what, time.monotonic()
            whole = max(done, total or done)
            words = how_far(done, whole, "frames", rate=rate_since(started, done))
            display.show(done, whole, f"{clip.name}: {what}, {words}")

        yield told


def plan_targets(clips: tuple[Path, ...], out: Path | None) -> list[Path]:
    """Where each clip's result goes. Raises UsageError: several for one file or one name, a result over a clip."""
    if out is not None and out.suffix and not out.is_dir() and (len(clips) == 1 or out.suffix.lower() in SUFFIXES):
        if len(clips) > 1:
            raise UsageError(f"--out is {out}: one file for {len(clips)} clips; give a folder")
        targets = [out]
    elif out is not None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out is {out}: is a file, not a folder")
        targets = [out / f"{clip.stem}{_suffix(clip)}" for clip in clips]
    else:
        targets = [Path(f"{clip.stem}.stylized{_suffix(clip)}") for clip in clips]
    originals = {clip.resolve() for clip in clips}
    for number, target in enumerate(targets):
        if target in targets[:number]:
            raise UsageError(f"{clips[number]} and another clip would both be written to {target}; rename one")
        if target.resolve() in originals:
            raise UsageError(f"{target} is one of the clips; choose another --out so that it is not overwritten")
    return targets


def _suffix(clip: Path) -> str:
    """Of a result: the clip's where that is written, .mp4 for animated pictures, .mkv, which holds all, for others."""
    suffix = clip.suffix.lower()
    return clip.suffix if suffix in SUFFIXES else ".mp4" if suffix in (".gif", ".webp", ".png", ".apng") else ".mkv"
