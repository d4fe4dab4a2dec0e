"""Training in whitened coordinates: the optimizer sees each convolution's inputs decorrelated, with unit variance.

A student's features have means two standard deviations above zero, scales that differ tenfold between levels, and
neighbouring pixels that are nearly equal. Gradient steps in the weights themselves then crawl along most
directions. Here a convolution is

    W = σ · U · P,    b = σ · c - W · μ,    P = (A + ρI)^-½

with A and μ the covariance and mean of its input patches and σ its outputs' standard deviation, all measured once
and then fixed. U and c are what is trained; the function is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pcakd.student.network import Student

MAX_POSITIONS = 60_000
"""Patches that a convolution's statistics are taken from."""


class WhitenedConv2d(nn.Module):
    """A convolution whose parameters are `turned` (O×D, D = inputs a group × kernel area) and `shift` (O)."""

    whitener: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, conv: nn.Conv2d, covariance: Tensor, mean: Tensor, scale: Tensor, ridge: float) -> None:
        """covariance: D×D, or O×D×D for a depthwise convolution; mean: D or O×D; scale: O."""
        super().__init__()
        assert conv.bias is not None
        self.shape, self.stride, self.groups = conv.weight.shape, conv.stride, conv.groups
        self.fan_in = covariance.shape[-1]
        covariance = covariance.double()
        # One level for all channels of a depthwise layer: a channel that is constant must not divide by zero.
        floor = ridge * covariance.diagonal(dim1=-2, dim2=-1).mean().clamp_min(1e-12)
        values, vectors = torch.linalg.eigh(covariance + floor * torch.eye(self.fan_in, dtype=torch.float64))
        root = values.clamp_min(1e-12).sqrt()
        self.register_buffer("whitener", ((vectors / root[..., None, :]) @ vectors.transpose(-1, -2)).float())
        inverse = (vectors * root[..., None, :]) @ vectors.transpose(-1, -2)
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())
        weight = conv.weight.detach().flatten(1).double()
        self.shared: tuple[Tensor, Tensor] | None = None
        self.turned = nn.Parameter(self._times(weight / scale[:, None].double(), inverse).float())
        self.shift = nn.Parameter(((conv.bias.detach().double() + (weight * mean).sum(1)) / scale).float())

    def _times(self, rows: Tensor, matrix: Tensor) -> Tensor:
        return (rows[:, None] @ matrix)[:, 0] if matrix.ndim == 3 else rows @ matrix

    def plain(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain convolution that this one is."""
        with torch.autocast(self.turned.device.type, enabled=False):
            weight = self._times(self.turned, self.whitener) * self.scale[:, None]
            return weight.view(self.shape), self.shift * self.scale - (weight * self.mean).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.shared or self.plain()
        return F.conv2d(x, weight, bias, stride=self.stride, groups=self.groups)


@contextmanager
def shared_weights(student: Student) -> Iterator[None]:
    """Within it the plain weights of whitened convolutions are computed once, however often the student is run.

    Nothing may change the parameters meanwhile.
    """
    whitened = [module for module in student.modules() if isinstance(module, WhitenedConv2d)]
    for module in whitened:
        module.shared = module.plain()
    try:
        yield
    finally:
        for module in whitened:
            module.shared = None


def convolutions(student: Student) -> dict[str, nn.Conv2d]:
    """Name → trainable convolution of a student."""
    return {n: m for n, m in student.named_modules() if isinstance(m, nn.Conv2d) and n != "preprocess"}


@torch.no_grad()
def whiten(student: Student, photos: Tensor, ridge: float) -> Student:
    """Replace a student's convolutions, in place, by whitened ones with statistics from photos N×3×H×W in [0, 1]."""
    found: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def measure(name: str):
        def hook(conv: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            found[name] = _patch_statistics(conv, inputs[0].float(), output.float())

        return hook

    hooks = [conv.register_forward_hook(measure(name)) for name, conv in convolutions(student).items()]
    student(photos)
    for handle in hooks:
        handle.remove()
    for name, conv in convolutions(student).items():
        parent, _, leaf = name.rpartition(".")
        setattr(student.get_submodule(parent), leaf, WhitenedConv2d(conv, *found[name], ridge))
    return student


def _patch_statistics(conv: nn.Conv2d, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    kernel = (conv.kernel_size[0], conv.kernel_size[1])
    count = y.shape[0] * y.shape[2] * y.shape[3]
    keep = max(1, len(x) * MAX_POSITIONS // count)  # photos
    x = x[:: max(1, len(x) // min(keep, len(x)))]
    patches = F.unfold(x, kernel, stride=(conv.stride[0], conv.stride[1]))  # N×(C·area)×L
    if conv.groups > 1:
        patches = patches.unflatten(1, (conv.groups, -1)).permute(1, 2, 0, 3).flatten(2)  # C×area×NL
    else:
        patches = patches.transpose(0, 1).flatten(1)  # (C·area)×NL
    mean = patches.mean(-1)
    centred = patches - mean[..., None]
    covariance = (centred @ centred.transpose(-1, -2)).double() / patches.shape[-1]
    scale = y.std((0, 2, 3)).clamp_min(1e-3 * float(y.std().clamp_min(1e-6)))
    return covariance, mean, scale


@torch.no_grad()
def folded(student: Student) -> Student:
    """A plain student with the same function as a (partly) whitened one; the argument is left as it is."""
    plain = Student(student.spec)
    tensors = {key: value for key, value in student.state_dict().items() if key in plain.state_dict()}
    for name, module in student.named_modules():
        if isinstance(module, WhitenedConv2d):
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = module.plain()
    plain.load_state_dict(tensors)
    return plain.eval()
