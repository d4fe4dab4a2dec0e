"""Objects of a listing, counted: what a dry run tells before anything is read."""

from collections import Counter
from dataclasses import dataclass, field

from pcakd.storage.base import shown
from pcakd.units import counted, shown_bytes

SUFFIXES_SHOWN = 12


@dataclass
class Tally:
    """How many objects there are, of how many bytes, and how many of each suffix ("none" for those without)."""

    objects: int = 0
    bytes: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, size: int) -> None:
        self.objects += 1
        self.bytes += size
        name = key.rpartition("/")[2]
        self.suffixes["." + name.rpartition(".")[2].lower() if "." in name else "none"] += 1

    def lines(self) -> list[str]:
        """For people: the sums, then the commonest suffixes."""
        sums = f"{counted(self.objects, 'object')}, {shown_bytes(self.bytes)}; nothing was written"
        common = self.suffixes.most_common(SUFFIXES_SHOWN)
        return [sums, *(f"  {shown(suffix):<10} {count:>12,}" for suffix, count in common)]
