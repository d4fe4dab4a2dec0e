import json

import pytest

from pcakd.distillation import Recipe, builtin_recipes, load_recipe
from pcakd.distillation.job import with_steps
from pcakd.errors import UsageError


@pytest.mark.parametrize("name", ["vgg", "mobilenet", "vgg-gpu", "mobilenet-gpu", "vgg-gpu-on", "mobilenet-gpu-on"])
def test_the_shipped_recipes_are_valid_and_say_everything(name):
    recipe = load_recipe(name)
    assert recipe.backbone == name.partition("-")[0]
    text = builtin_recipes()[name].read_text()
    unsaid = [field for field in Recipe.__dataclass_fields__ if f"\n{field} = " not in text]
    assert unsaid in ([], ["optimizer", "weight_decay"], ["weight_decay"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch = 0", "batch is 0"),
        ("crop = 100", "crop is 100: give a multiple of 16"),
        ('init = "magic"', "init is 'magic': use one of teacher, random"),
        ("rate = 1", "no field 'rate'"),
        ('batch = "many"', "batch is 'many': give a whole number"),
        ("graded_photos = 99", "graded_photos is 99: give 0 to batch"),
        ("graded_photos = 2\nacross_photos = 3", "across_photos is 3: give 0 to graded_photos"),
        ("pair_steps = [1, 2]", "pair_steps"),
        ("batch = ", "is not a TOML file"),
    ],
)
def test_a_wrong_recipe_is_refused_naming_field_and_value(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(path))


def test_a_field_that_came_later_leaves_the_identity_of_recipes_that_do_without_it():
    before = Recipe(graded_photos=2)
    assert "across_photos" not in before.to_json()
    assert "across_photos" in Recipe(graded_photos=2, across_photos=1).to_json()
    assert Recipe.from_dict(json.loads(before.to_json())) == before


def test_an_unknown_recipe_lists_the_choices():
    with pytest.raises(UsageError, match="mobilenet, mobilenet-gpu, mobilenet-gpu-on, vgg, vgg-gpu, vgg-gpu-on"):
        load_recipe("resnet")


def test_stages_come_in_order_and_empty_ones_are_left_out():
    recipe = Recipe(pair_steps=(10, 0, 20, 0), joint_steps=5)
    assert [(phase.name, phase.levels, phase.steps) for phase in recipe.phases()] == [
        ("pair 0", (0,), 10),
        ("pair 2", (2,), 20),
        ("joint", (0, 1, 2, 3), 5),
    ]


def test_steps_are_shared_out_as_in_the_recipe():
    recipe = with_steps(Recipe(pair_steps=(100, 100, 100, 100), joint_steps=600), 50)
    assert recipe.pair_steps == (5, 5, 5, 5)
    assert recipe.joint_steps == 30
    assert with_steps(Recipe(pair_steps=(10, 10, 10, 10)), 7).steps == 7
