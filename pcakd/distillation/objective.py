"""The losses of one training step, for the block pairs that are being trained.

    distill      ‖s̄_l - V_lᵀ F̄_l‖²     student features against the teacher's, centred photo by photo, k coordinates
    image        ‖Î - I‖²              the picture, encoded down to the deepest trained level and decoded again
    feature      ‖d_l - s_l-1‖²        decoder block l against the encoder's features of its level, from pair 1 on
    perceptual   ‖F_l(Î) - F_l(I)‖²    the teacher's view of the decoded picture, from pair 1 on
    graded       ‖T(I, g(I)) - g(I)‖²  a picture transferred to a random colour grade, whose truth is known
    style        ‖G(R) - G(J)‖²        a picture transferred to another's look, R, and it: Gram matrices
    structure    1 - SSIM(R, I)        what that transfer has to keep

The first four are the paper's (section 3.2). The last two are what `pcakd.evaluation` measures of pairs, taken from the
whole stylization, guided filter included. V_l is orthonormal, so the distillation loss in k coordinates differs
from the paper's, in the teacher's C, by a constant. Feature losses are shares of the features' variance, measured
once: levels then weigh the same, and workers' means add up to the mean of the whole batch.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pcakd.bfloat16 import fast_bfloat16
from pcakd.distillation.colouring import colourings, match_statistics
from pcakd.distillation.differentiable import guided, luminance_ssim, style_loss
from pcakd.distillation.recipe import Recipe
from pcakd.distillation.whitening import shared_weights
from pcakd.eigenbases.pca import project
from pcakd.student.network import LEVELS, Student, residual
from pcakd.teacher import Teacher


class Batch(NamedTuple):
    """One worker's part of a step."""

    photos: Tensor  # N×3×S×S in [0, 1]
    graded: Tensor  # M×3×S×S, grades of the last M photos, which are transferred; the others are reconstructed
    teacher_photos: int  # the teacher sees the first so many
    workers: int = 1
    contents: Tensor | None = None  # K×3×S'×S', transferred to the looks of `styles`; None: this worker has none
    styles: Tensor | None = None  # K×3×S'×S', other pictures
    pairs: int = 0  # contents of the whole step, over all workers
    looks: Tensor | None = None  # M×3×S×S, what gives them their grades' looks; None: the grades themselves


class Passed(NamedTuple):
    """What becomes of photos N×3×S×S on their way through the student."""

    features: list[Tensor]  # of the encoder, a level each
    goals: list[Tensor]  # the styles', without gradients
    decoded: dict[int, Tensor]  # what a level's decoder block makes, by level
    picture: Tensor  # N×3×S×S, at least fp32, unclipped


_CPU = torch.device("cpu")


