import functools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes_validate.utils
import pytest
import yaml

from infra.check.__main__ import main
from infra.check.compose import check_compose
from infra.check.files import interpolate, kustomizations, variables_in
from infra.check.images import check_images, problem_with
from infra.check.kustomize import build
from infra.check.manifests import check_manifests
from infra.check.settings import check_settings
from tests.conftest import ROOT

COMPOSE = "infra/compose.yaml"
DOCKERFILE = "infra/Dockerfile"
EXAMPLE = "infra/.env.example"
BASE = "infra/kubernetes/base"
RAY = f"{BASE}/ray-cluster.yaml"
LOCAL = "infra/kubernetes/overlays/local/kustomization.yaml"
POSTGRES = "postgres:17.6@sha256:00bc86618629af00d2937fdc5a5d63db3ff8450acf52f0636ec813c7f4902929"


@pytest.fixture(autouse=True, scope="module")
def _schemas_are_read_once() -> Iterator[None]:
    """Kubernetes's are megabytes, and read anew for every object."""
    with pytest.MonkeyPatch.context() as patch:
        read = functools.cache(kubernetes_validate.utils.schema_contents)
        patch.setattr(kubernetes_validate.utils, "schema_contents", read)
        yield


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that the check reads, to spoil."""
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__pycache__", ".env"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    return tmp_path


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text, f"{name} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def problems(folder: Path, check: Callable[[Path], Iterator[str]]) -> str:
    return "\n".join(check(folder))


def test_the_infrastructure_of_this_repository_has_no_problems(capsys):
    assert main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (DOCKERFILE, "python:3.11.14-slim", "python:latest\nARG X=slim", "python:latest has the tag 'latest'"),
        (COMPOSE, "context: ..", "context: ..\n    dockerfile_: x", "dockerfile_"),
        (RAY, "groupName: cpu", "groupname: cpu", "groupname"),
        (EXAMPLE, "PCAKD_EXPERIMENT=", "PCAKD_EXPERIMENTS=", "PCAKD_EXPERIMENTS"),
    ],
    ids=["unpinned image", "invalid compose file", "invalid manifest", "setting that is not shared"],
)
def test_the_command_fails_and_names_the_problem(copy, name, old, new, says):
    spoil(copy, name, old, new)
    words = [sys.executable, "-m", "infra.check", str(copy)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert says in done.stdout


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("postgres", "no tag"),
        ("postgres:latest", "moves"),
        ("postgres:bookworm", "moves"),
        ("postgres:17.6", "no digest"),
        ("postgres:17.6@sha256:00bc", "which is none"),
        ("example.com:5000/postgres", "no tag"),
        ("$IMAGE:1.0", "no image reference"),
        ("pcakd", "no tag"),
        ("pcakd:cpu", "moves"),
        ("example.com:5000/notpcakd:1.0", "no digest"),
        ("pcakd:0.1.0-cpu", None),
        ("example.com:5000/pcakd:0.1.0", None),
        (POSTGRES, None),
    ],
)
def test_an_image_is_pinned_by_an_exact_tag_and_by_its_digest_where_others_publish_it(image, problem):
    found = problem_with(image)
    assert found is None if problem is None else problem in (found or "")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (DOCKERFILE, "ARG PYTHON_IMAGE", "# syntax=docker/dockerfile:1\nARG PYTHON_IMAGE"),
        (DOCKERFILE, "COPY --from=packages /opt", "COPY --from=busybox /opt"),
        (DOCKERFILE, "FROM ${PYTHON_IMAGE} AS pcakd", "FROM debian AS pcakd"),
        (COMPOSE, f"image: {POSTGRES}", "image: postgres:17.6"),
        (COMPOSE, "image: pcakd:0.1.0-${VARIANT:-cpu}", "image: pcakd:${VARIANT:-cpu}"),
        (RAY, "image: pcakd:0.1.0-cuda", "image: pcakd:latest"),
        ("infra/kubernetes/postgres/postgres.yaml", POSTGRES, "postgres:17"),
    ],
)
def test_an_unpinned_image_is_found_wherever_it_stands(copy, name, old, new):
    spoil(copy, name, old, new)
    assert "image " in problems(copy, check_images)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"127.0.0.1:5000:5000"', '"5000:5000"', "open to everybody"),
        ("healthcheck: { disable: true }", "{}", "cannot be read"),
        ("    healthcheck: { disable: true }\n", "", "no health check"),
        ('limits: { cpus: "1", memory: 1g }', 'limits: { cpus: "1" }', "no limits"),
        ("setup: { condition", "set-up: { condition", "no service"),
        ("condition: service_healthy", "condition: healthy", "postgres"),
        ("databases:/var", "database:/var", "not declared"),
        ("restart: unless-stopped", "restart: [always]", "restart"),
        ("${RAY_WORKERS:-2}", "${RAY_NODES:-2}", "RAY_NODES"),
        ("cap_drop: [ALL]", "privileged: true", "all rights"),
    ],
)
def test_a_compose_file_that_does_not_fit_is_found(copy, old, new, says):
    spoil(copy, COMPOSE, old, new)
    assert says in problems(copy, check_compose)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (f"{BASE}/mlflow.yaml", "replicas: 1", "replicas: one", "replicas"),
        (f"{BASE}/mlflow.yaml", "containerPort: 5000", "containerport: 5000", "containerPort"),
        (f"{BASE}/mlflow.yaml", "apiVersion: apps/v1", "apiVersion: apps/v2", "no kind of Kubernetes"),
        (f"{BASE}/mlflow.yaml", "limits: { cpu", "limit: { cpu", "limit"),
        (f"{BASE}/mlflow.yaml", "key: session-key", "key: sessions", "no key sessions"),
        (f"{BASE}/mlflow.yaml", "selector: { app.kubernetes.io/name: mlflow }", "selector: { a: b }", "no pod"),
        (f"{BASE}/mlflow.yaml", "serviceAccountName: pcakd-servers", "serviceAccountName: x", "account x"),
        (f"{BASE}/prefect-worker.yaml", "claimName: prefect-worker", "claimName: x", "volume claim x"),
        (f"{BASE}/prefect-worker.yaml", "name: pcakd-settings", "name: pcakd-setting", "pcakd-setting does not"),
        (f"{BASE}/prefect-worker.yaml", "allowPrivilegeEscalation: false", "privileged: true", "escalation"),
        (
            f"{BASE}/prefect-worker.yaml",
            "valueFrom: { secretKeyRef: { name: pcakd-ray, key: token } }",
            "value: abc",
            "secret RAY_AUTH_TOKEN as a value",
        ),
        (f"{BASE}/namespace.yaml", "kind: Namespace", "kind: Secret", "secrets do not stand in manifests"),
        (f"{BASE}/kustomization.yaml", "setup.yaml", "set-up.yaml", "does not exist"),
        (f"{BASE}/settings.yaml", "data:", "data: [", "cannot be read"),
        (RAY, "rayVersion: 2.60.0", "rayVersion: 2.59.0", "requirements.lock installs 2.60.0"),
        (RAY, "minReplicas: 0", "minReplicas: 3", "replicas must lie"),
        (RAY, "groupName: gpu", "groupName: cpu", "worker group cpu is there twice"),
        (RAY, "tcpSocket: { port: raylet }", "tcpSocket: { ports: raylet }", "'port' is a required"),
        (LOCAL, "name: pcakd-storage", "name: pcakd-store", "does not exist"),
        (LOCAL, "/spec/workerGroupSpecs/0/maxReplicas", "/spec/workers/0/maxReplicas", "does not fit"),
        (LOCAL, "namespace: pcakd", "namePrefix: pcakd", "does not know namePrefix"),
    ],
)
def test_a_manifest_that_is_invalid_or_refers_to_nothing_is_found(copy, name, old, new, says):
    spoil(copy, name, old, new)
    assert says in problems(copy, check_manifests)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (EXAMPLE, "# PCAKD_NUM_CPUS=\n", "", "PCAKD_NUM_CPUS is missing"),
        (EXAMPLE, "AWS_REGION=us", "AWS_REGON=us", "AWS_REGON"),
        (EXAMPLE, "AWS_SECRET_ACCESS_KEY=<random>", "AWS_SECRET_ACCESS_KEY=abc", "is a secret and has a value"),
        (EXAMPLE, "VARIANT=cpu", "VARIANT=cpu\nVARIANT=cuda", "twice"),
        (COMPOSE, "PCAKD_MAX_PIXELS: $", "PCAKD_MAX_PIXEL: $", "PCAKD_MAX_PIXEL is in neither"),
        (f"{BASE}/settings.yaml", "PCAKD_MAX_PIXELS:", "PCAKD_MAX_PIXEL:", "PCAKD_MAX_PIXEL is in neither"),
        (LOCAL, "/data/PCAKD_S3_ENDPOINT_URL", "/data/PCAKD_S3_URL", "PCAKD_S3_URL is in neither"),
        (DOCKERFILE, "PCAKD_HOME=", "PCAKD_HOUSE=", "PCAKD_HOUSE is in neither"),
        (f"{BASE}/mlflow.yaml", "name: MLFLOW_DATABASE_PASSWORD", "name: MLFLOW_DB", "MLFLOW_DB is in neither"),
    ],
)
def test_a_setting_that_infra_and_code_do_not_share_is_found(copy, name, old, new, says):
    spoil(copy, name, old, new)
    assert says in problems(copy, check_settings)


def test_a_variable_that_the_code_gains_is_missing_in_the_example(monkeypatch):
    import pcakd.environment as environment
    from infra.check import settings

    new = environment.Variable(name="PCAKD_NEW", what="something", default="none")
    monkeypatch.setattr(settings, "VARIABLES", {**environment.VARIABLES, "PCAKD_NEW": new})
    assert "PCAKD_NEW is missing" in problems(ROOT, check_settings)


def test_compose_variables_are_filled_in_as_compose_does():
    text = "${A} ${B:-b} ${C:?no C} $$D ${A:-a}"
    assert variables_in(text) == {"A", "B", "C"}
    assert interpolate(text, {"A": "1", "C": "3"}) == "1 b 3 $D 1"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl to compare with")
@pytest.mark.parametrize("folder", sorted(kustomizations(ROOT)), ids=lambda folder: folder.name)
def test_folders_are_built_as_kustomize_builds_them(folder):
    words = ["kubectl", "kustomize", str(folder)]
    theirs = subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def sortable(item):
        return item["kind"], item["metadata"]["name"]

    assert sorted(build(folder), key=sortable) == sorted(yaml.safe_load_all(theirs), key=sortable)


def test_new_env_fills_every_random_place_anew_and_never_overwrites(copy):
    script = copy / "infra" / "run" / "new-env.sh"
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = copy / "infra" / ".env"
    assert written.stat().st_mode & 0o077 == 0
    values = dict(line.split("=", 1) for line in written.read_text().splitlines() if line[:1].isupper())
    secrets = [value for name, value in values.items() if "PASSWORD" in name or "SECRET" in name or "TOKEN" in name]
    assert "<random>" not in "".join(values.values())
    assert len(secrets) == len(set(secrets)) >= 8
    assert all(len(secret) >= 48 for secret in secrets)
    again = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_the_shell_scripts_parse():
    scripts = sorted((ROOT / "infra").rglob("*.sh"))
    assert len(scripts) >= 5
    for script in scripts:
        shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
        subprocess.run([shell, "-n", str(script)], check=True)
