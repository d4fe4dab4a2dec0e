"""Who was champion when, and why: numbered moves, kept in the registry itself.

A move is a tag of the registered model, `pcakd.move.000003`, written after what it says has been done. Two people who
move at once must not both win, and MLflow's tags and aliases overwrite each other; what it never overwrites is a
parameter of a run. So a move is claimed first, as the parameter `move.000003` of the run that registered the oldest
version: the first wins, the other is told. A process that dies between claim, alias and tag leaves a claim without a
tag; the next command finishes it (`settle`).
"""

import getpass
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pcakd.errors import TransientError, UsageError
from tasks.registry.names import CHAMPION, MOVE_TAG

Kind = Literal["promote", "rollback", "outside", "reject", "accept", "pin", "unpin"]
CHAMPIONS: tuple[Kind, ...] = ("promote", "rollback", "outside")
"""Moves that say who the champion is; outside: the alias was moved by other means than pcakd."""
WHY_LENGTH = 1500


class TakenError(TransientError):
    """Somebody else's move came first; nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One entry of a registered model's history. version: 0 where the champion is gone."""

    kind: Kind
    version: int
    before: int = 0
    """The champion until then; 0: none."""
    when: str = ""
    who: str = ""
    run: str = ""
    """The MLflow run that made it, empty for a person."""
    why: str = ""
    number: int = 0
    token: str = field(default="", repr=False)

    def to_json(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if name != "number"}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, number: int) -> "Move":
        record = json.loads(text)
        return cls(**{name: record[name] for name in cls.__dataclass_fields__ if name in record} | {"number": number})

    def words(self) -> str:
        """As a line of a table tells it."""
        found = f"version {self.version} was found to be champion, by other means or from before there were records"
        gone = f"version {self.before} was found to be champion no longer, by other means"
        done = {
            "promote": f"version {self.version} became champion",
            "rollback": f"back from version {self.before} to version {self.version}",
            "outside": found if self.version else gone,
            "reject": f"version {self.version} rejected",
            "accept": f"version {self.version} no longer rejected",
            "pin": f"pinned to version {self.version}",
            "unpin": "pin lifted",
        }[self.kind]
        return done + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Standing:
    """What the moves of a registered model add up to."""

    moves: tuple[Move, ...] = ()

    @property
    def champion(self) -> int:
        """The champion's version, 0 for none."""
        return self.since.version if self.since else 0

    @property
    def pin(self) -> Move | None:
        """The pin that holds, None where there is none."""
        last = next((move for move in reversed(self.moves) if move.kind in ("pin", "unpin")), None)
        return last if last is not None and last.kind == "pin" else None

    @property
    def rejected(self) -> dict[int, Move]:
        """Version → its rejection."""
        found: dict[int, Move] = {}
        for move in self.moves:
            if move.kind == "reject":
                found[move.version] = move
            elif move.kind == "accept":
                found.pop(move.version, None)
        return found

    @property
    def set_back(self) -> dict[int, Move]:
        """Version → the rollback from it; a person who promotes it again lifts that."""
        found: dict[int, Move] = {}
        for move in self.moves:
            if move.kind == "rollback" and move.before:
                found[move.before] = move
            if move.kind in CHAMPIONS:
                found.pop(move.version, None)
        return found

    @property
    def raised_bar(self) -> int:
        """The version rolled back from, while nothing has been promoted since; 0: none."""
        last = next((move for move in reversed(self.moves) if move.kind in CHAMPIONS), None)
        return last.before if last is not None and last.kind == "rollback" else 0

    @property
    def predecessor(self) -> int:
        """The champion before this one, 0 for none: what `rollback` goes back to."""
        unusable = {self.champion, *self.rejected, *self.set_back}
        usable = [version for version in self._stack() if version not in unusable]
        return usable[-1] if usable else 0

    @property
    def since(self) -> Move | None:
        """The move that made the champion."""
        return next((move for move in reversed(self.moves) if move.kind in CHAMPIONS), None)

    def _stack(self) -> list[int]:
        """Champions one on the other, each once; a rollback takes off what lies above the one it goes back to."""
        stack: list[int] = []
        for move in self.moves:
            if move.kind not in CHAMPIONS:
                continue
            if move.kind == "rollback" and move.version in stack:
                del stack[stack.index(move.version) :]
            gone = move.version or move.before
            stack = [version for version in stack if version != gone]
            if move.version:
                stack.append(move.version)
        return stack


