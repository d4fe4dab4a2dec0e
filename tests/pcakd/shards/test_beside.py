"""A listing beside an objects table, however both are cut, is what two dictionaries say."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.shards.beside import changed, pairs, stretches
from pcakd.storage.keys import key_of, text

NAMES = st.sampled_from(["a", "b", "b/c", "B", "z", "é", "\U0001f600", "\ue000", "\udcff", "\udc80x", "a\udcff", "zz"])
SIDE = st.dictionaries(NAMES, st.integers(0, 2))


def tables(side: dict[str, int], cuts: list[int]) -> list[pa.Table]:
    """Rows of key and ETag in the order of the keys, cut at places of one's own; some tables are empty."""
    rows = [{"key": text(key), "size": 1, "etag": str(side[key]), "mtime": 0.0} for key in sorted(side)]
    table = pa.Table.from_pylist(
        rows, pa.schema({"key": "string", "size": "int64", "etag": "string", "mtime": "double"})
    )
    places = [0, *sorted(place % (len(rows) + 1) for place in cuts), len(rows)]
    return [table.slice(start, end - start) for start, end in pairwise(places)]


@settings(deadline=None)
@given(SIDE, SIDE, st.lists(st.integers(0, 20), max_size=5), st.lists(st.integers(0, 20), max_size=5))
def test_each_object_is_met_once_in_the_order_of_the_keys_and_with_its_row(new, old, cuts, others):
    met = []
    for listed, rows in stretches(tables(new, cuts), tables(old, others)):
        keys = [None if side is None else side["key"].to_pylist() for side in (listed, rows)]
        assert None in keys or keys[0] == keys[1]
        met += [(key_of(key), listed is not None, rows is not None) for key in keys[0] or keys[1] or ()]
    assert met == [(key, key in new, key in old) for key in sorted({*new, *old})]

    found = list(pairs(stretches(tables(new, cuts), tables(old, others)), changed))
    told = [(entry and (entry.key, entry.etag), row and (key_of(row["key"]), row["etag"])) for entry, row in found]
    assert told == [
        ((key, str(new[key])) if key in new else None, (key, str(old[key])) if key in old else None)
        for key in sorted({*new, *old})
        if new.get(key) != old.get(key)
    ]
