"""What a report must be in a browser, whoever wrote it."""

import urllib.request
from collections import Counter
from itertools import pairwise
from urllib.parse import urljoin

import pyarrow as pa

from tests.servers.browser import Browser

CONTRAST = """
(() => {
  const light = text => {
    const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const low = [];
  for (const element of document.querySelectorAll("main *")) {
    const words = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!words || element.tagName === "title") continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(element.closest("svg") ? style.fill : style.color), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) low.push(`${element.tagName} ${element.textContent.slice(0, 40)} ${contrast.toFixed(2)}`);
  }
  return low;
})()
"""
"""Elements whose text stands out from its ground by less than 4.5 to 1, the bound of WCAG 2.2 AA."""

TOTALS = """
Object.fromEntries([...document.querySelectorAll("#status tbody tr")]
  .map(row => [row.dataset.status, Number(row.querySelector(".count").textContent.replaceAll(",", ""))]))
"""


def check_in_browser(page: Browser, address: str, rows: pa.Table, items: int) -> None:
    """Open a report and check that it is whole, quiet, self-contained, legible, and says what the rows say.

    rows: one for each item that has any; items: of the listing.
    """
    for dark in (False, True):
        page.emulate(dark=dark)
        page.open(address)
        assert page.complaints == []
        assert [url for url in page.requests if not url.startswith("data:")] == [address]
        assert page.evaluate(CONTRAST) == []
    counts = Counter(rows["status"].to_pylist())
    if items > len(rows):
        counts["pending"] = items - len(rows)
    assert page.evaluate(TOTALS) == dict(counts)
    assert page.evaluate("document.querySelector('#items').textContent") == f"{items:,}"
    assert page.evaluate("document.scripts.length + document.querySelectorAll('iframe, object, embed').length") == 0
    pictures = page.evaluate("[...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt])")
    assert all(decoded and alt for decoded, alt in pictures)
    assert bool(page.evaluate("document.querySelectorAll('.example img').length")) == bool(counts["ok"])
    for link in page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"):
        with urllib.request.urlopen(urljoin(address, link)) as answer:
            assert answer.status == 200
    assert page.evaluate("[...document.querySelectorAll('th')].every(h => h.scope)")
    assert page.evaluate(
        "[...document.querySelectorAll('svg')].every(s => s.ariaHidden || (s.role === 'img' && s.ariaLabel))"
    )
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(later - sooner <= 1 for sooner, later in pairwise(levels))
    page.emulate(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate(dark=True, media="print")
    assert page.evaluate(CONTRAST) == []
    assert page.pdf().startswith(b"%PDF")
    page.emulate()
