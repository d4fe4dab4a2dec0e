"""Sizes, shares and times as people write them."""

import re

from pcakd.errors import UsageError


def parse_memory(text: str) -> int:
    """Bytes of "1500MB", "2GB" or "2.5GiB", by powers of 1024. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG])(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise UsageError(f"{text!r} is not a memory size; write it as 1500MB or 2GB")
    return int(float(match[1]) * (1 << 20 if match[2].upper() == "M" else 1 << 30))


def parse_allowance(text: str) -> float:
    """ "5%" as a share, 0.05; "100" as a number, 100. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%|(\d+)", text.strip())
    if not match or (match[1] and float(match[1]) >= 100):
        raise UsageError(f"{text!r} is neither a number nor a share; write it as 100 or 5%")
    return float(match[1]) / 100 if match[1] else int(match[2])


def shown_bytes(count: int) -> str:
    """Bytes for people: "12.3 MB", by powers of 1000."""
    size, units = float(count), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{count:,} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"


def counted(count: int, word: str) -> str:
    """ "1 photo", "1,200 photos"."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """ "0:09", "12:34", "3:02:01", "4 days 3:02:01"."""
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    clock = f"{hours}:{minutes:02}:{whole % 60:02}" if hours or days else f"{minutes}:{whole % 60:02}"
    return f"{days} day{'s' if days > 1 else ''} {clock}" if days else clock
