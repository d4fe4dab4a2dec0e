"""What `pcakd workspace` prints."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pcakd.units import counted, shown_bytes
from tasks.workspace.contents import Output
from tasks.workspace.prune import Stock

REASONS_SHOWN = 2


def line(one: Output) -> str:
    """An output in one line."""
    day = datetime.fromtimestamp(one.touched, UTC).strftime("%Y-%m-%d")
    return f"{one.name}  {shown_bytes(one.bytes)}  {day}  {one.words()}"


def lines(stock: Stock) -> Iterator[str]:
    """All outputs, each with why it stays, and the sums."""
    if not stock.outputs:
        yield f"{stock.workspace.uri()}: no outputs"
        return
    for one in stock.outputs:
        yield line(one)
        why = stock.needs[one.name]
        more = f"; {len(why) - REASONS_SHOWN} more" if len(why) > REASONS_SHOWN else ""
        yield f"    {'; '.join(why[:REASONS_SHOWN])}{more}" if why else "    nobody needs it: `pcakd workspace prune`"
    total, free = (sum(one.bytes for one in found) for found in (stock.outputs, stock.unneeded))
    yield f"{counted(len(stock.outputs), 'output')}, {shown_bytes(total)}; nobody needs {shown_bytes(free)} of it"


def records(stock: Stock) -> list[dict[str, Any]]:
    """The same for a program."""
    return [
        {
            "stage": one.stage,
            "key": one.key,
            "finished": one.manifest is not None,
            "files": one.files,
            "bytes": one.bytes,
            "written": datetime.fromtimestamp(one.touched, UTC).isoformat(timespec="seconds"),
            "what": one.words(),
            "needed_for": stock.needs[one.name],
        }
        for one in stock.outputs
    ]
