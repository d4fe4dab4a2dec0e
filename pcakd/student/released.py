"""The paper's released models: their TensorFlow checkpoint files read without TensorFlow.

A checkpoint is `NAME.index` and `NAME.data-00000-of-00001`. The index is a sorted string table (the LevelDB
format) from variable names to protocol-buffer entries that say where in the data file a tensor lies.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcakd.errors import CheckpointError
from pcakd.student.checkpoint import Checkpoint, Metadata, build_student, digest_tensors, student_tensors
from pcakd.student.network import LEVELS, StudentSpec

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_TABLE_MAGIC = 0xDB4775248B80FB57
_FLOAT = 1  # DT_FLOAT
_ORIGIN = "converted from the released checkpoint of github.com/chiutaiyin/PCA-Knowledge-Distillation"


def read_tf_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """All float32 variables of a TensorFlow checkpoint by name.

    prefix: the files' path without `.index`. Raises CheckpointError if one is missing, damaged or cut short.
    """
    index, data = prefix.with_name(prefix.name + ".index"), prefix.with_name(prefix.name + ".data-00000-of-00001")
    for path in (index, data):
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; give the folder that holds the released checkpoint files")
    blob = data.read_bytes()
    variables = {}
    try:
        for key, value in _read_table(index.read_bytes()):
            entry = _parse_message(value)
            if not key.endswith(_SUFFIX.encode()) or entry.get(1) != _FLOAT:
                continue  # the header entry and the object graph
            shape = tuple(_parse_message(d).get(1, 0) for d in _as_list(_parse_message(entry.get(2, b"")).get(2)))
            offset, size = entry.get(4, 0), entry.get(5, 0)
            if offset + size > len(blob) or size != 4 * int(np.prod(shape, dtype=np.int64)):
                raise CheckpointError(f"{data}: is cut short or does not belong to {index.name}")
            array = np.frombuffer(blob, "<f4", size // 4, offset).reshape(shape)
            variables[key.decode().removesuffix(_SUFFIX)] = array
    except (IndexError, struct.error, ValueError, TypeError, AttributeError):
        raise CheckpointError(f"{index}: is not a TensorFlow checkpoint index, or is damaged") from None
    if not variables:
        raise CheckpointError(f"{index}: holds no float32 variables")
    return variables


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) pairs of a LevelDB table; the footer points at the index block, that at the data blocks."""
    footer = table[-48:]
    if len(footer) < 48 or struct.unpack("<Q", footer[-8:])[0] != _TABLE_MAGIC:
        raise ValueError("not a table")
    _, _, position = _handle(footer, 0)  # the metaindex block's
    offset, size, _ = _handle(footer, position)
    for _, handle in _read_block(table, offset, size):
        block_offset, block_size, _ = _handle(handle, 0)
        yield from _read_block(table, block_offset, block_size)


def _read_block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if table[offset + size] != 0:
        raise ValueError("compressed block")  # TensorFlow writes checkpoint indexes uncompressed
    block = table[offset : offset + size]
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        rest, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + rest]
        position += rest
        yield key, block[position : position + length]
        position += length


def _handle(data: bytes, position: int) -> tuple[int, int, int]:
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return offset, size, position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def _parse_message(data: bytes) -> dict[int, Any]:
    """Fields of a protocol-buffer message by number; repeated fields as lists."""
    fields: dict[int, Any] = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        value: Any
        if kind == 0:
            value, position = _varint(data, position)
        elif kind == 2:
            length, position = _varint(data, position)
            value, position = data[position : position + length], position + length
        elif kind == 5:
            value, position = struct.unpack_from("<I", data, position)[0], position + 4
        elif kind == 1:
            value, position = struct.unpack_from("<Q", data, position)[0], position + 8
        else:
            raise ValueError("unknown wire type")
        fields[number] = [*_as_list(fields[number]), value] if number in fields else value
    return fields


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def import_released(folder: Path) -> Checkpoint:
    """The released model in a folder with `sencoder.*` and `sdecoder.*`; the backbone is told by the variables.

    Raises CheckpointError naming the file or variable that is missing.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; give the one with sencoder.index and sdecoder.index")
    encoder = read_tf_checkpoint(folder / "sencoder")
    decoder = read_tf_checkpoint(folder / "sdecoder")
    bases = {level: _variable(encoder, f"conv_aux/{level}", f"eigenbases/{level}") for level in range(LEVELS)}
    channels = tuple(basis.shape[1] for basis in bases.values())
    backbone = "mobilenet" if any(name.startswith("se_model/") for name in encoder) else "vgg"
    spec = StudentSpec(backbone=backbone, channels=channels)  # type: ignore[arg-type]
    tensors = _encoder_tensors(spec, encoder) | _decoder_tensors(spec, decoder)
    student = build_student(spec, tensors, str(folder))
    eigenbases = {level: torch.from_numpy(basis.copy()) for level, basis in bases.items()}
    metadata = Metadata(
        spec=spec,
        teacher={"id": "vgg19-normalised" if backbone == "vgg" else "mobilenet-v1"},
        eigenbases_digest=digest_tensors({str(k): v for k, v in eigenbases.items()}),
        licence="MIT, Copyright (c) 2022 chiutaiyin",
        origin=_ORIGIN,
        compat="released",
    )
    return Checkpoint(student, metadata, eigenbases, digest_tensors(student_tensors(student, eigenbases)))


def _variable(variables: dict[str, np.ndarray], *names: str) -> np.ndarray:
    for name in names:
        if name in variables:
            return variables[name]
    raise CheckpointError(f"released checkpoint has no variable {names[0]}; is it the paper's?")


def _conv(variables: dict[str, np.ndarray], name: str, key: str, *, depthwise: bool = False) -> dict[str, Tensor]:
    """Weight and bias as PyTorch stores them. TensorFlow: H×W×in×out, depthwise H×W×channels×1."""
    kernel = _variable(variables, f"{name}/{'depthwise_kernel' if depthwise else 'kernel'}")
    weight = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
    bias = _variable(variables, f"{name}/bias")
    return {f"{key}.weight": torch.from_numpy(weight.copy()), f"{key}.bias": torch.from_numpy(bias.copy())}


def _encoder_tensors(spec: StudentSpec, variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    if spec.backbone == "vgg":
        tensors |= _conv(variables, "btnecks/0/layer_with_weights-0", "preprocess")
    running = 0
    for level in range(LEVELS):
        for i, layer in enumerate(spec.encoder_layers(level)):
            if spec.backbone == "vgg":
                name = f"btnecks/{level}/layer_with_weights-{i + (level == 0)}"  # block 0 begins with preprocess
            else:
                name = f"se_model/layer_with_weights-{running}"
            running += 1
            key = f"encoder.block{level}.conv{i}"
            tensors |= _conv(variables, name, key, depthwise=layer.kind == "depthwise")
    return tensors


def _decoder_tensors(spec: StudentSpec, variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for level in range(LEVELS):
        for i in range(len(spec.decoder_layers(level))):
            tensors |= _conv(variables, f"btnecks/{level}/layer_with_weights-{i}", f"decoder.block{level}.conv{i}")
    return tensors
