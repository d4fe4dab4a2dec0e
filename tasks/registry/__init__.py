"""The model registry: students as MLflow models, their versions, and the aliases challenger and champion.

    registered = register(checkpoint_bytes, settings=settings)      # one version for one set of weights
    decision = promote(registered, scores, baselines, Rivals(), Gate(), settings=settings)

A checkpoint is registered under `pcakd-vgg` or `pcakd-mobilenet`, by its backbone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pcakd.student.address import register_resolver

if TYPE_CHECKING:
    from tasks.registry.champion import (
        Incumbents,
        champion_of,
        incumbents_of,
        pin,
        promote,
        promote_by_hand,
        reject,
        roll_back,
    )
    from tasks.registry.gate import AXES, Decision, Floors, Gate, Rivals, decide
    from tasks.registry.history import Move, Standing
    from tasks.registry.resolve import resolve_model
    from tasks.registry.versions import Registered, register

__all__ = [
    "AXES",
    "Decision",
    "Floors",
    "Gate",
    "Incumbents",
    "Move",
    "Registered",
    "Rivals",
    "Standing",
    "champion_of",
    "decide",
    "incumbents_of",
    "pin",
    "promote",
    "promote_by_hand",
    "register",
    "reject",
    "resolve_model",
    "roll_back",
]

_HOMES = {
    "Incumbents": "champion",
    "champion_of": "champion",
    "incumbents_of": "champion",
    "pin": "champion",
    "promote": "champion",
    "promote_by_hand": "champion",
    "reject": "champion",
    "roll_back": "champion",
    "AXES": "gate",
    "Decision": "gate",
    "Floors": "gate",
    "Gate": "gate",
    "Rivals": "gate",
    "decide": "gate",
    "Move": "history",
    "Standing": "history",
    "Registered": "versions",
    "register": "versions",
    "resolve_model": "resolve",
}
"""Name → its module, imported when the name is asked for: a command tells mistakes before PyTorch is loaded."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


# `Stylizer.load("models:/...")` works in a script that imports this package.
register_resolver("models", "tasks.registry.resolve:resolve_model")
