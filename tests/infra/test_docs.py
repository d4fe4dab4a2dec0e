"""What infra/*.md tells people to type and to count on is true; tests/test_docs.py holds what every page shows."""

import json
import re
import shlex

import pytest

from tests.command import pcakd
from tests.conftest import ROOT

PAGES = [ROOT / "infra" / name for name in ("README.md", "scaling.md")]


def test_the_policies_that_the_page_names_are_printed():
    commands = re.findall(r"`pcakd (s3-policy s[^`]+|s3-policy [pr][^`]+)`", PAGES[0].read_text())
    assert len(commands) >= 4
    for command in commands:
        assert pcakd(*shlex.split(command)).returncode == 0, command


def test_each_way_to_a_first_job_is_under_ten_commands():
    for section in re.findall(r"## First bulk job.*?(?=\n## )", PAGES[0].read_text(), re.DOTALL):
        lines = re.findall(r"^    (?! )(.*)$", section, re.MULTILINE)
        assert 5 <= len(lines) < 10, lines


def test_the_sizing_table_is_what_was_measured():
    measured = json.loads((ROOT / "docs" / "measurements" / "performance.json").read_text())["models"]
    rows = re.findall(r"^\| (\d+)×(\d+) \| ([\d,]+) \| ([\d,]+) \|$", PAGES[0].read_text(), re.MULTILINE)
    assert len(rows) >= 5
    for width, height, *photos in rows:
        for model, an_hour in zip(("vgg", "mobilenet"), photos, strict=True):
            wall = measured[model][f"{width}x{height}"]["fast"]["wall"]
            seconds = sum(wall.values()) - wall["style"]  # computed once for all photos
            assert float(an_hour.replace(",", "")) == pytest.approx(3600 / (seconds * 2), rel=0.01), (model, width)
