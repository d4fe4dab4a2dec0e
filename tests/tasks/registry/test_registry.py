"""Registering, verifying, finding and serving models, against a real MLflow on SQLite."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image

from pcakd import Stylizer
from pcakd.errors import CheckpointError, FatalError, TransientError, UsageError
from pcakd.photos.images import encode_photo
from pcakd.student.checkpoint import checkpoint_bytes
from tasks.registry import champion_of, promote_by_hand, register, resolve_model
from tasks.registry.versions import logged_model_of, score, use_store
from tasks.settings import QUIET, Settings, embedded_uri
from tests.command import pcakd
from tests.conftest import ROOT, missing
from tests.models import random_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    folder = tmp_path_factory.mktemp("registry")
    return Settings(home=folder, workspace=str(folder), tracking_uri=embedded_uri(folder), experiment="registry")


def student(seed: int, backbone: str = "vgg") -> bytes:
    checkpoint = random_checkpoint(backbone, seed=seed)
    return checkpoint_bytes(checkpoint.student, checkpoint.metadata)


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    return encode_photo(Image.fromarray(pixels).resize((112, 80)), "PNG")


@pytest.fixture(scope="module")
def champion(settings):
    registered = register(student(1), settings=settings)
    promote_by_hand(registered.name, registered.version, settings=settings)
    return registered


def test_a_registered_model_is_verified_and_is_the_challenger(settings, champion):
    version = MlflowClient(settings.tracking_uri).get_model_version(champion.name, str(champion.version))
    assert champion.name == "pcakd-vgg"
    assert version.tags["pcakd.verified"] == "yes"
    assert "challenger" in version.aliases
    page = MlflowClient(settings.tracking_uri).get_registered_model(champion.name).description
    assert "Students with the vgg backbone" in page
    assert "`pcakd registry show pcakd-vgg`" in page


def test_scores_are_metrics_of_the_logged_model_and_renewed_when_it_is_measured_anew(settings, champion):
    client = MlflowClient(settings.tracking_uri)
    version = client.get_model_version(champion.name, str(champion.version))
    for value in (19.0, 27.5):
        score(champion, {"own.across.psnr": value, "unexplained.3": float("nan")}, settings=settings)
    found = client.get_logged_model(logged_model_of(version)).metrics
    latest = max(found, key=lambda metric: metric.timestamp)
    assert {metric.key for metric in found} == {"own.across.psnr"}
    assert latest.value == 27.5
    assert version.tags["pcakd.channels"] == "4 / 5 / 6 / 7"


def test_registering_the_same_weights_again_gives_the_same_version(settings, champion):
    again = register(student(1), settings=settings)
    assert (again.version, again.created) == (champion.version, False)
    assert len(MlflowClient(settings.tracking_uri).search_model_versions("name = 'pcakd-vgg'")) >= 1


def test_two_registrations_of_the_same_weights_at_once_leave_one_version(settings):
    found = []
    checkpoint = student(9, "mobilenet")  # drawn once: two threads would draw from one random generator
    threads = [threading.Thread(target=lambda: found.append(register(checkpoint, settings=settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = MlflowClient(settings.tracking_uri).search_model_versions("name = 'pcakd-mobilenet'")
    assert len(versions) == 1
    assert {registered.version for registered in found} == {int(versions[0].version)}


def test_a_prediction_through_the_champion_equals_the_librarys_result(settings, champion, tmp_path):
    use_store(settings)
    model = mlflow.pyfunc.load_model("models:/pcakd-vgg@champion")
    frame = pd.DataFrame({"content": [photo(1), photo(2)], "style": [photo(3), photo(3)]})
    images = model.predict(frame, params={"transform": "ot", "strength": 0.5, "format": "PNG"})["image"]
    (tmp_path / "m.safetensors").write_bytes(student(1))
    stylizer = Stylizer.load(tmp_path / "m.safetensors")
    for image, content in zip(images, frame["content"], strict=True):
        expected = stylizer.stylize(content, photo(3), transform="ot", strength=0.5)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(image))), np.asarray(expected))


def test_a_wrong_parameter_or_photo_is_named(settings, champion):
    use_store(settings)
    model = mlflow.pyfunc.load_model(champion.uri)
    frame = pd.DataFrame({"content": [photo(1)], "style": [photo(3)]})
    with pytest.raises(mlflow.MlflowException, match=r"strength is 3\.0"):
        model.predict(frame, params={"strength": 3.0})
    with pytest.raises(mlflow.MlflowException, match="format is 'GIF'"):
        model.predict(frame, params={"format": "GIF"})
    with pytest.raises(mlflow.MlflowException, match="photo"):
        model.predict(pd.DataFrame({"content": [b"no photo"], "style": [photo(3)]}))
    with pytest.raises(mlflow.MlflowException, match="quality is 0: give"):
        model.predict(frame, params={"quality": 0})
    with pytest.raises(mlflow.MlflowException, match="params has strenght: parameters are transform, balance"):
        model.predict(frame, params={"strenght": 0.5})


def test_photos_come_as_bytes_or_as_base64_text_however_the_request_is_written(settings, champion):
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    use_store(settings)
    model = mlflow.pyfunc.load_model(champion.uri)
    expected = model.predict(pd.DataFrame({"content": [photo(1)], "style": [photo(3)]}), params={"format": "PNG"})
    client = TestClient(scoring_server.init(model))
    content, style = (base64.b64encode(photo(number)).decode() for number in (1, 3))
    row = {"content": content, "style": style}
    bodies = [
        {"dataframe_split": {"columns": ["content", "style"], "data": [[content, style]]}},
        {"dataframe_records": [row]},
        {"inputs": {"content": [content], "style": [style]}},
        {"inputs": [row]},
        {"instances": [row]},
    ]
    for body in bodies:
        answer = client.post("/invocations", json=body | {"params": {"format": "PNG"}})
        assert answer.status_code == 200, (list(body), answer.text[:300])
        assert base64.b64decode(answer.json()["predictions"][0]["image"]) == expected["image"][0], list(body)
    answer = client.post(
        "/invocations", content=f"content,style\n{content},{style}\n", headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 200
    assert base64.b64decode(answer.json()["predictions"][0]["image"]).startswith(b"\xff\xd8")


def test_a_wrong_request_is_answered_in_one_sentence_without_the_photo(settings, champion):
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    use_store(settings)
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(champion.uri)))
    good, bad = base64.b64encode(photo(1)).decode(), base64.b64encode(photo(1)[:300]).decode()
    wrong = [
        ({"dataframe_records": [{"content": bad, "style": good}]}, "content in row 1: is truncated"),
        ({"dataframe_records": [{"content": good, "style": bad}]}, "style in row 1: is truncated"),
        ({"dataframe_records": [{"content": good}]}, "style is missing"),
        ({"instances": [{"content": "no photo!", "style": good}]}, "content in row 1"),
        ({"dataframe_records": [{"content": good, "style": good}], "params": {"strength": 7}}, "strength is 7.0"),
        ({"dataframe_records": [{"content": good, "style": good}], "params": {"sharpen": 1}}, "params has sharpen"),
    ]
    for body, word in wrong:
        answer = client.post("/invocations", json=body)
        assert answer.status_code == 400
        assert word in answer.json()["message"]
        assert good[:60] not in answer.text
        assert "Traceback" not in answer.text


def test_there_is_no_champion_of_a_backbone_nobody_registered(tmp_path):
    settings = Settings(home=tmp_path, workspace="w", tracking_uri=embedded_uri(tmp_path), experiment="e")
    assert champion_of("vgg", settings=settings) is None


def test_an_alias_resolves_to_the_checkpoint_and_its_version(settings, champion):
    located = resolve_model("models:/pcakd-vgg@champion", settings=settings)
    assert located.source == f"models:/pcakd-vgg/{champion.version}"
    assert located.path.read_bytes() == student(1)
    assert resolve_model(located.source, settings=settings) == located


def test_a_file_that_is_not_the_one_registered_is_fetched_again_and_never_used(settings, champion):
    located = resolve_model(champion.uri, settings=settings)
    whole = located.path.read_bytes()
    located.path.write_bytes(student(9))
    assert resolve_model(champion.uri, settings=settings) == located
    assert located.path.read_bytes() == whole
    located.path.unlink()
    uri = MlflowClient(settings.tracking_uri).get_model_version_download_uri(champion.name, str(champion.version))
    folder = mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/artifacts", tracking_uri=settings.tracking_uri)
    (stored,) = Path(folder).glob("*.safetensors")  # the store's own file: SQLite keeps artifacts in a local folder
    stored.write_bytes(student(9))
    try:
        with pytest.raises(CheckpointError, match="not the file that was registered"):
            resolve_model(champion.uri, settings=settings)
        assert not located.path.exists()
    finally:
        stored.write_bytes(whole)


def test_without_a_home_fetched_models_go_to_the_users_cache_and_not_to_the_folder_one_stands_in(
    settings, champion, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PCAKD_HOME", raising=False)
    monkeypatch.setenv("PCAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    assert resolve_model(champion.uri).path.parent == tmp_path / "cache" / "models"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("models:/pcakd-vgg", "write models:/NAME@ALIAS"),
        ("models:/pcakd-vgg@nobody", "no such model, version or alias"),
        ("models:/other/1", "no such model, version or alias"),
    ],
)
def test_a_name_that_is_not_in_the_registry_is_a_usage_error(settings, champion, name, message):
    with pytest.raises(UsageError, match=message):
        resolve_model(name, settings=settings)


def test_a_registry_that_does_not_answer_may_answer_later(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = Settings(home=tmp_path, workspace="w", tracking_uri="http://127.0.0.1:9", experiment="e")
    with pytest.raises(TransientError, match="does not answer"):
        resolve_model("models:/pcakd-vgg@champion", settings=settings)
    with pytest.raises(TransientError):
        register(student(1), settings=settings)


def test_the_command_stylizes_with_a_registered_model(settings, champion, tmp_path):
    (tmp_path / "content.png").write_bytes(photo(1))
    (tmp_path / "style.png").write_bytes(photo(3))
    environment = {"MLFLOW_TRACKING_URI": settings.tracking_uri, "PCAKD_HOME": str(settings.home)}
    options = ["--style", "style.png", "--out", "out.png"]
    done = pcakd(
        "stylize", "content.png", *options, "--model", "models:/pcakd-vgg@champion", cwd=tmp_path, **environment
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "m.safetensors").write_bytes(student(1))
    expected = Stylizer.load(tmp_path / "m.safetensors").stylize(photo(1), photo(3))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.asarray(expected))
    wrong = pcakd("stylize", "content.png", *options, "--model", "models:/pcakd-vgg@x", cwd=tmp_path, **environment)
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1


def test_a_version_that_misses_its_example_gets_no_alias(settings, champion, monkeypatch):
    from tasks.registry import package

    true = package.write_example

    def other_picture(weights, folder):
        true(weights, folder)
        (folder / "expected.png").write_bytes((folder / "content.png").read_bytes())

    monkeypatch.setattr(package, "write_example", other_picture)
    with pytest.raises(FatalError, match="does not reproduce"):
        register(student(4), settings=settings)
    challenger = MlflowClient(settings.tracking_uri).get_model_version_by_alias("pcakd-vgg", "challenger")
    assert int(challenger.version) != max(
        int(v.version) for v in MlflowClient(settings.tracking_uri).search_model_versions("name = 'pcakd-vgg'")
    )


def test_mlflow_models_serve_answers_the_same_over_http_with_the_code_that_came_with_the_model(
    settings, champion, tmp_path
):
    """The served process runs outside the project's tree; the code comes with the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": settings.tracking_uri, "OMP_NUM_THREADS": "1"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    words = ["models", "serve", "-m", champion.uri, "-p", str(port), "--env-manager", "local", "-w", "1"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log")
        row = {"content": base64.b64encode(photo(1)).decode(), "style": base64.b64encode(photo(3)).decode()}
        body = {"dataframe_records": [row], "params": {"strength": 0.7, "format": "PNG"}}
        answer = post(f"http://127.0.0.1:{port}/invocations", body)
        image = base64.b64decode(answer["predictions"][0]["image"])
        (tmp_path / "m.safetensors").write_bytes(student(1))
        expected = Stylizer.load(tmp_path / "m.safetensors").stylize(photo(1), photo(3), strength=0.7)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(image))), np.asarray(expected))
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(f"http://127.0.0.1:{port}/invocations", body | {"params": {"strength": 7.0}})
        assert refused.value.code == 400
        assert_the_pages_curl_lines_are_answered(port, tmp_path)
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def assert_the_pages_curl_lines_are_answered(port: int, folder: Path) -> None:
    """Run the lines of docs/pipeline.md as they stand there, but for the port."""
    for tool in ("curl", "jq"):
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed: make test-deps")
    for name, seed in (("street.jpg", 1), ("evening.jpg", 3)):
        (folder / name).write_bytes(photo(seed))
    page = (ROOT / "docs" / "pipeline.md").read_text()
    lines = page[page.index("    R='{") :].partition("\n\n")[0]
    script = textwrap.dedent(lines).replace("127.0.0.1:5001", f"127.0.0.1:{port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answers, text = [], done.stdout
    while text.strip():
        answer, end = json.JSONDecoder().raw_decode(text.strip())
        answers.append(answer["predictions"][0]["image"])
        text = text.strip()[end:]
    assert len(answers) == lines.count("curl -s") == 5
    assert len(set(answers[1:])) == 1
    assert answers[0] != answers[1]
    for image in answers:
        assert Image.open(io.BytesIO(base64.b64decode(image))).size == (112, 80)


def wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)


def post(url: str, body: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(request, timeout=60).read())
