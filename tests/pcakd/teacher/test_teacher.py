import pytest
import torch
from safetensors.torch import load_file, save_file

from pcakd.errors import CheckpointError, UsageError
from pcakd.student.checkpoint import Metadata, save_checkpoint
from pcakd.student.network import Student, StudentSpec
from pcakd.teacher import TEACHERS, load_teacher

PITCH = {"vgg": (1, 2, 4, 8), "mobilenet": (2, 4, 8, 16)}


@pytest.fixture
def teachers(assets, monkeypatch):
    monkeypatch.setenv("PCAKD_TEACHERS", str(assets / "teachers"))
    return assets / "teachers"


@pytest.fixture(scope="session")
def torchvision():
    """Imported by the tests that use it: it imports PyTorch's compiler, which takes longer than all of them."""
    import torchvision

    return torchvision


@pytest.fixture(scope="session")
def photo():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def vgg19(torchvision):
    """Torchvision's VGG-19 without its classifier, which is nine tenths of the weights."""
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"], batch_norm=False)
    return torch.nn.ModuleDict({"features": layers})


def torchvision_file(folder, name, model):
    """A teacher file with random weights in torchvision's layout; norms get statistics that matter."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if k.startswith("features")}
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("name", ["vgg19-normalised", "vgg19-caffe", "mobilenet-v1"])
def test_a_name_finds_its_file_by_content_and_gives_four_levels(teachers, photo, name):
    teacher = load_teacher(name)
    features = teacher.features(photo)
    for level, feature in enumerate(features):
        pitch = PITCH[teacher.info.backbone][level]
        assert feature.shape == (2, teacher.channels[level], 64 // pitch, 96 // pitch)
        assert feature.min() >= 0
        assert feature.std() > 0
    assert teacher.digest in TEACHERS[name].digests
    assert teacher.multiple == PITCH[teacher.info.backbone][3]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("vgg19_normalised_to_conv4_1", "vgg19-normalised"),
        ("vgg19_imagenet_caffe_to_conv4_1", "vgg19-caffe"),
        ("mobilenet_v1_1.0_224_to_conv_dw_6", "mobilenet-v1"),
    ],
)
def test_a_file_is_known_by_its_content(assets, tmp_path, file, name):
    path = tmp_path / "some-name.safetensors"
    save_file(load_file(assets / f"teachers/{file}.safetensors"), path)
    assert load_teacher(path).name == name


def test_a_public_teacher_gives_four_levels(assets, monkeypatch, photo):
    """Torchvision's weights, where there are no others: features of a real training, not of random numbers."""
    if assets.has("teachers") and not assets.has("torch"):
        pytest.skip("the teachers that are here are looked at instead")
    monkeypatch.setenv("TORCH_HOME", str(assets / "torch"))
    teacher = load_teacher("mobilenet-v2")
    for level, feature in enumerate(teacher.features(photo)):
        pitch = PITCH["mobilenet"][level]
        assert feature.shape == (2, teacher.channels[level], 64 // pitch, 96 // pitch)
        assert feature.isfinite().all()
        assert feature.std() > 0


def test_features_are_the_blocks_one_after_another_and_teachers_are_frozen(teachers, photo):
    teacher = load_teacher("mobilenet-v1")
    x = photo
    for level, feature in enumerate(teacher.features(photo)):
        x = teacher.block(level, x)
        assert torch.equal(x, feature)
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_the_two_readings_of_the_oxford_vgg_agree_up_to_padding_and_channel_scale(teachers):
    """The normalised VGG is the Caffe one with its channels rescaled, so features correlate fully."""
    photo = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), size=96, mode="bicubic").clamp(0, 1)
    plain, normalised = load_teacher("vgg19-caffe"), load_teacher("vgg19-normalised")
    for a, b in zip(plain.features(photo), normalised.features(photo), strict=True):
        border = a.shape[-1] // 3
        a, b = (f[0, :, border:-border, border:-border].flatten(1) for f in (a, b))
        ratio = (a * b).sum(1) / (b * b).sum(1).clamp_min(1e-12)
        assert torch.allclose(a, ratio[:, None] * b, atol=0.02 * a.abs().max().item())


def test_vgg19_equals_torchvision(tmp_path, torchvision, vgg19, photo):
    teacher = load_teacher(f"vgg19={torchvision_file(tmp_path, 'x', vgg19)}")
    transform = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    x = transform(photo)
    for end, start, feature in zip((2, 7, 12, 21), (0, 2, 7, 12), teacher.features(photo), strict=True):
        x = vgg19["features"][start:end](x)
        assert torch.allclose(feature, x, atol=1e-5 * x.abs().max().item())


def test_mobilenet_v2_equals_torchvision_on_the_picture_shifted_to_the_students_grid(
    tmp_path, monkeypatch, torchvision
):
    """Four stride-2 layers with padding on the right instead of the left sample 1 + 2 + 4 + 8 pixels further on."""
    model = torchvision.models.mobilenet_v2(weights=None).eval()
    torchvision_file(tmp_path, "mobilenet-v2", model)
    monkeypatch.setenv("PCAKD_TEACHERS", str(tmp_path))
    teacher = load_teacher("mobilenet-v2")
    photo = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(2))
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    x = normalise(photo[..., 15:, 15:])
    x = model.features[7].conv[1](model.features[7].conv[0](model.features[:7](x)))
    ours = teacher.features(photo)[3]
    assert ours.shape[1] == x.shape[1] == 192
    inner = slice(13, 18)  # level 3 sees 8 to 9 of its own pixels beyond each border
    assert torch.allclose(ours[..., inner, inner], x[..., inner, inner], atol=1e-4 * x.abs().max().item())


def test_the_digest_does_not_depend_on_tensors_past_level_3(tmp_path, vgg19):
    path = torchvision_file(tmp_path, "a", vgg19)
    short = {k: v for k, v in load_file(path).items() if int(k.split(".")[1]) <= 19}
    save_file(short, tmp_path / "b.safetensors")
    assert load_teacher(f"vgg19={path}").digest == load_teacher(f"vgg19={tmp_path / 'b.safetensors'}").digest


def test_a_student_checkpoint_serves_as_teacher(tmp_path, photo):
    student = Student(StudentSpec(backbone="mobilenet", channels=(4, 5, 6, 7)))
    path = tmp_path / "student.safetensors"
    save_checkpoint(path, student, Metadata(spec=student.spec, licence="MIT"))
    teacher = load_teacher(path)
    assert teacher.info.licence == "MIT"
    assert teacher.channels == (4, 5, 6, 7)
    for ours, theirs in zip(teacher.features(photo), student.encode(photo).features, strict=True):
        assert torch.equal(ours, theirs)


def test_a_file_that_leaves_the_teacher_open_asks_which(tmp_path, vgg19):
    path = torchvision_file(tmp_path, "x", vgg19)
    with pytest.raises(UsageError, match=r"vgg19=.*vgg19-caffe="):
        load_teacher(path)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(UsageError, match="vgg19-normalised"):
        load_teacher("vgg16")


def test_a_name_without_weights_says_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PCAKD_TEACHERS", str(tmp_path))
    with pytest.raises(UsageError, match="PCAKD_TEACHERS"):
        load_teacher("mobilenet-v1")


@pytest.mark.parametrize("content", [b"", b"not tensors at all", None])
def test_a_file_that_is_no_teacher_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    if content is None:
        save_file({"a": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        load_teacher(path)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        load_teacher(f"mobilenet-v1={path}")
