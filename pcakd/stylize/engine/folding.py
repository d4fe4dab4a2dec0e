"""A student's weights as the fast path wants them: pointwise maps folded into the convolution after them.

A pointwise affine map commutes with padding by reflection and with bilinear upsampling (whose weights sum to
one), so both `prepare` (a colour matrix, or 2x-1) and a level's feature transform become part of the next
convolution's weights: exact, and free at run time. Products are formed in float64 and rounded once.
"""

import torch
from torch import Tensor, nn

from pcakd.student.network import Student
from pcakd.stylize.engine.precision import Precisions
from pcakd.stylize.engine.rows import (
    Cast,
    Concatenation,
    Convolution,
    Pointwise,
    Pool,
    Rows,
    StridedConvolution,
    Sum,
    Upsample,
    residual,
)
from pcakd.stylize.transforms import AffineMap


def fold(weight: Tensor, bias: Tensor, before: AffineMap) -> tuple[Tensor, Tensor]:
    """Weights C_out×C_in×k×k of a convolution, preceded by `before` on its first input channels; float64.

    Input channels beyond those of the map pass through as they are.
    """
    weight, bias = weight.double(), bias.double()
    channels = len(before.bias)
    own, rest = weight[:, :channels], weight[:, channels:]
    folded = torch.einsum("oikl,ij->ojkl", own, before.matrix.to(weight.device))
    offset = torch.einsum("oikl,i->o", own, before.bias.to(weight.device))
    return torch.cat([folded, rest], dim=1), bias + offset


def prepare_map(student: Student) -> AffineMap:
    """`Student.prepare` as an affine map of RGB in [0, 1]."""
    if student.spec.backbone == "vgg":
        matrix, bias = student.preprocess.weight[:, :, 0, 0], student.preprocess.bias
        return AffineMap(matrix.detach().double(), bias.detach().double())  # type: ignore[union-attr]
    return AffineMap(2 * torch.eye(3, dtype=torch.float64), torch.full((3,), -1.0, dtype=torch.float64))


class Network:
    """Builds the sources of a student's features: blocks as graphs over rows.

    Feature maps of level l are in `precisions.encoder[l]`; what the decoder's block l computes in is
    `precisions.decoder[l]`.
    """

    def __init__(self, student: Student, precisions: Precisions) -> None:
        self.student, self.precisions = student, precisions

    def encode_block(self, level: int, source: Rows) -> Rows:
        """Level `level`-1 features (block 0: the photo) → level `level` features."""
        dtype = self.precisions.encoder[level]
        block = self.student.encoder[f"block{level}"]
        for i, layer in enumerate(self.student.spec.encoder_layers(level)):
            before = prepare_map(self.student) if level == i == 0 else None
            weight, bias = _weights(getattr(block, f"conv{i}"), before, dtype)
            groups = layer.in_channels if layer.kind == "depthwise" else 1
            source = Pool(source) if layer.pool else source
            if layer.kind == "pointwise":
                source = Pointwise(source, weight, bias)
            elif layer.stride == 2:
                source = StridedConvolution(source, weight, bias, groups=groups)
            else:
                source = Convolution(source, weight, bias, groups=groups)
        return source

    def decode_block(self, level: int, source: Rows, high: Rows, before: AffineMap | None) -> Rows:
        """Level `level` features → level `level`-1 features (block 0: RGB, unclipped).

        high: the input of encoder block `level`, whose residual is added; before: the level's feature
        transform, folded into the first convolution.
        """
        dtype = self.precisions.decoder[level]
        block = self.student.decoder[f"block{level}"]
        upsample_first = self.student.spec.backbone == "mobilenet"
        convolutions = [getattr(block, f"conv{i}") for i in range(len(self.student.spec.decoder_layers(level)))]
        source = Upsample(source) if upsample_first else source
        if level == 0:
            source = Concatenation(source, residual(high, dtype))
            return Convolution(source, *_weights(convolutions[0], before, dtype), relu=False)
        source = Convolution(source, *_weights(convolutions[0], before, torch.float32))
        source = Cast(source, dtype)
        source = source if upsample_first else Upsample(source)
        for convolution in convolutions[1:-1]:
            source = Convolution(source, *_weights(convolution, None, dtype))
        source = Sum(source, residual(high, dtype))
        return Convolution(source, *_weights(convolutions[-1], None, dtype))


def _weights(convolution: nn.Conv2d, before: AffineMap | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weight, bias = convolution.weight.detach(), convolution.bias.detach()  # type: ignore[union-attr]
    if before is not None:
        weight, bias = fold(weight, bias, before)
    return weight.to(dtype).contiguous(memory_format=torch.channels_last), bias.to(dtype)
