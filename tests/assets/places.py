"""Where the tests' assets are, and what becomes of a test whose assets are nowhere."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from pcakd.environment import cache_folder
from tests.assets.addresses import addresses

ROOT = Path(__file__).resolve().parents[2]
UNCHECKED = "not checked: "
"""Begins the reason of every test that is skipped because this machine lacks something."""
FORGET_S = 600.0
"""An address that did not answer is not asked again by other tests' processes for so long."""


def missing(what: str) -> None:
    """Skip loudly for what this machine lacks; under CI=true it is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(what)
    pytest.skip(f"{UNCHECKED}{what}")


def shared_folder() -> Path:
    """PCAKD_ASSETS, else the folder beside the project."""
    return Path(os.environ.get("PCAKD_ASSETS") or ROOT.parent / "shared" / "assets")


def fetched_folder() -> Path:
    """PCAKD_TEST_ASSETS, else a folder of the user's cache."""
    return Path(os.environ.get("PCAKD_TEST_ASSETS") or cache_folder() / "test-assets")


class Assets:
    """assets / "released_tf/vgg": a part, wherever it is; the test that asks for one that is nowhere is skipped."""

    def __init__(self, shared: Path, fetched: Path, fetch: Callable[[], None]) -> None:
        self.shared, self.fetched = shared, fetched
        self._fetch, self._tried = fetch, False

    def __truediv__(self, part: str) -> Path:
        public = any(f"{one.path}/".startswith(f"{part}/") for one in addresses())
        if (found := self._find(part)) is None and public and not self._tried:
            self._tried = True
            self._fetch()
            found = self._find(part)
        if found is not None:
            return found
        folder = part.rpartition("/")[0]
        lacking = folder if folder and not (self.shared / folder).exists() else part
        hint = "run `make test-assets`, or " if public else ""
        missing(f"there is no {lacking} in {self.shared} or {self.fetched}: {hint}set PCAKD_ASSETS")
        raise AssertionError("unreachable")

    def has(self, part: str) -> bool:
        """Whether a part is there already."""
        return self._find(part) is not None

    def _find(self, part: str) -> Path | None:
        if (found := self.shared / part).exists():
            return found
        # A folder that is still being fetched lacks files.
        files = [public.path for public in addresses() if f"{public.path}/".startswith(f"{part}/")]
        whole = files and all((self.fetched / path).is_file() for path in files)
        return self.fetched / part if whole else None


def fetch_once() -> None:
    """Fetch into `fetched_folder`, where the network allows; not soon after it did not."""
    from pcakd.errors import PcakdError
    from tests.assets.fetch import fetch

    folder = fetched_folder()
    refused = folder / ".refused"
    if refused.exists() and time.time() - refused.stat().st_mtime < FORGET_S:
        return
    try:
        fetch(folder, addresses())
    except (PcakdError, OSError):
        with suppress(OSError):
            refused.touch()


def not_checked(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Lines about what was not checked for want of something, of the reports of skipped tests: why, and each promise
    with the number of tests of it. Empty where all was checked."""
    promises: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if UNCHECKED in reason:
            module, _, name = report.nodeid.partition("::")
            promise = name.partition("[")[0].rpartition("::")[2].removeprefix("test_").replace("_", " ")
            promises[reason.partition(UNCHECKED)[2]][f"{module}: {promise}"] += 1
    lines = []
    for reason, found in sorted(promises.items()):
        lines.append(reason)
        lines += [f"    {promise}" + (f" ({count} tests)" if count > 1 else "") for promise, count in found.items()]
    return lines
