"""A setting as others take it: a command line, a Python snippet, a job file."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from pcakd.bulk import BucketJob
from pcakd.errors import UsageError
from pcakd.fields import declared
from pcakd.stylize.options import ModelChoice, StylizeOptions
from pcakd.ui.kept import KeptPhoto
from pcakd.ui.setting import Setting
from pcakd.ui.studio import result_name

CONTENT_MASK, STYLE_MASK = "content-mask.png", "style-mask.png"
"""What the page calls the painted regions when it gives them out."""
MODEL = declared(ModelChoice)["model"].default


def command_line(setting: Setting) -> str:
    """`pcakd stylize` with this setting, for a shell. Raises UsageError for photos of one name."""
    contents = _places(setting.contents) if setting.same_look else _places([setting.content])
    words = ["pcakd", "stylize", *contents]
    for place, weight in zip(_places(setting.styles), setting.weights, strict=True):
        words += ["--style", place]
        if setting.weighted:
            words += ["--weight", f"{weight:g}"]
    if setting.model != MODEL:
        words += ["--model", setting.model]
    for name, value in (changed(setting) | changed_writing(setting)).items():
        words += [f"--{name.replace('_', '-')}", _number(value)]
    if setting.masks:
        words += ["--content-mask", CONTENT_MASK, "--style-mask", STYLE_MASK]
    if setting.same_look:
        words += ["--same-look", "--out", "stylized/"]
    return shlex.join(words)


def snippet(setting: Setting) -> str:
    """The same in Python. Raises UsageError for photos of one name."""
    styles = ", ".join(map(_text, _places(setting.styles)))
    changes = "".join(f", {name}={_value(value)}" for name, value in changed(setting).items())
    saving = "".join(f", {name}={_value(value)}" for name, value in changed_writing(setting).items())
    registry = ["import tasks.registry  # looks up models:/ addresses"] if setting.model.startswith("models:/") else []
    lines = [f"stylizer = Stylizer.load({_text(setting.model)})"]
    if setting.masks:
        lines.append(f"style = stylizer.masked_style({styles}, {_text(STYLE_MASK)})")
        changes = f", content_mask={_text(CONTENT_MASK)}" + changes
    else:
        weights = f", weights={list(setting.weights)}" if setting.weighted else ""
        lines.append(f"style = stylizer.style({styles}{weights})")
    if not setting.same_look:
        (place,) = _places([setting.content])
        lines.append(f"result = stylizer.stylize({_text(place)}, style{changes})")
        lines.append(f"result.save({_text(result_name(setting.content))}{saving})")
        return "\n".join([*registry, "from pcakd import Stylizer", "", *lines]) + "\n"
    contents = ", ".join(map(_text, _places(setting.contents)))
    results = ", ".join(_text(result_name(one)) for one in setting.contents)
    kept = [("depth", setting.options.depth, "same"), ("gamut", setting.options.colour, "srgb")]
    reading = "".join(f", {name}={_text(value)}" for name, value, default in kept if value != default)
    lines += [
        f"contents = [{contents}]",
        f"results = [{results}]",
        f"look = stylizer.shared_look(contents, style{changes})",
        "for content, result in zip(contents, results, strict=True):",
        f"    photo = stylizer.apply(look, read_photo(content{reading}))",
        f"    PhotoImage.of(photo).save(result{saving})",
    ]
    imports = ["from pcakd import Stylizer", "from pcakd.photos.images import PhotoImage, read_photo"]
    return "\n".join([*registry, *imports, "", *lines]) + "\n"


def job_values(setting: Setting, source: str, dest: str, styles: Sequence[str] | None = None) -> dict[str, Any]:
    """The fields of a `BucketJob` with this setting, those at their default left out; checked. Raises UsageError.

    styles: places of the style photos, where they are not what the photos are called.
    """
    if setting.masks:
        raise UsageError("painted regions belong to one photo, and a bulk job has many: clear them first")
    if not source or not dest:
        raise UsageError("say where the photos of the job are, and where its results go")
    values: dict[str, Any] = {"source": source, "dest": dest, "styles": list(styles or _places(setting.styles))}
    if len(setting.styles) > 1:
        values["combine"] = "mix"
        if setting.weighted:
            values["weights"] = list(setting.weights)
    if setting.same_look:
        values["look"] = "shared"
    values |= {"model": setting.model} | changed(setting) | changed_writing(setting)
    BucketJob(**values)
    return values


def job_file(values: dict[str, Any]) -> str:
    """Fields of a `BucketJob` as `pcakd stylize-bucket --job` reads them."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items())


def changed(setting: Setting) -> dict[str, Any]:
    """Options of the stylization that are not at their defaults."""
    return _changed(setting.options, StylizeOptions)


def changed_writing(setting: Setting) -> dict[str, Any]:
    """Options of the writing that are not at their defaults."""
    return _changed(setting.writing, type(setting.writing))


def _changed(given: Any, cls: type) -> dict[str, Any]:
    return {name: getattr(given, name) for name, one in declared(cls).items() if getattr(given, name) != one.default}


def _places(photos: Sequence[KeptPhoto]) -> list[str]:
    """Where photos lie for whoever takes the setting over: in the gallery, or by the names of the uploads."""
    places = [photo.place for photo in photos]
    if twice := next((place for place in places if places.count(place) > 1), ""):
        raise UsageError(f"two photos are called {twice}: rename one to hand the setting over")
    return [f"./{place}" if place.startswith("-") else place for place in places]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(value: Any) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return _text(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
