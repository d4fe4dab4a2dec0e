"""A student from its teacher without a gradient step: every convolution fitted by ridge regression.

The encoder, layer by layer: the student's own activations so far are regressed onto the coordinates of the
teacher's activations at that layer in their leading eigenvectors, both centred photo by photo as in the
distillation loss. Biases are raised by a few standard deviations, so that the ReLU lets most values through. A
1×1 and the depthwise convolution after it (MobileNet) are fitted together: the full 3×3 regression, factorised a
channel at a time by alternating least squares.

The decoder, block by block: inner convolutions onto the 3×3 mean of the encoder's features, which with the
residual added gives those features; the last one onto the features (block 0: the picture) themselves.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pcakd.eigenbases.pca import eigenvectors, project
from pcakd.errors import UsageError
from pcakd.student.network import LEVELS, DecoderBlock, Layer, Student, upsample
from pcakd.teacher import Teacher
from pcakd.teacher.student import StudentTeacher

RIDGE = 1e-4
"""Share of the mean input variance added before solving for an encoder layer."""
DECODER_RIDGE = 1e-6
"""The same for decoder layers, whose targets are without noise."""
FACTOR_ROUNDS = 20
"""Alternating least-squares rounds of a 1×1 and depthwise pair."""

Bases = Sequence[Tensor]


@torch.no_grad()
def fit_encoder(student: Student, teacher: Teacher, bases: Bases, photos: Tensor, *, sigmas: float) -> None:
    """Set the encoder's weights from photos N×3×H×W in [0, 1].

    bases: level l's C×k; sigmas: standard deviations by which biases are raised.
    Raises UsageError for a teacher whose blocks have other layers than the student's.
    """
    targets = teacher_activations(teacher, photos)
    x = student.prepare(photos)
    for level in range(LEVELS):
        layers, block = student.spec.encoder_layers(level), student.encoder[f"block{level}"]
        if len(targets[level]) != len(layers):
            raise UsageError(
                f"teacher {teacher.name}: block {level} has {len(targets[level])} layers, the student's {len(layers)}; "
                'set init = "random" in the recipe'
            )
        convs = [getattr(block, f"conv{i}") for i in range(len(layers))]
        i = 0
        while i < len(layers):
            taken = 2 if layers[i].kind == "pointwise" else 1
            last = i + taken - 1
            lone = layers[i].kind == "depthwise"  # keeps the channels of the level before
            if last == len(layers) - 1:
                basis = bases[level]
            else:
                basis = bases[0] if lone else leading(targets[level][last], layers[last].out_channels)
            goal = project(targets[level][last], basis)
            if taken == 2:
                x = _fit_separable(convs[i], convs[last], layers[i], layers[last], x, goal, sigmas)
            else:
                x = _fit_layer(convs[i], layers[i], x, goal, sigmas)
            i += taken


@torch.no_grad()
def fit_decoder(student: Student, photos: Tensor) -> None:
    """Set the decoder's weights, given the encoder's, from photos N×3×H×W in [0, 1]."""
    encoded = student.encode(photos)
    for level in range(LEVELS):
        block: DecoderBlock = student.decoder[f"block{level}"]  # type: ignore[assignment]
        x, high = encoded.features[level], encoded.residuals[level]
        convs = [getattr(block, f"conv{i}") for i in range(block.depth)]
        x = upsample(x) if block.upsample_first else x
        if level == 0:
            _fit_affine(convs[0], torch.cat([x, high], 1), photos)
            continue
        goal = encoded.features[level - 1]
        smooth = goal - high  # the residual is a block's input minus its 3×3 mean
        for i, conv in enumerate(convs[:-1]):
            half = i == 0 and not block.upsample_first
            _fit_affine(conv, x, F.avg_pool2d(goal, 2) if half else smooth)
            x = F.relu(conv(_padded(x)))
            x = upsample(x) if half else x
        _fit_affine(convs[-1], x + high, goal)


@torch.no_grad()
def teacher_activations(teacher: Teacher, photos: Tensor) -> list[list[Tensor]]:
    """Level l: the outputs of all layers of the teacher's block l, after their ReLU."""
    levels: list[list[Tensor]] = []
    x = photos
    for level in range(LEVELS):
        seen: list[Tensor] = []
        if isinstance(teacher, StudentTeacher):
            block = teacher.student.encoder[f"block{level}"]
            x = teacher.student.prepare(x) if level == 0 else x
            for i, layer in enumerate(block.layers):  # type: ignore[arg-type]
                x = F.relu(_response(getattr(block, f"conv{i}"), layer, x))
                seen.append(x)
        else:
            relus = [m for m in teacher.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
            hooks = [m.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out)) for m in relus]
            x = teacher.block(level, x)
            for hook in hooks:
                hook.remove()
        levels.append(seen)
    return levels


