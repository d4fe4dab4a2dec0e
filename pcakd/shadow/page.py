"""The page of a shadow run: one HTML file, no script, nothing loaded, every value escaped."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pcakd.bulk.report.template import page_environment
from pcakd.photos.outcomes import NO_FAILURES
from pcakd.shadow.compare import JUST_SEEN, MEASURES, WHO, Case

ROWS = 500
"""Cases in the page's table; all are in shadow.json."""


def page(facts: Mapping[str, Any], worst: Sequence[Case], cases: Sequence[Mapping[str, Any]]) -> bytes:
    """facts: title, champion, challenger, source, styles, options, summary, status; worst: with pictures; cases: all,
    in the order of the table."""
    good = [one for one in cases if one["status"] in NO_FAILURES]
    text = (
        page_environment("pcakd.shadow")
        .get_template("shadow.html.j2")
        .render(
            **facts,
            models={one: facts[one] for one in WHO},
            worst=[(case, [_address(picture) for picture in case.pictures]) for case in worst],
            table=good[:ROWS],
            left=max(0, len(good) - ROWS),
            failed=[one for one in cases if one["status"] not in NO_FAILURES],
            measures=MEASURES,
            who=WHO,
            just_seen=JUST_SEEN,
        )
    )
    return text.encode()


def _address(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
