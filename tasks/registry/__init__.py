"""The model registry: students as MLflow models, their versions, and the aliases challenger and champion.

    registered = register(checkpoint_bytes, settings=settings)      # one version for one set of weights
    decision = promote(registered, metrics, champion_metrics, Gate(), settings=settings)

A checkpoint is registered under `pcakd-vgg` or `pcakd-mobilenet`, by its backbone.
"""

from pcakd.student.address import register_resolver
from tasks.registry.gate import AXES, Decision, Gate, decide
from tasks.registry.register import Registered, champion_of, promote, register
from tasks.registry.resolve import resolve_model

__all__ = [
    "AXES",
    "Decision",
    "Gate",
    "Registered",
    "champion_of",
    "decide",
    "promote",
    "register",
    "resolve_model",
]

# `Stylizer.load("models:/...")` works in a script that imports this package.
register_resolver("models", "tasks.registry.resolve:resolve_model")
