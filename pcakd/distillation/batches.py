"""What a training step is given: crops, their grades, pairs of photos; drawn ahead of time where a GPU would wait.

A step's crops and grades are functions of the recipe, the step and the worker alone (see `pcakd.distillation.data`), so
they can be drawn before their step has begun.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from pcakd.distillation.data import Crops, PhotoSet, as_floats
from pcakd.distillation.grading import NUMBERS, apply_grades, draw_grades
from pcakd.distillation.objective import Batch
from pcakd.distillation.recipe import Recipe
from pcakd.distillation.workers import Workers

ORDERS_APART = 7919
"""Between the seeds of the orders in which photos are reconstructed, given a style, and taken as one."""
AHEAD = 4
"""Steps that are drawn ahead for a GPU."""


class Drawn(NamedTuple):
    """One worker's part of a step, as it is decoded: pictures uint8 N×S×S×3, grades as `draw_grades` gives them."""

    photos: Tensor
    grades: Tensor  # of the last so many photos
    ends: Tensor  # the other ends of the last so many photos
    contents: Tensor | None
    styles: Tensor | None
    graded_styles: list[int]  # which of the styles are graded
    style_grades: Tensor
    pairs: int  # of the whole step, over all workers

    def pinned(self) -> "Drawn":
        """The same in memory that a GPU reads by itself."""
        return Drawn._make(part.pin_memory() if isinstance(part, Tensor) else part for part in self)


class Batches:
    """The batches of a training, on a device."""

    def __init__(self, recipe: Recipe, photos: PhotoSet, workers: Workers, device: torch.device) -> None:
        self.recipe, self.workers, self.device = recipe, workers, device
        self.crops = Crops(photos=photos, size=recipe.crop, seed=recipe.seed, flip=recipe.flip)
        # Contents and styles of transfers: the same photos in two other orders.
        self.contents, self.styles = (
            replace(self.crops, size=recipe.style_crop, seed=recipe.seed + number * ORDERS_APART) for number in (1, 2)
        )
        self._drawer: ThreadPoolExecutor | None = None
        self._drawn: dict[int, Future[Drawn]] = {}

    def __getitem__(self, step: int) -> Batch:
        """This worker's part of a step."""
        drawn = self._ahead(step) if self.device.type == "cuda" else self.draw(step)
        rows = self._rows(self.recipe.batch)
        photos = self._floats(drawn.photos)
        contents = styles = None
        if drawn.contents is not None and drawn.styles is not None:
            contents, styles = self._floats(drawn.contents), self._floats(drawn.styles)
            if drawn.graded_styles:
                styles[drawn.graded_styles] = apply_grades(styles[drawn.graded_styles], drawn.style_grades)
        graded = photos[len(photos) - len(drawn.grades) :]
        if len(graded):
            graded = apply_grades(graded, drawn.grades)
        looks = None
        if across := len(drawn.ends):
            ends = apply_grades(self._floats(drawn.ends), drawn.grades[-across:])
            looks = torch.cat([graded[:-across], ends])
        return Batch(
            photos=photos,
            graded=graded,
            looks=looks,
            teacher_photos=sum(row < self.recipe.teacher_photos for row in rows),
            workers=self.workers.size,
            contents=contents,
            styles=styles,
            pairs=drawn.pairs,
        )

    def draw(self, step: int) -> Drawn:
        """Decode and cut what a step needs, and draw its grades; nothing on the device yet."""
        recipe, rows = self.recipe, self._rows(self.recipe.batch)
        # A grade belongs to its row of the whole batch, whoever works on it.
        first_graded = recipe.batch - recipe.graded_photos
        grades = [self._grade(step, row) for row in rows if row >= first_graded]
        pairs = 0 if step % recipe.style_every else recipe.style_photos
        turn, of_pairs = step // recipe.style_every, self._rows(pairs)
        # Every other style is graded, as looks go further apart than photos of one collection do.
        graded_styles = [i for i, row in enumerate(of_pairs) if (turn * pairs + row) % 2]
        style_grades = [self._grade(step, recipe.batch + of_pairs[i]) for i in graded_styles]
        photos, ends = self._photos(step, rows)
        return Drawn(
            photos=photos,
            ends=ends,
            grades=torch.cat([torch.zeros(0, NUMBERS), *grades]),
            contents=self.contents.batch8(turn, of_pairs, pairs) if of_pairs else None,
            styles=self.styles.batch8(turn, of_pairs, pairs) if of_pairs else None,
            graded_styles=graded_styles,
            style_grades=torch.cat([torch.zeros(0, NUMBERS), *style_grades]),
            pairs=pairs,
        )

    def _photos(self, step: int, rows: list[int]) -> tuple[Tensor, Tensor]:
        """A step's crops, and the other ends of the last ones' photos."""
        batch, first = self.recipe.batch, self.recipe.batch - self.recipe.across_photos
        inside, across = [row for row in rows if row < first], [row for row in rows if row >= first]
        if not across:
            photos = self.crops.batch8(step, inside, batch)
            return photos, photos[:0]
        crops, ends = self.crops.ends8(step, across, batch)
        return torch.cat([self.crops.batch8(step, inside, batch), crops]) if inside else crops, ends

    def close(self) -> None:
        """Stop drawing ahead."""
        if self._drawer:
            self._drawer.shutdown(cancel_futures=True)
        self._drawer, self._drawn = None, {}

    def _ahead(self, step: int) -> Drawn:
        if self._drawer is None:
            # One thread: photo sets keep what they decoded last, and are not made for two at a time.
            self._drawer = ThreadPoolExecutor(1, thread_name_prefix="pcakd-crops")
        for coming in range(step, min(step + AHEAD, max(self.recipe.steps, step + 1))):
            if coming not in self._drawn:
                self._drawn[coming] = self._drawer.submit(lambda number: self.draw(number).pinned(), coming)
        self._drawn = {number: drawn for number, drawn in self._drawn.items() if number >= step}
        return self._drawn.pop(step).result()

    def _rows(self, count: int) -> list[int]:
        """This worker's rows: every size-th, so that grades are dealt out as evenly."""
        return list(range(self.workers.rank, count, self.workers.size))

    def _floats(self, pictures: Tensor) -> Tensor:
        return as_floats(pictures.to(self.device, non_blocking=True))

    def _grade(self, step: int, row: int) -> Tensor:
        """The numbers of the grade of a row of a step's whole batch, as `draw_grades` gives them."""
        generator = torch.Generator().manual_seed((self.recipe.seed * 1_000_003 + step) * 4096 + row)
        return draw_grades(1, generator)
