from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.shards import ShardInfo
from tasks.eigenbases.pieces import LARGEST, cut_into_pieces


@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(0, 5000), min_size=1, max_size=20), limit=st.none() | st.integers(1, 20_000))
def test_pieces_cover_the_first_photos_once_and_in_order(counts, limit):
    shards = [ShardInfo(file=f"shard-{i}", rows=count, bytes=0, sha256="") for i, count in enumerate(counts)]
    wanted = [(shard.file, row) for shard in shards for row in range(shard.rows)][:limit]
    pieces = cut_into_pieces(shards, limit=limit)
    assert [(p.shard, row) for p in pieces for row in range(p.start, p.stop)] == wanted
    assert [p.index for p in pieces] == list(range(len(pieces)))
    assert all(p.stop - p.start <= LARGEST for p in pieces)
