"""A student and its scores → a version in the model registry, and perhaps the champion."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcakd.errors import TransientError
from pcakd.storage import open_storage
from tasks.registry import Decision, Gate, Incumbents, Registered, Rivals, incumbents_of, promote, register
from tasks.registry.names import BASELINE_TAG, METRIC_TAG, PAGE_TAG, PICTURE_TAG, REASON_TAG
from tasks.registry.versions import score
from tasks.stages.artifacts import shrunk
from tasks.stages.run import stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

PAGE_WIDTH = 760
"""Longest side, pixels, of the picture on a page of MLflow's, which does not shrink it."""


@dataclass(frozen=True, kw_only=True)
class RegistrationOutcome:
    """registered: the version; decision: whether it is the champion, and why."""

    registered: Registered
    decision: Decision


@stage_task("find-champion")
def champion_stage(session: Session, *, backbone: str) -> Incumbents:
    """Whom a new student of a backbone is to be measured against."""
    return incumbents_of(backbone, settings=session.settings)


@stage_task("register-student")
def register_stage(
    session: Session,
    *,
    model: str,
    scores: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    rivals: Rivals,
    gate: Gate,
    facts: Mapping[str, Any] | None = None,
    held: str = "",
    picture: str = "",
) -> RegistrationOutcome:
    """Register a checkpoint file and let it try for champion.

    scores, baselines, rivals: measured on the same photos. held: why it is not to become champion whatever it scores.
    picture: address of a picture of what the student does, for its pages in MLflow; "" for none.
    """
    place, _, name = model.rpartition("/")
    checkpoint = open_storage(place or ".").read(name)
    with session.tracker.child("registration") as run:
        run_id = run.mlflow_run()
        if run_id is None:
            raise TransientError(
                "MLflow does not answer, so nothing can be registered yet; the model is in the workspace"
            )
        page = session.tracker.page()
        shown = {PICTURE_TAG: f"{run_id}/{_keep_picture(run, picture)}"} if picture else {}
        registered = register(
            checkpoint,
            settings=session.settings,
            mlflow_run=run_id,
            tags=score_tags(scores, baselines) | dict(facts or {}) | shown | ({PAGE_TAG: page.url} if page else {}),
        )
        score(registered, scores, settings=session.settings)
        decision = promote(
            registered,
            scores,
            baselines,
            rivals,
            gate,
            settings=session.settings,
            run=run_id,
            who=session.holder,
            held=held,
        )
        run.params({"version": registered.uri, "tolerance": gate.tolerance, "axes": ",".join(gate.axes)})
        run.params({f"floor.{name}": value for name, value in vars(gate.floors).items()})
        run.tags(
            {
                "pcakd.outcome": "made" if registered.created else "reused",
                "pcakd.champion": decision.passed,
                REASON_TAG: decision.reason,
            }
        )
        session.log.info(
            "%s: %s (%s)", registered.uri, "champion" if decision.passed else "challenger", decision.reason
        )
    return RegistrationOutcome(registered=registered, decision=decision)


def _keep_picture(run: Tracker, address: str) -> str:
    """Put a picture, shrunk, into the run; its path there."""
    place, _, name = address.rpartition("/")
    kept = f"{Path(name).stem}.webp"
    run.file(kept, shrunk(open_storage(place).read(name), PAGE_WIDTH))
    return kept


def score_tags(scores: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Scores as tags of a version."""
    tags = {f"{METRIC_TAG}{name}": round(float(value), 6) for name, value in scores.items()}
    for method, values in baselines.items():
        tags |= {f"{BASELINE_TAG}{method}.{name}": round(float(value), 6) for name, value in values.items()}
    return tags
