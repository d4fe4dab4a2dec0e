"""Two photos in, a stylized photo out.

from pcakd import Stylizer

stylizer = Stylizer.load("vgg")
style = stylizer.style("evening.jpg")            # once; style.save("evening.safetensors")
stylizer.stylize("street.jpg", style).save("street-evening.jpg")
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pcakd.errors import UsageError
from pcakd.photos.depth import to_8_bits
from pcakd.photos.hidden import without_hidden
from pcakd.photos.image import PhotoImage
from pcakd.photos.images import Photo, PhotoSource, read_photo
from pcakd.student.checkpoint import Checkpoint, load_checkpoint
from pcakd.stylize.device import pick_device
from pcakd.stylize.engine import EngineSettings, Precision, encode_statistics, transfer, transfer_pixels
from pcakd.stylize.frames import stack, unstack
from pcakd.stylize.grey import is_grey, to_grey
from pcakd.stylize.look.decide import Small, decide, decide_for_all, spread_over, style_colours, without_place
from pcakd.stylize.look.look import IDENTITY, Look
from pcakd.stylize.masks import Mask, check_shared, read_mask
from pcakd.stylize.matched_grade import (
    NO_GRADE,
    Cells,
    MatchedGrade,
    describe,
    grade_pixels,
    match_grade,
    seen_cells,
    shrink_pixels,
)
from pcakd.stylize.options import Device, Render, StylizeOptions
from pcakd.stylize.smoothing import smooth_pixels
from pcakd.stylize.strips import with_beside
from pcakd.stylize.style import Style, mix_styles
from pcakd.stylize.transforms import Statistics
from pcakd.video.options import VideoOptions, need_video

if TYPE_CHECKING:
    from pcakd.stylize.clips.run import StylizedFrame


@dataclass(frozen=True)
class MaskedStyle:
    """A style photo's statistics as a whole and by region of its mask."""

    whole: Style
    regions: dict[str, Style] = field(default_factory=dict)


