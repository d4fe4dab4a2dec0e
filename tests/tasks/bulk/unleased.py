"""A bulk job whose lease is always free; `python -m tests.tasks.bulk.unleased SOURCE DEST STYLE MODEL`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.bulk import BucketJob, RunOptions, job, stylize_bucket


class Free:
    lost = False

    def check(self) -> None:
        pass


@contextmanager
def free(*args, **options) -> Iterator[Free]:
    yield Free()


if __name__ == "__main__":
    job.lease = free
    source, dest, style, model = sys.argv[1:]
    stylize_bucket(BucketJob(source=source, dest=dest, styles=(style,), model=model), RunOptions(workers=1))
