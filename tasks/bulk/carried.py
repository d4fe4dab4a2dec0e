"""Items on their way through the workers, as the blocks of a Ray dataset.

Two columns: `head`, what is known of the item so far, pickled; `body`, the bytes that come next: pixels on the way
to the stylizer and back, or a whole encoded photo where pixels would be too many.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.photos.images import Photo
from pcakd.storage.properties import Properties

YIELD_BYTES = 8 << 20
"""So much may a worker have in hands before it passes it on."""

CHUNK_ITEMS = 20_000
"""Items that go to Ray at a time, unless it has many workers: their listing is in the driver's memory."""

Row = dict[str, Any]

_NOTHING = np.zeros((0, 0, 3), np.uint8)


@dataclass(kw_only=True)
class Head:
    """An item on its way.

    item: the snapshot's columns; row: its row so far, finished once its status is not "".
    kind: what the body is: "pixels" (uint8 H×W×3, behind them H×W of alpha if there is any), "photo" (the source,
          encoded), "result" (the output, encoded), "" (nothing).
    size: (height, width) of the pixels.
    shell: of pixels, the photo they belong to, without them.
    content: Pillow's name of the format that the source has.
    properties, tags: what the source has beside its content.
    """

    item: dict[str, Any]
    row: Row
    kind: str = ""
    size: tuple[int, int] = (0, 0)
    alpha: bool = False
    shell: Photo | None = None
    content: str = ""
    properties: Properties | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return bool(self.row["status"])


Carried = tuple[Head, bytes | memoryview]


def pack(carried: list[Carried]) -> pa.Table:
    """A block."""
    heads = pa.array([pickle.dumps(head) for head, _ in carried], pa.binary())
    bodies = pa.array([body for _, body in carried], pa.large_binary())
    return pa.table({"head": heads, "body": bodies})


def unpack(table: pa.Table) -> Iterator[Carried]:
    """The items of a block; their bodies are views of it."""
    for head, body in zip(table["head"], table["body"], strict=True):
        yield pickle.loads(head.as_py()), memoryview(body.as_buffer() or b"")


def pack_rows(rows: list[Row]) -> pa.Table:
    return pa.table({"row": pa.array([pickle.dumps(row) for row in rows], pa.binary())})


def unpack_rows(table: pa.Table) -> list[Row]:
    return [pickle.loads(row.as_py()) for row in table["row"]]


class BlockBuilder:
    """Items gathered into blocks of at most about `YIELD_BYTES`."""

    def __init__(self) -> None:
        self._carried: list[Carried] = []
        self._bytes = 0

    def add(self, carried: Carried) -> bool:
        """Whether it is full."""
        self._carried.append(carried)
        self._bytes += len(carried[1])
        return self._bytes >= YIELD_BYTES

    def take(self) -> pa.Table:
        table = pack(self._carried)
        self._carried, self._bytes = [], 0
        return table

    def rest(self) -> Iterator[pa.Table]:
        if self._carried:
            yield self.take()


def with_photo(head: Head, photo: Photo) -> Carried:
    """The item with its photo, decoded or stylized: a plain one (see `Photo.plain`)."""
    head.kind, head.size, head.alpha = "pixels", photo.size, photo.alpha is not None
    head.shell = replace(photo, rgb=_NOTHING, alpha=None)
    body = photo.rgb.tobytes() + (photo.alpha.tobytes() if photo.alpha is not None else b"")
    return head, body


def photo_of(head: Head, body: bytes | memoryview) -> Photo:
    """The photo of an item that has pixels."""
    assert head.shell is not None
    rgb, alpha = _planes(head, body)
    return replace(head.shell, rgb=rgb, alpha=alpha)


def _planes(head: Head, body: bytes | memoryview) -> tuple[np.ndarray, np.ndarray | None]:
    height, width = head.size
    pixels = np.frombuffer(body, np.uint8)
    # Copies: blocks of Ray's object store cannot be written to, which PyTorch warns of.
    rgb = pixels[: height * width * 3].reshape(height, width, 3).copy()
    return rgb, pixels[height * width * 3 :].reshape(height, width).copy() if head.alpha else None
