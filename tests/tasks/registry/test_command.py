"""`pcakd registry` on a real MLflow store."""

import json

import pytest

from flows.cli import PIPELINE_COMMANDS
from pcakd.cli.main import make_group, run
from pcakd.errors import UsageError
from tasks.registry.resolve import resolve_model
from tasks.settings import Settings
from tests.command import pcakd
from tests.tasks.registry.bare import Model, new_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return new_store(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def registry(store, monkeypatch, capsys):
    """Runs `pcakd registry ...` in this process; (exit code, output, errors)."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    monkeypatch.setenv("PCAKD_HOME", str(store.home))

    def call(*words: str) -> tuple[int, str, str]:
        code = run(make_group(PIPELINE_COMMANDS), ["registry", *words])
        return code, *capsys.readouterr()

    return call


def test_a_rollback_is_one_command_and_the_history_tells_of_it(store, registry):
    model = Model(store, "pcakd-walk", 3)
    model.flow(1, 1.0)
    model.flow(2, 1.2, champion=1.0)
    code, output, _ = registry("rollback", "pcakd-walk", "--why", "green skies", "--by", "ann")
    assert (code, output) == (0, "pcakd-walk: back from version 2 to version 1: green skies\n")
    assert model.champion == 1
    lines = registry("show", "pcakd-walk")[1].splitlines()
    assert lines[0] == "pcakd-walk: champion 1, 3 versions"
    assert lines[3].endswith("ann: back from version 2 to version 1: green skies")
    assert "flow x: version 2 became champion" in lines[4]
    assert "flow x: version 1 became champion: reaches every floor" in lines[5]
    states = {line.split()[0]: line for line in lines[7:]}
    assert "rolled back from" in states["2"]
    assert "champion" in states["1"]
    found = {one["name"]: one for one in json.loads(registry("list", "--json")[1])}["pcakd-walk"]
    assert (found["champion"], found["by"], found["why"]) == (1, "ann", "green skies")


def test_pins_rejections_and_promotions_by_hand_are_told_and_held(store, registry):
    model = Model(store, "pcakd-held", 3)
    assert registry("promote", "pcakd-held", "2", "--why", "try it")[1] == (
        "pcakd-held: version 2 became champion: try it\n"
    )
    assert "is the champion already" in registry("promote", "pcakd-held", "champion")[1]
    assert registry("reject", "pcakd-held", "3", "--why", "blobs")[0] == 0
    code, _, errors = registry("promote", "pcakd-held", "models:/pcakd-held/3")
    assert (code, errors.count("\n")) == (2, 1)
    assert "first `pcakd registry reject pcakd-held 3 --lift`" in errors
    assert registry("pin", "pcakd-held", "--why", "print")[1] == "pcakd-held: pinned to version 2: print\n"
    assert "pinned by" in registry("list")[1]
    assert registry("promote", "pcakd-held", "1")[0] == 2
    assert registry("pin", "pcakd-held", "--lift")[1] == "pcakd-held: pin lifted\n"
    assert registry("promote", "pcakd-held", "1")[0] == 0
    assert model.champion == 1


def test_two_versions_are_compared_and_other_photos_are_told(store, registry):
    model = Model(store, "pcakd-pair", 2)
    for version, across, baseline in (("1", 24.0, 18.0), ("2", 25.5, 18.5)):
        tags = {"pcakd.metric.across.psnr": across, "pcakd.baseline.unchanged.across.psnr": baseline}
        for key, value in tags.items():
            model.client.set_model_version_tag("pcakd-pair", version, key, str(value))
    output = registry("compare", "pcakd-pair", "1", "2")[1]
    assert output.splitlines()[1].split() == ["across.psnr", "24", "25.5", "+1.5"]
    assert "different photos" in output
    shown = registry("show", "pcakd-pair", "2")[1]
    assert ["across.psnr", "25.5", "18.5"] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "nothing"), "nothing: no such registered model; there are"),
        (("show", "pcakd-wrong", "9"), "version 9: no such version"),
        (("show", "pcakd-wrong", "nobody"), "'nobody' is no version and no alias"),
        (("rollback", "pcakd-wrong"), "nothing had no champion before it"),
        (("pin", "pcakd-wrong"), "has no champion to pin"),
        (("compare", "pcakd-wrong", "1", "1"), "no score in common"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(store, registry, words, says):
    if not [one for one in registry("list")[1].splitlines() if one.startswith("pcakd-wrong")]:
        Model(store, "pcakd-wrong", 1)
    code, _, errors = registry(*words)
    assert (code, errors.count("\n")) == (2, 1)
    assert says in errors


def test_a_registry_that_is_not_there_is_named_and_not_made(tmp_path):
    done = pcakd("registry", "list", cwd=tmp_path, fresh=False, PCAKD_HOME=str(tmp_path / "home"))
    assert done.returncode == 2
    assert "no model registry at" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"something else", b"SQLite format 3\0" + bytes(range(256)) * 16])
def test_a_registry_that_is_no_database_is_named_in_one_line_and_stays(registry, tmp_path, monkeypatch, content):
    file = tmp_path / "mlflow.db"
    file.write_bytes(content)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    code, _, errors = registry("list")
    assert (code, errors) == (
        2,
        f"pcakd: the registry at sqlite:///{file} is no database: let MLFLOW_TRACKING_URI name one, or a server\n",
    )
    with pytest.raises(UsageError, match="is no database"):
        resolve_model("models:/pcakd-vgg@champion", settings=Settings.read())
    assert file.read_bytes() == content
