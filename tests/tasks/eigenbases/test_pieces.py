from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.eigenbases.pieces import LARGEST, cut_into_pieces


@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(0, 5000), min_size=1, max_size=20), limit=st.none() | st.integers(1, 20_000))
def test_pieces_cover_the_first_photos_once_and_in_order(counts, limit):
    rows = [(f"shard-{i}", count) for i, count in enumerate(counts)]
    wanted = [(shard, row) for shard, count in rows for row in range(count)][:limit]
    pieces = cut_into_pieces(rows, limit=limit)
    assert [(p.shard, row) for p in pieces for row in range(p.start, p.stop)] == wanted
    assert [p.index for p in pieces] == list(range(len(pieces)))
    assert all(p.stop - p.start <= LARGEST for p in pieces)
