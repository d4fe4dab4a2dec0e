"""Flows that register and promote as processes of their own, killed on their way or two at once.

`python -m tests.tasks.registry.processes SETTINGS.json` imports what they need once, then forks for each: before any of
them has touched the store.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from pcakd.student.checkpoint import checkpoint_bytes
from tasks.registry import Registered, Rivals, incumbents_of, promote, register
from tasks.registry.names import VERIFIED_TAG
from tasks.settings import Settings
from tests.models import random_checkpoint
from tests.tasks.registry.bare import BASELINES, FLOOR_SCORES, GATE, Model

KILLED_BEFORE = (
    ("create_model_version", ""),
    ("set_model_version_tag", "pcakd.verified"),
    ("set_registered_model_alias", "challenger"),
    ("log_param", "move."),
    ("set_registered_model_alias", "champion"),
    ("set_registered_model_tag", "pcakd.move."),
    ("update_model_version", ""),
)
"""Calls that change the registry, in the order in which a registration and its promotion make them; and a word of their
arguments."""


def forked(work: Callable[[], Any]) -> int:
    """A child that does something; its process id. It ends with exit code 0, or 1 after an exception."""
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """How a child has ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def flow(settings: Settings, call: str = "", word: str = "") -> None:
    """Register a student and let it try for champion. call, word: the call before which the process is killed."""
    if call:
        before = getattr(MlflowClient, call)

        def die(*args: Any, **kwargs: Any) -> Any:
            if word in " ".join(map(str, (*args[1:], *kwargs.values()))):
                os.kill(os.getpid(), signal.SIGKILL)
            return before(*args, **kwargs)

        setattr(MlflowClient, call, die)
    student = random_checkpoint(seed=17)
    registered = register(checkpoint_bytes(student.student, student.metadata), settings=settings)
    champion = incumbents_of("vgg", settings=settings).champion
    rivals = Rivals(champion=champion and {"score": 1.0}, champion_version=champion and champion.version)
    scores = FLOOR_SCORES | {"score": 1.0}
    promote(registered, scores, BASELINES, rivals, GATE, settings=settings, who="flow x")


def killed(settings: Settings) -> list[dict[str, Any]]:
    """Run the flow again and again, each time killed a little later; how each ended and what its death left."""

    def look() -> None:
        model = next(iter(MlflowClient(settings.tracking_uri).search_registered_models("name = 'pcakd-vgg'")), None)
        version = model and next(iter(model.latest_versions), None)
        seen = {"aliases": model.aliases if model else {}, "verified": bool(version and version.tags.get(VERIFIED_TAG))}
        (settings.home / "seen.json").write_text(json.dumps(seen))

    found = []
    for call, word in (*KILLED_BEFORE, ("", "")):
        code = ended(forked(partial(flow, settings, call, word)))
        assert ended(forked(look)) == 0
        found.append({"code": code} | json.loads((settings.home / "seen.json").read_text()))
    return found


def at_once(settings: Settings, rounds: int) -> list[dict[str, Any]]:
    """Rounds of two flows that try for champion at once, each with a version of its own, measured against the same
    champion: what each was told."""

    def make() -> None:
        Model(settings, "pcakd-raced", 2 * rounds)

    def try_for(version: int, champion: int, go: int) -> None:
        registered = Registered(name="pcakd-raced", version=version, digest=str(version), created=False)
        rivals = Rivals(champion={"score": 1.0} if champion else None, champion_version=champion or None)
        os.read(go, 1)
        decision = promote(registered, FLOOR_SCORES | {"score": 2.0}, BASELINES, rivals, GATE,
                           settings=settings, who=f"flow {version}")  # fmt: skip
        told = {"promoted": decision.promoted, "moved": decision.moved, "reason": decision.reason}
        (settings.home / f"told-{version}.json").write_text(json.dumps(told))

    assert ended(forked(make)) == 0
    found, champion = [], 0
    for first in range(1, 2 * rounds, 2):
        go, start = os.pipe()
        pair = (first, first + 1)
        children = [forked(partial(try_for, version, champion, go)) for version in pair]
        os.write(start, b"gg")
        assert [ended(child) for child in children] == [0, 0]
        told = {version: json.loads((settings.home / f"told-{version}.json").read_text()) for version in pair}
        champion = next((version for version in pair if told[version]["promoted"]), champion)
        found.append({"champion": champion, "told": list(told.values())})
    return found


if __name__ == "__main__":
    for module in ("pyfunc", "store.tracking.sqlalchemy_store", "store.model_registry.sqlalchemy_store"):
        importlib.import_module(f"mlflow.{module}")  # else each child would for itself
    importlib.import_module("tasks.registry.package")
    uri, folder, what = sys.argv[1:]
    where = Settings(home=Path(folder), workspace=folder, tracking_uri=uri, experiment="champions")
    print(json.dumps(killed(where) if what == "killed" else at_once(where, 3)))
