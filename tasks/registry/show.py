"""What `pcakd registry` prints: models, their histories, versions, and two versions side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pcakd.errors import UsageError
from pcakd.units import counted
from tasks.registry.history import Standing, standing
from tasks.registry.names import BASELINE_TAG, CHALLENGER, DIGEST_TAG, EVALUATION_TAG, METRIC_TAG, REASON_TAG
from tasks.registry.versions import translated
from tasks.settings import Settings
from tasks.tracking.store import client_for

SCORE = "own.across.psnr"
"""What the tables show of a version in one number."""
Record = dict[str, Any]


def models(settings: Settings) -> list[Record]:
    """Every registered model with its champion, its pin and its newest version."""
    with translated(settings):
        client = client_for(settings.tracking_uri)
        names = sorted(model.name for model in client.search_registered_models(max_results=1000))
        return [_model(client, name)[0] for name in names]


def model_record(name: str, settings: Settings) -> Record:
    """A registered model with its history and its versions."""
    with translated(settings):
        client = client_for(settings.tracking_uri)
        record, now = _model(client, name)
        moves = [{key: value for key, value in asdict(move).items() if key != "token"} for move in now.moves]
        for move, told in zip(now.moves, moves, strict=True):
            told["words"] = move.words()
        versions = [_version(one, now) for one in client.search_model_versions(f"name = '{name}'")]
        return record | {"history": moves, "versions": sorted(versions, key=lambda one: one["version"])}


def version_record(name: str, version: int, settings: Settings) -> Record:
    """All that the registry tells of a version. Raises UsageError for one that is not there."""
    from mlflow.exceptions import MlflowException

    with translated(settings):
        client = client_for(settings.tracking_uri)
        now = standing(client, name)
        try:
            found = client.get_model_version(name, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UsageError(
                f"{name} version {version}: no such version; `pcakd registry show {name}` lists them"
            ) from None
        return _version(found, now)


def version_of_alias(name: str, alias: str, settings: Settings) -> int | None:
    """The version that an alias names, None for none."""
    from mlflow.exceptions import MlflowException

    with translated(settings):
        try:
            return int(client_for(settings.tracking_uri).get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _model(client: Any, name: str) -> tuple[Record, Standing]:
    now = standing(client, name)
    versions = [int(one.version) for one in client.search_model_versions(f"name = '{name}'")]
    since = now.since if now.champion else None
    pin = now.pin
    return {
        "name": name,
        "champion": now.champion or None,
        "since": since.when if since else None,
        "by": since.who if since else None,
        "why": since.why if since else None,
        "pinned": f"by {pin.who}{f': {pin.why}' if pin.why else ''}" if pin else None,
        "newest": max(versions, default=None),
        "count": len(versions),
    }, now


def _version(found: Any, now: Standing) -> Record:
    version = int(found.version)
    tags = found.tags
    state = "challenger" if CHALLENGER in found.aliases else ""
    for name, which in (("rejected", now.rejected), ("rolled back from", now.set_back)):
        state = name if version in which else state
    return {
        "version": version,
        "state": "champion" if version == now.champion else state,
        "made": datetime.fromtimestamp(found.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        "reason": tags.get(REASON_TAG, ""),
        "run": found.run_id or "",
        "digest": tags.get(DIGEST_TAG, ""),
        "evaluation": tags.get(EVALUATION_TAG, ""),
        "scores": _numbers(tags, METRIC_TAG),
        "baselines": _numbers(tags, BASELINE_TAG),
        "tags": {key: value for key, value in sorted(tags.items()) if not key.startswith((METRIC_TAG, BASELINE_TAG))},
        "history": [
            f"{move.when} {move.who}: {move.words()}" for move in now.moves if version in (move.version, move.before)
        ],
    }


def _numbers(tags: Mapping[str, str], beginning: str) -> dict[str, float]:
    return {
        key.removeprefix(beginning): float(value) for key, value in sorted(tags.items()) if key.startswith(beginning)
    }


def model_lines(found: Sequence[Record]) -> list[str]:
    """The table of `list`."""
    if not found:
        return ["no model is registered yet"]
    rows = [
        (
            one["name"],
            str(one["champion"] or "none"),
            (one["since"] or "")[:16],
            one["by"] or "",
            str(one["newest"] or ""),
            f"pinned {one['pinned']}" if one["pinned"] else "",
        )
        for one in found
    ]
    return table(("MODEL", "CHAMPION", "SINCE (UTC)", "BY", "NEWEST", ""), rows)


def history_lines(found: Record) -> list[str]:
    """What `show NAME` prints."""
    lines = [f"{found['name']}: champion {found['champion'] or 'none'}, {counted(found['count'], 'version')}"]
    if found["pinned"]:
        lines.append(f"pinned {found['pinned']}")
    lines += ["", "History, the latest first:"]
    lines += [f"  {move['when'][:16]}  {move['who']}: {move['words']}" for move in reversed(found["history"])] or [
        "  nobody has been champion"
    ]
    rows = [
        (
            str(one["version"]),
            one["made"][:16],
            f"{one['scores'][SCORE]:.2f}" if SCORE in one["scores"] else "",
            one["state"],
            one["reason"],
        )
        for one in reversed(found["versions"])
    ]
    return [*lines, "", *table(("VERSION", "MADE (UTC)", "ACROSS dB", "STATE", "THE GATE"), rows)]


def version_lines(found: Record) -> list[str]:
    """What `show NAME VERSION` prints."""
    lines = [f"version {found['version']}{', ' + found['state'] if found['state'] else ''}, made {found['made']}"]
    if found["reason"]:
        lines.append(f"the gate: {found['reason']}")
    lines += [f"  {line}" for line in found["history"]]
    methods = sorted({name.partition(".")[0] for name in found["baselines"]})
    rows = []
    for name, value in found["scores"].items():
        theirs = [found["baselines"].get(f"{method}.{name.removeprefix('own.')}") for method in methods]
        rows.append((name, f"{value:.4g}", *("" if one is None else f"{one:.4g}" for one in theirs)))
    if rows:
        lines += ["", *table(("SCORE", "STUDENT", *methods), rows)]
    return [*lines, "", *table(("TAG", ""), list(found["tags"].items()))]


def compared_lines(one: Record, other: Record) -> list[str]:
    """What `compare` prints."""
    names = [name for name in one["scores"] if name in other["scores"]]
    if not names:
        raise UsageError(f"versions {one['version']} and {other['version']}: have no score in common")
    heads = [f"{record['version']}{' ' + record['state'] if record['state'] else ''}" for record in (one, other)]
    rows = [
        (name, f"{one['scores'][name]:.4g}", f"{other['scores'][name]:.4g}",
         f"{other['scores'][name] - one['scores'][name]:+.4g}")
        for name in names
    ]  # fmt: skip
    lines = table(("SCORE", *heads, "DIFFERENCE"), rows)
    if _other_photos(one, other):
        lines += ["", "Measured on different photos: the baselines' scores differ, so these differences mean little."]
    return lines


def _other_photos(one: Record, other: Record) -> bool:
    """Baselines do not change: where their scores differ, the photos did."""
    shared = set(one["baselines"]) & set(other["baselines"])
    return not shared or any(abs(one["baselines"][name] - other["baselines"][name]) > 1e-6 for name in shared)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as they need to be."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
