"""What Prefect's own page makes of an artifact's pictures and links, in a real browser."""

import json
import time
import urllib.request

import pytest

from tasks.stages.artifacts import links, picture
from tasks.tracking.web import RunPage
from tests.assets.places import missing
from tests.corpus import jpeg
from tests.servers.browser import browser, why_not

pytestmark = pytest.mark.slow
SEEN = "[...document.images].filter(image => image.naturalWidth > 1 && image.src.startsWith('data:')).length"
HREFS = "[...document.links].map(link => link.href)"


def test_a_picture_within_an_artifact_is_visible_and_its_link_leads_to_mlflow(prefect):
    if reason := why_not():
        missing(reason)
    run = RunPage("http://mlflow.example:5000", "1", "abc")
    text = "\n\n".join([picture(jpeg(1, 1200, 1600), "losses.png"), links(run, "s3://b/w", report="report.html")])
    body = {"key": "students-picture", "type": "markdown", "data": text}
    request = urllib.request.Request(
        f"{prefect}/artifacts/", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        number = json.load(answer)["id"]
    with browser() as page:
        page.open(f"{prefect.removesuffix('/api')}/artifacts/artifact/{number}")
        deadline = time.monotonic() + 120
        while not page.evaluate(SEEN):
            assert time.monotonic() < deadline, page.evaluate("document.body.innerText")[:2000]
            time.sleep(0.2)
        found = page.evaluate(HREFS)
    assert run.url in found
    assert run.file("report.html") in found
    assert not any(href.startswith(("file:", "s3:")) for href in found)
