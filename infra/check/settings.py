"""infra, .env.example and pcakd/environment.py name the same variables, and describe them alike."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from infra.check.files import InvalidError, documents, env_file
from pcakd.environment import VARIABLES

OTHERS = {
    "AWS_EC2_METADATA_DISABLED": "boto3",
    "BUCKETS": "infra/run/setup.py",
    "MINIO_ROOT_PASSWORD": "MinIO",
    "MINIO_ROOT_USER": "MinIO",
    "MLFLOW_ARTIFACTS": "infra/run/mlflow-server.sh",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "MLflow's server",
    "MLFLOW_AUTH_ADMIN_USERNAME": "MLflow's server",
    "MLFLOW_DATABASE_PASSWORD": "infra/run/mlflow-server.sh",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "MLflow's server",
    "MLFLOW_S3_ENDPOINT_URL": "MLflow's server",
    "MLFLOW_TRACKING_PASSWORD": "MLflow's client",
    "MLFLOW_TRACKING_USERNAME": "MLflow's client",
    "PGDATA": "PostgreSQL",
    "POSTGRES_HOST": "infra/run/*-server.sh",
    "POSTGRES_PASSWORD": "PostgreSQL",
    "POSTGRES_USER": "PostgreSQL",
    "PREFECT_API_AUTH_STRING": "Prefect's client",
    "PREFECT_API_URL": "Prefect's client",
    "PREFECT_DATABASE_PASSWORD": "infra/run/prefect-server.sh",
    "PREFECT_LOGIN": "infra/compose.yaml",
    "PREFECT_SERVER_API_AUTH_STRING": "Prefect's server",
    "PREFECT_UI_API_URL": "Prefect's server",
    "RAY_AUTH_MODE": "Ray",
    "RAY_AUTH_TOKEN": "Ray",
    "RAY_HEAD": "infra/run/ray-node.sh",
    "RAY_HEAD_CPUS": "infra/compose.yaml",
    "RAY_NODE_CPUS": "infra/run/ray-node.sh",
    "RAY_NODE_IP": "infra/run/ray-node.sh",
    "RAY_OBJECT_STORE_BYTES": "infra/run/ray-node.sh",
    "RAY_WORKERS": "infra/compose.yaml",
    "RAY_WORKER_CPUS": "infra/compose.yaml",
    "RAY_WORKER_MEMORY": "infra/compose.yaml",
    "VARIANT": "infra/compose.yaml",
}
"""Variables of infra that pcakd's own code does not read → what does."""


def check_settings(root: Path) -> Iterator[str]:
    """Problems with the names of variables, in both directions."""
    example = "infra/.env.example"
    try:
        values, commented = env_file(root / example)
        text = (root / example).read_text()
        places = dict(_places(root))
    except (InvalidError, OSError, yaml.YAMLError) as error:
        yield str(error)
        return
    for where, names in [(example, set(values) | commented), *places.items()]:
        for name in sorted(names - VARIABLES.keys() - OTHERS.keys()):
            yield f"{where}: {name} is in neither pcakd/environment.py nor infra/check/settings.py"
    for name, variable in VARIABLES.items():
        if name not in values and name not in commented:
            yield f"{example}: {name} is missing (pcakd/environment.py: {variable.what})"
        elif name in values and variable.secret and values[name] != "<random>":
            yield f"{example}: {name} is a secret and has a value"
    everywhere = set(values).union(*places.values())
    for name in sorted(OTHERS.keys() - everywhere):
        yield f"infra/check/settings.py: {name} is used nowhere in infra"
    for name in sorted(re.findall(r"\bPCAKD_[A-Z0-9_]*[A-Z0-9]\b", text)):
        if name not in VARIABLES:
            yield f"{example}: mentions {name}, which does not exist"


def _places(root: Path) -> Iterator[tuple[str, set[str]]]:
    """(file, variables that it gives to a container) of the compose file, the manifests and the Dockerfile."""
    compose = yaml.safe_load((root / "infra" / "compose.yaml").read_text())
    yield "infra/compose.yaml", {name for item in compose["services"].values() for name in item.get("environment", {})}
    for path in sorted((root / "infra" / "kubernetes").rglob("*.yaml")):
        names = {name for document in documents(path) for name in _in_manifest(document)}
        yield str(path.relative_to(root)), names
    dockerfile = (root / "infra" / "Dockerfile").read_text()
    yield "infra/Dockerfile", set(re.findall(r"\bPCAKD_[A-Z0-9_]+(?==)", dockerfile))


def _in_manifest(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _in_manifest(inner)
    if not isinstance(value, dict):
        return
    if value.get("kind") == "ConfigMap":
        yield from (name for name in value.get("data", {}) if name.isupper())
    if value.get("kind") == "Kustomization":
        for patch in value.get("patches", ()):
            if patch.get("target", {}).get("kind") == "ConfigMap":
                for operation in yaml.safe_load(patch.get("patch", "")) or ():
                    yield operation["path"].rpartition("/")[2]
    for key, inner in value.items():
        if key == "env" and isinstance(inner, list):
            yield from (variable["name"] for variable in inner)
        else:
            yield from _in_manifest(inner)
