"""How a stage is run: found finished, or made by one run at a time; tracked either way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from pcakd.errors import TransientError
from pcakd.storage import Storage
from pcakd.storage.stage import StageOutput
from tasks.lease import Lease, lease, waiting_for
from tasks.stages.session import Session
from tasks.tracking import Tracker

RETRIES = 6
"""Waits of 3, 6, ... 96 seconds: three minutes in all."""


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A finished stage output.

    place: its folder or prefix; reused: whether an earlier run had finished it; run: in MLflow, of this time.
    """

    stage: str
    key: str
    place: str
    manifest: dict[str, Any] = field(repr=False)
    reused: bool
    run: Tracker | None = field(default=None, repr=False, compare=False)


class StageWork:
    """What a stage has in hands while it makes its output."""

    def __init__(self, output: StageOutput, session: Session, run: Tracker, held: Lease) -> None:
        self.output, self.session, self.run, self.held = output, session, run, held

    @property
    def storage(self) -> Storage:
        return self.output.storage

    def finish(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest, unless another run has taken the stage over. Raises SupersededError."""
        self.held.check()
        return self.output.finish(content)


def run_stage(
    session: Session,
    output: StageOutput,
    make: Callable[[StageWork], dict[str, Any]],
    report: Callable[[StageOutput, dict[str, Any], Tracker], None],
    *,
    grows: bool = False,
) -> StageResult:
    """The stage's finished output: found, or made under a lease and then found by everybody.

    make: makes it and gives back the manifest, written. report: tells MLflow of a finished output. grows: a finished
    output may have more to come: `make` is asked each time, and gives back the same manifest where it has not.
    """
    name = f"{output.stage}/{output.key}"
    with session.tracker.child(output.stage, key=output.key, place=output.storage.uri()) as run:
        run.params(_flat({**output.params, **{f"input.{key}": value for key, value in output.inputs.items()}}))
        manifest, reused = output.finished(), True
        if manifest is None or grows:
            with lease(
                session.workspace,
                name,
                holder=session.holder,
                waiting=lambda who: session.log.info("%s", waiting_for(who, name)),
            ) as held:
                before = manifest = output.finished()
                if manifest is None or grows:
                    session.log.info("%s: making it in %s", name, output.storage.uri())
                    manifest = make(StageWork(output, session, run, held))
                    reused = manifest == before
        if reused:
            session.log.info("%s: finished before, in %s", name, output.storage.uri())
        run.tags({"pcakd.outcome": "reused" if reused else "made"})
        report(output, manifest, run)
    return StageResult(
        stage=output.stage, key=output.key, place=output.storage.uri(), manifest=manifest, reused=reused, run=run
    )


def stage_task(name: str) -> Callable:
    """A Prefect task for a stage: what may pass is tried again with growing waits, anything else is not."""
    return task(
        name=name,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=3),
        retry_jitter_factor=0.5,
        retry_condition_fn=may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def may_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Whether a failed task is worth another try: TransientError alone."""
    try:
        state.result()
    except TransientError:
        return True
    except BaseException:
        return False
    return False


def send_files(output: StageOutput, run: Tracker, *names: str) -> None:
    """Log the output's files of these names as artifacts, those that are there."""
    for name in names:
        if output.storage.exists(name):
            run.file(name, output.storage.read(name))


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """As parameters of a run: a recipe's values each by itself, as recipe.crop."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": one for name, one in _flat(value).items()}
        else:
            found[key] = value if isinstance(value, str | int | float) else str(value)
    return found
