"""Where models registered before the rooms of `pcakd/stylize/` were built look for these names; their code is kept."""

from pcakd.stylize.stylizer import StylizeOptions, Stylizer

__all__ = ["StylizeOptions", "Stylizer"]