def person() -> str:
    """Who sits at this machine: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def standing(client: Any, name: str, *, record: bool = False) -> Standing:
    """The history of a registered model, after whatever a killed process left undone is done.

    An alias that was moved by other means counts as a move of its own; record: it is written down as one, too.
    Raises UsageError for a model that is not there.
    """
    moves = _settled(client, name)
    found = Standing(tuple(moves))
    alias = _alias(client, name)
    if alias == found.champion:
        return found
    move = Move(kind="outside", version=alias, before=found.champion, who="unknown")
    if not record:
        return Standing((*found.moves, move))
    try:
        return add(client, name, found, move)
    except TakenError:  # somebody was between alias and tag
        return Standing(tuple(_settled(client, name)))


def add(client: Any, name: str, known: Standing, move: Move) -> Standing:
    """Make a move, as the one after those that are known; its effect on the alias included.

    Raises TakenError where another move came in between, telling whose.
    """
    number = known.moves[-1].number + 1 if known.moves else 1
    move = replace(
        move,
        number=number,
        token=secrets.token_hex(8),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=" ".join(move.why.split())[:WHY_LENGTH],
    )
    first = _claim(client, name, move)
    if first.token != move.token:
        raise TakenError(
            f"{name}: {first.who} was faster ({first.words()}), nothing was changed; look at "
            f"`pcakd registry show {name}` and run it again if it is still wanted"
        )
    _carry_out(client, name, move)
    return Standing((*known.moves, move))


def _settled(client: Any, name: str) -> list[Move]:
    """The moves, those included that were claimed and not finished: they are finished now."""
    moves = _recorded(client, name)
    while True:
        number = moves[-1].number + 1 if moves else 1
        claimed = _claimed(client, name, number)
        if claimed is None:
            return moves
        _carry_out(client, name, claimed)
        moves.append(claimed)


def _carry_out(client: Any, name: str, move: Move) -> None:
    """Alias first, then the tag that says it is done. Whoever does it last leaves the alias at the last move."""
    while True:
        if move.kind in CHAMPIONS and move.kind != "outside":
            client.set_registered_model_alias(name, CHAMPION, str(move.version))
        client.set_registered_model_tag(name, f"{MOVE_TAG}{move.number:06d}", move.to_json())
        following = _claimed(client, name, move.number + 1)
        if following is None:
            return
        move = following


def _recorded(client: Any, name: str) -> list[Move]:
    found = []
    for tag, text in _model(client, name).tags.items():
        if tag.startswith(MOVE_TAG):
            with suppress(ValueError, TypeError, KeyError):
                found.append(Move.from_json(text, int(tag.removeprefix(MOVE_TAG))))
    return sorted(found, key=lambda move: move.number)


def _model(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = ", ".join(model.name for model in client.search_registered_models(max_results=20))
        raise UsageError(f"{name}: no such registered model; there are {known or 'none'}") from None


def _alias(client: Any, name: str) -> int:
    """The version that the alias `champion` names, 0 for none. The model's own list may name a deleted one."""
    from mlflow.exceptions import MlflowException

    try:
        return int(client.get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return 0
        raise


def _claim(client: Any, name: str, move: Move) -> Move:
    """Write a move's claim; the claim that stands under its number, which is another one where that came first."""
    from mlflow.exceptions import MlflowException

    for run in _runs(client, name):
        try:
            client.log_param(run, _parameter(move.number), move.to_json(), synchronous=True)
        except MlflowException as error:
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"):
                raise
            if (first := _claimed(client, name, move.number)) is None:
                continue  # the run itself was deleted
            return first
        return move
    raise UsageError(f"{name}: has no version that pcakd registered; register a student first")


def _claimed(client: Any, name: str, number: int) -> Move | None:
    from mlflow.exceptions import MlflowException

    for run in _runs(client, name):
        with suppress(MlflowException):
            text = client.get_run(run).data.params.get(_parameter(number))
            if text is not None:
                return Move.from_json(text, number)
    return None


def _runs(client: Any, name: str) -> Iterator[str]:
    """The runs that registered a model's versions, the oldest version's first."""
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
    return (version.run_id for version in versions if version.run_id)


def _parameter(number: int) -> str:
    return f"move.{number:06d}"
