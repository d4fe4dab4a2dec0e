"""What is checked on a node of the cluster: that it reads the source, writes the workspace and runs the teacher."""

import secrets
import socket
from collections.abc import Callable

import torch

from pcakd.errors import FatalError, NotFoundError, PcakdError, TransientError, UsageError
from pcakd.storage import Storage
from pcakd.teacher import Teacher

PROBE = "_preflight"
SIDE = 64
"""Pixels of the picture that the teacher is tried on."""


KINDS: tuple[type[PcakdError], ...] = (UsageError, FatalError, TransientError)
"""Of faults, the gravest first: one that somebody has to mend, one that will not pass, one that may."""


def kind_of(error: PcakdError) -> type[PcakdError]:
    """The kind of a fault."""
    return next((kind for kind in KINDS if isinstance(error, kind)), FatalError)


def check_write(workspace: Storage) -> None:
    """Write, read and remove an object. Raises what the storage raises, FatalError where it gives back other bytes."""
    key, data = f"{PROBE}/{secrets.token_hex(8)}", secrets.token_bytes(16)
    workspace.write(key, data)
    try:
        if workspace.read(key) != data:
            raise FatalError(f"{workspace.uri(key)}: gives back other bytes than were written")
    finally:
        workspace.delete(key)


def check_shared(workspace: Storage, key: str) -> None:
    """Read what the flow has written. Raises NotFoundError where this node sees another workspace."""
    if not workspace.exists(key):
        raise NotFoundError(
            f"{workspace}: is not the folder that the flow writes to; give an s3:// workspace or a shared folder"
        )


def check_features(teacher: Teacher) -> None:
    """Run the teacher. Raises FatalError where it gives no finite features."""
    with torch.no_grad():
        features = teacher.features(torch.full((1, 3, SIDE, SIDE), 0.5))
    if not all(torch.isfinite(level).all() for level in features):
        raise FatalError(f"teacher {teacher.name}: its features are not finite; are its weights damaged?")


def check_node(source: Storage, workspace: Storage, key: str, teacher: Teacher | None) -> list[PcakdError]:
    """The faults of this node, each with its name. key: an object that the flow has written into the workspace.

    Errors that are not of the project are faults, too: a node that lacks a package fails in many ways.
    """
    host = socket.gethostname()

    def read_source() -> None:
        source.check()
        next(iter(source.list()), None)

    faults: list[PcakdError] = []
    checks: list[Callable[[], None]] = [
        read_source,
        lambda: check_shared(workspace, key),
        lambda: check_write(workspace),
    ]
    if teacher is not None:
        checks.append(lambda: check_features(teacher))
    for check in checks:
        try:
            check()
        except PcakdError as error:
            faults.append(kind_of(error)(f"on node {host}: {error}"))
        except Exception as error:
            faults.append(FatalError(f"on node {host}: {type(error).__name__}: {error}"))
    return faults
