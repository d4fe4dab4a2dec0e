import json

import pytest

from pcakd.errors import AccessError, FatalError
from pcakd.storage import LocalStorage, open_storage
from pcakd.storage.stage import MANIFEST, StageOutput, read_manifest, stage_key


def test_a_stage_is_finished_once_its_manifest_is_written(tmp_path):
    workspace = open_storage(tmp_path)
    output = StageOutput.open(workspace, "eigenbases", inputs={"shards": "abc"}, params={"level": 3})
    output.storage.write("bases.safetensors", b"x")
    assert output.finished() is None
    manifest = output.finish({"rows": 5})
    assert manifest["rows"] == 5
    assert manifest["inputs"] == {"shards": "abc"}
    assert read_manifest(workspace.sub(f"eigenbases/{output.key}")) == manifest == output.finished()


def test_a_manifest_under_another_key_than_its_folder_s_is_adopted(tmp_path):
    output = StageOutput.open(open_storage(tmp_path), "shards", inputs={"source": "s"}, params={"limit": None})
    former = {"format": 1, "stage": "shards", "key": "0" * 20, "inputs": {"listing": "l"}, "params": {}, "rows": 5}
    output.storage.write(MANIFEST, json.dumps(former).encode())
    adopted = former | {"key": output.key, "inputs": {"source": "s"}, "params": {"limit": None}}
    assert output.finished() == adopted
    assert read_manifest(output.storage) == adopted


def test_a_manifest_is_adopted_where_nothing_may_be_written(tmp_path, monkeypatch):
    output = StageOutput.open(open_storage(tmp_path), "shards", inputs={}, params={})
    output.storage.write(MANIFEST, b'{"key": "old", "rows": 5}')

    def refuse(storage, key, data):
        raise AccessError("read only")

    monkeypatch.setattr(LocalStorage, "write", refuse)
    found = output.finished()
    assert (found["key"], found["rows"]) == (output.key, 5)


def test_the_key_depends_on_inputs_and_parameters_and_not_on_their_order():
    key = stage_key({"a": "1", "b": "2"}, {"x": 1, "y": [0.1]})
    assert key == stage_key({"b": "2", "a": "1"}, {"y": [0.1], "x": 1})
    assert key != stage_key({"a": "1", "b": "3"}, {"x": 1, "y": [0.1]})
    assert key != stage_key({"a": "1", "b": "2"}, {"x": 2, "y": [0.1]})
    assert len(key) == 20


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_damaged_manifest_is_said(content, tmp_path):
    storage = open_storage(tmp_path)
    storage.write(MANIFEST, content)
    with pytest.raises(FatalError, match=MANIFEST):
        read_manifest(storage)
