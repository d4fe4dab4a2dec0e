"""The mean of several students' weights: of trainings that went on from one another it is often better than each.

Wortsman et al., Model soups, ICML 2022. Students that were trained apart have nothing in common but their layout, and
their mean is of no use.
"""

import torch

from pcakd.errors import UsageError
from pcakd.student.checkpoint import Checkpoint, build_student, digest_tensors, load_checkpoint, student_tensors


def load_mean(names: str) -> Checkpoint:
    """A model by name, or the mean of several whose names are joined by commas; the first one's metadata.

    Raises CheckpointError; UsageError for models that have other widths or eigenbases.
    """
    models = [load_checkpoint(name) for name in names.split(",")]
    first = models[0]
    for name, model in zip(names.split(","), models, strict=True):
        alike = model.eigenbases.keys() == first.eigenbases.keys() and all(
            basis.shape == model.eigenbases[level].shape and torch.allclose(basis, model.eigenbases[level], atol=1e-4)
            for level, basis in first.eigenbases.items()
        )
        if model.metadata.spec != first.metadata.spec or not alike:
            raise UsageError(
                f"{name}: has other widths or eigenbases than {names.split(',')[0]}; their mean is no model"
            )
    if len(models) == 1:
        return first
    weights = [model.student.state_dict() for model in models]
    # In float64, so that the order plays no part.
    means = {key: torch.stack([w[key].double() for w in weights]).mean(0).to(weights[0][key]) for key in weights[0]}
    student = build_student(first.metadata.spec, means, names)
    tensors = student_tensors(student, first.eigenbases)
    return Checkpoint(student, first.metadata, first.eigenbases, digest_tensors(tensors), names)
