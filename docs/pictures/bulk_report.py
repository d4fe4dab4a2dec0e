"""Draw docs/pictures/bulk-report.jpg: a real bulk job on an S3 server in this process, its report in Chromium.

python -m docs.pictures.bulk_report       (from the repository's root; needs what the tests need)
"""

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from flows.demo.photos import PHOTOS, demo_photo
from pcakd.files import write_atomic
from pcakd.photos.images import encode_photo, read_photo, to_image
from pcakd.storage import Storage, open_storage
from tests.servers.browser import browser, served
from tests.servers.s3 import S3Server

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 1000, 2450
"""Of the part that is shown, pixels."""


def main() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = S3Server(endpoint=f"http://{host}:{port}", access_key="drawing", secret_key="drawing")
    os.environ |= s3.environment()
    for bucket in ("photos", "stylized"):
        s3.client().create_bucket(Bucket=bucket)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(open_storage("s3://photos/2026"))
        words = ["stylize-bucket", "s3://photos/2026", "s3://stylized/2026"]
        words += ["--style", f"dawn={demo_photo('rocket')}", "--style", f"garden={demo_photo('flower')}"]
        done = subprocess.run([sys.executable, "-m", "flows.cli", *words], cwd=ROOT, check=False)
        if done.returncode != 3:
            raise SystemExit(f"the job ended with {done.returncode}")
        page = copy_out(open_storage("s3://stylized/2026"), folder / "out")
        shot = take_picture(folder / "out", page)
    server.stop()
    picture = Image.open(io.BytesIO(shot)).convert("RGB").crop((0, 0, WIDTH, HEIGHT))
    write_atomic(Path(__file__).with_name("bulk-report.jpg"), encode_photo(picture, "JPEG", quality=84))


def fill(source: Storage) -> None:
    """Photographs that are free to show, each whole and without one of its edges, and three objects that are none."""
    for name in PHOTOS:
        image = to_image(read_photo(demo_photo(name)).rgb)
        wide, high = image.width // 6, image.height // 6
        for number, box in enumerate(((0, 0, 0, 0), (wide, high, 0, 0), (0, 0, wide, high), (wide, 0, 0, high))):
            left, top, right, bottom = box
            part = image.crop((left, top, image.width - right, image.height - bottom))
            source.write(f"{name}-{number}.jpg", encode_photo(part, "JPEG", quality=95))
    source.write("upload-failed.jpg", b"")
    source.write("notes.txt", b"no photograph")
    source.write("cut-short.jpg", demo_photo("temple").read_bytes()[:20_000])


def copy_out(dest: Storage, folder: Path) -> str:
    """Fetch all that the job wrote; the report's place under `folder`."""
    for entry in dest.list():
        path = folder / entry.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dest.read(entry.key))
    (page,) = folder.rglob("report.html")
    totals = json.loads(page.with_name("report.json").read_text())["totals"]
    assert totals["items"] == sum(totals["status"].values())
    return page.relative_to(folder).as_posix()


def take_picture(folder: Path, page: str) -> bytes:
    with served(folder) as address, browser() as chromium:
        chromium.emulate(width=WIDTH)
        chromium.open(f"{address}/{page}")
        return chromium.screenshot()


if __name__ == "__main__":
    main()
