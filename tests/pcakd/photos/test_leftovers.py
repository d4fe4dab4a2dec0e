import pytest

from pcakd.photos.leftovers import is_clip, is_left_out


@pytest.mark.parametrize(
    "key",
    [
        ".DS_Store",
        "album/.DS_Store",
        "album/._a.jpg",
        "Thumbs.db",
        "album/thumbs.db",
        "desktop.ini",
        "notes.txt",
        "a.jpg.json",
        "a.xmp",
        "IMG_1.AAE",
        "a.jpg.pp3",
        "clip.MOV",
        "__MACOSX/a.jpg",
        "table.csv",
        "GX010042.360",
        "tour.mpeg",
        "talk.flac",
        "album.tar.bz2",
        "album.tgz",
        "disk.ISO",
        "camera.icc",
        "evening.cube",
    ],
)
def test_what_lies_beside_photos_is_left_out(key):
    assert is_left_out(key)


@pytest.mark.parametrize(
    "key", ["a.jpg", "a", "a.heic", "a.nef", "DS_Store.jpg", "txt", "a.txt/b.png", "a.b", "scan.pdf", "_.jpg", ".jpg"]
)
def test_what_claims_to_be_a_photo_or_claims_nothing_is_not(key):
    assert not is_left_out(key)


@pytest.mark.parametrize(
    ("key", "clip"),
    [
        ("clip.MOV", True),
        ("a/b.mkv", True),
        ("a.gif", False),
        ("album/._a.mov", False),
        ("__MACOSX/a.mp4", False),
        ("a.mp4.json", False),
        ("a.mp4/b.jpg", False),
        ("mp4", False),
    ],
)
def test_what_claims_to_be_a_video_is_left_out_only_where_videos_are(key, clip):
    assert is_clip(key) == clip
    assert is_left_out(key, videos=True) == (is_left_out(key) and not clip)
