"""Why each output of a workspace stays: what registered versions, newest photos and running flows need of it."""

import time
from collections.abc import Iterable, Mapping, Sequence

from pcakd.errors import UsageError
from pcakd.storage import Storage
from pcakd.storage.stage import canonical_json
from tasks.lease import FOLDER, holder_of
from tasks.registry.show import model_record, models
from tasks.settings import Settings, shown_uri
from tasks.workspace.contents import DATASETS, EIGENBASES, STUDENTS, Output

DAY_S = 86400.0


def registered_digests(settings: Settings, outputs: Iterable[Output]) -> dict[str, str]:
    """Digest → what the registry calls the weights, of every version of every model.

    Raises UsageError where the registry has no model though the workspace has finished students: it is probably not
    the registry of this workspace. TransientError where it does not answer.
    """
    found: dict[str, str] = {}
    for model in models(settings):
        for version in model_record(model["name"], settings)["versions"]:
            state = f" ({version['state']})" if version["state"] else ""
            if version["digest"]:
                found[version["digest"]] = f"{model['name']} version {version['version']}{state}"
    if not found and any(one.stage == STUDENTS and one.manifest for one in outputs):
        raise UsageError(
            f"MLFLOW_TRACKING_URI: the registry at {shown_uri(settings.tracking_uri)} has no model, but the workspace "
            "has students; give the address of their registry, or --unregistered where none of them was registered"
        )
    return found


def at_work(workspace: Storage) -> dict[str, str]:
    """Output's name → who holds its lease, of the outputs that a run is making now."""
    names = {entry.key.rpartition("/")[0].removeprefix(f"{FOLDER}/") for entry in workspace.list(f"{FOLDER}/")}
    now = time.time()
    holders = {name: holder_of(workspace.sub(f"{FOLDER}/{name}"), now) for name in sorted(names)}
    return {name: who for name, who in holders.items() if who}


def needs_of(
    outputs: Sequence[Output], registered: Mapping[str, str], makers: Mapping[str, str], *, keep_days: float
) -> dict[str, list[str]]:
    """Why each output stays. registered: digest → name of the weights. makers: as `at_work` has them.

    A student that is registered stays, with what was measured of it; so do the newest photos of every source with
    their newest bases, what a run is at work on, what was written in the last `keep_days` days, and all that anything
    that stays was made of.
    """
    now = time.time()
    needs: dict[str, list[str]] = {one.name: [] for one in outputs}
    for one in outputs:
        names = [
            registered[digest] for digest in sorted(one.digests | set(one.inputs.values())) if digest in registered
        ]
        needs[one.name] += names if one.stage == STUDENTS else [f"tells of {name}" for name in names]
        if one.name in makers:
            needs[one.name].append(f"{makers[one.name]} is working on it")
        if now - one.touched < keep_days * DAY_S:
            needs[one.name].append(f"written in the last {keep_days:g} days")
    for newest, why in _newest(outputs):
        needs[newest.name].append(why)
    _keep_sources(outputs, needs)
    return needs


def _newest(outputs: Sequence[Output]) -> Iterable[tuple[Output, str]]:
    """The newest dataset of every source and set of options, and the newest bases of each by every teacher: what the
    next run adds to."""
    datasets: dict[tuple[str, bytes], Output] = {}
    for one in outputs:
        if one.stage == DATASETS and one.manifest:
            made_as = str(one.manifest.get("source", "")), canonical_json(one.manifest.get("params"))
            if made_as not in datasets or one.touched > datasets[made_as].touched:
                datasets[made_as] = one
    bases: dict[tuple[str, str], Output] = {}
    for one in outputs:
        if one.stage != EIGENBASES:
            continue
        for dataset in datasets.values():
            by = dataset.key, one.inputs.get("teacher", "")
            if one.inputs.get("shards") in dataset.digests and (by not in bases or one.touched > bases[by].touched):
                bases[by] = one
    yield from ((one, f"the newest photos of {source}") for (source, _), one in datasets.items())
    yield from ((one, "the newest bases of these photos") for one in bases.values())


def _keep_sources(outputs: Sequence[Output], needs: dict[str, list[str]]) -> None:
    """Let what an output that stays was made of stay too, and so on."""
    sources = {digest: one for one in outputs for digest in one.digests}
    waiting = [one for one in outputs if needs[one.name]]
    while waiting:
        user = waiting.pop()
        for digest in user.inputs.values():
            source = sources.get(digest)
            if source is None or source is user:
                continue
            if not needs[source.name]:
                waiting.append(source)
            if (why := f"{user.name} was made of it") not in needs[source.name]:
                needs[source.name].append(why)
