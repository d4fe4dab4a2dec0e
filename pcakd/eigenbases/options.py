"""How eigenbases are fitted, as options: without PyTorch, so that a mistake in them is told at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields

if TYPE_CHECKING:
    import torch

    from pcakd.eigenbases.pca import LevelMoments


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """How photos are fed to a teacher."""

    crop: Annotated[int, Bounds(0, 4096)] = 256
    """Side in pixels of the square cut from each photo, at a place that depends on its key alone; 0: the whole photo.
    256 of 512 is what the paper trains on."""
    batch: Annotated[int | None, Bounds(1)] = None
    """Photos in one forward pass; not given: 1 on a CPU, where the features of a photo then never depend on its
    neighbours and nothing is lost in speed, and 16 on a GPU."""

    spectrum_every: Annotated[int, Bounds(1)] = 16
    """One photo in so many, chosen by a hash of its key, has its own spectrum taken too: for the choice of widths by
    variance, and the plot. 1: every photo."""

    def __post_init__(self) -> None:
        check_fields(self)
        if 0 < self.crop < 32:
            raise UsageError(f"crop is {self.crop}: give 32 to 4096 pixels, or 0 for whole photos")

    def batch_on(self, device: "torch.device") -> int:
        """Photos in one forward pass on a device."""
        return self.batch or (1 if device.type == "cpu" else 16)


@dataclass(frozen=True, kw_only=True)
class Widths:
    """How many eigenvectors each level keeps: given, or found from the variance they are to explain."""

    channels: tuple[int, ...] | None = None
    """Eigenvectors to keep at levels 0 to 3; not given: the paper's widths."""
    variance: Annotated[float | None, Bounds(above=0, high=1)] = None
    """Instead: as many as a PCA of one photo needs on average to explain this share of variance, such as 0.85 (the
    mean over photos of its cumulative explained variance, as in the paper)."""

    def __post_init__(self) -> None:
        if (self.channels is None) == (self.variance is None):
            raise UsageError("give either channels or variance")
        check_fields(self)
        if self.channels is None:
            return
        from pcakd.student.network import LEVELS  # and PyTorch, which a mistake before this must not wait for

        if len(self.channels) != LEVELS or min(self.channels) < 1:
            raise UsageError(f"channels are {self.channels}: give {LEVELS} whole numbers, 1 or more")

    def check(self, teacher_channels: Sequence[int]) -> None:
        """Raise UsageError if a width is more than the teacher has."""
        for level, (k, c) in enumerate(zip(self.channels or (), teacher_channels, strict=False)):
            if k > c:
                raise UsageError(f"channels[{level}] is {k}: the teacher has {c} at level {level}")

    def of(self, level: int, sums: "LevelMoments") -> int:
        """Width of a level."""
        most = len(sums.own)
        if self.channels is not None:
            return self.channels[level]
        if sums.sampled == 0:
            raise UsageError("variance: no photo's own spectrum was sampled; give channels, or use more photos")
        assert self.variance is not None
        # Float64 sums that should end at exactly 1 end within 1e-12 of it.
        return min(int((sums.own / sums.sampled < self.variance - 1e-12).sum()) + 1, most)
