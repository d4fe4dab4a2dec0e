"""What a run leaves in Prefect's interface: a report, a table of scores, links to pictures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks.bulk import BucketReport
from tasks.registry.stage import RegistrationOutcome
from tasks.stages.artifacts import link, publish
from tasks.stages.run import StageResult
from tasks.stages.session import Session

PICTURES = {"shards": "overview.png", "eigenbases": "spectrum.png", "students": "student.losses.png"}


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
    rows = [{"name": name, "value": _number(value)} for name, value in numbers.items()]
    publish(create_table_artifact, key=f"{result.stage}-numbers", table=rows, description=result.place)
    _publish_picture(result)


def publish_registration(result: RegistrationOutcome, scores: StageResult) -> None:
    publish(create_markdown_artifact, key="registration", markdown="\n".join(_registration_lines(result)))
    publish(create_table_artifact, key="scores", table=score_table(scores), description=scores.place)


def publish_bulk(report: BucketReport, dest: str) -> None:
    """Counts by status; the stage has linked the report, as it does where a job ends badly."""
    rows = [{"status": name, "results": count} for name, count in report.status.items()]
    publish(create_table_artifact, key="bulk-status", table=rows, description=f"{dest}, by {report.model}")
    publish(create_link_artifact, key="bulk-results", link=link(report.results), description="A row for every result")


def publish_pipeline(result: PipelineResult, session: Session) -> None:
    """The run's report, the table of scores, links to its pictures; the report goes to MLflow, too."""
    text = markdown(result)
    session.tracker.file("report.md", text.encode())
    session.tracker.metrics(result.scores.manifest["metrics"])
    session.tracker.tags({"pcakd.registered": result.registration.registered.uri})
    publish(create_markdown_artifact, key="pipeline-report", markdown=text, description="Distillation pipeline")
    publish(create_table_artifact, key="scores", table=score_table(result.scores), description=result.scores.place)
    for stage in (result.shards, result.eigenbases, result.student, result.scores):
        _publish_picture(stage)


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


def _publish_picture(result: StageResult) -> None:
    name = PICTURES.get(result.stage) or next(iter(result.manifest.get("pictures", [])), None)
    if name:
        publish(
            create_link_artifact,
            key=f"{result.stage}-picture",
            link=link(f"{result.place}/{name}"),
            description=f"{result.stage}: {name}",
        )


def _number(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
