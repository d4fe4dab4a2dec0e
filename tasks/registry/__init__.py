"""The model registry: students as MLflow models, their versions, and the aliases challenger and champion.

    registered = register(checkpoint_bytes, settings=settings)      # one version for one set of weights
    decision = promote(registered, scores, baselines, Rivals(), Gate(), settings=settings)

A checkpoint is registered under `pcakd-vgg` or `pcakd-mobilenet`, by its backbone.
"""

from typing import TYPE_CHECKING

from pcakd.lazy import lazy_names
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

__getattr__ = lazy_names(
    __name__,
    {
        "champion": (
            "Incumbents",
            "champion_of",
            "incumbents_of",
            "pin",
            "promote",
            "promote_by_hand",
            "reject",
            "roll_back",
        ),
        "gate": ("AXES", "Decision", "Floors", "Gate", "Rivals", "decide"),
        "history": ("Move", "Standing"),
        "versions": ("Registered", "register"),
        "resolve": ("resolve_model",),
    },
)

# `Stylizer.load("models:/...")` works in a script that imports this package.
register_resolver("models", "tasks.registry.resolve:resolve_model")
