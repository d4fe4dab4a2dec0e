"""Housekeeping as a flow, with a real Prefect server and worker, and a registry of its own."""

import pytest

from tests.tasks.workspace.test_prune import Workspace

pytestmark = pytest.mark.slow


def test_a_flow_run_removes_what_nobody_needs_and_tells_which_and_a_wrong_registry_is_not_tried_again(
    deployments, tmp_path
):
    workspace = Workspace(tmp_path / "workspace")
    workspace.output("shards/new", source="s3://photos", digest="d2")
    workspace.output("students/s1", model_digest="m1", inputs={"shards": "d1"})
    flow = "flows/prune_workspace.py:prune_workspace"
    where = {"workspace": str(workspace.folder)}

    refused = deployments.ended(deployments.start(flow, where | {"parameters": {"delete": True}}))
    assert refused["type"] == "FAILED"
    assert "has no model, but the workspace has students" in refused["message"]
    assert (workspace.folder / "students/s1/data").exists()

    run = deployments.start(flow, where | {"parameters": {"delete": True, "unregistered": True}})
    assert deployments.ended(run)["type"] == "COMPLETED"
    assert not (workspace.folder / "students/s1").exists()
    assert (workspace.folder / "shards/new/data").exists()
    told = deployments.artifacts(run)["workspace"]["data"]
    assert told.startswith("Removed 1 of 2 outputs.")
    assert "students/s1" in told
