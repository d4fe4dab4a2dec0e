"""Global eigenbases: the exact optimum of the paper's objective, from sums that one pass over the photos gives.

For each level the paper (section 3, eq. 4) looks for the C×k basis V with orthonormal columns that minimises
the mean over photos of ‖F̄ − V Vᵀ F̄‖², F̄ being one photo's features minus their mean over positions. The
minimum are the k leading eigenvectors of the mean over photos of F̄ F̄ᵀ / positions, and that mean is a sum:

    moments = Moments.zeros(teacher.channels)
    for photo in photos:
        moments.update(teacher.features(photo))
    bases = fit(moments, Widths(channels=(10, 20, 58, 64)))

Sums made on different machines are added with `+`.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import torch
from torch import Tensor

from pcakd.eigenbases.options import Widths
from pcakd.errors import FatalError, UsageError

CHUNK = 4096
"""Positions that enter one float32 product; the products are summed in float64. Few enough for the second-level
cache at 64 channels, and 2e-7 of relative error at most."""

STRIP = 64
"""Rows of a covariance that are computed at a time, from the diagonal on: about half of it is left out."""

NOISE = 1e-7
"""Eigenvalues below this share of the largest are rounding noise of float32 features."""


class RankWarning(UserWarning):
    """The photos span fewer directions than the basis is to have."""


@dataclass(kw_only=True)
class LevelMoments:
    """Sums over photos at one level; float64."""

    mean: Tensor
    """(C) sum of the photos' mean features."""
    covariance: Tensor
    """(C×C) sum of the photos' own covariances, each F̄ F̄ᵀ ÷ positions. Only the upper triangle counts."""
    own: Tensor
    """(C) sum over sampled photos of the cumulative share of variance that a PCA of the photo alone explains."""
    sampled: int = 0
    """Photos in `own`."""


