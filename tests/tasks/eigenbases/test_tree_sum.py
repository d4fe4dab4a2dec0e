import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.eigenbases.pca import Moments
from tasks.eigenbases.tree_sum import TreeSum


def part(index):
    moments = Moments.zeros((2, 2, 2, 2))
    generator = torch.Generator().manual_seed(index)
    moments.update([torch.randn(1, 2, 3, 3, generator=generator) for _ in range(4)])
    return moments


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 20), order=st.randoms(use_true_random=False))
def test_the_sum_is_the_same_to_the_last_bit_in_whatever_order_parts_come(count, order):
    def total(indices):
        tree = TreeSum(count)
        for index in indices:
            tree.add(index, part(index))
        return tree.total()

    shuffled = list(range(count))
    order.shuffle(shuffled)
    a, b = total(range(count)), total(shuffled)
    assert a.photos == b.photos == count
    for x, y in zip(a.levels, b.levels, strict=True):
        assert torch.equal(x.covariance, y.covariance)


def test_parts_in_order_leave_few_sums_in_memory():
    tree = TreeSum(1000)
    for index in range(1000):
        tree.add(index, part(0))
        assert tree.held <= 11
    assert tree.total().photos == 1000


def test_a_part_is_never_counted_twice():
    tree = TreeSum(2)
    tree.add(0, part(0))
    with pytest.raises(ValueError, match="added before"):
        tree.add(0, part(0))
    with pytest.raises(ValueError, match="1 of 2 parts are missing"):
        tree.total()
