"""The teachers' networks, built from tensors: four `nn.Sequential` blocks and a 1×1 input conversion."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pcakd.errors import CheckpointError
from pcakd.teacher.catalogue import TeacherInfo

Tensors = Mapping[str, Tensor]

# One inner list a level; "pool" is a 2×2 max-pool. The names are those of the paper's VGG.
_VGG_LAYERS: list[list[str]] = [
    ["conv1_1"],
    ["conv1_2", "pool", "conv2_1"],
    ["conv2_2", "pool", "conv3_1"],
    ["conv3_2", "conv3_3", "conv3_4", "pool", "conv4_1"],
]
_VGG_NAMES = [name for names in _VGG_LAYERS for name in names if name != "pool"]
_TORCHVISION_VGG = dict(zip(_VGG_NAMES, (0, 2, 5, 7, 10, 12, 14, 16, 19), strict=True))

_MOBILENET_V1_LAYERS: list[list[str]] = [
    ["conv1"],
    ["conv_dw_1", "conv_pw_1", "conv_dw_2"],
    ["conv_pw_2", "conv_dw_3", "conv_pw_3", "conv_dw_4"],
    ["conv_pw_4", "conv_dw_5", "conv_pw_5", "conv_dw_6"],
]
_MOBILENET_V1_STRIDE_2 = {"conv1", "conv_dw_2", "conv_dw_4", "conv_dw_6"}


class Teacher(nn.Module):
    """A frozen encoder of four blocks.

    `features` takes float RGB N×3×H×W in [0, 1], H and W at least 2·`multiple`, and gives level l as
    N×channels[l]×H/p×W/p with p = 1, 2, 4, 8 (VGG) or 2, 4, 8, 16 (MobileNet).
    """

    def __init__(self, info: TeacherInfo) -> None:
        super().__init__()
        self.info = info
        self.digest = ""
        """`digest_tensors` of the weights in use; goes into all that is made with this teacher."""

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Width C of each level."""
        return self.info.channels

    @property
    def multiple(self) -> int:
        """Pixel pitch of level 3; photos whose sides are multiples of it lose no border."""
        return 8 if self.info.backbone == "vgg" else 16

    def block(self, level: int, x: Tensor) -> Tensor:
        """Level `level`-1 features (block 0: the photo, RGB in [0, 1]) → level `level` features."""
        raise NotImplementedError

    def features(self, photo: Tensor) -> list[Tensor]:
        """Features of all four levels of a photo N×3×H×W in [0, 1]."""
        x, features = photo, []
        for level in range(4):
            x = self.block(level, x)
            features.append(x)
        return features

    def forward(self, photo: Tensor) -> list[Tensor]:
        return self.features(photo)

    def freeze(self) -> "Teacher":
        """Evaluation mode, no gradients for the weights."""
        return self.eval().requires_grad_(False)


class BlockTeacher(Teacher):
    """A teacher of convolutions: input conversion, then four blocks."""

    def __init__(self, info: TeacherInfo, prepare: nn.Module, blocks: list[nn.Sequential]) -> None:
        super().__init__(info)
        self.prepare = prepare
        self.blocks = nn.ModuleList(blocks)
        self.freeze()

    def block(self, level: int, x: Tensor) -> Tensor:
        return self.blocks[level](self.prepare(x) if level == 0 else x)


def build_vgg(info: TeacherInfo, tensors: Tensors) -> Teacher:
    """VGG-19 up to relu4_1, torchvision's tensor names or the normalised VGG's."""
    named = info.layout == "vgg-normalised"

    def layer(name: str) -> list[nn.Module]:
        if name == "pool":
            return [nn.MaxPool2d(2)]
        key = name if named else f"features.{_TORCHVISION_VGG[name]}"
        weight, bias = _take(tensors, f"{key}.weight"), _take(tensors, f"{key}.bias")
        return [_conv(weight, bias, padding=1, padding_mode=info.padding), nn.ReLU()]

    blocks = [nn.Sequential(*(m for name in names for m in layer(name))) for names in _VGG_LAYERS]
    if named:
        prepare = _conv(_take(tensors, "preprocess.weight"), _take(tensors, "preprocess.bias"))
    else:
        prepare = _conversion(info)
    return BlockTeacher(info, prepare, blocks)


