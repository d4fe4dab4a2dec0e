"""`models:/NAME@ALIAS` and `models:/NAME/VERSION`: the checkpoint file of a registered version."""

import os
import re
import tempfile
from pathlib import Path

from pcakd.errors import CheckpointError, TransientError, UsageError
from pcakd.resolve import Located
from tasks.registry.names import CHECKPOINT_FILE
from tasks.settings import Settings, quiet_environment
from tasks.tracking.store import client_for, sqlite_file
from tasks.tracking.tracker import shown_uri

_ADDRESS = re.compile(r"models:/([^/@:]+)(?:@([A-Za-z0-9_.-]+)|/([0-9]+))")


def resolve_model(name: str, *, settings: Settings | None = None) -> Located:
    """The local file of a registered student, fetched once, and its address with the version's number.

    Raises UsageError for an address of another form or a model, version or alias that is not there,
    TransientError when the registry does not answer.
    """
    quiet_environment()
    settings = settings or Settings.read()
    match = _ADDRESS.fullmatch(name)
    if not match:
        raise UsageError(f"{name}: write models:/NAME@ALIAS or models:/NAME/VERSION, as models:/pcakd-vgg@champion")
    model, alias, version = match.groups()
    database = sqlite_file(settings.tracking_uri)
    if database is not None and not database.is_file():
        raise UsageError(
            f"{name}: no model registry at {database}; set MLFLOW_TRACKING_URI, or PCAKD_WORKSPACE to the workspace"
        )
    import mlflow
    from mlflow.exceptions import MlflowException

    client = client_for(settings.tracking_uri)
    try:
        if alias:
            version = str(client.get_model_version_by_alias(model, alias).version)
        found = client.get_model_version(model, version)
        source = f"models:/{model}/{version}"
        # One folder a registry entry: the numbers of another registry are other models.
        kept = settings.home / "models" / f"{model}-{version}-{found.model_id or found.run_id}.safetensors"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
                uri = client.get_model_version_download_uri(model, version)
                fetched = mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{uri}/artifacts/{CHECKPOINT_FILE}",
                    dst_path=folder,
                    tracking_uri=settings.tracking_uri,
                )
                os.replace(Path(fetched), kept)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise UsageError(
                f"{name}: no such model, version or alias in the registry at {shown_uri(settings.tracking_uri)}"
            ) from None
        raise TransientError(
            f"{name}: the registry at {shown_uri(settings.tracking_uri)} does not answer "
            f"({' '.join(str(error).split())[:200]}); try again"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{name}: {CHECKPOINT_FILE} of this version cannot be fetched ({error})") from None
    return Located(kept, source)