def leading(features: Tensor, k: int) -> Tensor:
    """C×k leading eigenvectors of the mean centred covariance of features N×C×H×W."""
    centred = (features - features.mean((2, 3), keepdim=True)).flatten(2)
    covariance = sum((photo @ photo.T).double() for photo in centred)
    return eigenvectors(covariance)[1][:, :k].float()


def _padded(x: Tensor, stride: int = 1) -> Tensor:
    return F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1), mode="reflect")


def _response(conv: nn.Conv2d, layer: Layer, x: Tensor) -> Tensor:
    x = F.max_pool2d(x, 2) if layer.pool else x
    return conv(x if layer.kind == "pointwise" else _padded(x, layer.stride))


def _fit_layer(conv: nn.Conv2d, layer: Layer, x: Tensor, goal: Tensor, sigmas: float) -> Tensor:
    inputs = F.max_pool2d(x, 2) if layer.pool else x
    patches = F.unfold(_padded(inputs, layer.stride), 3, stride=layer.stride)
    if layer.kind == "depthwise":
        parts = zip(patches.unflatten(1, (-1, 9)).unbind(1), goal.flatten(2).split(1, dim=1), strict=True)
        weight = torch.cat([_solve(*_normal(part, wanted), RIDGE).T for part, wanted in parts])
    else:
        weight = _solve(*_normal(patches, goal.flatten(2)), RIDGE).T
    return _set(conv, weight, sigmas, lambda: _response(conv, layer, x))


def _fit_separable(
    point: nn.Conv2d, depth: nn.Conv2d, first: Layer, second: Layer, x: Tensor, goal: Tensor, sigmas: float
) -> Tensor:
    patches = F.unfold(_padded(x, second.stride), 3, stride=second.stride)
    gram, cross = _normal(patches, goal.flatten(2))
    full = _solve(gram, cross, RIDGE).T.unflatten(1, (-1, 9))  # O×I×9
    cross, gram = cross.T.unflatten(1, (-1, 9)), gram.unflatten(0, (-1, 9)).unflatten(2, (-1, 9))
    point_weight, depth_weight = [], []
    for kernel, wanted in zip(full, cross, strict=True):
        d = torch.linalg.svd(kernel, full_matrices=False)[2][0]
        for _ in range(FACTOR_ROUNDS):
            a = _solve(torch.einsum("iajb,a,b->ij", gram, d, d), (wanted @ d)[:, None], RIDGE)[:, 0]
            d = _solve(torch.einsum("iajb,i,j->ab", gram, a, a), (wanted.T @ a)[:, None], RIDGE)[:, 0]
            d = d / d.norm().clamp_min(1e-12)
        sign = 1.0 if d.sum() >= 0 else -1.0
        point_weight.append(sign * a)
        depth_weight.append(sign * d)
    x = _set(point, torch.stack(point_weight), sigmas, lambda: _response(point, first, x))
    return _set(depth, torch.stack(depth_weight), sigmas, lambda: _response(depth, second, x))


def _set(conv: nn.Conv2d, weight: Tensor, sigmas: float, response: Callable[[], Tensor]) -> Tensor:
    """Store a weight, raise the bias so that mean - sigmas·σ of the response is zero; the response after ReLU."""
    assert conv.bias is not None
    conv.weight.copy_(weight.reshape(conv.weight.shape))
    conv.bias.zero_()
    y = response()
    conv.bias.copy_(sigmas * y.std((0, 2, 3)) - y.mean((0, 2, 3)))
    return F.relu(y + conv.bias[:, None, None])


def _fit_affine(conv: nn.Conv2d, x: Tensor, goal: Tensor) -> None:
    patches = F.unfold(_padded(x), 3)
    mean, goal_mean = patches.mean((0, 2)), goal.mean((0, 2, 3))
    gram, cross = _normal(patches - mean[:, None], goal.flatten(2) - goal_mean[:, None], centre=False)
    weight = _solve(gram, cross, DECODER_RIDGE).T
    assert conv.bias is not None
    conv.weight.copy_(weight.reshape(conv.weight.shape))
    conv.bias.copy_(goal_mean - (weight @ mean.double()))


def _normal(x: Tensor, y: Tensor, *, centre: bool = True) -> tuple[Tensor, Tensor]:
    """Normal equations' matrices X Xᵀ (D×D) and X Yᵀ (D×K), float64, of N×D×L and N×K×L; centred photo by photo."""
    gram = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    cross = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    for a, b in zip(x, y, strict=True):
        if centre:
            a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        gram += (a @ a.T).double()
        cross += (a @ b.T).double()
    count = x.shape[0] * x.shape[2]
    return gram / count, cross / count


def _solve(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    floor = ridge * gram.diagonal().mean().clamp_min(1e-12)
    return torch.linalg.solve(gram + floor * torch.eye(len(gram), dtype=gram.dtype), cross)
