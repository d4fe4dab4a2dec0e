"""Eigenbases for trials: fitted on the middles of some photos, nothing written."""

import torch

from pcakd.distillation.data import PhotoSet
from pcakd.distillation.validation import middle
from pcakd.eigenbases.pca import Eigenbases, Moments, Widths, fit
from pcakd.teacher import Teacher


@torch.no_grad()
def fitted(teacher: Teacher, photos: PhotoSet, channels: tuple[int, ...], count: int) -> Eigenbases:
    """The bases of a teacher, so many channels a level, from about `count` photos, evenly spread."""
    moments = Moments.zeros(teacher.channels)
    for i in range(0, len(photos), max(1, len(photos) // count)):
        moments.update(teacher.features(middle(photos[i])))
    return fit(moments, Widths(channels=channels))
