"""Two versions on the same photos of production: a page side by side, in the workspace and in MLflow."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pcakd.bulk.job import read_place, style_photo
from pcakd.errors import UsageError
from pcakd.fields import chosen, declared
from pcakd.photos.images import read_photo
from pcakd.photos.outcomes import NO_FAILURES, status_of
from pcakd.shadow.config import ShadowJob
from pcakd.shadow.page import page
from pcakd.shadow.sample import choose
from pcakd.storage import Storage, open_storage, sha256_hex
from pcakd.storage.base import shown
from pcakd.storage.stage import StageOutput, canonical_json
from pcakd.student.address import is_address
from pcakd.stylize.options import StylizeOptions
from tasks.registry.names import CHAMPION
from tasks.stages.progress import StageProgress
from tasks.stages.run import StageResult, StageWork, run_stage, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

if TYPE_CHECKING:
    from pcakd.shadow.compare import Case, Comparison
    from pcakd.student.checkpoint import Checkpoint

STAGE = "shadows"
PAGE, NUMBERS = "shadow.html", "shadow.json"
PHOTOS_A_CALL = 4
FORMAT = 1
"""Number of the set of measures: a page of another set is made anew."""


@dataclass(frozen=True, kw_only=True)
class ShadowWork:
    """What each call on the cluster needs; the references are of Ray's object store."""

    source: Storage
    checkpoints: Any
    """Both checkpoints by "champion" and "challenger", as a reference."""
    styles: Any
    """By the same names, each style's statistics; and the style photos; as a reference."""
    options: StylizeOptions
    style_names: tuple[str, ...]


@stage_task("shadow-student")
def shadow_stage(session: Session, **options: Any) -> StageResult:
    """Compare two students on a sample of photos. The manifest has "summary", "status", "page" and both models.

    options: the fields of `ShadowJob`. Raises UsageError for a model, a source or a style that cannot be used.
    """
    from pcakd.student.checkpoint import load_checkpoint

    job = chosen(ShadowJob, options)
    with TemporaryDirectory(prefix="pcakd-shadow-") as folder:
        models = {who: load_checkpoint(_fetched(name, Path(folder))) for who, name in _names(job).items()}
        styles = {name: tuple(map(style_photo, spec.photos)) for name, spec in job.style_specs().items()}
        source = open_storage(job.source)
        source.check()
        photos = choose(source, job)
        output = StageOutput.open(
            session.workspace,
            STAGE,
            inputs={
                **{who: model.digest for who, model in models.items()},
                "photos": sha256_hex(canonical_json([[photo.key, photo.size, photo.etag] for photo in photos])),
                "styles": sha256_hex(
                    canonical_json({name: [sha256_hex(one) for one in datas] for name, datas in styles.items()})
                ),
            },
            params={"measures": FORMAT, "source": source.uri(), "options": _options(job)},
        )

        def make(work: StageWork) -> dict[str, Any]:
            found = _compare(session, job, source, [photo.key for photo in photos], models, styles)
            facts = _facts(job, models, found)
            work.storage.write(PAGE, page(facts, found.worst(), found.cases()))
            work.storage.write(NUMBERS, json.dumps(facts | {"cases": found.cases()}, indent=1).encode())
            return work.finish(facts | {"page": PAGE, "photos": len(photos)})

        return run_stage(session, output, make, report)


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    """The page and its numbers, in MLflow."""
    run.metrics(manifest["summary"])
    run.metrics({f"status.{name}": count for name, count in manifest["status"].items()})
    run.tags({f"pcakd.{who}": manifest[who]["name"] for who in ("champion", "challenger")})
    for name in (PAGE, NUMBERS):
        run.file(name, output.storage.read(name))


def summary_lines(manifest: Mapping[str, Any], place: str) -> list[str]:
    """What the command prints of a finished shadow run."""
    numbers = manifest["summary"]
    lines = [manifest["title"]]
    if numbers:
        lines += [
            f"difference (CIEDE2000): median {numbers['difference.median']:.2f}, 95 % below "
            f"{numbers['difference.p95']:.2f}, largest {numbers['difference.worst']:.2f}; "
            f"{100 * numbers['seen']:.0f} % differ visibly",
            *(
                f"{name}: {numbers[f'champion.{name}']:.4f} → {numbers[f'challenger.{name}']:.4f}"
                for name in ("edges", "style", "rough")
            ),
        ]
    lines += [f"{count} {name}" for name, count in manifest["status"].items() if name not in NO_FAILURES]
    return [*lines, f"page: {place}/{manifest['page']}"]


def too_different(manifest: Mapping[str, Any], at_most: float | None) -> str:
    """Why a challenger is not to be promoted for its shadow run, "" where it may be."""
    mean = manifest["summary"].get("difference.mean")
    if mean is None:
        return "its shadow run could compare no photo"
    if at_most is not None and mean > at_most:
        return (
            f"differs from the champion by {mean:.2f} (mean CIEDE2000) in its shadow run, at most {at_most:g} is wanted"
        )
    return ""


