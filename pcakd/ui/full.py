"""Files at full size, made in the background while the page asks how far they are."""

import asyncio
import io
import secrets
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcakd.errors import NotFoundError
from pcakd.ui.lane import Lane
from pcakd.ui.setting import Setting
from pcakd.ui.studio import Studio

FILES = 20
"""Finished files that are kept; the oldest go first."""
STEPS = ("waiting", "reading", "stylizing", "writing")
Told = Callable[[Exception], str]


@dataclass
class FullFile:
    """One that is being made, or is ready. done: 0..1."""

    step: str = STEPS[0]
    done: float = 0.0
    name: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    path: Path | None = None

    def state(self) -> dict[str, Any]:
        """For the page."""
        return {"step": self.step, "done": self.done, "name": self.name, "notes": self.notes, "error": self.error}


class FullFiles:
    """Files of all users; one photo by itself, a series as a ZIP."""

    def __init__(self, studio: Studio, lane: Lane, told: Told) -> None:
        self._studio, self._lane, self._told = studio, lane, told
        self._files: OrderedDict[str, FullFile] = OrderedDict()
        self._tasks: set[asyncio.Task] = set()

    def begin(self, setting: Setting) -> str:
        """Start making; the file's id."""
        id, file = secrets.token_urlsafe(16), FullFile()
        self._files[id] = file
        while len(self._files) > FILES:
            _, oldest = self._files.popitem(last=False)
            if oldest.path is not None:
                oldest.path.unlink(missing_ok=True)
        task = asyncio.create_task(self._make(file, setting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return id

    def file(self, id: str) -> FullFile:
        """Raises NotFoundError."""
        if id not in self._files:
            raise NotFoundError("this file is not here any more; make it again")
        return self._files[id]

    async def _make(self, file: FullFile, setting: Setting) -> None:
        contents = setting.contents if setting.same_look else (setting.content,)
        results: list[tuple[str, bytes]] = []
        try:
            for number, content in enumerate(contents):  # others get their turn between two photos

                def step(name: str, number: int = number) -> None:
                    file.step, file.done = name, (number + STEPS.index(name) / len(STEPS)) / len(contents)

                made = await self._lane.do(lambda content=content, step=step: self._studio.file(setting, content, step))  # type: ignore[misc]
                results.append((made.name, made.data))
                file.notes += made.notes
            name, data = results[0] if len(results) == 1 else ("stylized.zip", zipped(results))
            path = self._studio.kept.new_file()
            await asyncio.to_thread(path.write_bytes, data)
            file.name, file.path, file.step, file.done = name, path, "done", 1.0
        except Exception as error:
            file.error = self._told(error)


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    """A ZIP of files that are compressed already; those of one name are numbered."""
    buffer, seen = io.BytesIO(), set[str]()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, (name, data) in enumerate(files):
            unique = f"{number}-{name}" if name in seen else name
            seen.add(unique)
            archive.writestr(zipfile.ZipInfo(unique), data)
    return buffer.getvalue()