class Stylizer:
    """A student on a device, ready to stylize any number of photos. Not thread-safe."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: Device = "auto",
        precision: Precision = "auto",
        memory_limit: int | None = None,
    ) -> None:
        self.settings = EngineSettings(precision=precision, memory_limit=memory_limit)
        self.device = pick_device(device)
        self.metadata = checkpoint.metadata
        self.digest = checkpoint.digest
        self.source = checkpoint.source
        self.student = checkpoint.student.to(self.device)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike = "vgg",
        *,
        device: Device = "auto",
        precision: Precision = "auto",
        memory_limit: int | None = None,
    ) -> "Stylizer":
        """A built-in model by name, a checkpoint file, or models:/NAME@ALIAS. Raises CheckpointError, UsageError.

        precision: see `pcakd.stylize.engine.precision`. memory_limit: bytes the process should stay below, see
        `pcakd.stylize.engine.EngineSettings`.
        """
        return cls(load_checkpoint(model), device=device, precision=precision, memory_limit=memory_limit)

    def style(self, *photos: PhotoSource, weights: Sequence[float] | None = None, render: Render = "auto") -> Style:
        """Style statistics of one photo, or of several pooled (`weights`: how much each counts, default equal).

        render: what it will be used for; "look" needs the photos' small copies alone, which is sooner done, "auto"
        makes it fit for both. Raises PhotoError for a photo that cannot be read, UsageError for wrong weights.
        """
        if not photos:
            raise UsageError("a style needs at least one photo")
        if weights is not None and len(weights) != len(photos):
            raise UsageError(f"{len(weights)} weights for {len(photos)} style photos")
        styles = [self._whole_style(read_photo(photo), render) for photo in photos]
        if weights is not None:
            styles = [replace(style, weight=float(weight)) for style, weight in zip(styles, weights, strict=True)]
        return mix_styles(styles)

    def masked_style(self, photo: PhotoSource, mask: PhotoSource | Mask) -> MaskedStyle:
        """Style statistics of a photo as a whole and of each region of its mask (see `pcakd.stylize.masks`)."""
        read, regions = without_hidden(read_photo(photo)), mask if isinstance(mask, Mask) else read_mask(mask)
        weights, visible = regions.resized(*read.size), weights_of(read)
        seen = weights if visible is None else weights * visible
        small = Small.of(read)
        small_weights = regions.resized(*small.size)
        styles = {
            label: Style(
                self._statistics(read, weights[i]),
                self.digest,
                small=self._small_statistics(small, small_weights[i]),
                colours=style_colours(small, small_weights[i]),
            )
            for i, label in enumerate(regions.labels)
            if float(seen[i].sum()) >= 1.0
        }
        return MaskedStyle(self._whole_style(read), styles)

    def stylize(
        self,
        content: PhotoSource,
        style: Style | MaskedStyle | PhotoSource,
        options: StylizeOptions | None = None,
        *,
        content_mask: PhotoSource | Mask | None = None,
        **changes,
    ) -> PhotoImage:
        """The content photo in the style, exactly the content's size, as a PIL image (RGB, or RGBA if it had alpha).

        style: a `Style`, a `MaskedStyle` (needs `content_mask`), or a style photo. Options may be given as
        keywords: `stylize(content, style, transform="ot", strength=0.7)`. The image's `save` writes everything that
        the content came with: EXIF and other metadata, 16 bits, all frames (see `PhotoImage`).
        """
        options = replace(options or StylizeOptions(), **changes)
        photo = read_photo(content, depth=options.depth, gamut=options.colour)
        own = not isinstance(content, Photo)
        return PhotoImage.of(self.render(photo, style, options, content_mask=content_mask, overwrite=own))

    def render(
        self,
        photo: Photo,
        style: Style | MaskedStyle | PhotoSource,
        options: StylizeOptions | None = None,
        *,
        content_mask: PhotoSource | Mask | None = None,
        overwrite: bool = False,
    ) -> Photo:
        """`stylize` of a decoded photo, as a photo: uint16 where the photo is. Frames get one look together.

        overwrite: the photo's own array may hold the result, which saves a large photo's memory.
        """
        options = options or StylizeOptions()
        if not isinstance(style, Style | MaskedStyle):
            style = self.style(style, render=self.rendering(options))
        mask = content_mask if content_mask is None or isinstance(content_mask, Mask) else read_mask(content_mask)
        if mask is not None and isinstance(style, MaskedStyle):
            check_shared(mask, style.regions)
        if not photo.frames:
            return photo.with_pixels(self._colours(without_hidden(photo), style, options, mask, overwrite))
        if mask is not None:
            raise UsageError(f"a mask belongs to one picture, and this photo has {len(photo.pages)}")
        pages = tuple(without_hidden(replace(page, frames=())) for page in photo.pages)
        if self.rendering(options) == "look":
            look = self._series_look([Small.of(page) for page in pages], self._checked(style, full=False), options)
            return self.apply(look, photo)
        result = unstack(self._colours(stack(pages), style, options, None), pages)
        return replace(result, timing=photo.timing)

    def _colours(
        self,
        photo: Photo,
        style: Style | MaskedStyle,
        options: StylizeOptions,
        mask: Mask | None,
        overwrite: bool = False,
    ) -> np.ndarray:
        """The stylized colours of a photo of one frame, in its type."""
        if self.rendering(options) == "look":
            return self._applied(self._look(photo, style, options, mask), photo, mask, overwrite)
        visible = weights_of(photo)
        grade = self._grade(photo, style, options, visible) if mask is None else NO_GRADE
        rgb, pixels = torch.from_numpy(photo.rgb), None
        if grade.weight < 1:
            guided = options.smoothing == "guided"
            arguments = self._arguments(style, options, mask)
            whole = self._checked(style)
            pixels = transfer_pixels(self.student, rgb, whole, truncate=guided, visible=visible, **arguments)
            if guided:
                pixels = smooth_pixels(pixels, rgb, device=self.device)
        if grade.weight > 0:
            pixels = grade_pixels(grade, rgb, pixels, options.strength)
        assert pixels is not None
        if self._compat(options) == "pcakd" and is_grey(self._checked(style)):
            pixels = to_grey(pixels, options.strength)
        if pixels.dtype == torch.uint8:
            return pixels.numpy()
        return (pixels * 257).round_().clamp_(0, 65535).to(torch.uint16).numpy()

    def rendering(self, options: StylizeOptions | None = None) -> Render:
        """How this model renders with options: "look" or "full"."""
        return (options or StylizeOptions()).rendered_by(self.metadata.compat)

    def look(
        self,
        content: PhotoSource,
        style: Style | MaskedStyle | PhotoSource,
        options: StylizeOptions | None = None,
        *,
        content_mask: PhotoSource | Mask | None = None,
        **changes,
    ) -> Look:
        """What the style does to the content photo, as a `Look`: `stylize` without applying it."""
        options = replace(options or StylizeOptions(), **changes)
        style = style if isinstance(style, Style | MaskedStyle) else self.style(style, render="look")
        mask = content_mask if content_mask is None or isinstance(content_mask, Mask) else read_mask(content_mask)
        return self._look(without_hidden(read_photo(content)), style, options, mask)

    def shared_look(
        self,
        contents: Sequence[PhotoSource],
        style: Style | PhotoSource,
        options: StylizeOptions | None = None,
        **changes,
    ) -> Look:
        """One look for all photos of a series, each counting the same: one function of colour, whatever the place.

        Beyond `SERIES` photos, that many spread over the series decide. There is no matched grade in it.
        """
        if not contents:
            raise UsageError("a series needs at least one photo")
        options = replace(options or StylizeOptions(), **changes)
        style = style if isinstance(style, Style) else self.style(style, render="look")
        # One at a time, so that a series of large photos takes the memory of one.
        chosen = [Small.of(without_hidden(read_photo(contents[i]))) for i in spread_over(len(contents))]
        return self._series_look(chosen, self._checked(style, full=False), options)

    def apply(self, look: Look, photo: Photo, *, overwrite: bool = False) -> Photo:
        """A decoded photo, all its frames, in a look that was made before; on the stylizer's device."""
        pages = [page.with_pixels(self._applied(look, page, None, overwrite)) for page in photo.pages]
        return replace(pages[0], frames=tuple(pages[1:]), timing=photo.timing)

    def video(
        self, clip: str | os.PathLike, style: Style | PhotoSource, options: StylizeOptions | None = None, **video: Any
    ) -> Iterator["StylizedFrame"]:
        """(rgb, time in seconds) of a clip's frames, one look a shot; UsageError for a clip that cannot be used.
        video: cut, one_shot, follow, light of `VideoOptions`."""
        need_video("Stylizer.video")
        from pcakd.stylize.clips.run import video_frames

        style = style if isinstance(style, Style) else self.style(style, render="look")
        options = options or StylizeOptions()
        return video_frames(self, clip, self._checked(style, full=False), options, VideoOptions(**video))

    def colour_look(
        self, contents: Sequence[PhotoSource], style: Style | PhotoSource, options: StylizeOptions | None = None
    ) -> Look:
        """The one function of colour that is nearest to what the style does: to one photo, or to a series."""
        if len(contents) != 1:
            return self.shared_look(contents, style, options)
        options = options or StylizeOptions()
        photo = without_hidden(read_photo(contents[0]))
        return without_place(self.look(photo, style, options), Small.of(photo))

    def _series_look(self, photos: Sequence[Small], style: Style, options: StylizeOptions) -> Look:
        small = [photos[i] for i in spread_over(len(photos))]
        how = {"transform": options.transform, "balance": options.balance, "settings": self.settings}
        look = decide_for_all(self.student, small, style, **how)
        return self.finished(look, style, options)

    def _look(self, photo: Photo, style: Style | MaskedStyle, options: StylizeOptions, mask: Mask | None) -> Look:
        whole = self._checked(style, full=False)
        if options.strength == 0:
            return IDENTITY.at(0.0)
        grade = self._grade(photo, style, options, weights_of(photo)) if mask is None else NO_GRADE
        if grade.weight >= 1:
            return self.finished(replace(IDENTITY, grade=grade), whole, options)
        arguments = self._arguments(style, options, mask)
        del arguments["strength"]  # a look has a strength of its own
        look = decide(self.student, Small.of(photo), whole, **arguments)
        return self.finished(replace(look, grade=grade), whole, options)

    def finished(self, look: Look, style: Style, options: StylizeOptions) -> Look:
        """A look as options and style have it: at its strength, in grey for a grey style."""
        if self._compat(options) == "pcakd" and is_grey(style):
            look = look.in_grey()
        return look.at(options.strength)

    def _applied(self, look: Look, photo: Photo, mask: Mask | None, overwrite: bool) -> np.ndarray:
        out = photo.rgb if overwrite and photo.rgb.flags.writeable else None
        return look.apply(photo.rgb, mask=mask, device=self.device, out=out)

    def transfer(
        self,
        content: PhotoSource,
        style: Style | MaskedStyle | PhotoSource,
        options: StylizeOptions | None = None,
        *,
        content_mask: PhotoSource | Mask | None = None,
    ) -> torch.Tensor:
        """The student's result before smoothing: float32 1×3×H×W, clipped to [0, 1], on the stylizer's device.

        This is the paper's method alone, whatever `options.compat` says: `stylize` adds the matched grade.
        """
        options = options or StylizeOptions()
        style = style if isinstance(style, Style | MaskedStyle) else self.style(style)
        photo = without_hidden(read_photo(content))
        rgb = torch.from_numpy(photo.rgb)
        arguments = self._arguments(style, options, content_mask)
        return transfer(self.student, rgb, self._checked(style), visible=weights_of(photo), **arguments)

    def _arguments(
        self, style: Style | MaskedStyle, options: StylizeOptions, content_mask: PhotoSource | Mask | None
    ) -> dict:
        """The engine's keywords."""
        mask = content_mask if content_mask is None or isinstance(content_mask, Mask) else read_mask(content_mask)
        return {
            "transform": options.transform,
            "balance": options.balance,
            "strength": options.strength,
            "content_mask": mask,
            "region_styles": style.regions if isinstance(style, MaskedStyle) else None,
            "settings": self.settings,
        }

    def matched_grade(
        self, content: PhotoSource, style: Style | MaskedStyle, options: StylizeOptions | None = None
    ) -> MatchedGrade:
        """The grade that `stylize` mixes in, with its weight; weight 0 under compat "released".

        Region masks say themselves what goes with what: a content with a mask has no matched grade.
        """
        photo = without_hidden(read_photo(content))
        return self._grade(photo, style, options or StylizeOptions(), weights_of(photo))

    @torch.inference_mode()
    def _grade(
        self, photo: Photo, style: Style | MaskedStyle, options: StylizeOptions, visible: torch.Tensor | None
    ) -> MatchedGrade:
        cells = self._checked(style, full=False).cells
        if cells is None or self._compat(options) == "released":
            return NO_GRADE
        seen = seen_cells(visible, *photo.size)
        return match_grade(self.student, self._small(photo), cells, seen, settings=self.settings)

    def _compat(self, options: StylizeOptions) -> str:
        """ "released" or "pcakd"."""
        return self.metadata.compat if options.compat == "auto" else options.compat

    def _checked(self, style: Style | MaskedStyle, *, full: bool = True) -> Style:
        whole = style.whole if isinstance(style, MaskedStyle) else style
        if whole.model != self.digest:
            raise UsageError("this style was computed with another model; compute it again with this one")
        if full and not whole.levels:
            raise UsageError('this style was computed for looks alone; compute it again for render "full"')
        return whole

    def _whole_style(self, photo: Photo, render: Render = "auto") -> Style:
        photo = without_hidden(photo)
        levels = () if render == "look" else self._statistics(photo)
        if render == "full":
            return Style(levels, self.digest, cells=self._cells(photo))
        small = Small.of(photo)
        statistics, cells = with_beside(lambda: self._small_statistics(small), lambda: self._cells(photo), self.device)
        return Style(levels, self.digest, cells=cells, small=statistics, colours=style_colours(small))

    @torch.inference_mode()
    def _cells(self, photo: Photo) -> Cells:
        seen = seen_cells(weights_of(photo), *photo.size)
        return describe(self.student, self._small(photo), seen, settings=self.settings)

    def _small(self, photo: Photo) -> torch.Tensor:
        pixels = photo.rgb if photo.rgb.dtype == np.uint8 else to_8_bits(photo.rgb)
        return shrink_pixels(torch.from_numpy(pixels)).to(self.device)

    def _small_statistics(self, small: Small, weight: torch.Tensor | None = None) -> tuple[Statistics, ...]:
        region = small.counted(weight)
        return encode_statistics(self.student, small.photo, region, settings=self.settings)

    def _statistics(self, photo: Photo, weight: torch.Tensor | None = None) -> tuple[Statistics, ...]:
        visible = weights_of(photo)
        counted = weight if visible is None else visible if weight is None else weight * visible
        region = None if counted is None else counted[None, None]
        return encode_statistics(self.student, torch.from_numpy(photo.rgb), region, settings=self.settings)


def weights_of(photo: Photo) -> torch.Tensor | None:
    """How much each pixel counts in statistics: float32 H×W in 0..1; None where all count alike."""
    seen = photo.visible()
    return None if seen is None else torch.from_numpy(seen)
