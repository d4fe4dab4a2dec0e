"""How flow runs end that were started by a worker: by a user's mistake. Real Prefect."""

import re

import pytest

from tests.tasks.bulk import jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BULK = "flows/stylize_bucket.py:stylize_bucket"
ERROR = 40


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"source": "/nowhere/photos"}, "/nowhere/photos"),
        ({"source": "/nowhere/photos", "strength": 3.0}, "strength"),
    ],
)
def test_a_users_mistake_is_one_error_line_and_the_states_message(deployments, tmp_path, parameters, words):
    parameters |= {"dest": str(tmp_path / "out"), "styles": [str(jobs.style(tmp_path))], "model": "vgg"}
    before = len(deployments.log.read_text())

    def log() -> str:
        return deployments.log.read_text()[before:]

    run = deployments.start(BULK, {"parameters": parameters})
    state = deployments.ended(run)
    assert state["type"] == "FAILED"
    assert words in state["message"]
    deployments.wait(lambda: re.search(r"Finished in state Failed\('(Flow run|Validation)", log()))
    # Of the run alone: a busy worker tells of its own connection, too.
    told = [line for line in log().splitlines() if "| ERROR " in line and ("Flow run" in line or "engine" in line)]
    assert len(told) == 1
    assert words in told[0]
    records = deployments.records(run)
    assert not [record for record in records if "Traceback" in record["message"]]
    assert sum(record["level"] >= ERROR for record in records) <= 1
