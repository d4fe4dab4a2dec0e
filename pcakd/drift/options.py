"""What is done about drift, as options: without PyTorch, so that a mistake in them is told at once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields

Start = Literal["auto", "champion", "teacher"]
"""Where a training begins."""


@dataclass(frozen=True, kw_only=True)
class DriftPolicy:
    """When a pipeline run trains, from what it begins, and when it warns."""

    train: Literal["always", "if-worth"] = "always"
    """if-worth: the run ends before the training where the champion's bases serve the photos of now as well as their
    own, and the photos that came since are like those of before."""
    worth_above: Annotated[float, Bounds(0, 1)] = 0.005
    """Share of the teacher's variance, at the worst level, that the champion's bases lose against those of now, above
    which a training is worth it."""
    warn_above: Annotated[float, Bounds(0, 1)] = 0.03
    """Share of variance, at the worst level, that the bases of before explain less of the new photos than of the
    older ones, above which the run warns."""
    colour_above: Annotated[float, Bounds(0)] = 0.3
    """Shift of the new photos' mean colour, in standard deviations of the older photos' and beyond chance, above which
    the run warns."""
    size_above: Annotated[float, Bounds(0, 1)] = 0.25
    """Share of the new photos, beyond chance, whose shortest side lies where older photos' does not, above which the
    run warns."""
    start: Start = "teacher"
    """What a training begins with. champion: its weights, and a short recipe; auto: the champion where its bases lose
    no more than teacher_above, and the new photos are no cause for a warning."""
    teacher_above: Annotated[float, Bounds(0, 1)] = 0.02
    """The same share of variance as in worth_above, above which auto begins with the teacher."""
    short: Annotated[float, Bounds(above=0, high=1)] = 0.25
    """Share of the recipe's steps that a training from the champion takes."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.teacher_above < self.worth_above:
            raise UsageError(f"teacher_above is {self.teacher_above}: give worth_above ({self.worth_above}) or more")
