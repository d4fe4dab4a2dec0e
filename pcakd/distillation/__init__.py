"""Distillation: a teacher, its eigenbases and photos become a student.

recipe = load_recipe("vgg")
trainer = Trainer(recipe, load_teacher("vgg19-normalised"), bases, FolderPhotos("photos"))
trainer.run()
student = trainer.student()
"""

from typing import TYPE_CHECKING

from pcakd.lazy import lazy_names

if TYPE_CHECKING:
    from pcakd.distillation.data import Cached, Crops, FolderPhotos, PhotoSet
    from pcakd.distillation.recipe import Phase, Recipe, builtin_recipes, load_recipe
    from pcakd.distillation.trainer import Diverged, StepReport, Trainer
    from pcakd.distillation.workers import Workers

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

__getattr__ = lazy_names(
    __name__,
    {
        "data": ("Cached", "Crops", "FolderPhotos", "PhotoSet"),
        "recipe": ("Phase", "Recipe", "builtin_recipes", "load_recipe"),
        "trainer": ("Diverged", "StepReport", "Trainer"),
        "workers": ("Workers",),
    },
)
