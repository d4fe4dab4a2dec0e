"""Register a student once, verify what was registered, and make it the challenger."""

import io
import logging
import math
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pcakd.errors import FatalError, PcakdError, TransientError, UsageError
from pcakd.student.checkpoint import Checkpoint, load_checkpoint
from tasks.registry.describe import MODEL_WORDS
from tasks.registry.names import (
    CHALLENGER,
    CHANNELS_TAG,
    DIGEST_TAG,
    EVALUATION_TAG,
    EXAMPLE_FILES,
    TEACHER_TAG,
    VERIFIED_TAG,
    registered_name,
)
from tasks.settings import Settings, quiet_environment, shown_uri
from tasks.tracking.store import client_for, no_database, prepare_store, store_errors

logger = logging.getLogger(__name__)

EXAMPLE_TOLERANCE = 2
"""Steps of 255 by which the registered model may miss the stored example: another CPU rounds differently."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One version in the registry. created: False where an earlier run had registered these weights."""

    name: str
    version: int
    digest: str
    created: bool

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


def register(
    checkpoint: bytes, *, settings: Settings, mlflow_run: str | None = None, tags: Mapping[str, Any] | None = None
) -> Registered:
    """Register a checkpoint file's content, verify the version and make it the challenger.

    The weights' digest decides: what is registered already is found again, and only what is missing is
    done. mlflow_run: the run that the model is logged in.
    Raises CheckpointError, FatalError when the version does not reproduce its example, TransientError
    when the registry does not answer.
    """
    quiet_environment()
    with tempfile.TemporaryDirectory(prefix="pcakd-register-") as name, translated(settings):
        folder = Path(name)
        loaded = folder / "checkpoint.safetensors"
        loaded.write_bytes(checkpoint)
        model = load_checkpoint(loaded)
        experiment = prepare_store(settings.tracking_uri, settings.experiment)
        client = client_for(settings.tracking_uri)
        registered = find_version(client, registered_name(model.metadata.spec.backbone), model.digest)
        if registered is None:
            packed = folder / "packed"
            packed.mkdir()
            use_store(settings)
            run = {"run_id": mlflow_run} if mlflow_run else {"experiment_id": experiment, "run_name": "registration"}
            logged = _log_model(checkpoint, model, packed, run)
            registered = _create(client, model, logged, tags or {})
        version = client.get_model_version(registered.name, str(registered.version))
        if tags and version.tags.get(EVALUATION_TAG) != str(tags.get(EVALUATION_TAG)):  # it was measured anew since
            for key, value in tags.items():
                client.set_model_version_tag(registered.name, str(registered.version), key, str(value))
        if version.tags.get(VERIFIED_TAG) != "yes":
            verify(registered, settings=settings)
            client.set_model_version_tag(registered.name, str(registered.version), VERIFIED_TAG, "yes")
        client.set_registered_model_alias(registered.name, CHALLENGER, str(registered.version))
        return registered


def find_version(client: Any, name: str, digest: str) -> Registered | None:
    """The oldest version with these weights."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'")
    versions = sorted(int(version.version) for version in found)
    return Registered(name=name, version=versions[0], digest=digest, created=False) if versions else None


def verify(registered: Registered, *, settings: Settings) -> None:
    """Load a version as a user would and let it make its stored example again. Raises FatalError."""
    import mlflow
    from PIL import Image

    from tasks.registry.package import EXAMPLE_PARAMS, example_input

    use_store(settings)
    with tempfile.TemporaryDirectory(prefix="pcakd-verify-") as folder:
        local = Path(mlflow.artifacts.download_artifacts(registered.uri, dst_path=folder))
        example = local / "artifacts" / "example"
        model = mlflow.pyfunc.load_model(str(local))
        image = model.predict(example_input(example), params=EXAMPLE_PARAMS)["image"][0]
        made = np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)
        wanted = np.asarray(Image.open(example / EXAMPLE_FILES[2]).convert("RGB")).astype(int)
    if made.shape != wanted.shape or np.abs(made - wanted).max() > EXAMPLE_TOLERANCE:
        raise FatalError(f"{registered.uri}: does not reproduce its stored example; it gets no alias")


def use_store(settings: Settings) -> None:
    """Point MLflow's own functions, which know one address a process, at the store."""
    quiet_environment()
    import mlflow

    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)


def _log_model(checkpoint: bytes, model: Checkpoint, folder: Path, run: Mapping[str, Any]) -> Any:
    """Log the model in a run of MLflow's, an open one or a new one; what `log_model` tells of it."""
    import mlflow

    from tasks.registry.package import write_package

    with mlflow.start_run(**run):
        name = registered_name(model.metadata.spec.backbone)
        return mlflow.pyfunc.log_model(name=name, **write_package(checkpoint, folder))


def _create(client: Any, model: Checkpoint, logged: Any, tags: Mapping[str, Any]) -> Registered:
    """A version of the logged model; that of another run which was sooner, if there is one."""
    from mlflow.exceptions import MlflowException

    name = registered_name(model.metadata.spec.backbone)
    try:
        client.create_registered_model(name, description=MODEL_WORDS.format(model.metadata.spec.backbone, name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    facts = made_by(model) | dict(tags)
    version = client.create_model_version(
        name,
        logged.model_uri,
        run_id=logged.run_id,
        tags={key: str(value) for key, value in facts.items()},
        model_id=logged.model_id,
    )
    created = Registered(name=name, version=int(version.version), digest=model.digest, created=True)
    oldest = find_version(client, name, model.digest)
    if oldest is not None and oldest.version < created.version:
        # Another run registered the same weights meanwhile; both runs keep the version of the lower number.
        client.delete_model_version(name, str(created.version))
        return oldest
    return created


def made_by(model: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says of itself, as tags of its version."""
    about = model.metadata
    return {
        DIGEST_TAG: model.digest,
        "pcakd.data_digest": about.data_digest,
        CHANNELS_TAG: " / ".join(map(str, about.spec.channels)),
        TEACHER_TAG: about.teacher.get("id", ""),
        "pcakd.commit": about.commit,
    }


def logged_model_of(version: Any) -> str:
    """The id of the logged model that a version was made of, "" where it was made of a run's artifacts: MLflow's server
    keeps it in the version's source alone."""
    found = re.fullmatch(r"models:/(m-[0-9a-f]+)", version.source or "")
    return found[1] if found else ""


def score(registered: Registered, scores: Mapping[str, float], *, settings: Settings) -> None:
    """Put scores on the version's logged model, whose page, and the version's, show them as metrics."""
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    with translated(settings):
        client = client_for(settings.tracking_uri)
        version = client.get_model_version(registered.name, str(registered.version))
        model_id = logged_model_of(version)
        if not model_id or not version.run_id:  # registered by an MLflow before there were logged models
            return
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, 0, model_id=model_id, run_id=version.run_id)
            for name, value in scores.items()
            if math.isfinite(value)
        ]
        try:
            client.log_batch(version.run_id, metrics=metrics)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"):
                raise
            logger.warning("%s: its scores stay tags alone: %s", registered.uri, " ".join(str(error).split())[:200])


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """What MLflow raises, as TransientError that names its address; as UsageError where a file is no database."""
    errors: tuple[type[Exception], ...] = (OSError, *store_errors())
    try:
        yield
    except PcakdError:
        raise
    except errors as error:
        if words := no_database(error, settings.tracking_uri):
            raise UsageError(words) from None
        raise TransientError(
            f"the model registry at {shown_uri(settings.tracking_uri)} does not do it "
            f"({' '.join(str(error).split())[:300]}); run it again"
        ) from None
