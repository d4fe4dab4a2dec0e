"""What the installed package promises: quick imports, its public names, pinned requirements."""

import subprocess
import sys

import pytest

from tests.command import pcakd
from tests.conftest import ROOT


def test_importing_the_method_loads_nothing_of_the_pipeline():
    code = "import sys, pcakd; pcakd.Stylizer; print([m for m in ('ray', 'prefect', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_page_does_not_wait_for_pytorch():
    code = "import sys, flows.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "words",
    [
        "stylize photo.jpg --style x.jpg --strength 9",
        "stylize photo.jpg --style x.jpg --look-size 9",
        "stylize-video clip.mp4 --style x.jpg --crf 999",
        "stylize-bucket a b --style x --max-rate soon",
        "distill shards bases teacher.safetensors --out a.safetensors --steps -3",
    ],
)
def test_a_wrong_option_is_answered_before_anything_heavy_is_imported(words):
    code = (
        "import atexit, sys, flows.cli\n"
        "atexit.register(lambda: print([m for m in ('torch', 'ray', 'prefect', 'mlflow') if m in sys.modules]))\n"
        f"sys.argv = ['pcakd', *{words.split()}]\n"
        "flows.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip() == "[]"
    assert len(done.stderr.splitlines()) == 1


def test_the_lock_file_pins_exact_versions_and_names_no_index():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert lines
    for line in lines:
        assert "==" in line, line
        assert "://" not in line, line


def test_the_package_tells_its_version_as_the_command_does():
    import importlib.metadata

    import pcakd as package

    assert package.__version__ == importlib.metadata.version("pcakd")
    assert pcakd("--version").stdout == f"pcakd, version {package.__version__}\n"
