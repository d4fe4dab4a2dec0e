"""Who is champion: flows try through the gate; people promote, roll back, reject and pin.

A flow never promotes a version that was rejected or rolled back from, and nothing while a pin holds. A person may
promote any version that is not rejected. Every move is in the history (`tasks.registry.history`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pcakd.errors import UsageError
from tasks.registry.describe import describe, describe_model
from tasks.registry.gate import Decision, Gate, Rivals, Scores, decide
from tasks.registry.history import Kind, Move, Standing, TakenError, add, person, standing
from tasks.registry.names import DIGEST_TAG, REASON_TAG, registered_name
from tasks.registry.versions import Registered, translated
from tasks.settings import Settings
from tasks.tracking.store import client_for


@dataclass(frozen=True, kw_only=True)
class Incumbents:
    """Whom a challenger has to be measured against: the champion, and the version rolled back from (see `Rivals`)."""

    champion: Registered | None = None
    set_back: Registered | None = None


def incumbents_of(backbone: str, *, settings: Settings) -> Incumbents:
    """The champion of a backbone and the version rolled back from. Raises TransientError."""
    with translated(settings):
        client, name = client_for(settings.tracking_uri), registered_name(backbone)
        try:
            now = standing(client, name)
        except UsageError:  # nothing has been registered yet
            return Incumbents()
        return Incumbents(
            champion=_registered(client, name, now.champion), set_back=_registered(client, name, now.raised_bar)
        )


def champion_of(backbone: str, *, settings: Settings) -> Registered | None:
    """The champion of a backbone, None where there is none yet. Raises TransientError."""
    return incumbents_of(backbone, settings=settings).champion


def promote(
    registered: Registered,
    scores: Scores,
    baselines: Mapping[str, Scores],
    rivals: Rivals,
    gate: Gate,
    *,
    settings: Settings,
    run: str = "",
    who: str = "",
    held: str = "",
) -> Decision:
    """Make a version champion if pins, rejections, rollbacks and the gate let it pass.

    rivals: with the versions that were measured; another champion by now is told by `Decision.moved`.
    run: the MLflow run that wants it. held: why it is not to be, whatever the gate says.
    Raises UsageError for an axis that was not measured, TransientError.
    """
    with translated(settings):
        client = client_for(settings.tracking_uri)
        now = standing(client, registered.name, record=True)
        decision = _decided(registered, scores, baselines, rivals, gate, now)
        if held and decision.passed and now.champion != registered.version:
            decision = Decision(passed=False, reason=held)
        if decision.passed and now.champion != registered.version:
            move = Move(
                kind="promote",
                version=registered.version,
                before=now.champion,
                who=who or person(),
                run=run,
                why=decision.reason,
            )
            try:
                add(client, registered.name, now, move)
            except TakenError as error:
                return Decision(passed=False, reason=str(error), moved=True)
            decision = replace(decision, promoted=True)
        client.set_model_version_tag(registered.name, str(registered.version), REASON_TAG, decision.reason)
        for version in {registered.version, now.champion} - {0}:
            describe(client, registered.name, version)
        describe_model(client, registered.name)
        return decision


def _decided(
    registered: Registered,
    scores: Scores,
    baselines: Mapping[str, Scores],
    rivals: Rivals,
    gate: Gate,
    now: Standing,
) -> Decision:
    version = registered.version
    if now.champion == version:
        return Decision(passed=True, reason="it is the champion already")
    if version in now.rejected:
        move = now.rejected[version]
        return Decision(passed=False, reason=f"rejected by {move.who} on {move.when[:10]}{_why(move)}")
    if version in now.set_back:
        move = now.set_back[version]
        return Decision(passed=False, reason=f"rolled back from by {move.who} on {move.when[:10]}{_why(move)}")
    if now.pin is not None:
        return Decision(
            passed=False,
            reason=f"the champion is pinned to version {now.pin.version} by {now.pin.who} since "
            f"{now.pin.when[:10]}{_why(now.pin)}",
        )
    if now.champion != (rivals.champion_version or 0):
        return Decision(
            passed=False, moved=True, reason=f"version {now.champion or 'none'} became champion while this was measured"
        )
    return decide(scores, baselines, rivals, gate)


def promote_by_hand(name: str, version: int, *, why: str = "", who: str = "", settings: Settings) -> Move | None:
    """Make a version champion whatever the gate says; None where it is already. Raises UsageError for one that is
    not there or rejected, or while a pin holds, TakenError where another move came first."""

    def move(client: Any, now: Standing) -> Move | None:
        _there(client, name, version)
        if version in now.rejected:
            one = now.rejected[version]
            raise UsageError(
                f"{name} version {version}: was rejected by {one.who}{_why(one)}; "
                f"first `pcakd registry reject {name} {version} --lift`"
            )
        _unpinned(name, now)
        if now.champion == version and version not in now.set_back:
            return None
        return Move(kind="promote", version=version, before=now.champion)

    return _moved(name, move, why, who, settings)


def roll_back(name: str, *, to: int = 0, why: str = "", who: str = "", settings: Settings) -> Move | None:
    """Go back to the champion before this one, or to the version `to`. Raises as `promote_by_hand`."""

    def move(client: Any, now: Standing) -> Move | None:
        _unpinned(name, now)
        target = to or now.predecessor
        if not target:
            who_has = f"version {now.champion}" if now.champion else "nothing"
            raise UsageError(
                f"{name}: {who_has} had no champion before it that still may be one; choose a version by --to, "
                f"`pcakd registry show {name}` lists them"
            )
        _there(client, name, target)
        if target == now.champion:
            raise UsageError(f"{name}: version {target} is the champion already")
        if target in now.rejected:
            raise UsageError(f"{name} version {target}: was rejected; choose another by --to")
        return Move(kind="rollback", version=target, before=now.champion)

    return _moved(name, move, why, who, settings)


def reject(
    name: str, version: int, *, lift: bool = False, why: str = "", who: str = "", settings: Settings
) -> Move | None:
    """Let no flow ever promote a version, or let it again. Raises UsageError for the champion."""

    def move(client: Any, now: Standing) -> Move | None:
        _there(client, name, version)
        if not lift and version == now.champion:
            raise UsageError(
                f"{name} version {version}: is the champion; first `pcakd registry rollback {name}`, or promote another"
            )
        if lift != (version in now.rejected):
            return None
        return Move(kind="accept" if lift else "reject", version=version, before=now.champion)

    return _moved(name, move, why, who, settings)


def pin(name: str, *, lift: bool = False, why: str = "", who: str = "", settings: Settings) -> Move | None:
    """Keep the champion, whatever flows bring, until the pin is lifted."""

    def move(client: Any, now: Standing) -> Move | None:
        if lift == (now.pin is None):
            return None
        if not lift and not now.champion:
            raise UsageError(f"{name}: has no champion to pin; promote one first")
        kind: Kind = "unpin" if lift else "pin"
        return Move(kind=kind, version=now.champion, before=now.champion)

    return _moved(name, move, why, who, settings)


def _moved(
    name: str, make: Callable[[Any, Standing], Move | None], why: str, who: str, settings: Settings
) -> Move | None:
    with translated(settings):
        client = client_for(settings.tracking_uri)
        now = standing(client, name, record=True)
        move = make(client, now)
        if move is None:
            return None
        after = add(client, name, now, replace(move, why=why, who=who or person()))
        for version in {move.version, move.before} - {0}:
            describe(client, name, version)
        describe_model(client, name)
        return after.moves[-1]


def _unpinned(name: str, now: Standing) -> None:
    if now.pin is not None:
        raise UsageError(
            f"{name}: is pinned to version {now.pin.version} by {now.pin.who}{_why(now.pin)}; "
            f"first `pcakd registry pin {name} --lift`"
        )


def _there(client: Any, name: str, version: int) -> None:
    if _registered(client, name, version) is None:
        raise UsageError(f"{name} version {version}: no such version; `pcakd registry show {name}` lists them")


def _registered(client: Any, name: str, version: int) -> Registered | None:
    from mlflow.exceptions import MlflowException

    if not version:
        return None
    try:
        found = client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return Registered(name=name, version=version, digest=found.tags.get(DIGEST_TAG, ""), created=False)


def _why(move: Move) -> str:
    return f" ({move.why})" if move.why else ""
