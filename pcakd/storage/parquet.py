"""Parquet tables in a storage: written atomically, with page checksums, the same bytes for the same rows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pcakd.errors import FatalError, PcakdError
from pcakd.storage.base import Storage


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How the project's tables are written: keywords of ParquetWriter."""
    # Encoded photos do not compress, have no use for a dictionary, and their min and max would be whole photos.
    plain = {field.name for field in schema if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)}
    others = [name for name in schema.names if name not in plain]
    return {
        "compression": {name: "none" if name in plain else "zstd" for name in schema.names} or "zstd",
        "use_dictionary": others,
        "write_statistics": others,
        "write_page_checksum": True,
    }


@contextmanager
def parquet_writer(storage: Storage, key: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A ParquetWriter; the table appears under its key when the block ends without an exception.

    Each `write_table(table, row_group_size=len(table))` is one row group: the caller decides on their size.
    """
    with storage.writer(key) as file, pq.ParquetWriter(file, schema, **parquet_options(schema)) as writer:
        yield writer


def write_parquet(storage: Storage, key: str, table: pa.Table, *, row_group_size: int | None = None) -> None:
    """Write a table whole. Same table, same pyarrow version: same bytes."""
    with parquet_writer(storage, key, table.schema) as writer:
        writer.write_table(table, row_group_size=row_group_size)


@contextmanager
def open_parquet(storage: Storage, key: str, *, whole: bool = False) -> Iterator[pq.ParquetFile]:
    """A ParquetFile that fetches only what is read; with `whole` all of it at once, in one request.

    Raises NotFoundError, FatalError for a damaged file.
    """
    with _damage(storage, key), ExitStack() as stack:
        if whole:
            source = pa.BufferReader(storage.read(key))
        else:
            source = pa.PythonFile(stack.enter_context(storage.open(key)), mode="r")
        yield pq.ParquetFile(source, page_checksum_verification=True)


def read_parquet(storage: Storage, key: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """The table, or some of its columns. Raises as `open_parquet`."""
    with open_parquet(storage, key, whole=columns is None) as file:
        return file.read(columns=list(columns) if columns is not None else None, use_threads=False)


@contextmanager
def _damage(storage: Storage, key: str) -> Iterator[None]:
    try:
        yield
    except PcakdError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, PcakdError):
            raise cause from None
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FatalError(
            f"{storage.uri(key)}: is not a whole Parquet file ({detail}); delete it and run again"
        ) from None
