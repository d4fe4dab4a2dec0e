"""Models registered before the tree had its rooms: their code is kept, and looks for modules where they were."""

from types import SimpleNamespace

import pandas as pd
import pytest

import pcakd.images
import pcakd.stylizer
from pcakd import StylizeOptions, Stylizer
from pcakd.photos.images import encode_photo
from pcakd.student.checkpoint import save_checkpoint
from tests.corpus import jpeg
from tests.models import random_checkpoint


def test_the_names_that_early_models_look_for_are_the_ones_of_now():
    assert pcakd.stylizer.Stylizer is Stylizer
    assert pcakd.stylizer.StylizeOptions is StylizeOptions
    assert pcakd.images.encode_photo is encode_photo


@pytest.mark.slow  # importing MLflow takes seconds
def test_an_early_model_s_own_code_predicts_in_a_process_that_has_imported_pcakd(tmp_path):
    from tests.tasks.registry.early_model_code import StudentModel

    checkpoint = random_checkpoint("mobilenet")
    path = tmp_path / "student.safetensors"
    save_checkpoint(path, checkpoint.student, checkpoint.metadata)
    context = SimpleNamespace(artifacts={"checkpoint": str(path)})
    model = StudentModel()
    model.load_context(context)
    photos = pd.DataFrame({"content": [jpeg(0)], "style": [jpeg(1)]})
    found = model.predict(context, photos, {"strength": 0.5, "format": "PNG"})["image"]
    expected = Stylizer.load(str(path)).stylize(jpeg(0), jpeg(1), StylizeOptions(strength=0.5))
    assert found[0] == encode_photo(expected, "PNG", quality=95)
