import pytest

from pcakd.errors import FatalError
from pcakd.storage import open_storage
from pcakd.storage.stage import MANIFEST, StageOutput, finished, stage_key


def test_a_stage_is_finished_once_its_manifest_is_written(tmp_path):
    workspace = open_storage(tmp_path)
    output = StageOutput.open(workspace, "eigenbases", inputs={"shards": "abc"}, params={"level": 3})
    output.storage.write("bases.safetensors", b"x")
    assert output.finished() is None
    assert finished(workspace, "eigenbases", output.key) is None
    manifest = output.finish({"rows": 5})
    assert manifest["rows"] == 5
    assert manifest["inputs"] == {"shards": "abc"}
    assert finished(workspace, "eigenbases", output.key) == manifest == output.finished()


def test_the_key_depends_on_inputs_and_parameters_and_not_on_their_order():
    key = stage_key({"a": "1", "b": "2"}, {"x": 1, "y": [0.1]})
    assert key == stage_key({"b": "2", "a": "1"}, {"y": [0.1], "x": 1})
    assert key != stage_key({"a": "1", "b": "3"}, {"x": 1, "y": [0.1]})
    assert key != stage_key({"a": "1", "b": "2"}, {"x": 2, "y": [0.1]})
    assert len(key) == 20


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_damaged_manifest_is_said(content, tmp_path):
    storage = open_storage(tmp_path)
    storage.write(f"s/k/{MANIFEST}", content)
    with pytest.raises(FatalError, match=MANIFEST):
        finished(storage, "s", "k")
