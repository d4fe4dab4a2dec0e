"""PCA-based knowledge distillation of photorealistic style-transfer models (Chiu & Gurari, CVPR 2022)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcakd.stylize.style import Style
    from pcakd.stylize.stylizer import StylizeOptions, Stylizer

__all__ = ["Style", "StylizeOptions", "Stylizer"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import; `pcakd --help` must not wait for it.
    if name == "Style":
        from pcakd.stylize.style import Style

        return Style
    if name in ("Stylizer", "StylizeOptions"):
        from pcakd.stylize import stylizer

        return getattr(stylizer, name)
    raise AttributeError(f"module 'pcakd' has no attribute {name!r}")