class Objective(nn.Module):
    """A student in training and the teacher that it is held against.

    The student is the only submodule: what is a parameter here is what is trained and saved.
    """

    teacher_variance: Tensor
    student_variance: Tensor

    def __init__(
        self,
        student: Student,
        teacher: Teacher,
        bases: Sequence[Tensor],
        recipe: Recipe,
        judge: Teacher | None = None,
        device: torch.device = _CPU,
    ) -> None:
        """judge: the network in whose features styles are compared; None: the teacher. device: that it trains on."""
        super().__init__()
        self.student = student
        self.recipe = recipe
        # In a tuple: the teacher is neither trained, nor saved, nor moved with the objective.
        self._teacher = (teacher.eval(),)
        judge = (judge or teacher).eval()
        self.bf16 = recipe.precision == "bf16" and fast_bfloat16(device)
        """Whether convolutions are multiplied in bfloat16: where no instruction does, they take ten times as long."""
        if recipe.style_photos and self.bf16:
            # A copy, as autocast would convert the frozen weights again in every step.
            judge = deepcopy(judge).to(torch.bfloat16).to(memory_format=torch.channels_last)
        self._judge = (judge,)
        for level, basis in enumerate(bases):
            self.register_buffer(f"basis{level}", basis.float(), persistent=False)
        self.register_buffer("teacher_variance", torch.ones(LEVELS))
        self.register_buffer("student_variance", torch.ones(LEVELS))
        self.levels: tuple[int, ...] = tuple(range(LEVELS))

    @property
    def teacher(self) -> Teacher:
        return self._teacher[0]

    def basis(self, level: int) -> Tensor:
        """C×k of a level."""
        return getattr(self, f"basis{level}")

    @torch.no_grad()
    def measure_scales(self, photos: Tensor) -> None:
        """Set what feature losses are divided by, from photos N×3×H×W in [0, 1]."""
        for level, (theirs, ours) in enumerate(
            zip(self.teacher.features(photos), self.student.encode(photos).features, strict=True)
        ):
            centred = theirs - theirs.mean((2, 3), keepdim=True)
            self.teacher_variance[level] = centred.square().sum(1).mean().clamp_min(1e-12)
            self.student_variance[level] = ours.var((0, 2, 3)).mean().clamp_min(1e-12)

    def train_levels(self, levels: tuple[int, ...]) -> list[nn.Parameter]:
        """Let gradients reach the block pairs of these levels only; their parameters."""
        self.levels = levels
        for side, rate in (("encoder", self.recipe.encoder_rate), ("decoder", self.recipe.decoder_rate)):
            for level in range(LEVELS):
                getattr(self.student, side)[f"block{level}"].requires_grad_(level in levels and rate > 0)
        return [p for p in self.student.parameters() if p.requires_grad]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, unweighted; "total" is their weighted sum.

        Each is scaled such that its mean over workers is the mean over the whole step's photos, whatever part
        of them this worker has.
        """
        with shared_weights(self.student):
            return self._losses(batch)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        recipe, top = self.recipe, max(self.levels)
        photos, graded, seen, workers, contents, styles, pairs, looks = batch
        clean = len(photos) - len(graded)
        all_clean = recipe.batch - recipe.graded_photos
        losses: dict[str, Tensor] = {}

        def add(name: str, mean: Tensor, own: int, whole: int) -> None:
            losses[name] = losses.get(name, torch.zeros((), device=photos.device)) + mean * (own * workers / whole)

        looks = graded if looks is None else looks
        if contents is None or styles is None or top < LEVELS - 1:
            contents = styles = photos[:0]
        with torch.autocast(photos.device.type, torch.bfloat16, enabled=self.bf16):
            if contents.shape[2:] == photos.shape[2:]:
                # Both in one pass: what a step costs on a GPU is the number of its kernels.
                passed = self._through(torch.cat([photos, contents]), torch.cat([looks, styles]), clean, top)
                given = passed.picture[len(photos) :]
            else:
                passed = self._through(photos, looks, clean, top)
                given = self._through(contents, styles, 0, top).picture
            picture, truths = passed.picture[: len(photos)], passed.goals
            if looks is not graded and recipe.feature:
                with torch.no_grad():
                    truths = self._encode(graded, top)[0]
            for level in self.levels:
                if level and recipe.feature:
                    wanted = torch.cat([passed.features[level - 1][:clean].detach(), truths[level - 1][: len(graded)]])
                    error = F.mse_loss(wide(passed.decoded[level][: len(photos)]), wide(wanted))
                    add("feature", error / self.student_variance[level - 1], len(photos), recipe.batch)
            if clean:
                add("image", F.mse_loss(picture[:clean], photos[:clean]), clean, all_clean)
            if len(graded):
                add("graded", F.mse_loss(picture[clean:], graded), len(graded), recipe.graded_photos)
            if seen and recipe.distill and recipe.encoder_rate:
                add("distill", self._distill(photos[:seen], passed.features), seen, recipe.teacher_photos)
            if len(contents):
                with torch.autocast(photos.device.type, enabled=False):
                    result = guided(given.clamp(0, 1), contents)
                add("style", self._style(result, styles), len(contents), pairs)
                add("structure", 1 - luminance_ssim(result, contents), len(contents), pairs)
            if top and recipe.perceptual and clean:
                add("perceptual", self._perceptual(picture[:clean], photos[:clean]), clean, all_clean)
        total = torch.stack([getattr(recipe, name) * loss for name, loss in losses.items()]).sum()
        names = self.names(pairs)
        missing = {name: torch.zeros_like(total) for name in names if name not in losses}
        return {name: (losses | missing)[name] for name in names} | {"total": total}

    def names(self, pairs: int = 0) -> list[str]:
        """The losses that the recipe, the levels in training and the step call for: the same on every worker."""
        recipe, top = self.recipe, max(self.levels)
        wanted = {
            "distill": recipe.distill and recipe.encoder_rate and recipe.teacher_photos,
            "image": recipe.batch > recipe.graded_photos,
            "feature": recipe.feature and any(self.levels),
            "perceptual": recipe.perceptual and top and recipe.batch > recipe.graded_photos,
            "graded": recipe.graded_photos,
            "style": pairs and top == LEVELS - 1,
            "structure": pairs and top == LEVELS - 1,
        }
        return [name for name, present in wanted.items() if present]

    def _encode(self, photos: Tensor, top: int) -> tuple[list[Tensor], list[Tensor]]:
        x, features, residuals = photos.contiguous(memory_format=torch.channels_last), [], []
        for level in range(top + 1):
            residuals.append(residual(x))
            x = self.student.encode_block(level, x)
            features.append(x)
        return features, residuals

    def _through(self, photos: Tensor, styles: Tensor, plain: int, top: int) -> Passed:
        """Photos N×3×S×S encoded down to level `top` and decoded, all but the first `plain` with the statistics of
        `styles`, (N-plain)×3×S×S, at each level (ZCA as in `pcakd.stylize`)."""
        features, residuals = self._encode(photos, top)
        goals = [f[:0].detach() for f in features]
        if len(styles):
            with torch.no_grad():
                goals = self._encode(styles, top)[0]
            looks = colourings(goals)
        x, decoded = features[top], {}
        for level in range(top, -1, -1):
            if len(styles):
                matched = match_statistics(x[plain:], looks[level])
                x = torch.cat([wide(x[:plain]), matched]) if plain else matched
            decoded[level] = x = self.student.decode_block(level, x, residuals[level])
        return Passed(features, goals, decoded, wide(x))

    def _style(self, result: Tensor, styles: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self._judged(styles)
        return style_loss(self._judged(result.clamp(0, 1)), wanted)

    def _judged(self, photos: Tensor) -> list[Tensor]:
        dtype = torch.bfloat16 if self.bf16 else photos.dtype
        return self._judge[0].features(photos.to(dtype).contiguous(memory_format=torch.channels_last))

    def _distill(self, photos: Tensor, features: list[Tensor]) -> Tensor:
        with torch.no_grad():
            theirs = self.teacher.features(photos)
        errors = []
        for level in self.levels:
            ours = wide(features[level][: len(photos)])
            goal = project(wide(theirs[level]), self.basis(level))
            error = (ours - ours.mean((2, 3), keepdim=True) - goal).square().sum(1).mean()
            errors.append(error / self.teacher_variance[level])
        return torch.stack(errors).sum()

    def _perceptual(self, picture: Tensor, photos: Tensor) -> Tensor:
        seen = self.teacher.features(picture.clamp(0, 1))
        with torch.no_grad():
            wanted = self.teacher.features(photos)
        errors = [
            (wide(seen[level]) - wide(wanted[level])).square().sum(1).mean() / self.teacher_variance[level]
            for level in self.levels
            if level
        ]
        return torch.stack(errors).sum()


def wide(x: Tensor) -> Tensor:
    """bfloat16 as fp32; fp32 and float64 as they are."""
    return x.float() if x.dtype == torch.bfloat16 else x
