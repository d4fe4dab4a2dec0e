"""Keys as text: a file name may be no UTF-8, a Parquet string has to be."""

import re


def text(key: str) -> str:
    """A key as Parquet can hold it: file names that are no UTF-8 keep their odd bytes as escapes."""
    return key.encode("utf-8", "backslashreplace").decode()


def key_of(text: str) -> str:
    """The key that `text` made this of."""
    return re.sub(r"\\u(dc[89a-f][0-9a-f])", lambda found: chr(int(found[1], 16)), text)
