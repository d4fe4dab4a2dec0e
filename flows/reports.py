"""What a run leaves in Prefect's interface: a report, a table of scores, pictures, links to MLflow."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from prefect.artifacts import create_table_artifact
from prefect.events import emit_event

from pcakd.drift.verdict import Verdict
from pcakd.errors import PcakdError
from pcakd.storage import open_storage
from tasks.bulk import BucketReport
from tasks.registry.names import CHAMPION_EVENT
from tasks.registry.stage import RegistrationOutcome
from tasks.stages.artifacts import links, picture, publish, publish_text
from tasks.stages.run import StageResult
from tasks.stages.session import Session
from tasks.tracking.web import RunPage
from tasks.workspace.prune import Stock
from tasks.workspace.show import line

MLFLOW_DESCRIPTION = "mlflow.note.content"
"""The tag whose value MLflow shows as a run's description."""
PICTURES = {
    "shards": "overview.png",
    "drift": "drift.png",
    "eigenbases": "spectrum.png",
    "students": "student.losses.png",
}


class PipelineResult(NamedTuple):
    """What a pipeline run made or found."""

    shards: StageResult
    eigenbases: StageResult
    student: StageResult
    scores: StageResult
    model: str
    registration: RegistrationOutcome


def publish_stage(result: StageResult, numbers: Mapping[str, Any]) -> None:
    """A stage's numbers and its picture."""
    page = _page(result)
    rows = [{"name": name, "value": _number(value)} for name, value in numbers.items()]
    described = links(page, result.place)
    publish(create_table_artifact, key=f"{result.stage}-numbers", table=rows, description=described)
    _publish_picture(result, page)


def publish_registration(result: RegistrationOutcome, scores: StageResult, session: Session) -> None:
    """What became of the student in the registry, and its scores."""
    page = session.tracker.page()
    publish_text("registration", *_registration_lines(result), links(page, ""), description="Registration")
    publish(create_table_artifact, key="scores", table=score_table(scores), description=links(page, scores.place))


def publish_champion(result: RegistrationOutcome) -> None:
    """Tell Prefect, and so its automations, that a version has become champion."""
    registered = result.registered
    publish(
        emit_event,
        event=CHAMPION_EVENT,
        resource={"prefect.resource.id": f"pcakd.model.{registered.name}", "prefect.resource.name": registered.name},
        payload={"model": registered.uri, "version": registered.version, "reason": result.decision.reason},
    )


def publish_drift(result: StageResult, verdict: Verdict, begin_with: str = "") -> None:
    """How far the photos have moved, and what follows from it. begin_with: a student that was asked for in place of
    what the verdict would begin with."""
    rows = [
        {"against": one["name"], "level": level} | {name: _number(value) for name, value in values.items()}
        for one in (result.manifest["before"], result.manifest["champion"])
        if one is not None
        for level, values in enumerate(one["levels"])
    ]
    lines = [
        f"**{'Worth a training' if verdict.worth else 'Nothing worth training for'}**: {verdict.why}. "
        f"A training begins with {begin_with or f'the {verdict.start}'}.",
        *(f"- {text}" for text in verdict.warnings),
    ]
    page = _page(result)
    publish_text("drift", *lines, links(page, result.place), description="Drift")
    publish(create_table_artifact, key="drift-levels", table=rows, description=links(page, result.place))
    _publish_picture(result, page)


def publish_bulk(report: BucketReport, dest: str) -> None:
    """Counts by status; the stage has shown the report, as it does where a job ends badly."""
    rows = [{"status": name, "results": count} for name, count in report.status.items()]
    described = f"`{dest}`, by {report.model}; a row for every result in `{report.results}`"
    publish(create_table_artifact, key="bulk-status", table=rows, description=described)


def publish_stock(stock: Stock, *, removed: bool) -> None:
    """The outputs that nobody needs, or needed."""
    title = f"{'Removed' if removed else 'Nobody needs'} {len(stock.unneeded)} of {len(stock.outputs)} outputs."
    publish_text("workspace", title, "\n".join(f"- {line(one)}" for one in stock.unneeded), description="Workspace")


def publish_pipeline(result: PipelineResult, session: Session) -> None:
    """The run's report with its pictures, the table of scores; the report goes to MLflow, too."""
    text = markdown(result)
    session.tracker.file("report.md", text.encode())
    session.tracker.metrics(result.scores.manifest["metrics"])
    session.tracker.tags({"pcakd.registered": result.registration.registered.uri, MLFLOW_DESCRIPTION: text})
    page = session.tracker.page()
    described = links(page, result.scores.place)
    publish_text("pipeline-report", text, links(page, ""), description="Distillation pipeline")
    publish(create_table_artifact, key="scores", table=score_table(result.scores), description=described)
    for stage in (result.shards, result.eigenbases, result.student, result.scores):
        _publish_picture(stage, _page(stage) if page else None)


def markdown(result: PipelineResult) -> str:
    """The report of a pipeline run."""
    manifest = result.student.manifest
    lines = [
        "# Distillation",
        "",
        *_registration_lines(result.registration),
        "",
        f"Teacher {manifest['teacher'].get('id')}, student {manifest['backbone']} with "
        f"{'/'.join(map(str, manifest['channels']))} channels, from "
        f"{result.shards.manifest['status'].get('ok', 0):,} photos.",
        "",
        "| stage | key | outcome | place |",
        "| --- | --- | --- | --- |",
    ]
    for stage in (result.shards, result.eigenbases, result.student, result.scores):
        outcome = "found" if stage.reused else "made"
        lines.append(f"| {stage.stage} | {stage.key} | {outcome} | {stage.place} |")
    table = score_table(result.scores)
    lines += ["", "| " + " | ".join(table[0]) + " |", "| --- |" + " ---: |" * (len(table[0]) - 1)]
    for row in table:
        lines.append("| " + " | ".join(str(value) for value in row.values()) + " |")
    return "\n".join(lines) + "\n"


def score_table(scores: StageResult) -> list[dict[str, Any]]:
    """One row a method: the student as users run it, the paper's transfer on its features, then the baselines."""
    metrics, baselines = scores.manifest["metrics"], scores.manifest["baselines"]
    shared = next(iter(baselines.values()))
    own = {name: metrics[f"own.{name}"] for name in shared}
    methods = {"student": {name: metrics[name] for name in shared}, "student (paper's)": own, **baselines}
    return [
        {"method": name} | {metric: _number(value) for metric, value in values.items()}
        for name, values in methods.items()
    ]


def _registration_lines(result: RegistrationOutcome) -> list[str]:
    registered, decision = result.registered, result.decision
    return [f"**{registered.uri}** is {'champion' if decision.passed else 'challenger'}: {decision.reason}."]


def _page(result: StageResult) -> RunPage | None:
    return result.run.page() if result.run is not None else None


def _publish_picture(result: StageResult, page: RunPage | None) -> None:
    name = PICTURES.get(result.stage) or next(iter(result.manifest.get("pictures", [])), None)
    if not name:
        return
    try:
        shown = picture(open_storage(result.place).read(name), name)
    except (PcakdError, OSError) as error:  # the work is done, whatever became of its picture
        shown = f"{name} cannot be shown: {error}"
    publish_text(f"{result.stage}-picture", shown, links(page, result.place), description=f"{result.stage}: {name}")


def _number(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
