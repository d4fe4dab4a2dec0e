"""`pcakd import-released`."""

from pathlib import Path

import click


@click.command(name="import-released")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Checkpoint to write.")
def import_released(folder: Path, out: Path) -> None:
    """Convert the paper's released model to one checkpoint file.

    FOLDER holds the authors' TensorFlow files: sencoder.index, sencoder.data-00000-of-00001 and the same for
    sdecoder ("ckpts" in their repository). TensorFlow is not needed. The backbone is told by the files.

    \b
    Example:
      pcakd import-released "VGG backbone/ckpts" --out released-vgg.safetensors
      pcakd stylize photo.jpg --style evening.jpg --model released-vgg.safetensors
    """
    from pcakd.errors import UsageError
    from pcakd.student.checkpoint import save_checkpoint
    from pcakd.student.released import import_released as read_released

    if out.suffix != ".safetensors":
        raise UsageError(f"--out is {out}: a checkpoint's name ends in .safetensors")
    checkpoint = read_released(folder)
    save_checkpoint(out, checkpoint.student, checkpoint.metadata, checkpoint.eigenbases)
    spec = checkpoint.metadata.spec
    click.echo(f"{out}: {spec.backbone} student {spec.channels}, {checkpoint.student.parameter_count():,} weights")
