"""`models:/NAME@ALIAS` and `models:/NAME/VERSION`: the checkpoint file of a registered version."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcakd.errors import CheckpointError, TransientError, UsageError
from pcakd.student.address import Located
from tasks.registry.names import CHECKPOINT_FILE, DIGEST_TAG
from tasks.settings import Settings, quiet_environment, shown_uri
from tasks.tracking.store import client_for, no_database, sqlite_file, store_errors

_ADDRESS = re.compile(r"models:/([^/@:]+)(?:@([A-Za-z0-9_.-]+)|/([0-9]+))")


def resolve_model(name: str, *, settings: Settings | None = None) -> Located:
    """The local file of a registered student, fetched once, and its address with the version's number.

    Its weights have the digest that the version was registered with: a file that has another is fetched again.
    Raises CheckpointError if the registry's file has another, UsageError for an address of another form or a
    model, version or alias that is not there, TransientError when the registry does not answer.
    """
    quiet_environment()
    settings = settings or Settings.read()
    match = _ADDRESS.fullmatch(name)
    if not match:
        raise UsageError(f"{name}: write models:/NAME@ALIAS or models:/NAME/VERSION, as models:/pcakd-vgg@champion")
    database = sqlite_file(settings.tracking_uri)
    if database is not None and not database.is_file():
        raise UsageError(
            f"{name}: no model registry at {database}; set MLFLOW_TRACKING_URI, or PCAKD_WORKSPACE to the workspace"
        )
    model, alias, version = match.groups()
    with _translated(name, settings):
        client = client_for(settings.tracking_uri)
        if alias:
            version = str(client.get_model_version_by_alias(model, alias).version)
        found = client.get_model_version(model, version)
        # One folder a registry entry: the numbers of another registry are other models.
        kept = settings.fetched / f"{model}-{version}-{found.model_id or found.run_id}.safetensors"
        digest = found.tags.get(DIGEST_TAG, "")
        if not _holds(kept, digest):
            uri = client.get_model_version_download_uri(model, version)
            if not _fetched(f"{uri}/artifacts/{CHECKPOINT_FILE}", digest, kept, settings):
                raise CheckpointError(
                    f"{name}: {CHECKPOINT_FILE} of version {version} is not the file that was registered "
                    "(its digest differs); register the model again"
                )
    return Located(kept, f"models:/{model}/{version}")


def _fetched(uri: str, digest: str, kept: Path, settings: Settings) -> bool:
    """Fetch a file, whole or not at all; whether it holds the weights of the digest."""
    import mlflow

    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=folder, tracking_uri=settings.tracking_uri
        )
        if not _holds(Path(path), digest):
            return False
        os.replace(path, kept)
        return True


@contextmanager
def _translated(name: str, settings: Settings) -> Iterator[None]:
    """MLflow's errors as the project's."""
    try:
        yield
    except store_errors() as error:
        registry = f"the registry at {shown_uri(settings.tracking_uri)}"
        if getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise UsageError(f"{name}: no such model, version or alias in {registry}") from None
        if words := no_database(error, settings.tracking_uri):
            raise UsageError(f"{name}: {words}") from None
        reason = " ".join(str(error).split())[:200]
        raise TransientError(f"{name}: {registry} does not answer ({reason}); try again") from None
    except OSError as error:
        raise CheckpointError(f"{name}: {CHECKPOINT_FILE} of this version cannot be fetched ({error})") from None


def _holds(path: Path, digest: str) -> bool:
    """Whether a file is there, whole, and holds the weights of a digest ("": of any, for versions of other tools)."""
    if not path.is_file():
        return False
    from pcakd.student.checkpoint import digest_tensors, read_tensors

    try:
        return digest_tensors(read_tensors(path)[0]) == digest or not digest
    except CheckpointError:
        return False