def _names(job: ShadowJob) -> dict[str, str]:
    """Both models' names; the champion is that of the challenger's registered model where none is given."""
    if job.champion:
        return {"champion": job.champion, "challenger": job.challenger}
    name = job.challenger.removeprefix("models:/")
    if not is_address(job.challenger):
        raise UsageError(f"champion is empty: {job.challenger} is a file, so give the model that it is held beside")
    registered = name.partition("@")[0].partition("/")[0]
    return {"champion": f"models:/{registered}@{CHAMPION}", "challenger": job.challenger}


def _fetched(model: str, folder: Path) -> str:
    """A name or local file as it is; a model on S3 as a local copy."""
    if not model.startswith("s3://"):
        return model
    path = folder / f"{sha256_hex(model.encode())[:8]}-{model.rpartition('/')[2]}"
    path.write_bytes(read_place(model))
    return str(path)


def _options(job: ShadowJob) -> dict[str, Any]:
    """The options of stylization that are not at their defaults."""
    return {
        name: getattr(job, name) for name, one in declared(StylizeOptions).items() if getattr(job, name) != one.default
    }


def _facts(job: ShadowJob, models: Mapping[str, "Checkpoint"], found: "Comparison") -> dict[str, Any]:
    names = {who: {"name": model.source, "digest": model.digest} for who, model in models.items()}
    short = {who: one["name"].removeprefix("models:/").rpartition("/")[2] for who, one in names.items()}
    registered = names["challenger"]["name"].removeprefix("models:/").partition("/")[0]
    versions = all(is_address(one["name"]) for one in names.values())
    title = (
        f"{registered}: version {short['challenger']} beside version {short['champion']}"
        if versions
        else f"{short['challenger']} beside {short['champion']}"
    )
    return {
        "title": title,
        **names,
        "source": open_storage(job.source).uri(),
        "styles": sorted(job.style_specs()),
        "options": _options(job) | {"styles": ", ".join(sorted(job.style_specs())), "sample": job.sample},
        "summary": found.summary(),
        "status": found.status(),
    }


def _compare(
    session: Session,
    job: ShadowJob,
    source: Storage,
    keys: list[str],
    models: Mapping[str, "Checkpoint"],
    styles: Mapping[str, tuple[bytes, ...]],
) -> "Comparison":
    """All photos on the cluster."""
    from pcakd.shadow.compare import Comparison, small_copy
    from pcakd.stylize.stylizer import Stylizer

    options = chosen(StylizeOptions, vars(job))
    stylizers = {who: Stylizer(model, device="cpu") for who, model in models.items()}
    looks = {name: [small_copy(read_photo(data)) for data in datas] for name, datas in styles.items()}
    statistics = {
        who: {name: stylizer.style(*datas, render=stylizer.rendering(options)) for name, datas in styles.items()}
        for who, stylizer in stylizers.items()
    }
    session.attach_ray()
    import ray

    from tasks.cluster.calls import run_all

    work = ShadowWork(
        source=source,
        checkpoints=ray.put({who: model._replace(student=model.student.cpu()) for who, model in models.items()}),
        styles=ray.put((statistics, looks)),
        options=options,
        style_names=tuple(looks),
    )
    found = Comparison()
    calls = ((work, keys[i : i + PHOTOS_A_CALL]) for i in range(0, len(keys), PHOTOS_A_CALL))
    with StageProgress("shadow-student", "Comparing") as progress:
        for cases in run_all(compare_photos, calls, on_loss=_lost):
            for case in cases:
                found.add(case)
            done = len(found.records) // len(looks)
            progress(done / len(keys), f"{done} of {len(keys)} photos")
    return found


def compare_photos(work: ShadowWork, keys: list[str]) -> list["Case"]:
    """Some photos; runs on the cluster."""
    import ray

    from pcakd.shadow.compare import Case, compare
    from pcakd.stylize.stylizer import Stylizer

    checkpoints, (statistics, looks) = ray.get([work.checkpoints, work.styles])
    stylizers = {who: Stylizer(model, device="cpu") for who, model in checkpoints.items()}

    def cases(key: str) -> Iterator[Case]:
        try:
            data = work.source.read(key)
        except Exception as error:  # one object that cannot be read is one row of the report
            for style in looks:
                yield Case(key=key, style=style, status=status_of(error), message=str(error)[:300])
            return
        yield from compare(data, key, stylizers, statistics, looks, work.options)

    return [replace(case, key=shown(case.key)) for key in keys for case in cases(key)]


def _lost(call: tuple) -> list["Case"]:
    """Photos whose worker died each time."""
    from pcakd.photos.outcomes import CRASHED
    from pcakd.shadow.compare import Case

    work, keys = call
    return [
        Case(key=shown(key), style=style, status=CRASHED, message="its worker process died each time")
        for key in keys
        for style in work.style_names
    ]
