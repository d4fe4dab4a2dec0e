"""The looks that all photos of a job share, decided on some of them, and kept with the job's ledger.

A run that goes on, and a later one with more photos, takes the looks as they are: what was made before stays alike.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pcakd.bulk.ledger import Snapshot
from pcakd.errors import NotFoundError, PhotoError, UsageError
from pcakd.photos.images import read_photo
from pcakd.photos.leftovers import is_left_out
from pcakd.storage import Storage, shown
from pcakd.storage.keys import key_of
from pcakd.stylize.look.decide import SERIES
from pcakd.stylize.look.files import look_bytes, read_look
from pcakd.stylize.look.look import Look
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer

TRIES = 4
"""So many times as many objects are read, at the most, where some of them are no photos."""


def shared_looks(
    stylizer: Stylizer,
    styles: Mapping[str, Style],
    options: StylizeOptions,
    *,
    root: Storage,
    snapshot: Snapshot,
    source: Storage,
) -> dict[str, Look]:
    """Style name → the look of all photos in it; those that lie under `root` already are read from there.

    Raises UsageError where the model renders without looks, and where none of the objects that were read is a photo.
    """
    if stylizer.rendering(options) != "look":
        raise UsageError("look is 'shared', but the released models have none; leave it out, or take another model")
    photos: list[bytes] = []
    for name, style in styles.items():
        key = f"looks/{name}.safetensors"
        if not root.exists(key):
            photos = photos or sample(snapshot, source)
            root.write(key, look_bytes(stylizer.shared_look(photos, style, options)))
    return {name: _read(root, f"looks/{name}.safetensors") for name in styles}


def _read(root: Storage, key: str) -> Look:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(key).name
        path.write_bytes(root.read(key))
        return read_look(path)


def sample(snapshot: Snapshot, source: Storage) -> list[bytes]:
    """Up to `SERIES` photos, encoded, spread evenly over a snapshot's items."""
    photos: list[bytes] = []
    for key in _spread(snapshot):
        if is_left_out(key_of(key)):
            continue
        try:
            data = source.read(key_of(key))
            read_photo(data, name=shown(key))
        except (PhotoError, NotFoundError):
            continue  # it gets a row that says so when its turn comes
        photos.append(data)
        if len(photos) == SERIES:
            break
    if not photos:
        raise UsageError(f"{source.uri()}: look is 'shared', but none of the objects that were tried is a photo")
    return photos


def _spread(snapshot: Snapshot) -> list[str]:
    """Keys from all over the snapshot, each once: evenly spread ones first, then those between them."""
    wanted = [i * snapshot.item_count // (SERIES * TRIES) for i in range(SERIES * TRIES)]
    found: dict[int, str] = {}
    first = 0
    for part in range(snapshot.parts):
        keys = snapshot.items(part).column("key")
        found |= {at: keys[at - first].as_py() for at in wanted if first <= at < first + len(keys)}
        first += len(keys)
    order = [at for offset in range(TRIES) for at in wanted[offset::TRIES]]
    return list(dict.fromkeys(found[at] for at in order))
