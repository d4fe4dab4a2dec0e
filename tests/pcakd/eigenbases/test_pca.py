import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.eigenbases.pca import (
    Eigenbases,
    Moments,
    RankWarning,
    Widths,
    eigenvectors,
    fit,
    lift,
    merge,
    project,
    unexplained,
)
from pcakd.errors import FatalError, UsageError

CHANNELS = (3, 5, 4, 6)
WHOLE = Widths(channels=CHANNELS)


def random_features(photos, *, seed=0, dtype=torch.float32, channels=CHANNELS):
    """One photo's features of four levels, sides of its own; a list over photos."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(photos):
        side = int(torch.randint(8, 13, (), generator=generator))
        result.append([torch.rand(1, c, side, side + 2, generator=generator, dtype=dtype) + 3 for c in channels])
    return result


def moments_of(photos, batch=1):
    moments = Moments.zeros(CHANNELS)
    for start in range(0, len(photos), batch):
        group = photos[start : start + batch]
        moments.update([torch.cat([photo[level] for photo in group]) for level in range(4)])
    return moments


def same(a: Moments, b: Moments) -> bool:
    def close(x, y):
        return bool((x - y).norm() <= 1e-9 * y.norm())

    return a.photos == b.photos and all(
        x.sampled == y.sampled and close(x.mean, y.mean) and close(x.covariance, y.covariance) and close(x.own, y.own)
        for x, y in zip(a.levels, b.levels, strict=True)
    )


def test_bases_equal_numpys_eigh_on_a_small_exact_case():
    photos = random_features(7, dtype=torch.float64)
    bases = fit(moments_of(photos), WHOLE)
    for level, c in enumerate(CHANNELS):
        covariance = np.zeros((c, c))
        for photo in photos:
            x = photo[level][0].flatten(1).numpy()
            covariance += np.cov(x, bias=True) / len(photos)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
        np.testing.assert_allclose(bases.spectra[level], values, rtol=1e-11)
        cosines = np.abs((vectors * bases.bases[level].numpy()).sum(0))
        np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_every_photo_is_centred_on_its_own_mean_and_counts_once_whatever_its_size():
    photos = random_features(5)
    shifted = [[f + 100 * i for f in photo] for i, photo in enumerate(photos)]
    tiled = [[f.repeat(1, 1, 3, 2) for f in photo] for photo in photos]
    for level in range(4):
        covariance = moments_of(photos).covariance(level)
        torch.testing.assert_close(moments_of(shifted).covariance(level), covariance, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(moments_of(tiled).covariance(level), covariance, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(2, 12),
    workers=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 1000),
)
def test_merging_depends_neither_on_the_number_of_workers_nor_on_order(count, workers, order, seed):
    photos = random_features(count, seed=seed)
    shuffled = photos[:]
    order.shuffle(shuffled)
    parts = [moments_of(shuffled[i::workers]) for i in range(workers)]
    order.shuffle(parts)
    whole = moments_of(photos)
    assert same(merge(parts), whole)
    while len(parts) > 1:  # any bracketing
        i = order.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert same(parts[0], whole)


@pytest.mark.parametrize("count", [1, 5])
def test_means_are_over_photos_and_of_none_zero(count):
    photos = random_features(count, dtype=torch.float64)
    moments, none = moments_of(photos), Moments.zeros(CHANNELS)
    for level in range(4):
        mean = torch.stack([photo[level].mean((0, 2, 3)) for photo in photos]).mean(0)
        torch.testing.assert_close(moments.mean(level), mean)
        own = [torch.from_numpy(np.cov(photo[level][0].flatten(1).numpy(), bias=True)) for photo in photos]
        torch.testing.assert_close(moments.covariance(level), torch.stack(own).mean(0))
        assert not none.mean(level).any()
        assert not none.covariance(level).any()
    assert same(moments.cpu(), moments)


def test_what_does_not_fit_together_is_refused():
    moments, photo = moments_of(random_features(2)), random_features(1)[0]
    with pytest.raises(ValueError, match=r"widths \(3, 5, 4, 6\) and \(3, 5, 4, 7\) do not add"):
        moments + Moments.zeros((3, 5, 4, 7))
    with pytest.raises(ValueError, match="no moments to merge"):
        merge([])
    with pytest.raises(ValueError, match="3 levels of features for moments of 4"):
        moments.update(photo[:3])
    with pytest.raises(ValueError, match="zip"):
        moments.update(photo, sample=[True, True])


def test_a_photo_without_variance_has_no_spectrum_of_its_own():
    flat, varied = [torch.full((1, c, 8, 8), 0.5) for c in CHANNELS], random_features(1)[0]
    moments = Moments.zeros(CHANNELS)
    for photo in (flat, varied):
        moments.update(photo)
    assert [level.sampled for level in moments.levels] == [1, 1, 1, 1]
    for level, alone in zip(moments.levels, moments_of([varied]).levels, strict=True):
        torch.testing.assert_close(level.own, alone.own)


@settings(deadline=None, max_examples=15)
@given(batch=st.integers(1, 9), seed=st.integers(0, 1000))
def test_moments_do_not_depend_on_the_batch_size(batch, seed):
    generator = torch.Generator().manual_seed(seed)
    photos = [[torch.randn(1, c, 9, 7, generator=generator) for c in CHANNELS] for _ in range(9)]
    assert same(moments_of(photos, batch), moments_of(photos, 1))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 5))
def test_no_orthonormal_basis_reconstructs_the_same_photos_better(seed, k):
    moments = moments_of(random_features(4, seed=seed))
    bases = fit(moments, Widths(channels=(1, k, 1, 1)))
    other = torch.linalg.qr(torch.randn(5, k, generator=torch.Generator().manual_seed(seed)).double())[0]
    ours = unexplained(moments.covariance(1), bases.bases[1])
    assert ours <= unexplained(moments.covariance(1), other) + 1e-6
    assert math.isclose(ours, float(bases.spectra[1][k:].sum() / bases.spectra[1].sum()), abs_tol=1e-6)


def test_unexplained_is_the_reconstruction_error_even_of_a_basis_that_is_not_orthonormal():
    feature = torch.rand(1, 6, 8, 8, dtype=torch.float64)
    moments = Moments.zeros((6, 6, 6, 6))
    moments.update([feature] * 4)
    basis = torch.randn(6, 3, dtype=torch.float64) * 0.4
    centred = feature - feature.mean((2, 3), keepdim=True)
    error = (centred - lift(project(feature, basis), basis)).square().sum() / centred.square().sum()
    assert math.isclose(unexplained(moments.covariance(0), basis), float(error), rel_tol=1e-9)


def test_projection_keeps_the_distances_within_the_basis():
    bases = fit(moments_of(random_features(4)), Widths(channels=(2, 3, 2, 4)))
    feature = torch.rand(2, 5, 8, 8)
    coordinates = project(feature, bases.bases[1])
    assert coordinates.shape == (2, 3, 8, 8)
    torch.testing.assert_close(lift(coordinates, bases.bases[1]).norm(), coordinates.norm())


def test_signs_are_fixed():
    covariance = moments_of(random_features(4)).covariance(3)
    _, vectors = eigenvectors(covariance)
    largest = vectors.gather(0, vectors.abs().argmax(0)[None])
    assert (largest > 0).all()
    permuted = covariance.flip(0, 1)  # another matrix with the same eigenvectors, up to the order of entries
    torch.testing.assert_close(eigenvectors(permuted)[1].flip(0).abs(), vectors.abs())


def test_variance_chooses_what_a_pca_of_one_photo_needs_on_average():
    photos = random_features(6)
    bases = fit(moments_of(photos), Widths(variance=0.6))
    for level, k in enumerate(bases.channels):
        shares = []
        for photo in photos:
            values = np.linalg.eigvalsh(np.cov(photo[level][0].flatten(1).double().numpy(), bias=True))[::-1]
            shares.append(values.cumsum() / values.sum())
        mean = np.mean(shares, axis=0)
        np.testing.assert_allclose(bases.own[level], mean, rtol=1e-5)
        assert mean[k - 1] >= 0.6
        assert k == 1 or mean[k - 2] < 0.6
    assert fit(moments_of(photos), Widths(variance=1.0)).channels == CHANNELS


def test_no_shared_basis_explains_more_than_the_photos_own_do():
    bases = fit(moments_of([[f - 3 for f in photo] for photo in random_features(9)]), WHOLE)
    for explained, own in zip(bases.explained, bases.own, strict=True):
        assert (explained[:-1] < own[:-1]).all()


def test_variance_needs_the_spectrum_of_some_photo():
    moments = Moments.zeros(CHANNELS)
    moments.update(random_features(1)[0], sample=[False])
    assert moments.levels[0].sampled == 0
    with pytest.raises(UsageError, match="variance"):
        fit(moments, Widths(variance=0.9))
    assert torch.isnan(fit(moments, Widths(channels=(1, 1, 1, 1))).own[0]).all()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"channels": (1, 2, 3, 4), "variance": 0.5},
        {"channels": (1, 2, 3)},
        {"channels": (1, 2, 3, 0)},
        {"variance": 0.0},
        {"variance": 1.5},
        {"variance": math.nan},
    ],
)
def test_widths_that_make_no_sense_are_refused(fields):
    with pytest.raises(UsageError, match=r"channels|variance"):
        Widths(**fields)


def test_more_eigenvectors_than_the_teacher_has_channels_are_refused():
    with pytest.raises(UsageError, match=r"channels\[1\] is 6: the teacher has 5"):
        fit(moments_of(random_features(3)), Widths(channels=(1, 6, 1, 1)))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_photos_that_span_too_few_directions_give_a_warning_and_finite_bases(scale):
    generator = torch.Generator().manual_seed(3)
    narrow = [scale * torch.randn(c, 2, generator=generator) for c in CHANNELS]
    moments = Moments.zeros(CHANNELS)
    for _ in range(5):
        moments.update([(mix @ torch.randn(2, 100, generator=generator)).reshape(1, -1, 10, 10) for mix in narrow])
    with pytest.warns(RankWarning, match="span 2 directions"):
        bases = fit(moments, WHOLE)
    for basis in bases.bases:
        torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]), atol=1e-5, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bases = fit(moments, Widths(channels=(2, 2, 2, 2)))  # as many as there are
    assert (bases.teacher, bases.data_digest) == ({}, "")


def test_constant_colour_is_an_error_that_says_so():
    moments = Moments.zeros(CHANNELS)
    moments.update([torch.full((3, c, 8, 8), 0.3) for c in CHANNELS])
    with pytest.raises(UsageError, match="constant colour"):
        fit(moments, WHOLE)


def test_no_photos_is_an_error():
    with pytest.raises(UsageError, match="no photos"):
        fit(Moments.zeros(CHANNELS), WHOLE)


def test_features_that_are_not_finite_are_refused_and_leave_the_sums_alone():
    moments = moments_of(random_features(2))
    before = moments.levels[2].covariance.clone()
    bad = random_features(1)[0]
    bad[2][0, 0, 0, 0] = math.nan
    with pytest.raises(FatalError, match="level 2"):
        moments.update(bad)
    assert moments.photos == 2
    assert torch.equal(moments.levels[2].covariance, before)


def test_a_fit_without_trouble_is_silent_and_whole():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bases = fit(moments_of(random_features(6)), Widths(channels=(2, 3, 2, 4)), teacher={"id": "t"}, data_digest="d")
    assert isinstance(bases, Eigenbases)
    assert bases.channels == (2, 3, 2, 4)
    assert (bases.teacher, bases.data_digest, bases.photos) == ({"id": "t"}, "d", 6)
    for explained in bases.explained:
        assert (explained.diff() >= -1e-12).all()
        assert math.isclose(float(explained[-1]), 1, abs_tol=1e-9)
