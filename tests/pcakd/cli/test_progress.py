import os
import pty
import subprocess
import sys

import pytest

from pcakd.cli import progress as module
from pcakd.cli.progress import how_far, progress
from pcakd.units import duration


def test_a_line_says_done_of_all_failures_rate_and_time_left():
    line = how_far(1200, 2000, "photos", failed=3, rate=12.5)
    assert line == "1,200 of 2,000 photos, 3 failed, 12.5/s, 1:04 left"
    assert how_far(0, 5, "photos") == "0 of 5 photos"
    assert [duration(s) for s in (9, 754, 10921, 4 * 86400 + 10921)] == ["0:09", "12:34", "3:02:01", "4 days 3:02:01"]


@pytest.mark.parametrize(("every", "lines"), [(15.0, 0), (0.0, 3)])
def test_off_a_terminal_a_line_comes_every_so_many_seconds(every, lines, monkeypatch, capsys):
    monkeypatch.setattr(module, "LINE_EVERY_S", every)
    with progress("pairs", 2) as advance:
        advance(1)
        advance(1)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == lines
    assert not lines or (shown[0], shown[-1].split(",")[0]) == ("0 of 2 pairs", "2 of 2 pairs")


def test_what_a_command_prints_under_a_bar_goes_where_its_output_goes():
    script = (
        "from pcakd.cli.progress import progress\n"
        "with progress('photos', 2) as advance:\n"
        "    print('one.jpg', flush=True)\n"
        "    advance(2)\n"
    )
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=other_end, env=os.environ | {"TERM": "xterm"}
    )
    os.close(other_end)
    out, _ = process.communicate(timeout=60)
    shown = os.read(terminal, 1 << 16)
    os.close(terminal)
    assert out.decode() == "one.jpg\n"
    assert "2 of 2 photos" in shown.decode()
    assert "one.jpg" not in shown.decode()
