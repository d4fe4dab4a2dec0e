"""What lies beside photos and is none: systems' files, sidecars, texts, videos, archives. Told by the name alone."""

import re

_TEXTS = r"txt|md|rtf|log|ini|db|csv|tsv|json|jsonl|xml|ya?ml|toml|html?|url|lnk|nomedia|parquet"
_SIDECARS = r"xmp|aae|pp3|dop|on1|cos|nksc|lrcat|lrdata|ithmb|mie|vrd|arp|spd|acr|thm|icc|icm|cube|3dl"
_VIDEOS = r"mov|qt|mp4|m4v|avi|3gp|3g2|mts|m2ts|mkv|webm|mpe?g|m2v|wmv|asf|flv|vob|ogv|mxf|r3d|braw|insv|lrv|360"
_SOUNDS = r"wav|mp3|m4a|aac|flac|ogg|oga|opus|wma|aiff?|amr|mid"
_PACKS = r"zip|zipx|gz|tgz|bz2|tbz2?|xz|txz|zst|lz4|lzma|tar|7z|rar|cab|iso|dmg|pkg|apk|jar"
_PASSING = r"sha1|sha256|md5|tmp|part|crdownload"
_NAMES = {".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", ".picasa.ini", "picasa.ini", ".nomedia", ".gitkeep"}
_NAMES |= {".gitignore", ".localized", "icon\r", ".trashes", ".spotlight-v100", "zbthumbnail.info"}
_CLIP = re.compile(rf"\.({_VIDEOS})$", re.IGNORECASE)
_SUFFIX = re.compile(rf"\.({_TEXTS}|{_SIDECARS}|{_VIDEOS}|{_SOUNDS}|{_PACKS}|{_PASSING})$", re.IGNORECASE)


def is_clip(key: str) -> bool:
    """Whether a file or object of that name (or key) claims to be a video."""
    return _CLIP.search(key) is not None and not is_left_out(key, videos=True)


def is_left_out(key: str, *, videos: bool = False) -> bool:
    """Whether a file or object of that name (or key) is no photo, and does not claim to be one.

    videos: nor is it a video.
    """
    folder, _, name = key.rstrip("/").replace("\\", "/").rpartition("/")
    if name.startswith("._") or name.lower() in _NAMES or "__MACOSX" in folder.split("/"):
        return True
    return _SUFFIX.search(name) is not None and not (videos and _CLIP.search(name))
