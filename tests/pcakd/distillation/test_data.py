import numpy as np
import pytest
import torch
from PIL import Image

from pcakd.distillation import Crops, FolderPhotos
from pcakd.distillation.data import BLOCK, Cached
from pcakd.distillation.shards import ShardPhotos, open_photos
from pcakd.errors import UsageError
from pcakd.photos.images import read_photo
from pcakd.shards import open_dataset
from tests.pcakd.distillation import parts
from tests.tasks.eigenbases.test_job import jpeg, write_dataset


def test_a_crop_depends_on_seed_and_number_alone():
    data = parts.photos(5)
    first, second = Crops(photos=data, size=32, seed=3), Crops(photos=data, size=32, seed=3)
    first.crop(99)  # what was asked for before plays no part
    torch.testing.assert_close(first.batch(7, range(4), 4), second.batch(7, range(4), 4))
    assert not torch.equal(first.crop(1), Crops(photos=data, size=32, seed=4).crop(1))


def test_two_workers_rows_are_the_rows_of_one():
    crops = Crops(photos=parts.photos(5), size=32, seed=0)
    whole = crops.batch(3, range(4), 4)
    torch.testing.assert_close(crops.batch(3, [0, 2], 4), whole[[0, 2]])
    torch.testing.assert_close(crops.batch(3, [1, 3], 4), whole[[1, 3]])


@pytest.mark.parametrize(("height", "width"), [(40, 72), (72, 40), (32, 32), (20, 60)])
def test_ends_are_cut_from_both_ends_of_the_longer_side_and_flipped_alike(height, width):
    places = np.stack([*np.mgrid[0:height, 0:width], np.zeros((height, width))], axis=-1).astype(np.uint8)
    crops = Crops(photos=parts.ArrayPhotos([places] * 3), size=32, seed=0)
    one, other = crops.ends8(5, range(12), 12)
    longer = int(width >= height)
    last = max(max(height, width) - 32, 0)
    for here, there in zip(one, other, strict=True):
        assert {int(here[..., longer].min()), int(there[..., longer].min())} == {0, last}
        assert (here[0, 0, 1] > here[0, -1, 1]) == (there[0, 0, 1] > there[0, -1, 1])
    torch.testing.assert_close(crops.ends8(5, [3, 7], 12)[1], other[[3, 7]])


def test_an_epoch_takes_every_photo_once():
    count = BLOCK + 50

    class Numbers:
        digest = ""

        def __len__(self):
            return count

        def __getitem__(self, index):
            seen.append(index)
            return np.zeros((32, 32, 3), np.uint8)

    seen: list[int] = []
    crops = Crops(photos=Numbers(), size=32, seed=0)
    for number in range(count):
        crops.crop(number)
    assert sorted(seen) == list(range(count))
    assert seen[:100] != sorted(seen[:100])


def test_small_photos_are_enlarged_by_their_borders():
    crop = Crops(photos=parts.photos(1, side=20), size=32, seed=0, flip=0.0).crop(0)
    assert crop.shape == (3, 32, 32)
    torch.testing.assert_close(crop[:, :, 20:], crop[:, :, 19:20].expand(3, 32, 12))


def test_a_photo_that_cannot_be_read_is_passed_over(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a photo")
    Image.fromarray(np.full((40, 40, 3), 200, np.uint8)).save(tmp_path / "b.png")
    crops = Crops(photos=Cached(FolderPhotos(tmp_path)), size=32, seed=0)
    assert all(float(crops.crop(i).min()) > 0.7 for i in range(4))


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has no photos"):
        open_photos(str(tmp_path))


def test_shards_are_read_by_number(tmp_path):
    rng = np.random.default_rng(0)
    data = [(f"{i}.jpg", jpeg(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8))) for i in range(30)]
    write_dataset(str(tmp_path), data, per_shard=12)
    photos = ShardPhotos(open_dataset(str(tmp_path)), "train")
    assert len(photos) == 30
    for i in (0, 29, 11, 12):
        np.testing.assert_array_equal(photos[i], read_photo(data[i][1]).rgb)
    train, held_out = open_photos(str(tmp_path))
    assert len(train) == 30
    assert held_out is None
