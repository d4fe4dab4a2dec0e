"""Sums of moments that finish in any order, always added in the same order."""

from pcakd.eigenbases.pca import Moments


class TreeSum:
    """Adds parts 0 .. n-1 as a binary tree whose shape depends on n alone.

    Part 2i and part 2i+1 of a level are added as soon as both are there, so that the sum is the same to the last
    bit however many workers made the parts and in whatever order, and few parts are held at a time.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._nodes: dict[tuple[int, int], Moments] = {}
        self._seen: set[int] = set()

    def add(self, index: int, part: Moments) -> None:
        """Give part `index`. Raises ValueError for one out of range, or given before."""
        if not 0 <= index < self.parts or index in self._seen:
            raise ValueError(f"part {index} of {self.parts} is out of range or was added before")
        self._seen.add(index)
        height, position, width = 0, index, self.parts
        while True:
            sibling = position ^ 1
            if sibling >= width and width > 1:  # the last part of an odd number goes up alone
                pass
            elif width == 1 or (height, sibling) not in self._nodes:
                break
            else:
                other = self._nodes.pop((height, sibling))
                part = other + part if sibling < position else part + other
            height, position, width = height + 1, position // 2, (width + 1) // 2
        self._nodes[height, position] = part

    @property
    def held(self) -> int:
        """Number of sums in memory."""
        return len(self._nodes)

    def total(self) -> Moments:
        """The sum of all parts. Raises ValueError while some are missing."""
        if len(self._seen) < self.parts or not self._nodes:
            raise ValueError(f"{self.parts - len(self._seen)} of {self.parts} parts are missing")
        (total,) = self._nodes.values()
        return total
