"""A held look flickers no more than its source; a picture of each frame's own does."""

import numpy as np
import pytest
from skimage import data

from benchmarks.flicker import OWN, Flow, clips, measured, ways
from pcakd import Stylizer

pytestmark = pytest.mark.slow


def test_a_held_look_adds_nothing_to_what_the_source_does_from_frame_to_frame(tmp_path):
    stylizer = Stylizer.load("mobilenet", device="cpu")
    styles = [ways(stylizer, np.ascontiguousarray(data.astronaut()), 1.0)]
    [people] = [clip for clip in clips(8, 2.0) if clip.name == "people"]
    rows = {row.way: row for row in measured(people, styles, tmp_path)}
    source, held, own, full = (rows[name] for name in ("source", "held look", OWN, "full path, frame by frame"))
    assert held.over[0] <= 1.05
    assert held.plain[0] < min(own.plain[0], full.plain[0])
    assert held.drift[0] < 2 * source.drift[0] < 0.2 < own.drift[0]
    assert full.drift[0] > 0.2


def test_the_flow_finds_a_shift_and_masks_what_comes_into_the_picture():
    photo = data.coffee()
    before, after = photo[50:250, 100:400], photo[50:250, 103:403]
    flow = Flow.between(np.ascontiguousarray(before), np.ascontiguousarray(after))
    inner = flow.back[40:-40, 40:-40]
    assert abs(float(np.median(inner[..., 0])) - 3) < 0.1
    assert abs(float(np.median(inner[..., 1]))) < 0.1
    assert not flow.seen[:, -2:].any()
    assert flow.error(before, after) < 4 < float(np.abs(before.astype(float) - after).mean())
