"""The student: encoder and decoder of four blocks each, for both backbones, exactly as the paper's released models.

Levels are numbered 0..3 from the picture inwards. The encoder's block l ends at level l; the decoder's
block l goes from level l to level l-1, and block 0 to the picture. Beside its features each encoder block
hands a high-frequency residual, its input minus the 3×3 mean of its input, to the decoder block of its level.

                VGG                                                MobileNet
    block 0     conv1_1                                            conv1 (stride 2)
    block 1     conv1_2, pool, conv2_1                             dw1, pw1, dw2 (stride 2)
    block 2     conv2_2, pool, conv3_1                             pw2, dw3, pw3, dw4 (stride 2)
    block 3     conv3_2, conv3_3, conv3_4, pool, conv4_1           pw4, dw5, pw5, dw6 (stride 2)

Paper: Chiu & Gurari, "PCA-based knowledge distillation towards lightweight and content-style balanced
photorealistic style transfer models", CVPR 2022, section 3 and supplement.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pcakd.checks import one_of
from pcakd.errors import UsageError

Backbone = Literal["vgg", "mobilenet"]
LEVELS = 4
DEFAULT_CHANNELS: dict[str, tuple[int, int, int, int]] = {"vgg": (10, 20, 58, 64), "mobilenet": (10, 19, 37, 54)}


class Layer(NamedTuple):
    """One encoder layer. kind: "conv" (3×3), "depthwise" (3×3, one filter a channel) or "pointwise" (1×1)."""

    kind: str
    in_channels: int
    out_channels: int
    stride: int = 1
    pool: bool = False  # 2×2 max-pool before the layer


@dataclass(frozen=True, kw_only=True)
class StudentSpec:
    """What a student's architecture depends on."""

    backbone: Backbone = "vgg"
    """Which teacher's layout the blocks copy: "vgg" or "mobilenet"."""
    channels: tuple[int, int, int, int] = (10, 20, 58, 64)
    """Width of each level, 0..3: the number of eigenvectors kept there."""

    def __post_init__(self) -> None:
        one_of("backbone", self.backbone, DEFAULT_CHANNELS)
        channels = tuple(int(c) for c in self.channels)
        if len(channels) != LEVELS or min(channels) < 1:
            raise UsageError(f"channels are {self.channels}: give {LEVELS} whole numbers, 1 or more")
        object.__setattr__(self, "channels", channels)

    @classmethod
    def default(cls, backbone: Backbone) -> "StudentSpec":
        """The paper's widths for a backbone."""
        one_of("backbone", backbone, DEFAULT_CHANNELS)
        return cls(backbone=backbone, channels=DEFAULT_CHANNELS[backbone])

    @property
    def multiple(self) -> int:
        """Height and width that the student takes are multiples of this: level 3's pixel pitch."""
        return 8 if self.backbone == "vgg" else 16

    def encoder_layers(self, level: int) -> list[Layer]:
        """Layers of encoder block `level`, in order."""
        c = (3, *self.channels)  # c[level] → c[level + 1]
        i, o = c[level], c[level + 1]
        if self.backbone == "vgg":
            if level == 0:
                return [Layer("conv", i, o)]
            inner = 1 if level < 3 else 3
            return [Layer("conv", i, i)] * inner + [Layer("conv", i, o, pool=True)]
        if level == 0:
            return [Layer("conv", i, o, stride=2)]
        if level == 1:
            return [Layer("depthwise", i, i), Layer("pointwise", i, o), Layer("depthwise", o, o, stride=2)]
        return [
            Layer("pointwise", i, o),
            Layer("depthwise", o, o),
            Layer("pointwise", o, o),
            Layer("depthwise", o, o, stride=2),
        ]

    def decoder_layers(self, level: int) -> list[tuple[int, int]]:
        """(in, out) channels of the 3×3 convolutions of decoder block `level`, in order.

        The residual of block 0 is concatenated to the input of its one convolution; elsewhere it is
        added to the input of the last one.
        """
        c = self.channels
        if level == 0:
            return [(c[0] + 3, 3)]
        inner = 3 if self.backbone == "vgg" and level == 3 else 1
        return [(c[level], c[level - 1])] + [(c[level - 1], c[level - 1])] * inner