def build_mobilenet_v1(info: TeacherInfo, tensors: Tensors) -> Teacher:
    """Keras' MobileNet up to conv_dw_6, batch norm (eps 1e-3) folded into the convolutions, ReLU6."""

    def layer(name: str) -> list[nn.Module]:
        weight, bias = _folded(tensors, name, f"{name}_bn", eps=1e-3)
        return [*_mobile_conv(weight, bias, stride=2 if name in _MOBILENET_V1_STRIDE_2 else 1), nn.ReLU6()]

    blocks = [nn.Sequential(*(m for name in names for m in layer(name))) for names in _MOBILENET_V1_LAYERS]
    return BlockTeacher(info, _conversion(info), blocks)


def build_mobilenet_v2(info: TeacherInfo, tensors: Tensors) -> Teacher:
    """Torchvision's MobileNetV2 up to the first two layers of features.7, batch norm folded.

    Stride-2 layers pad right and bottom where torchvision pads all round: the same network on a picture
    shifted by a pixel a layer, and a pixel grid that is the student's.
    """

    def part(prefix: str, stride: int = 1) -> list[nn.Module]:
        weight, bias = _folded(tensors, f"{prefix}.0", f"{prefix}.1", eps=1e-5)
        return [*_mobile_conv(weight, bias, stride), nn.ReLU6()]

    def expand(i: int, stride: int) -> list[nn.Module]:
        return [*part(f"features.{i}.conv.0"), *part(f"features.{i}.conv.1", stride)]

    def project(i: int) -> list[nn.Module]:
        return _mobile_conv(*_folded(tensors, f"features.{i}.conv.2", f"features.{i}.conv.3", eps=1e-5))

    def whole(i: int) -> nn.Module:
        return Skip(nn.Sequential(*expand(i, 1), *project(i)))

    first = [*part("features.1.conv.0"), *_mobile_conv(*_folded(tensors, "features.1.conv.1", "features.1.conv.2"))]
    blocks = [
        nn.Sequential(*part("features.0", 2)),
        nn.Sequential(*first, *expand(2, 2)),
        nn.Sequential(*project(2), whole(3), *expand(4, 2)),
        nn.Sequential(*project(4), whole(5), whole(6), *expand(7, 2)),
    ]
    return BlockTeacher(info, _conversion(info), blocks)


class Skip(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


BUILDERS = {
    "vgg-torchvision": build_vgg,
    "vgg-normalised": build_vgg,
    "mobilenet-v1": build_mobilenet_v1,
    "mobilenet-v2": build_mobilenet_v2,
}


def _take(tensors: Tensors, key: str) -> Tensor:
    if key not in tensors:
        raise CheckpointError(f"teacher weights lack the tensor {key!r}")
    return tensors[key].float()


def _conv(weight: Tensor, bias: Tensor, **options) -> nn.Conv2d:
    out, per_group, *kernel = weight.shape
    groups = out if per_group == 1 else 1
    conv = nn.Conv2d(per_group * groups, out, (kernel[0], kernel[1]), groups=groups, **options)
    with torch.no_grad():
        conv.weight.copy_(weight)
        assert conv.bias is not None
        conv.bias.copy_(bias)
    return conv


def _mobile_conv(weight: Tensor, bias: Tensor, stride: int = 1) -> list[nn.Module]:
    if stride == 2:
        return [nn.ZeroPad2d((0, 1, 0, 1)), _conv(weight, bias, stride=2)]
    return [_conv(weight, bias, padding=weight.shape[-1] // 2)]


def _conversion(info: TeacherInfo) -> nn.Conv2d:
    assert info.matrix is not None
    return _conv(torch.tensor(info.matrix)[:, :, None, None], torch.tensor(info.bias))


def _folded(tensors: Tensors, conv: str, norm: str, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Weight and bias of a bias-free convolution followed by batch norm with its running statistics."""
    gain, shift, mean, variance = (
        _take(tensors, f"{norm}.{part}").double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / (variance + eps).sqrt()
    weight = _take(tensors, f"{conv}.weight").double() * scale[:, None, None, None]
    return weight.float(), (shift - mean * scale).float()
