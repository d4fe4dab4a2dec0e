"""Word that a run has ended: a signed JSON message, posted to an address. It never fails a job, and delays it little.

    word = Notifier.to("https://ops.example/bulk")        # None where there is no address
    word.send({"event": "finished", ...})                 # "" or, in words, why it did not arrive

The receiver takes HMAC-SHA256 of the header `X-Pcakd-Timestamp`, a full stop and the body, under the secret that both
know, and compares it with `X-Pcakd-Signature`; a message that is old, or whose `id` came before, is no news.
"""

import hmac
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pcakd.environment import setting
from pcakd.errors import UsageError

SECRET = "PCAKD_NOTIFY_SECRET"
TIMEOUT_S, PAUSES_S = 5.0, (1.0, 3.0)
"""Of a try; between tries."""
LONGEST_S = 20.0
"""For all of it, name look-up and a server that answers byte by byte included."""


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """An address that is told."""

    url: str = field(repr=False)  # it may hold a token
    secret: str = field(repr=False)

    @classmethod
    def to(cls, url: str) -> "Notifier | None":
        """None for "". Raises UsageError for what is no address, and where there is no secret to sign with."""
        if not url:
            return None
        check_address(url)
        if not (secret := setting(SECRET)):
            raise UsageError(f"notify wants a secret that messages are signed with: set {SECRET}, here and there")
        return cls(url=url, secret=secret)

    def send(self, message: dict[str, Any], *, longest_s: float = LONGEST_S) -> str:
        """Post a message, again where it may help; "" or, in words, why it did not arrive. Takes longest_s at most."""
        why = [f"no answer within {longest_s:g} s"]
        body = json.dumps(message, allow_nan=False).encode()
        thread = threading.Thread(target=self._tries, args=(body, why), name="bulk-notify", daemon=True)
        thread.start()
        thread.join(longest_s)
        return f"{urlsplit(self.url).hostname} was not told: {why[0]}" if why[0] else ""

    def _tries(self, body: bytes, why: list[str]) -> None:
        for pause in (*PAUSES_S, None):
            again, why[0] = self._post(body)
            if not again or pause is None:
                return
            time.sleep(pause)

    def _post(self, body: bytes) -> tuple[bool, str]:
        """(whether another try may help, what was wrong)."""
        moment = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "pcakd",
            "X-Pcakd-Timestamp": moment,
            "X-Pcakd-Signature": signature(self.secret, moment, body),
        }
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")
        try:
            _OPENER.open(request, timeout=TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code >= 500 or error.code in (408, 429), f"it answers HTTP status {error.code}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            return True, f"it cannot be reached ({getattr(reason, 'strerror', None) or type(reason).__name__})"
        return False, ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would be followed without the body; it is told as the status that it is."""

    def redirect_request(self, *args: Any, **keywords: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a message is signed with: "sha256=" and 64 hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()


def check_address(url: str) -> None:
    """Raise UsageError for what is no http or https address. It may hold a token, and is not told."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii() or any(c.isspace() for c in url):
        raise UsageError("notify is no address: give a URL such as https://ops.example/bulk")