def residual(x: Tensor) -> Tensor:
    """High-frequency residual of a block's input, N×C×H×W: x minus its 3×3 mean, edges replicated."""
    return x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def upsample(x: Tensor) -> Tensor:
    """Bilinear ×2 with half-pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class EncoderBlock(nn.Module):
    """Level l-1 (or the picture) → level l, all layers followed by ReLU."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layers = layers
        for i, layer in enumerate(layers):
            kernel = 1 if layer.kind == "pointwise" else 3
            groups = layer.in_channels if layer.kind == "depthwise" else 1
            conv = nn.Conv2d(layer.in_channels, layer.out_channels, kernel, stride=layer.stride, groups=groups)
            self.add_module(f"conv{i}", conv)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            if layer.pool:
                x = F.max_pool2d(x, 2)
            if layer.kind != "pointwise":
                # Stride 2 pads right and bottom only, as the teacher's framework does.
                x = F.pad(x, (0, 1, 0, 1) if layer.stride == 2 else (1, 1, 1, 1), mode="reflect")
            x = F.relu(getattr(self, f"conv{i}")(x))
        return x


class DecoderBlock(nn.Module):
    """Level l and block l's residual → level l-1 (or the picture, linear and unclipped)."""

    def __init__(self, layers: list[tuple[int, int]], *, level: int, upsample_first: bool) -> None:
        super().__init__()
        self.level = level
        self.upsample_first = upsample_first
        self.depth = len(layers)
        for i, (c_in, c_out) in enumerate(layers):
            self.add_module(f"conv{i}", nn.Conv2d(c_in, c_out, 3))

    def forward(self, x: Tensor, high: Tensor) -> Tensor:
        if self.level == 0:
            x = upsample(x) if self.upsample_first else x
            return self._conv(0, torch.cat([x, high], dim=1))
        if self.upsample_first:
            x = upsample(x)
        for i in range(self.depth - 1):
            x = F.relu(self._conv(i, x))
            if i == 0 and not self.upsample_first:
                x = upsample(x)
        return F.relu(self._conv(self.depth - 1, x + high))

    def _conv(self, i: int, x: Tensor) -> Tensor:
        return getattr(self, f"conv{i}")(F.pad(x, (1, 1, 1, 1), mode="reflect"))


class Encoded(NamedTuple):
    """What the encoder knows of a photo."""

    features: list[Tensor]  # level l: N×C_l×(H/p_l)×(W/p_l), p = 1,2,4,8 (VGG) or 2,4,8,16 (MobileNet)
    residuals: list[Tensor]  # level l: block l's input minus its 3×3 mean


class Student(nn.Module):
    """Encoder and decoder of one distilled model.

    Photos are float N×3×H×W RGB in [0, 1]; H and W are multiples of `spec.multiple`, and at least twice it.
    """

    def __init__(self, spec: StudentSpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.backbone == "vgg":
            self.preprocess = nn.Conv2d(3, 3, 1).requires_grad_(False)
            with torch.no_grad():
                self.preprocess.weight.copy_(torch.eye(3)[:, :, None, None])
                self.preprocess.bias.zero_()  # type: ignore[union-attr]
        upsample_first = spec.backbone == "mobilenet"
        self.encoder = nn.ModuleDict()
        self.decoder = nn.ModuleDict()
        for level in range(LEVELS):
            self.encoder[f"block{level}"] = EncoderBlock(spec.encoder_layers(level))
            self.decoder[f"block{level}"] = DecoderBlock(
                spec.decoder_layers(level), level=level, upsample_first=upsample_first
            )

    def prepare(self, photo: Tensor) -> Tensor:
        """RGB in [0, 1] → what the first convolution takes: a 3×3 colour matrix (VGG) or 2x-1 (MobileNet)."""
        return self.preprocess(photo) if self.spec.backbone == "vgg" else photo * 2 - 1

    def encode_block(self, level: int, x: Tensor) -> Tensor:
        """Level `level`-1 features (block 0: the photo) → level `level` features."""
        x = self.prepare(x) if level == 0 else x
        return self.encoder[f"block{level}"](x)

    def decode_block(self, level: int, x: Tensor, high: Tensor) -> Tensor:
        """Level `level` features and that block's residual → level `level`-1 features (block 0: RGB, unclipped)."""
        return self.decoder[f"block{level}"](x, high)

    def encode(self, photo: Tensor) -> Encoded:
        """All levels' features and residuals of a photo N×3×H×W in [0, 1]."""
        x, features, residuals = photo, [], []
        for level in range(LEVELS):
            residuals.append(residual(x))
            x = self.encode_block(level, x)
            features.append(x)
        return Encoded(features, residuals)

    def forward(self, photo: Tensor) -> Tensor:
        """Encode and decode without any transfer: RGB N×3×H×W, unclipped."""
        encoded = self.encode(photo)
        x = encoded.features[-1]
        for level in reversed(range(LEVELS)):
            x = self.decode_block(level, x, encoded.residuals[level])
        return x

    def parameter_count(self) -> int:
        """Number of inference weights, the VGG's `preprocess` included."""
        return sum(p.numel() for p in self.parameters())
