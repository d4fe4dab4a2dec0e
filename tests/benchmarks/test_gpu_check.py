"""The check for machines with a GPU checks itself on a CPU, with no more installed than it asks for."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks import gpu_check
from tests.command import ROOT

ABSENT = ("boto3", "click", "cv2", "matplotlib", "mlflow", "numba", "prefect", "ray", "rich", "scipy", "skimage")
BARE = f"""
import sys
sys.modules |= dict.fromkeys({ABSENT})  # importing one of them fails
from benchmarks.gpu_check import main
sys.exit(main(sys.argv[1:]))
"""


def test_on_a_cpu_it_says_so_checks_everything_and_needs_pytorch_alone(tmp_path):
    command = [sys.executable, "-c", BARE, "--device", "cpu", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no GPU in use" in done.stdout
    record, text = json.loads((tmp_path / "gpu-check.json").read_text()), (tmp_path / "gpu-check.md").read_text()
    assert all(check["ok"] for check in record["checks"])
    for model in ("vgg", "mobilenet"):
        names = [check["name"] for check in record["checks"] if check["name"].startswith(model)]
        for part in ("plain path, ot", "auto from", "bf16 from", "strips", "little memory from", "attempts"):
            assert any(part in name for name in names), part
        assert {row["precision"] for row in record["photos"][model]} == {"fp32", "auto", "bf16"}
        assert all(row["fresh_ms"] > row["cached_ms"] > 0 for row in record["photos"][model])
        assert record["training"][model]["steps_per_second"] > 0
        assert record["extraction"][model]["photos_per_second"] > 0
        assert f"### {model}, looks" in text
    assert text in done.stdout


def test_a_check_that_fails_is_told_and_ends_it_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "parity", lambda *_: [])
    monkeypatch.setattr(gpu_check, "fallback", lambda *_: [])
    monkeypatch.setattr(gpu_check, "filtering", lambda *_: gpu_check.Check(name="filter", value=2, bound=1))
    monkeypatch.setattr(gpu_check, "tiling", lambda *_: gpu_check.Check(name="tiles", value=0, bound=1))
    for step in ("photos", "looks", "guided_filters", "training", "extraction"):
        monkeypatch.setattr(gpu_check.gpu_speed, step, lambda *_: [])
    monkeypatch.setattr(gpu_check.gpu_speed, "tables", lambda _: [])
    assert gpu_check.main(["--device=cpu", "--models=vgg", f"--out={tmp_path}"]) == 1
    shown = capsys.readouterr().out
    assert "| filter | 2 | ≤ 1 | **failed** |" in shown
    assert "| tiles | 0 | ≤ 1 | ok |" in shown


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_is_not_there_is_told_in_one_line(capsys):
    assert gpu_check.main(["--device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--device cpu" in line
