"""The page in the browser: start-up, memory, seconds from drop to picture at 12 megapixels, two users at once.

python -m benchmarks.page       (starts `pcakd ui` on a free port; asks it as the page's scripts do)
"""

import io
import json
import re
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

SIZE = (4000, 3000)
"""12 megapixels."""
ROUNDS = 3


def main() -> None:
    began = time.perf_counter()
    words = [sys.executable, "-m", "flows.cli", "ui", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.findall(r"http://\S+", process.stdout.readline())[0]
        token = re.findall('data-token="(.*?)"', ask(f"{address}/").decode())[0]
        print(f"page answers after {time.perf_counter() - began:.2f} s")
        while json.loads(ask(f"{address}/api/health"))["waiting"]:
            time.sleep(0.05)
        print(f"stylizer ready after {time.perf_counter() - began:.2f} s, {memory(process):.0f} MB")
        pairs = [(photo(2 * seed), photo(2 * seed + 1)) for seed in range(ROUNDS)]
        alone = [drop(address, token, *pair) for pair in pairs]
        print("drop to picture, s:", ", ".join(f"{seconds:.2f}" for seconds in alone), f"; {memory(process):.0f} MB")
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda pair: drop(address, token, *pair), pairs[:2]))
        print("two users at once, s:", ", ".join(f"{seconds:.2f}" for seconds in both))
        again = [redraw(address, token, strength) for strength in (0.9, 0.8, 0.7)]
        print("a knob's redraw, s:", ", ".join(f"{seconds:.2f}" for seconds in again))
    finally:
        process.terminate()
        process.wait()
    files = [*Path("pcakd/ui/static").iterdir(), Path("pcakd/ui/page.html.j2")]
    print(f"templates, styles, scripts: {sum(path.stat().st_size for path in files) / 1000:.0f} kB")


def photo(seed: int) -> bytes:
    """A JPEG of smooth colours and some grain."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    grain = random.integers(-8, 8, (SIZE[1], SIZE[0], 3), np.int16)
    buffer = io.BytesIO()
    Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


last: dict[str, list[str]] = {}


def drop(address: str, token: str, content: bytes, style: bytes) -> float:
    """Both photos given, and the picture got."""
    began = time.perf_counter()
    given = [json.loads(ask(f"{address}/api/photos?name=a.jpg", token, data)) for data in (content, style)]
    last.update(contents=[given[0]["id"]], styles=[given[1]["id"]])
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
