"""The automations on a real Prefect server: what a webhook hears of failures, overruns and new champions."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.automations import main
from pcakd.cli.main import run
from tasks.registry.names import CHAMPION_EVENT
from tests.servers.prefect_runs import Deployments
from tests.servers.processes import start


class Receiver:
    """A webhook: what was posted to it, parsed."""

    def __init__(self) -> None:
        heard = self.heard = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, event: str, cause: Callable[[], object]) -> dict:
        """The first message of an event. cause: makes it happen; again where a locked SQLite lost it."""
        deadline = due = time.monotonic()
        deadline += 240
        while not (found := [one for one in self.heard if one["event"] == event]):
            if time.monotonic() >= due:
                cause()
                due = time.monotonic() + 30
            assert time.monotonic() < deadline, self.heard
            time.sleep(0.2)
        return found[0]


def begin(server: Deployments, tags: list[str]) -> str:
    """A flow run that says it runs; its id."""
    flow = server.post("flows/", {"name": "stylize-bucket"})
    made = server.post("flow_runs/", {"flow_id": flow["id"], "name": f"run-{uuid.uuid4().hex[:6]}", "tags": tags})
    server.post(f"flow_runs/{made['id']}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    return made["id"]


@pytest.mark.slow
def test_a_webhook_hears_of_failures_overruns_and_champions_and_what_hangs_is_cancelled(prefect, tmp_path):
    receiver, server, log = Receiver(), Deployments(prefect, tmp_path), tmp_path / "log"
    words = ["infra.automations", "--webhook", receiver.url, "--overrun-hours", "0.003", "--end-hours", "0.004"]
    for _ in range(2):
        assert start(words, log, PREFECT_API_URL=prefect).wait(120) == 0, log.read_text()
    names = [one["name"] for one in server.post("automations/filter", {})]
    assert sorted(names) == [
        *("pcakd: a new champion", "pcakd: a run failed", "pcakd: a run overran", "pcakd: end what hangs"),
    ]

    runs: dict[str, list[str]] = {"pcakd": [], "elsewhere": [], "hanging": []}
    message = 'the bucket said "no"\nand then \\nothing'

    def fail() -> None:
        for tag in ("pcakd", "elsewhere"):
            runs[tag].append(begin(server, [tag]))
            state = {"type": "FAILED", "message": message}
            server.post(f"flow_runs/{runs[tag][-1]}/set_state", {"state": state, "force": True})

    def promote() -> None:
        event = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": CHAMPION_EVENT,
            "resource": {"prefect.resource.id": "pcakd.model.pcakd-vgg"},
            "payload": {"model": "models:/pcakd-vgg/7", "version": 7, "reason": "better in 'across'"},
        }
        server.send("events", [event])

    def hang() -> None:
        runs["hanging"].append(begin(server, ["pcakd"]))

    told = receiver.wait_for("new-champion", promote)
    assert told["text"] == "models:/pcakd-vgg/7 is champion: better in 'across'"
    told = receiver.wait_for("run-failed", fail)
    assert told["text"].endswith(f": Failed: {message}")
    assert told["flow"] == "stylize-bucket"
    assert told["run"] in runs["pcakd"]
    assert "runs for more than 0:00:10" in receiver.wait_for("run-overran", hang)["text"]
    deadline = time.monotonic() + 120
    while not any(server.state(run)["type"] in ("CANCELLING", "CANCELLED") for run in runs["hanging"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not [one for one in receiver.heard if one.get("run") in runs["elsewhere"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--webhook", "hooks.example"], "give an http:// or https:// address"),
        ([], "PREFECT_API_URL is not set"),
    ],
)
def test_a_mistake_is_one_line(words, told, capsys):
    assert run(main, words) == 2
    assert told in capsys.readouterr().err
