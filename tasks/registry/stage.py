"""A student and its scores → a version in the model registry, and perhaps the champion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pcakd.errors import TransientError
from pcakd.storage import open_storage
from tasks.registry import Decision, Gate, Registered, champion_of, promote, register
from tasks.stages.run import stage_task
from tasks.stages.session import Session


@dataclass(frozen=True, kw_only=True)
class RegistrationOutcome:
    """registered: the version; decision: whether it is the champion, and why."""

    registered: Registered
    decision: Decision


@stage_task("find-champion")
def champion_stage(session: Session, *, backbone: str) -> Registered | None:
    """The champion of a backbone, None where there is none yet."""
    return champion_of(backbone, settings=session.settings)


@stage_task("register-student")
def register_stage(
    session: Session,
    *,
    model: str,
    metrics: Mapping[str, float],
    champion_metrics: Mapping[str, float] | None,
    gate: Gate,
    facts: Mapping[str, Any] | None = None,
) -> RegistrationOutcome:
    """Register a checkpoint file and let it try for champion.

    metrics, champion_metrics: measured on the same photos; None where there is no champion.
    """
    place, _, name = model.rpartition("/")
    checkpoint = open_storage(place or ".").read(name)
    with session.tracker.child("registration") as run:
        run_id = run.mlflow_run()
        if run_id is None:
            raise TransientError(
                "MLflow does not answer, so nothing can be registered yet; the model is in the workspace"
            )
        tags = {f"pcakd.metric.{key}": round(float(value), 6) for key, value in metrics.items()}
        registered = register(checkpoint, settings=session.settings, mlflow_run=run_id, tags=tags | dict(facts or {}))
        decision = promote(registered, metrics, champion_metrics, gate, settings=session.settings)
        run.params({"version": registered.uri, "tolerance": gate.tolerance, "axes": ",".join(gate.axes)})
        run.tags(
            {
                "pcakd.outcome": "made" if registered.created else "reused",
                "pcakd.champion": decision.passed,
                "pcakd.reason": decision.reason,
            }
        )
        session.log.info(
            "%s: %s (%s)", registered.uri, "champion" if decision.passed else "challenger", decision.reason
        )
    return RegistrationOutcome(registered=registered, decision=decision)
