"""PCA-based knowledge distillation of photorealistic style-transfer models (Chiu & Gurari, CVPR 2022)."""

from typing import TYPE_CHECKING

from pcakd.lazy import lazy_names

if TYPE_CHECKING:
    from pcakd.stylize.style import Style
    from pcakd.stylize.stylizer import StylizeOptions, Stylizer

__all__ = ["Style", "StylizeOptions", "Stylizer"]

__version__ = "0.1.0"

__getattr__ = lazy_names(__name__, {"stylize.style": ("Style",), "stylize.stylizer": ("StylizeOptions", "Stylizer")})
