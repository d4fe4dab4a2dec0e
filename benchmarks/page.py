"""The page in the browser: start-up, memory, seconds from drop to picture at 12 megapixels, two users at once.

python -m benchmarks.page       (starts `pcakd ui` on a free port; asks it as the page's scripts do)

Seconds are those that somebody waits, and in brackets the CPU seconds of the page's process, which hardly depend on
what else the machine does. The load stands at the beginning and the end.
"""

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

SIZE = (4000, 3000)
"""12 megapixels."""
ROUNDS = 3


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} threads")
    began = time.perf_counter()
    words = [sys.executable, "-m", "flows.cli", "ui", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.findall(r"http://\S+", process.stdout.readline())[0]
        token = re.findall('data-token="(.*?)"', ask(f"{address}/").decode())[0]
        print(f"page answers after {time.perf_counter() - began:.2f} s ({used(process):.2f})")
        while json.loads(ask(f"{address}/api/health"))["waiting"]:
            time.sleep(0.05)
        print(
            f"stylizer ready after {time.perf_counter() - began:.2f} s ({used(process):.2f}), {memory(process):.0f} MB"
        )
        pairs = [(photo(2 * seed), photo(2 * seed + 1)) for seed in range(ROUNDS)]
        alone = [timed(process, lambda pair=pair: drop(address, token, *pair)) for pair in pairs]  # type: ignore[misc]
        print(f"both photos dropped, to picture: {', '.join(alone)}; {memory(process):.0f} MB")
        more = [timed(process, lambda pair=pair: drop(address, token, pair[0])) for pair in pairs]  # type: ignore[misc]
        print("another photo dropped, to picture:", ", ".join(more))
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda pair: drop(address, token, *pair), pairs[:2]))
        print("two users at once:", ", ".join(f"{seconds:.2f} s" for seconds in both))
        again = [timed(process, lambda s=s: redraw(address, token, s)) for s in (0.9, 0.8, 0.7)]  # type: ignore[misc]
        print("a knob's redraw:", ", ".join(again))
    finally:
        process.terminate()
        process.wait()
    files = [*Path("pcakd/ui/static").iterdir(), Path("pcakd/ui/page.html.j2")]
    print(f"templates, styles, scripts: {sum(path.stat().st_size for path in files) / 1000:.0f} kB")
    print(f"load {os.getloadavg()[0]:.1f}")


def timed(process: subprocess.Popen, work: Callable[[], float]) -> str:
    before = used(process)
    return f"{work():.2f} s ({used(process) - before:.2f})"


def used(process: subprocess.Popen) -> float:
    """CPU seconds of the page's process."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def photo(seed: int) -> bytes:
    """A JPEG of smooth colours and some grain."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    grain = random.integers(-8, 8, (SIZE[1], SIZE[0], 3), np.int16)
    buffer = io.BytesIO()
    Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


last: dict[str, list[str]] = {}


def drop(address: str, token: str, *photos: bytes) -> float:
    """A content, or it and a style, given, and the picture got."""
    began = time.perf_counter()
    given = [json.loads(ask(f"{address}/api/photos?name=a.jpg", token, data)) for data in photos]
    last.update({kind: [one["id"]] for kind, one in zip(("contents", "styles"), given, strict=False)})
    ask(f"{address}/api/preview", token, json.dumps({**last, "model": "vgg"}).encode())
    return time.perf_counter() - began


def redraw(address: str, token: str, strength: float) -> float:
    began = time.perf_counter()
    record = {**last, "model": "vgg", "options": {"strength": strength}}
    ask(f"{address}/api/preview", token, json.dumps(record).encode())
    return time.perf_counter() - began


def ask(address: str, token: str = "", body: bytes | None = None) -> bytes:
    request = urllib.request.Request(address, body, {"x-pcakd-page": token})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def memory(process: subprocess.Popen) -> float:
    """Resident, MB."""
    return psutil.Process(process.pid).memory_info().rss / 1e6


if __name__ == "__main__":
    main()
