"""SIGTERM, as a node that is taken away sends it: the run ends as for a spent budget, with its rows and a report."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Termination:
    """Whether this process has been asked to end, since somebody began to listen."""

    def __init__(self) -> None:
        # A handler that is there already belongs to whoever runs this process, such as a Prefect worker.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._free = in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        self.asked = False

    def listen(self) -> None:
        """From now on; again after something that sets a handler of its own, as Ray's start does."""
        if self._free:
            signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, *_: Any) -> None:
        self.asked = True

    def stop(self) -> None:
        """SIGTERM ends the process again."""
        if self._free:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def listening() -> Iterator[Termination]:
    """Take note of SIGTERM for the block."""
    termination = Termination()
    termination.listen()
    try:
        yield termination
    finally:
        termination.stop()
