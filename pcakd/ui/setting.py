"""What the page asks for, checked once: photos, knobs, masks, model."""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pcakd.errors import UsageError
from pcakd.fields import check_kinds, declared, help_texts
from pcakd.photos.images import check_pixels, peek
from pcakd.photos.options import WriteOptions
from pcakd.student.address import is_address
from pcakd.student.checkpoint import builtin_models
from pcakd.stylize.options import StylizeOptions
from pcakd.ui.kept import Kept, KeptPhoto

MOST_PHOTOS = 64
"""Contents of a series, and styles, that one setting may have; bulk jobs are for more."""
MASK_PIXELS = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Painted regions, as encoded pictures: of the content, and of the style."""

    content: bytes
    style: bytes


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is to be made. weights: one a style; shown: which of the contents is looked at."""

    contents: tuple[KeptPhoto, ...]
    styles: tuple[KeptPhoto, ...]
    weights: tuple[float, ...]
    model: str
    options: StylizeOptions
    writing: WriteOptions
    same_look: bool = False
    masks: Masks | None = None
    shown: int = 0

    @property
    def content(self) -> KeptPhoto:
        """The one that is looked at."""
        return self.contents[self.shown]

    @property
    def weighted(self) -> bool:
        """Whether the styles count differently."""
        return len(set(self.weights)) > 1

    def with_model(self, model: str) -> "Setting":
        return replace(self, model=model)


def read_setting(record: Mapping[str, Any], kept: Kept, models: Collection[str]) -> Setting:
    """A setting as the page sends it. Raises UsageError, NotFoundError naming what is wrong.

    models: which may be chosen, beside those of the registry.
    """
    contents = tuple(kept.get(id) for id in _some(record, "contents", "a photo"))
    styles = tuple(kept.get(id) for id in _some(record, "styles", "a style photo"))
    weights = record.get("weights") or [1.0] * len(styles)
    numbers = isinstance(weights, list) and all(type(one) in (int, float) and 0 <= one < 1e6 for one in weights)
    if not numbers or len(weights) != len(styles) or not sum(weights):
        raise UsageError("weights: give each style a number of 0 or more, and one of them more than 0")
    masks = _masks(record.get("masks"))
    same_look = bool(record.get("same_look"))
    if masks and (len(styles) > 1 or same_look):
        raise UsageError("regions belong to one photo and one style: choose one style, and no same look")
    shown = record.get("shown", 0)
    if type(shown) is not int or not 0 <= shown < len(contents):
        raise UsageError("shown: no such photo")
    options, writing = (_chosen(cls, record) for cls in (StylizeOptions, WriteOptions))
    if same_look and options.render == "full":
        raise UsageError("a look is shared by photos that are rendered by looks: choose another render than full")
    return Setting(
        contents=contents,
        styles=styles,
        weights=tuple(map(float, weights)),
        model=checked_model(record.get("model"), models),
        options=options,
        writing=writing,
        same_look=same_look,
        masks=masks,
        shown=shown,
    )


def checked_model(name: Any, models: Collection[str]) -> str:
    """A model that may be chosen: the page opens no other file of the machine. Raises UsageError."""
    if isinstance(name, str) and (name in models or name in builtin_models() or is_address(name)):
        return name
    raise UsageError(f"model: choose one of {', '.join(models)}, or models:/NAME@ALIAS")


def knobs() -> list[dict[str, Any]]:
    """What the page draws a control for, from the declared fields of how a photo is stylized and written."""
    return [
        {
            "name": one.name,
            "text": help_texts(cls)[one.name],
            "choices": one.choices,
            "bounds": one.bounds,
            "default": one.default,
            "step": "any" if one.kind is float else 1,
            "slide": 0.01 if one.kind is float else 1,
        }
        for cls in (StylizeOptions, WriteOptions)
        for one in declared(cls).values()
    ]


def _chosen(cls: Any, record: Mapping[str, Any]) -> Any:
    given = record.get("options", {})
    known = {**declared(StylizeOptions), **declared(WriteOptions)}
    if not isinstance(given, dict):
        raise UsageError("options: give an object")
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(f"options: there is none called {unknown[0]!r}")
    own = {name: value for name, value in given.items() if name in declared(cls)}
    check_kinds(own, cls, "options")
    return cls(**own)


def _some(record: Mapping[str, Any], name: str, word: str) -> list[str]:
    ids = record.get(name)
    if not isinstance(ids, list) or not ids:
        raise UsageError(f"choose {word} first")
    if len(ids) > MOST_PHOTOS:
        raise UsageError(f"{name}: the page takes {MOST_PHOTOS} at once; hand the setting over as a bulk job for more")
    return ids


def _masks(record: Any) -> Masks | None:
    if record is None:
        return None
    if not isinstance(record, dict):
        raise UsageError("masks: give one of the content and one of the style")
    return Masks(content=_picture(record.get("content")), style=_picture(record.get("style")))


def _picture(text: Any) -> bytes:
    """A mask as the page sends it: base64 of a PNG."""
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise UsageError("masks: are no pictures") from None
    check_pixels(*peek(data, "mask").size[::-1], "mask", MASK_PIXELS)
    return data
