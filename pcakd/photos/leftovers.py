"""What lies beside photos and is none: systems' files, sidecars, texts, videos. By name alone, nothing is read."""

import re

_TEXTS = r"txt|md|rtf|log|ini|db|csv|tsv|json|jsonl|xml|ya?ml|toml|html?|url|lnk|nomedia|parquet"
_SIDECARS = r"xmp|aae|pp3|dop|on1|cos|nksc|lrcat|lrdata|ithmb|mie|vrd|arp|spd|acr|thm"
_VIDEOS = r"mov|mp4|m4v|avi|3gp|mts|m2ts|mkv|webm|wav|mp3|m4a|aac"  # what phones and cameras write beside photos
_PACKS = r"zip|gz|tar|7z|rar|sha256|md5|tmp|part|crdownload"
_NAMES = {".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", ".picasa.ini", "picasa.ini", ".nomedia", ".gitkeep"}
_NAMES |= {".gitignore", ".localized", "icon\r", ".trashes", ".spotlight-v100", "zbthumbnail.info"}
_SUFFIX = re.compile(rf"\.({_TEXTS}|{_SIDECARS}|{_VIDEOS}|{_PACKS})$", re.IGNORECASE)


def is_left_out(key: str) -> bool:
    """Whether a file or object of that name (or key) is no photo, and does not claim to be one."""
    folder, _, name = key.rstrip("/").replace("\\", "/").rpartition("/")
    if name.startswith("._") or name.lower() in _NAMES or "__MACOSX" in folder.split("/"):
        return True
    return _SUFFIX.search(name) is not None
