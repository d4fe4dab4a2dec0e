"""Eigenbases for trials: fitted on the middles of some photos, nothing written."""

import torch

from pcakd.distillation.data import PhotoSet
from pcakd.distillation.validation import middle
from pcakd.eigenbases.pca import Eigenbases, Moments, Widths, fit
from pcakd.teacher import Teacher


def fitted(teacher: Teacher, photos: PhotoSet, channels: tuple[int, ...], count: int) -> Eigenbases:
    """The bases of a teacher, so many channels a level, from about `count` photos, evenly spread."""
    return fit(summed(teacher, photos, count), Widths(channels=channels))


@torch.no_grad()
def summed(teacher: Teacher, photos: PhotoSet, count: int) -> Moments:
    """What bases of any widths are fitted from, of about `count` photos."""
    moments = Moments.zeros(teacher.channels)
    for i in range(0, len(photos), max(1, len(photos) // count)):
        moments.update(teacher.features(middle(photos[i])))
    return moments
