"""Jobs, rows and storages for tests of the ledger."""

import datetime
from pathlib import Path

from pcakd.bulk import BucketJob, Ledger, Resolved
from pcakd.storage import LocalStorage, open_storage

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)


def resolved(source, dest, *, styles=("a=x.jpg", "b=y.jpg"), **changes) -> Resolved:
    """A job that needs no model and no style photos."""
    job = BucketJob(source=str(source), dest=str(dest), styles=styles, **changes)
    digests = {name: tuple("0" * 64 for _ in style.photos) for name, style in job.style_specs().items()}
    return Resolved(job=job, model="vgg", model_digest="1" * 64, style_digests=digests)


def ledger(source, dest, **changes) -> Ledger:
    return Ledger.open(open_storage(dest), resolved(source, dest, **changes))


def fill(folder: Path, count: int) -> Path:
    """A folder with files of different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}.jpg").write_bytes(b"x" * (number + 1))
    return folder


def row(item: dict, status: str = "ok", *, passing: bool = False, second: int = 0, **changes) -> dict:
    """What became of an item."""
    values = {name: item[name] for name in ("key", "etag", "size", "style", "output")}
    done = (
        {"output_size": 7, "width": 4, "height": 2, "sha256": "f" * 64} if status == "ok" else {"error": "PhotoError"}
    )
    moment = NOW + datetime.timedelta(seconds=second)
    return values | {"status": status, "passing": passing, "finished": moment, "stylize_s": 0.5} | done | changes


def work(snapshot, run: str = "run", *, batch: int = 3, status=lambda item: ("ok", False)) -> int:
    """Give every pending item a row; how many there were."""
    count = 0
    for part in range(snapshot.parts):
        pending = snapshot.pending(part).to_pylist()
        for start in range(0, len(pending), batch):
            rows = []
            for item in pending[start : start + batch]:
                name, passing = status(item)
                rows.append(row(item, name, passing=passing))
            snapshot.append(part, rows, run)
        count += len(pending)
    return count


class KilledError(BaseException):
    """The process has ended here."""


class MortalStorage(LocalStorage):
    """A folder whose process dies before the n-th change to it; `left` counts down."""

    def __init__(self, root, left: list[int]) -> None:
        super().__init__(root)
        self.left = left

    def sub(self, prefix: str) -> "MortalStorage":
        return MortalStorage(super().sub(prefix).root, self.left)

    def _step(self) -> None:
        if self.left[0] <= 0:
            raise KilledError
        self.left[0] -= 1

    def write(self, key, data) -> None:
        self._step()
        super().write(key, data)

    def create(self, key, data) -> bool:
        self._step()
        return super().create(key, data)

    def writer(self, key, properties=None):
        self._step()
        return super().writer(key, properties)

    def delete(self, key) -> None:
        self._step()
        super().delete(key)

    def clear(self) -> None:
        self._step()
        super().clear()
