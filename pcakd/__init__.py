"""PCA-based knowledge distillation of photorealistic style-transfer models (Chiu & Gurari, CVPR 2022)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcakd.style import Style
    from pcakd.stylizer import StylizeOptions, Stylizer

__all__ = ["Style", "StylizeOptions", "Stylizer"]


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import; `pcakd --help` must not wait for it.
    if name == "Style":
        from pcakd.style import Style

        return Style
    if name in ("Stylizer", "StylizeOptions"):
        from pcakd import stylizer

        return getattr(stylizer, name)
    raise AttributeError(f"module 'pcakd' has no attribute {name!r}")
