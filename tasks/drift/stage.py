"""A generation with its eigenbases → how far it has moved, and what that means."""

from typing import Any

from pcakd.drift.options import DriftPolicy
from pcakd.drift.plot import draw_drift
from pcakd.drift.verdict import Verdict, judge
from pcakd.eigenbases.extraction import Extraction
from pcakd.eigenbases.files import eigenbases_from, moments_from
from pcakd.eigenbases.options import Widths
from pcakd.errors import TransientError
from pcakd.shards import open_dataset
from pcakd.storage import open_storage
from pcakd.storage.stage import StageOutput, canonical_json
from tasks.drift.before import Fits, Reference, champion_reference, comparison, fitted_before
from tasks.eigenbases.config import FitConfig
from tasks.eigenbases.job import EIGENBASES_FILE, MOMENTS_FILE
from tasks.registry.versions import Registered
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

STAGE = "drift"
PICTURE, MEASURES = "drift.png", "drift.json"
TOLD = ("angle", "lost", "foreign", "colour", "size")
"""Measures over all levels, of the worst one."""


@stage_task("measure-drift")
def drift_stage(
    session: Session,
    *,
    shards: str,
    eigenbases: StageResult,
    teacher: str,
    policy: DriftPolicy | None = None,
    crop: int = 256,
    limit: int | None = None,
    channels: tuple[int, ...] | None = None,
    variance: float | None = None,
) -> tuple[StageResult, Verdict, Registered | None]:
    """Measure a generation against the one fitted before it and against the champion's; with the verdict, and the
    champion if it could be compared.

    shards: a generation's place. The rest as `eigenbases_stage` had it. Raises TransientError where the registry is
    away and the verdict needs it.
    """
    policy = policy or DriftPolicy()
    widths = None if channels is None and variance is None else Widths(channels=channels, variance=variance)
    config = FitConfig(shards=shards, teacher=teacher, widths=widths, limit=limit, extraction=Extraction(crop=crop))
    dataset, place = open_dataset(shards), open_storage(eigenbases.place)
    fits = Fits(workspace=session.workspace, config=config, teacher=eigenbases.manifest["teacher"]["digest"])
    now = eigenbases_from(place.read(EIGENBASES_FILE), place.uri(EIGENBASES_FILE)).bases
    before = fitted_before(fits, dataset)
    champion: Reference | None = None
    registered: Registered | None = None
    try:
        champion, why_not, registered = champion_reference(
            fits, dataset, now, eigenbases.manifest["backbone"], session.settings
        )
    except TransientError as error:
        if policy.train == "if-worth" or policy.start != "teacher":
            raise
        session.log.warning("drift against the champion is not measured: %s", error)
        why_not = "the registry did not answer"
    output = StageOutput.open(
        session.workspace,
        STAGE,
        inputs={
            "shards": dataset.digest,
            "eigenbases": eigenbases.manifest["eigenbases_digest"],
            "before": before.identity if before else "",
            "champion": champion.identity if champion else why_not,
        },
        params={"crop": crop, "limit": limit},
    )

    def make(work: StageWork) -> dict[str, Any]:
        moments, _ = moments_from(place.read(MOMENTS_FILE), place.uri(MOMENTS_FILE))
        content: dict[str, Any] = {
            "generation": dataset.manifest["generation"],
            "photos": moments.photos,
            "before": comparison(before, dataset, now, moments, config) if before else None,
            "champion": comparison(champion, dataset, now, moments, config) if champion else None,
            "no_champion": why_not,
        }
        work.storage.write(MEASURES, canonical_json(content))
        title = f"Generation {content['generation']}: {content['photos']:,} photos"
        work.storage.write(PICTURE, draw_drift(content, title))
        return work.finish(content)

    result = run_stage(session, output, make, report)
    verdict = judge(result.manifest, policy)
    for text in verdict.warnings:
        session.log.warning("drift: %s", text)
    session.tracker.tags({"pcakd.drift": "; ".join(verdict.warnings) or "none to warn of", "pcakd.worth": verdict.why})
    session.log.info("drift: %s", verdict.why)
    return result, verdict, registered if champion else None


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    for kind in ("before", "champion"):
        if (one := manifest[kind]) is None:
            continue
        run.tags({f"pcakd.drift.{kind}": one["name"]})
        numbers = {name: one[name] for name in TOLD} | {"new_photos": one["new"]["photos"]} | (one["changes"] or {})
        for level, values in enumerate(one["levels"]):
            numbers |= {f"{name}.{level}": value for name, value in values.items()}
        run.metrics({f"{kind}.{name}": value for name, value in numbers.items() if value is not None})
    send_files(output, run, PICTURE, MEASURES)
