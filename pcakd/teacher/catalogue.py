"""The known teachers: a table of facts, no code."""

from dataclasses import dataclass

from pcakd.errors import UsageError
from pcakd.student.network import Backbone

Matrix = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class TeacherInfo:
    """What is known of a teacher before its weights are read."""

    name: str
    """What `--teacher` takes."""
    backbone: Backbone
    """Layout of the student distilled from it; fixes the pixel pitch of the levels."""
    layout: str
    """Names and shapes of its tensors: "vgg-torchvision", "vgg-normalised", "mobilenet-v1", "mobilenet-v2" or
    "student"."""
    channels: tuple[int, int, int, int]
    """Width of each level."""
    taps: tuple[str, str, str, str]
    """The layer each level ends at, in the teacher's own terms."""
    source: str
    """Where the weights come from."""
    licence: str
    """Licence of the weights, as their publisher states it."""
    input: str
    """What the first layer was trained on. `Teacher` takes RGB in [0, 1] and converts."""
    matrix: Matrix | None = None
    """Colour matrix and `bias` from RGB in [0, 1] to that input; None: the weights bring their own."""
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    padding: str = "zeros"
    """"zeros" or "reflect": what stands beyond the borders in stride-1 layers."""
    torchvision: str | None = None
    """Torchvision's name of the weights, where it can download them."""
    digests: tuple[str, ...] = ()
    """`digest_tensors` of the tensors up to level 3, of the files known to be this teacher."""


def _diagonal(a: float, b: float, c: float) -> Matrix:
    return ((a, 0.0, 0.0), (0.0, b, 0.0), (0.0, 0.0, c))


_VGG = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_VGG_CHANNELS = (64, 128, 256, 512)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGENET_MATRIX = _diagonal(*(1 / s for s in _IMAGENET_STD))
_IMAGENET_BIAS = tuple(-m / s for m, s in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True))

_ENTRIES = [
    TeacherInfo(
        name="vgg19",
        backbone="vgg",
        layout="vgg-torchvision",
        channels=_VGG_CHANNELS,
        taps=_VGG,
        source="torchvision VGG19_Weights.IMAGENET1K_V1 (vgg19-dcbb9e9d.pth), trained by torchvision",
        licence="BSD-3-Clause (torchvision)",
        input="RGB in [0, 1], minus (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)",
        matrix=_IMAGENET_MATRIX,
        bias=_IMAGENET_BIAS,  # type: ignore[arg-type]
        torchvision="VGG19_Weights.IMAGENET1K_V1",
    ),
    TeacherInfo(
        name="vgg19-caffe",
        backbone="vgg",
        layout="vgg-torchvision",
        channels=_VGG_CHANNELS,
        taps=_VGG,
        source="VGG-19 as trained by its authors (Oxford VGG; Caffe, Keras), tensors named as torchvision does",
        licence="CC BY (Oxford VGG)",
        input="BGR in 0..255 minus (103.939, 116.779, 123.68)",
        matrix=((0.0, 0.0, 255.0), (0.0, 255.0, 0.0), (255.0, 0.0, 0.0)),
        bias=(-103.939, -116.779, -123.68),
        digests=("b67b64b029dcb0b553f330f31806ba7845c91536447a1333f014848624d4a865",),
    ),
    TeacherInfo(
        name="vgg19-normalised",
        backbone="vgg",
        layout="vgg-normalised",
        channels=_VGG_CHANNELS,
        taps=_VGG,
        source="VGG-19 of the style-transfer literature: Oxford VGG's weights, scaled so that each channel's mean "
        "activation is 1 (Gatys et al.); tensors preprocess, conv1_1 ... conv4_1",
        licence="CC BY (Oxford VGG); copies circulate under MIT and Apache-2.0",
        input="RGB in [0, 1]; its own 1×1 layer `preprocess` makes BGR in 0..255 minus the mean",
        padding="reflect",
        digests=("00c334df5e9dd869bfad66c62ba95f76f66ed36916f37ee193d143d42522d2ad",),
    ),
    TeacherInfo(
        name="mobilenet-v1",
        backbone="mobilenet",
        layout="mobilenet-v1",
        channels=(32, 64, 128, 256),
        taps=("conv1", "conv_dw_2", "conv_dw_4", "conv_dw_6"),
        source="Keras applications MobileNet 1.0, 224 (TensorFlow slim), ImageNet; batch norm unfolded, eps 1e-3",
        licence="Apache-2.0 (Google)",
        input="RGB in [-1, 1]",
        matrix=_diagonal(2.0, 2.0, 2.0),
        bias=(-1.0, -1.0, -1.0),
        digests=("4c6abc05c3c2b83ba7cf3357a590c5b5ac53e8d104188b922c469c93aedf9ef4",),
    ),
    TeacherInfo(
        name="mobilenet-v2",
        backbone="mobilenet",
        layout="mobilenet-v2",
        channels=(32, 96, 144, 192),
        # Like MobileNet v1's: the last layer of a level is a stride-2 depthwise convolution, after its activation.
        taps=("features.0", "features.2.conv.1", "features.4.conv.1", "features.7.conv.1"),
        source="torchvision MobileNet_V2_Weights.IMAGENET1K_V1 (mobilenet_v2-b0353104.pth)",
        licence="BSD-3-Clause (torchvision)",
        input="RGB in [0, 1], minus (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)",
        matrix=_IMAGENET_MATRIX,
        bias=_IMAGENET_BIAS,  # type: ignore[arg-type]
        torchvision="MobileNet_V2_Weights.IMAGENET1K_V1",
    ),
]

TEACHERS: dict[str, TeacherInfo] = {entry.name: entry for entry in _ENTRIES}
"""Name → what is known of the teacher. A student checkpoint, by path or name, is a teacher too."""


def teacher_info(name: str) -> TeacherInfo:
    """The entry of a registered teacher; UsageError lists the names."""
    if name not in TEACHERS:
        raise UsageError(f"teacher {name!r} is not known: use one of {', '.join(TEACHERS)}, or a file")
    return TEACHERS[name]
