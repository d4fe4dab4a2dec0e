"""Distillation: a teacher, its eigenbases and photos become a student.

recipe = load_recipe("vgg")
trainer = Trainer(recipe, load_teacher("vgg19-normalised"), bases, FolderPhotos("photos"))
trainer.run()
student = trainer.student()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcakd.distillation.data import Cached, Crops, FolderPhotos, PhotoSet
    from pcakd.distillation.recipe import Phase, Recipe, builtin_recipes, load_recipe
    from pcakd.distillation.trainer import Diverged, StepReport, Trainer, Workers

__all__ = [
    "Cached",
    "Crops",
    "Diverged",
    "FolderPhotos",
    "Phase",
    "PhotoSet",
    "Recipe",
    "StepReport",
    "Trainer",
    "Workers",
    "builtin_recipes",
    "load_recipe",
]

_HOMES = {
    "data": ("Cached", "Crops", "FolderPhotos", "PhotoSet"),
    "recipe": ("Phase", "Recipe", "builtin_recipes", "load_recipe"),
    "trainer": ("Diverged", "StepReport", "Trainer", "Workers"),
}


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import; a mistake in an option must not wait for it.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pcakd.distillation.{module}"), name)
    raise AttributeError(f"module 'pcakd.distillation' has no attribute {name!r}")
