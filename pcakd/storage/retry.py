"""Call again what may pass: exponential backoff with full jitter, a bounded number of tries.

>>> tries = iter([ConnectionError("reset"), None])
>>> def flaky():
...     error = next(tries)
...     if error:
...         raise error
...     return "done"
>>> call_with_retry(flaky, what="read a.jpg", passing=lambda e: isinstance(e, OSError), sleep=lambda s: None)
'done'
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pcakd.errors import PcakdError, TransientError, UsageError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently to try again."""

    attempts: int = 7
    """Calls in all, the first one included."""
    base_s: float = 0.2
    """Upper end of the first wait in seconds; it doubles with every try."""
    cap_s: float = 10.0
    """Longest single wait in seconds."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise UsageError(f"attempts is {self.attempts}: give 1 or more")
        if self.base_s < 0 or self.cap_s < self.base_s:
            raise UsageError(f"base_s is {self.base_s} and cap_s {self.cap_s}: give 0 <= base_s <= cap_s")

    def wait_s(self, tries: int) -> float:
        """Seconds to wait after the `tries`-th failure: uniform from 0 to the doubled bound, so that
        many workers that failed together do not come back together."""
        return random.uniform(0, min(self.cap_s, self.base_s * 2 ** (tries - 1)))


DEFAULT_POLICY = RetryPolicy()


def call_with_retry(
    call: Callable[[], T],
    *,
    what: str,
    passing: Callable[[Exception], bool],
    describe: Callable[[Exception], str] = lambda error: type(error).__name__,
    policy: RetryPolicy = DEFAULT_POLICY,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """`call()`, again while `passing(error)` says that its error may pass.

    what: names the operation and the object in the final message ("read s3://bucket/a.jpg").
    describe: a short text of an error that is safe to show: error texts may carry credentials.

    Raises TransientError when the tries are used up, or at once whatever will not pass.
    """
    started = time.monotonic()
    for tries in range(1, policy.attempts + 1):
        try:
            return call()
        except PcakdError:
            raise
        except Exception as error:
            if not passing(error):
                raise
            if tries == policy.attempts:
                spent = time.monotonic() - started
                raise TransientError(
                    f"cannot {what}: gave up after {tries} tries in {spent:.0f} s ({describe(error)}); "
                    "the same command again may help"
                ) from None
        sleep(policy.wait_s(tries))
    raise AssertionError("unreachable")
