"""Draw docs/pictures/prefect-*.jpg and mlflow-*.jpg: a pipeline run on real servers, their pages in Chromium.

python -m docs.pictures.services       (from the repository's root; needs what the tests need)
"""

import io
import json
import os
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

from flows.demo.__main__ import RECIPE
from pcakd.files import write_atomic
from pcakd.photos.images import encode_photo
from tests.servers.browser import Browser, browser
from tests.servers.processes import MlflowServer, prefect_server

WIDTH, HEIGHT = 1200, 900
"""Of the window, pixels."""
STEPS = 120
SETTLED_S = 3.0
"""How long a page that draws itself is left alone once it shows what was waited for."""
MODEL = "pcakd-mobilenet"
LEAF = "[...document.querySelectorAll('a, button, div, li, span, [role=tab]')].filter(e => e.innerText?.trim() === {0})"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pcakd-") as name, prefect_server(Path(name)) as api:
        folder = Path(name)
        mlflow = MlflowServer(folder)
        mlflow.start()
        try:
            run_pipeline(folder, api, mlflow.uri)
            with browser() as chromium:
                chromium.emulate(width=WIDTH)
                prefect_pages(chromium, api)
                mlflow_pages(chromium, mlflow.uri)
        finally:
            mlflow.stop()


def run_pipeline(folder: Path, api: str, tracking: str) -> None:
    """The demo's pipeline, on these servers."""
    os.environ |= {
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(folder / "prefect"),
        "MLFLOW_TRACKING_URI": tracking,
        "PCAKD_HOME": str(folder / "home"),
        "PCAKD_WORKSPACE": str(folder / "workspace"),
    }
    os.environ.pop("RAY_ADDRESS", None)
    import flows

    flows.quiet_environment()
    from flows.demo.run import run_demo

    run_demo(folder / "demo", RECIPE, STEPS, print)


def prefect_pages(chromium: Browser, api: str) -> None:
    """The pipeline's run with its artifacts, and the one with the evaluation's pictures."""
    asked = {"flows": {"name": {"any_": ["distillation-pipeline"]}}}
    (run,) = _asked(f"{api}/flow_runs/filter", asked)
    chromium.open(f"{api.removesuffix('/api')}/runs/flow-run/{run['id']}")
    _click(chromium, "Artifacts")
    _wait(chromium, "evaluations-picture")
    _keep(chromium, "prefect-run")
    _click(chromium, "evaluations-picture")
    _wait(chromium, "evaluations: graded-01.jpg")
    _keep(chromium, "prefect-picture")


def mlflow_pages(chromium: Browser, address: str) -> None:
    """The pipeline's run, the registered model and its version."""
    chromium.open(address)  # its assistant would cover a third of each page
    chromium.evaluate("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
    _click(chromium, "Model training")
    (experiment,) = _asked(
        f"{address}/api/2.0/mlflow/experiments/search", {"max_results": 1, "filter": "name = 'pcakd'"}
    )["experiments"]
    runs = _asked(f"{address}/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    (run,) = [one["info"] for one in runs if one["info"]["run_name"].startswith("mobilenet ")]
    for name, place, words in (
        ("mlflow-run", f"experiments/{experiment['experiment_id']}/runs/{run['run_id']}", run["run_name"]),
        ("mlflow-model", f"models/{MODEL}", MODEL),
        ("mlflow-version", f"models/{MODEL}/versions/1", "Version 1"),
    ):
        chromium.open("about:blank")  # else only the address's last part would change, and nothing be loaded
        chromium.open(f"{address}/#/{place}")
        _wait(chromium, words)
        _keep(chromium, name)


def _asked(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _wait(chromium: Browser, words: str) -> None:
    """Until a page shows words, and all its pictures are there."""
    deadline = time.monotonic() + 60
    there = f"document.body.innerText.includes({json.dumps(words)}) && [...document.images].every(one => one.complete)"
    while not chromium.evaluate(there):
        assert time.monotonic() < deadline, chromium.evaluate("document.body.innerText")[:2000]
        time.sleep(0.2)
    time.sleep(SETTLED_S)


def _click(chromium: Browser, words: str) -> None:
    _wait(chromium, words)
    chromium.evaluate(LEAF.format(json.dumps(words)) + ".at(-1).click()")


def _keep(chromium: Browser, name: str) -> None:
    shot = Image.open(io.BytesIO(chromium.screenshot())).convert("RGB").crop((0, 0, WIDTH, HEIGHT))
    write_atomic(Path(__file__).with_name(f"{name}.jpg"), encode_photo(shot, "JPEG", quality=80))


if __name__ == "__main__":
    main()
