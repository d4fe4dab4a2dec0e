"""The samples are what they say."""

import pytest

from pcakd.errors import PhotoError
from pcakd.photos.images import read_photo
from tests.corpus import Sample, bad_photos, good_photos, odd_photos


@pytest.mark.parametrize("sample", good_photos(2) + odd_photos(), ids=lambda sample: sample.name)
def test_what_should_be_read_is_read_at_its_size(sample: Sample):
    assert read_photo(sample.data).size == sample.size


@pytest.mark.parametrize("sample", bad_photos(), ids=lambda sample: sample.name)
def test_what_should_be_refused_is_refused_with_its_reason(sample: Sample):
    with pytest.raises(PhotoError) as caught:
        read_photo(sample.data, name=sample.name)
    assert caught.value.reason == sample.reason


def test_all_samples_differ():
    data = [sample.data for sample in good_photos(120) + odd_photos() + bad_photos()]
    assert len(set(data)) == len(data)
