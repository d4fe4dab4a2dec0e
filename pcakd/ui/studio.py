"""A setting becomes a picture. Everything here runs in one thread, the stylizers' lane."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pcakd.errors import UsageError
from pcakd.photos.images import encode_photo, read_photo
from pcakd.photos.photo import Photo
from pcakd.photos.write import FORMATS, check_writable, encode, format_for, to_image
from pcakd.student.address import is_address
from pcakd.ui.kept import SCREEN, Kept, KeptPhoto
from pcakd.ui.setting import Setting

if TYPE_CHECKING:
    from pcakd.stylize.look.look import Look
    from pcakd.stylize.style import Style
    from pcakd.stylize.stylizer import MaskedStyle, Stylizer

T = TypeVar("T")

PREVIEW_QUALITY = 90
MODELS = 4
"""Stylizers that stay loaded."""
STYLES = 64
LOOKS = 16
ALIAS_S = 30.0
"""Seconds after which an alias such as @champion is looked up again."""


class Made(NamedTuple):
    """An encoded file. notes: what the format has no room for."""

    data: bytes
    name: str
    notes: tuple[str, ...] = ()


class Studio:
    """Stylizers, styles and looks, each made once."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self._stylizers: OrderedDict[Hashable, Stylizer] = OrderedDict()
        self._sources: dict[str, tuple[float, str]] = {}
        self._styles: OrderedDict[Hashable, Style] = OrderedDict()
        self._looks: OrderedDict[Hashable, Look] = OrderedDict()

    def stylizer(self, model: str) -> "Stylizer":
        """The model, loaded. Raises CheckpointError, UsageError, TransientError for one that cannot be had."""
        from pcakd.stylize.engine.memory import keep_freed_memory
        from pcakd.stylize.stylizer import Stylizer

        def load() -> Stylizer:
            keep_freed_memory()
            return Stylizer.load(model)

        return _once(self._stylizers, self._version(model), load, MODELS)

    def warm_up(self, model: str) -> None:
        """Load what the first picture would wait for."""
        import numpy as np

        from pcakd.stylize.look.slicing import load_kernel

        load_kernel()
        stylizer = self.stylizer(model)
        # As large as pictures of the page are: the first of a size asks the system for memory.
        picture = np.random.default_rng(0).integers(0, 255, (SCREEN * 3 // 4, SCREEN, 3), np.uint8)
        stylizer.render(read_photo(picture), picture)

    def screen(self, setting: Setting) -> bytes:
        """The shown content in the style, at screen size, as a JPEG."""
        stylizer = self.stylizer(setting.model)
        photo = setting.content.screen
        if setting.same_look:
            look = self._look(stylizer, setting, [one.screen for one in setting.contents])
            result = stylizer.apply(look, photo)
        else:
            mask = setting.masks.content if setting.masks else None
            result = stylizer.render(photo, self._style(stylizer, setting), setting.options, content_mask=mask)
        return screen_jpeg(result)

    def file(self, setting: Setting, content: KeptPhoto, step: Callable[[str], None]) -> Made:
        """A content in the style at its full size: the bytes that `pcakd stylize` writes. step: is told what begins."""
        step("reading")
        stylizer, options = self.stylizer(setting.model), setting.options
        name = result_name(content)
        format = format_for(name)
        photo = read_photo(
            self.kept.data(content),
            name=content.name,
            max_pixels=self.kept.max_pixels,
            depth=options.depth,
            gamut=options.colour,
        )
        check_writable(photo, format, content.name)
        step("stylizing")
        if setting.same_look:
            look = self._look(stylizer, setting, [self.kept.data(one) for one in setting.contents])
            result = stylizer.apply(look, photo, overwrite=True)
        else:
            mask = setting.masks.content if setting.masks else None
            style = self._style(stylizer, setting)
            result = stylizer.render(photo, style, options, content_mask=mask, overwrite=True)
        step("writing")
        encoded = encode(result, format, quality=setting.writing.quality, name=content.name)
        return Made(encoded.data, name, encoded.notes)

    def cube(self, setting: Setting) -> Made:
        """The table of colours that `pcakd look` writes of the contents. Raises UsageError for regions."""
        from pcakd.stylize.look.lut import Lut

        if setting.masks is not None:
            raise UsageError("a table is one function of colour, and painted regions are not: clear them first")
        stylizer = self.stylizer(setting.model)
        options = replace(setting.options, render="look")
        style = self._style(stylizer, replace(setting, options=options))
        contents = setting.contents if setting.same_look else (setting.content,)
        look = stylizer.colour_look([self.kept.data(one) for one in contents], style, options)  # type: ignore[arg-type]
        name = f"{setting.styles[0].stem}.cube"
        return Made(Lut.of(look, 33).cube(title=setting.styles[0].stem.replace('"', "")), name)

    def _version(self, model: str) -> str:
        """What a model's name means at the moment."""
        if not is_address(model):
            return model
        from pcakd.student.address import resolve

        when, source = self._sources.get(model, (0.0, ""))
        if not source or time.monotonic() - when > ALIAS_S:
            source = resolve(model).source
            self._sources[model] = (time.monotonic(), source)
        return source

    def _style(self, stylizer: "Stylizer", setting: Setting) -> "Style | MaskedStyle":
        from pcakd.stylize.style import mix_styles

        if setting.masks:
            return stylizer.masked_style(self.kept.decoded(setting.styles[0]), setting.masks.style)
        render = stylizer.rendering(setting.options)
        styles = [
            _once(
                self._styles,
                (stylizer.digest, one.id, render),
                lambda one=one: stylizer.style(self.kept.decoded(one), render=render),  # type: ignore[misc]
                STYLES,
            )
            for one in setting.styles
        ]
        if setting.weighted:
            styles = [replace(style, weight=weight) for style, weight in zip(styles, setting.weights, strict=True)]
        return mix_styles(styles)

    def _look(self, stylizer: "Stylizer", setting: Setting, contents: list) -> "Look":
        if stylizer.rendering(setting.options) == "full":
            raise UsageError("this model or these knobs see every pixel, and looks do not: choose render look")
        full = isinstance(contents[0], bytes)
        ids = tuple(one.id for one in setting.contents)
        styles = tuple(zip((one.id for one in setting.styles), setting.weights, strict=True))
        key = (stylizer.digest, full, ids, styles, setting.options)
        style = self._style(stylizer, setting)
        return _once(
            self._looks,
            key,
            lambda: stylizer.shared_look(contents, style, setting.options),  # type: ignore[arg-type]
            LOOKS,
        )


def screen_jpeg(photo: Photo) -> bytes:
    """A photo of screen size as the page shows it."""
    plain = to_image(*photo.encoded(8))
    plain.info = {"icc_profile": photo.profile} if photo.profile else {}
    return encode_photo(plain, "JPEG", quality=PREVIEW_QUALITY)


def result_name(content: KeptPhoto) -> str:
    """What `pcakd stylize` calls a result: what is read and not written becomes PNG, as GIF does."""
    suffix = content.suffix if FORMATS.get(content.suffix.lower(), "GIF") != "GIF" else ".png"
    return f"{content.stem}.stylized{suffix}"


def _once(known: "OrderedDict[Hashable, T]", key: Hashable, make: Callable[[], T], most: int) -> T:
    if key not in known:
        known[key] = make()
        while len(known) > most:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]
