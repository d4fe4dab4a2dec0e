"""What a distillation is told, validated once: without PyTorch, so that a mistake is told at once."""

from dataclasses import dataclass
from typing import Annotated

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields
from pcakd.stylize.options import Device


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """What a user asks for."""

    shards: str
    """What `pcakd shard` wrote, or a local folder of photos."""
    eigenbases: str
    """What `pcakd fit-eigenbases` wrote: the folder or s3:// prefix, or the .safetensors file itself."""
    teacher: str
    """Name or file of the teacher."""
    out: str
    """Model to write, NAME.safetensors; local or s3://."""
    recipe: str = ""
    """Built-in recipe or TOML file; not given: the one of the teacher's backbone."""
    judge: str = ""
    """Name or file of the network in whose features styles are compared, where the recipe has style_photos; not given:
    the teacher."""
    begin_with: str = ""
    """Student to go on from: a checkpoint, a built-in name or models:/NAME@ALIAS, of the same widths as the eigenbases
    (the pipeline, told no widths, takes its); not given: the start that the recipe names."""
    held_out: str | None = None
    """Photos to validate on; not given: the shards' val split."""
    steps: Annotated[int | None, Bounds(1)] = None
    """Steps in all, shared out as in the recipe; not given: the recipe's."""
    seed: Annotated[int | None, Bounds(0)] = None
    """Decides order, crops, flips and grades; not given: the recipe's."""
    device: Device = "auto"
    """auto: a GPU if there is one."""
    photos_licence: str = ""
    """What the model's card says of the photos' licences."""
    resume: bool = False
    """Go on from the training state beside the model, if there is one."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.out.endswith(".safetensors"):
            raise UsageError(f"out is {self.out!r}: give a name that ends in .safetensors")
