"""What is compared: models as `pcakd stylize` runs them, and three baselines without any network."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from skimage.color import lab2rgb, rgb2lab

from pcakd.stylize.stylizer import StylizeOptions, Stylizer
from pcakd.stylize.transforms import monge_kantorovich


@dataclass(frozen=True)
class Method:
    """One way to give a photo a style; photos are uint8 H×W×3.

    prepare:    style photo → what `apply` takes; not timed, as it is done once for many contents.
    apply:      content photo, prepared style → result of the content's size.
    parameters: inference weights, 0 for a baseline.
    details:    what a report tells of it beside its name.
    """

    name: str
    prepare: Callable[[np.ndarray], Any]
    apply: Callable[[np.ndarray, Any], np.ndarray]
    parameters: int = 0
    details: dict[str, Any] | None = None


PAPERS = " (paper's)"
"""Ends the name of a model that is measured by the paper's transfer on its features alone."""


def model_methods(name: str, stylizer: Stylizer, options: StylizeOptions) -> list[Method]:
    """A model's own score, by the paper's transfer on its features, and beside it, where the model has another default,
    what `pcakd stylize` gives: a matched grade hides how good or bad the features are."""
    default = model_method(name, stylizer, options)
    if options.compat != "auto" or stylizer.metadata.compat == "released":
        return [default]
    return [model_method(name + PAPERS, stylizer, replace(options, compat="released")), default]


def model_method(name: str, stylizer: Stylizer, options: StylizeOptions) -> Method:
    """A loaded model with options."""
    compat = stylizer.metadata.compat if options.compat == "auto" else options.compat
    render = stylizer.rendering(options)
    return Method(
        name,
        lambda style: stylizer.style(style, render=render),
        lambda content, style: np.asarray(stylizer.stylize(content, style, options)),
        stylizer.student.parameter_count(),
        {
            "digest": stylizer.digest,
            "backbone": stylizer.metadata.spec.backbone,
            "compat": compat,
            "render": render,
        },
    )


def baselines() -> list[Method]:
    """The content unchanged, Reinhard in Lab, linear Monge-Kantorovich in RGB."""
    return [
        Method("unchanged", lambda style: None, lambda content, _: content),
        Method("reinhard", lambda style: style, reinhard),
        Method("linear MK", lambda style: style, linear_monge_kantorovich),
    ]


def reinhard(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each CIELAB channel from the style (Reinhard et al. 2001, in Lab)."""
    a, b = rgb2lab(content), rgb2lab(style)
    spread = np.maximum(a.std((0, 1)), 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # colours outside sRGB are clipped
        rgb = lab2rgb((a - a.mean((0, 1))) / spread * b.std((0, 1)) + b.mean((0, 1)))
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def linear_monge_kantorovich(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """The linear map of optimal transport between the photos' RGB Gaussians."""
    a, b = (torch.from_numpy(photo.reshape(-1, 3).astype(np.float64) / 255) for photo in (content, style))
    floor = 1e-8 * torch.eye(3, dtype=torch.float64)
    cov_a, cov_b = (torch.cov(photo.T, correction=0) + floor for photo in (a, b))
    result = (a - a.mean(0)) @ monge_kantorovich(cov_a, cov_b) + b.mean(0)
    return (result.clamp(0, 1) * 255).round().to(torch.uint8).numpy().reshape(content.shape)