@dataclass(kw_only=True)
class Moments:
    """What the eigenbases depend on: one `LevelMoments` a level, over a number of photos.

    Each photo is reduced on its own, so sums do not depend on how photos were batched; the order of
    additions changes them by float64 rounding only.
    """

    photos: int
    levels: list[LevelMoments]

    @classmethod
    def zeros(cls, channels: Sequence[int], *, device: torch.device | str = "cpu") -> "Moments":
        """Moments of no photo, for features of these widths on that device."""

        def zero(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        return cls(
            photos=0,
            levels=[LevelMoments(mean=zero(c), covariance=zero(c, c), own=zero(c)) for c in channels],
        )

    @property
    def channels(self) -> tuple[int, ...]:
        """Width C of each level."""
        return tuple(len(level.mean) for level in self.levels)

    @torch.no_grad()
    def update(self, features: Sequence[Tensor], *, sample: Sequence[bool] | None = None) -> None:
        """Add N photos: for each level N×C×H×W, float. float64 stays float64, all else is taken as float32.

        sample: for each photo whether its own spectrum counts too; a C×C eigenvalue problem. None: all.
        Raises FatalError for features that are not finite; nothing is added then.
        """
        if len(features) != len(self.levels):
            raise ValueError(f"{len(features)} levels of features for moments of {len(self.levels)}")
        photos = [[_positions(feature) for feature in batch] for batch in features]
        means = [[x.mean(1, keepdim=True) for x in batch] for batch in photos]
        for level, batch in enumerate(means):
            if not all(torch.isfinite(mean).all() for mean in batch):
                raise FatalError(f"the teacher's features at level {level} are not finite; are its weights damaged?")
        wanted = [True] * len(photos[0]) if sample is None else sample
        for sums, batch, batch_means in zip(self.levels, photos, means, strict=True):
            for x, mean, with_own in zip(batch, batch_means, wanted, strict=True):
                sums.mean += mean[:, 0]
                if not with_own:
                    _add_covariance(sums.covariance, x, mean)
                    continue
                own = torch.zeros_like(sums.covariance)
                _add_covariance(own, x, mean)
                sums.covariance += own
                if own.trace() > 0:
                    values = torch.linalg.eigvalsh(own.cpu(), UPLO="U").flip(0)
                    sums.own += cumulative_shares(values).to(sums.own.device)
                    sums.sampled += 1
        self.photos += len(photos[0])

    def cpu(self) -> "Moments":
        """The same moments on the CPU."""
        return Moments(
            photos=self.photos,
            levels=[
                LevelMoments(
                    mean=level.mean.cpu(),
                    covariance=level.covariance.cpu(),
                    own=level.own.cpu(),
                    sampled=level.sampled,
                )
                for level in self.levels
            ],
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of photos together; both on one device."""
        if self.channels != other.channels:
            raise ValueError(f"moments of widths {self.channels} and {other.channels} do not add")
        return Moments(
            photos=self.photos + other.photos,
            levels=[
                LevelMoments(
                    mean=a.mean + b.mean,
                    covariance=a.covariance + b.covariance,
                    own=a.own + b.own,
                    sampled=a.sampled + b.sampled,
                )
                for a, b in zip(self.levels, other.levels, strict=True)
            ],
        )

    def covariance(self, level: int) -> Tensor:
        """C×C: mean over photos of each photo's own centred covariance."""
        upper = self.levels[level].covariance.triu()
        return (upper + upper.triu(1).T) / max(self.photos, 1)

    def mean(self, level: int) -> Tensor:
        """C: mean over photos of each photo's mean feature."""
        return self.levels[level].mean / max(self.photos, 1)


def cumulative_shares(eigenvalues: Tensor) -> Tensor:
    """Share of the sum that the first 1, 2, ... eigenvalues make up; falling, and at most 1."""
    positive = eigenvalues.clamp(min=0)
    return (positive.cumsum(0) / positive.sum()).clamp(max=1.0)


def merge(parts: Iterable[Moments]) -> Moments:
    """Sum of moments, in the order given. Raises ValueError for none."""
    parts = list(parts)
    if not parts:
        raise ValueError("no moments to merge")
    return reduce(add, parts)


def _positions(feature: Tensor) -> Tensor:
    """C×H×W → C×positions, float64 or float32."""
    x = feature.flatten(1)
    return x if x.dtype == torch.float64 else x.float()


def _add_covariance(total: Tensor, x: Tensor, mean: Tensor) -> None:
    """Add x̄ x̄ᵀ ÷ positions, x C×positions, to the upper triangle of `total`: products as x, sums in float64."""
    rows = max(STRIP, len(x) // 4)
    for chunk in x.split(CHUNK, dim=1):
        centred = chunk - mean
        for i in range(0, len(x), rows):
            total[i : i + rows, i:].add_(centred[i : i + rows] @ centred[i:].T, alpha=1 / x.shape[1])


@dataclass(frozen=True, kw_only=True)
class Eigenbases:
    """The fitted bases of all levels and what is known of them."""

    bases: list[Tensor]
    """Level l: C×k float32, orthonormal columns by falling eigenvalue, the largest entry of each positive."""
    spectra: list[Tensor]
    """Level l: (C) all eigenvalues, float64, falling."""
    explained: list[Tensor]
    """Level l: (C) share of the photos' variance that the first 1, 2, ... C explain: 1 - `unexplained` on them."""
    own: list[Tensor]
    """Level l: (C) the same for a PCA of each photo alone, mean over the sampled photos: what no basis that is shared
    can reach. NaN if no photo was sampled."""
    photos: int
    """Number of photos they were fitted on."""
    teacher: dict[str, str] = field(default_factory=dict)
    """Teacher "id" and "digest"."""
    data_digest: str = ""
    """Digest of the photos they were fitted on."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Width k of each level."""
        return tuple(basis.shape[1] for basis in self.bases)


def fit(
    moments: Moments, widths: Widths, *, teacher: dict[str, str] | None = None, data_digest: str = ""
) -> Eigenbases:
    """Eigenbases of the photos behind `moments`.

    Raises UsageError where there are no photos or the features do not vary (constant-colour photos), or a
    width is more than the teacher has. Warns (RankWarning) where a width is more than the photos span: the
    eigenvectors past that are arbitrary.
    """
    if moments.photos == 0:
        raise UsageError("no photos to fit eigenbases on")
    widths.check(moments.channels)
    bases, spectra, explained, own = [], [], [], []
    for level, sums in enumerate(moments.levels):
        covariance = moments.covariance(level)
        power = covariance.trace() + moments.mean(level).square().sum()
        if not covariance.trace() > 1e-10 * power:
            raise UsageError(
                f"the teacher's features do not vary within any of the {moments.photos} photos (level {level}): "
                "are they all of constant colour?"
            )
        values, vectors = eigenvectors(covariance)
        k = widths.of(level, sums)
        rank = int((values > NOISE * values[0]).sum())
        if k > rank:
            warnings.warn(
                f"level {level}: the {moments.photos} photos span {rank} directions, fewer than the {k} to keep; "
                "the eigenvectors past that are arbitrary (use more varied photos or fewer channels)",
                RankWarning,
                stacklevel=2,
            )
        bases.append(vectors[:, :k].float().contiguous())
        spectra.append(values)
        explained.append(cumulative_shares(values))
        own.append(sums.own / sums.sampled if sums.sampled else torch.full_like(sums.own, torch.nan))
    return Eigenbases(
        bases=bases,
        spectra=spectra,
        explained=explained,
        own=own,
        photos=moments.photos,
        teacher=teacher or {},
        data_digest=data_digest,
    )


def eigenvectors(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (C, falling, none negative) and eigenvectors (C×C, columns) of a symmetric matrix, float64.

    The sign of each column is such that its largest entry is positive (of near-equal ones, the first), so that
    it does not change between machines.
    """
    symmetric = covariance.double().cpu()
    values, vectors = torch.linalg.eigh((symmetric + symmetric.T) / 2)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    size = vectors.abs()
    first_largest = (size >= 0.999 * size.amax(0)).int().argmax(0)
    sign = vectors.gather(0, first_largest[None])[0].sign()
    return values, vectors * sign


def project(feature: Tensor, basis: Tensor) -> Tensor:
    """V ᵀ F̄: features N×C×H×W, centred photo by photo, in the k coordinates of a basis C×k → N×k×H×W."""
    centred = feature - feature.mean((2, 3), keepdim=True)
    return torch.einsum("ck,nchw->nkhw", basis, centred)


def lift(coordinates: Tensor, basis: Tensor) -> Tensor:
    """V S: coordinates N×k×H×W in a basis C×k → features N×C×H×W, centred if the coordinates are."""
    return torch.einsum("ck,nkhw->nchw", basis, coordinates)


def unexplained(covariance: Tensor, basis: Tensor) -> float:
    """Relative reconstruction error: ‖F̄ − V Vᵀ F̄‖² ÷ ‖F̄‖², averaged as in `Moments.covariance`.

    covariance: C×C; basis: C×k, orthonormal or not.
    """
    covariance, basis = covariance.double(), basis.double()
    inner = basis.T @ covariance @ basis
    residual = covariance.trace() - 2 * inner.trace() + (inner * (basis.T @ basis)).sum()
    return float(residual / covariance.trace())
