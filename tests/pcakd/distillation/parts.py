"""A teacher, photos and recipes small enough to train in seconds: a random student is the teacher."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pcakd.distillation import Recipe
from pcakd.eigenbases.files import eigenbases_bytes
from pcakd.eigenbases.pca import Eigenbases, Moments, Widths, fit
from pcakd.student.checkpoint import Metadata, save_checkpoint
from pcakd.teacher import Teacher, load_teacher
from pcakd.teacher.student import StudentTeacher, student_info
from tests.models import random_checkpoint

CHANNELS = (3, 4, 5, 6)


@dataclass
class ArrayPhotos:
    """Photos in memory."""

    photos: list[np.ndarray]
    digest: str = "arrays"

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.photos[index]


def photos(count: int = 12, side: int = 80, seed: int = 0) -> ArrayPhotos:
    """Smooth random colours with some texture."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = rng.random((1, 3, 6, 6), dtype=np.float32)
        smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=(side, side), mode="bicubic")[0]
        noisy = smooth.permute(1, 2, 0).numpy() + rng.normal(0, 0.03, (side, side, 3))
        found.append((noisy.clip(0, 1) * 255).astype(np.uint8))
    return ArrayPhotos(found)


def teacher(backbone: str = "vgg") -> Teacher:
    """A random student with more channels than the one to distil."""
    checkpoint = random_checkpoint(backbone, channels=(8, 9, 10, 11))
    for module in checkpoint.student.encoder.modules():
        if isinstance(module, torch.nn.Conv2d):  # enough contrast that no channel is dead
            module.weight.mul_(3)
            torch.nn.init.constant_(module.bias, 0.2)
    return StudentTeacher(checkpoint.student, student_info(checkpoint.student, "random", "MIT"))


def bases(source: Teacher, data: ArrayPhotos) -> Eigenbases:
    """Eigenbases over all photos."""
    moments = Moments.zeros(source.channels)
    for photo in data.photos:
        x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            moments.update(source.features(x))
    return fit(moments, Widths(channels=CHANNELS))


def recipe(**changes) -> Recipe:
    """Twelve steps through two block pairs and a joint phase."""
    values = {
        "crop": 32,
        "batch": 4,
        "init_photos": 6,
        "pair_steps": (3, 3, 0, 0),
        "joint_steps": 6,
        "warmup_steps": 2,
        "precision": "fp32",
        "teacher_photos": 2,
        "graded_photos": 1,
        "validate_every": 4,
        "validation_photos": 2,
        "checkpoint_every": 4,
    }
    return Recipe(**(values | changes))


def write_inputs(folder: Path) -> Path:
    """Photos, teacher, bases and recipe as files: photos/, teacher.safetensors, bases/, recipe.toml."""
    source = teacher()
    save_checkpoint(folder / "teacher.safetensors", source.student, Metadata(spec=source.student.spec))
    data = photos()
    (folder / "photos").mkdir()
    for i, photo in enumerate(data.photos):
        Image.fromarray(photo).save(folder / "photos" / f"{i:02}.png")
    (folder / "bases").mkdir()
    fitted = bases(load_teacher(folder / "teacher.safetensors"), data)
    (folder / "bases" / "eigenbases.safetensors").write_bytes(eigenbases_bytes(fitted))
    (folder / "recipe.toml").write_text(
        "crop = 32\nbatch = 4\ninit_photos = 6\npair_steps = [0, 100, 0, 0]\njoint_steps = 0\nwarmup_steps = 2\n"
        'precision = "fp32"\nteacher_photos = 2\ngraded_photos = 1\nvalidate_every = 100\nvalidation_photos = 2\n'
        "checkpoint_every = 10\nclip_norm = 0.0\nencoder_rate = 0.001\ndecoder_rate = 0.002\n"
    )
    return folder
