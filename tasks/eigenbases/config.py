"""What a fit of eigenbases is told, validated once."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pcakd.eigenbases.options import Extraction, Widths
from pcakd.fields import Bounds, check_fields


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """One fit of eigenbases."""

    shards: str
    """Folder or s3:// prefix that `pcakd shard` wrote."""
    teacher: str
    """Name (see below) or file of the teacher; NAME=FILE also works."""
    widths: Widths | None = None
    """Eigenvectors to keep; None: the paper's widths for the teacher's backbone."""
    split: Literal["train", "val", "all"] = "train"
    """Which photos of the shards."""
    limit: Annotated[int | None, Bounds(1)] = None
    """Use only the first so many photos."""
    extraction: Extraction = field(default_factory=Extraction)
    """How photos are fed to the teacher."""
    workers: Annotated[int | None, Bounds(1)] = None
    """Ray actors; not given: one for each GPU of the cluster, or without any one for each --threads CPUs."""
    threads: Annotated[int, Bounds(1)] = 1
    """CPU threads of each worker."""

    def __post_init__(self) -> None:
        check_fields(self)
