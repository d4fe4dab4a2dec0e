"""The photos that students are measured on: of a sharded dataset, or of a folder or prefix."""

from collections.abc import Iterator
from pathlib import Path

from pcakd.errors import UsageError
from pcakd.shards import open_dataset
from pcakd.storage import open_storage, sha256_hex
from pcakd.storage.stage import canonical_json

READABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def photos_of(place: str, limit: int) -> Iterator[tuple[bytes, str]]:
    """(encoded photo, suffix) of the first so many: of a dataset's validation split, or where that has none of its
    training photos; else of the objects that are named like photos."""
    storage = open_storage(place)
    if storage.exists("manifest.json"):
        dataset = open_dataset(storage)
        split = "val" if dataset.count("val") else "train"
        for _, row in zip(range(limit), dataset.rows(split), strict=False):
            yield row.image, ".jpg"
        return
    storage.check()
    keys = (entry.key for entry in storage.list() if entry.key.lower().endswith(READABLE_SUFFIXES))
    for _, key in zip(range(limit), keys, strict=False):
        yield storage.read(key), Path(key).suffix.lower()


def collect_photos(place: str, folder: Path, limit: int) -> str:
    """Put the photos into a new local folder, named by their content; the digest of all of them.

    Raises UsageError where there are none.
    """
    folder.mkdir()
    digests = []
    for data, suffix in photos_of(place, limit):
        digest = sha256_hex(data)
        digests.append(digest)
        (folder / f"{digest[:16]}{suffix}").write_bytes(data)
    if not digests:
        raise UsageError(f"{place}: has no photos to evaluate on")
    return sha256_hex(canonical_json(sorted(digests)))
