"""Who becomes champion and what the history says, on a real MLflow store; versions here have no weights."""

import json
import signal
import subprocess
import sys
import threading

import pytest
from mlflow import MlflowClient

from pcakd.errors import UsageError
from tasks.registry import Gate, Rivals, pin, promote, promote_by_hand, reject, roll_back
from tasks.registry.history import Move, TakenError, add, standing
from tasks.registry.shadow import too_different
from tasks.settings import Settings
from tests.conftest import ROOT
from tests.tasks.registry.bare import BASELINES, FLOOR_SCORES, GATE, Model, new_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return new_store(tmp_path_factory.mktemp("champions"))


@pytest.fixture
def model(settings, request) -> Model:
    return Model(settings, f"pcakd-{request.node.name[:150].replace('/', '-').replace(':', '-')}", 4)


def test_a_version_below_a_floor_stays_challenger_and_its_page_says_which(model):
    scores = {"score": 1.0, "own.across.psnr": 19.0, "reconstruction": 22.0}
    decision = promote(model.registered(1), scores, BASELINES, Rivals(), Gate(axes={"score": "higher"}),
                       settings=model.settings)  # fmt: skip
    assert not decision.passed
    assert model.champion == 0
    assert model.page(1).startswith("**Challenger**: misses a floor: across 19.00 dB by the paper's transfer")
    assert "reconstruction 22.00 dB, wanted 30" in model.page(1)


def test_the_history_says_who_was_champion_when_by_whom_and_why(model):
    assert model.flow(1, 1.0).promoted
    again = model.flow(1, 1.0)
    assert (again.passed, again.promoted) == (True, False)
    assert model.flow(2, 1.2, champion=1.0).passed
    now = standing(model.client, model.name)
    assert [(m.kind, m.version, m.before, m.who) for m in now.moves] == [
        ("promote", 1, 0, "flow x"),
        ("promote", 2, 1, "flow x"),
    ]
    assert now.moves[1].why.startswith("reaches every floor, and is as good as the champion")
    assert now.moves[0].when <= now.moves[1].when
    assert model.page(2).startswith("**Champion**")
    assert "version 2 became champion" in model.page(1)
    assert model.page(1).startswith("**Challenger**")


def test_a_rollback_is_not_undone_by_the_next_run_with_nothing_new(model):
    model.flow(1, 1.0)
    model.flow(2, 1.2, champion=1.0)
    move = roll_back(model.name, why="skies are green", who="ann", settings=model.settings)
    assert (move.version, move.before) == (1, 2)
    again = model.flow(2, 1.2, champion=1.0)
    assert not again.passed
    assert "rolled back from by ann" in again.reason
    assert "skies are green" in again.reason
    assert model.champion == 1


def test_after_a_rollback_a_like_version_of_new_photos_waits_and_a_better_one_is_promoted(model):
    model.flow(1, 1.0)
    model.flow(2, 1.2, champion=1.0)
    roll_back(model.name, settings=model.settings)
    alike = model.flow(3, 1.205, champion=1.0, set_back=1.2)
    assert not alike.passed
    assert "version 2 was rolled back from" in alike.reason
    assert model.flow(4, 1.4, champion=1.0, set_back=1.2).passed
    assert model.champion == 4
    # The bar is down again, but version 2 stays back.
    assert standing(model.client, model.name).raised_bar == 0
    assert not model.flow(2, 9.0, champion=1.4).passed


def test_rollbacks_go_back_one_by_one_and_end_with_a_message(model):
    for version in (1, 2, 3):
        promote_by_hand(model.name, version, settings=model.settings)
    assert roll_back(model.name, settings=model.settings).version == 2
    assert roll_back(model.name, settings=model.settings).version == 1
    with pytest.raises(UsageError, match="version 1 had no champion before it"):
        roll_back(model.name, settings=model.settings)
    assert roll_back(model.name, to=3, settings=model.settings).version == 3
    assert model.champion == 3


def test_a_person_may_promote_again_what_was_rolled_back_from(model):
    promote_by_hand(model.name, 1, settings=model.settings)
    promote_by_hand(model.name, 2, settings=model.settings)
    roll_back(model.name, settings=model.settings)
    promote_by_hand(model.name, 2, why="the skies were the photos' fault", settings=model.settings)
    assert model.champion == 2
    assert not standing(model.client, model.name).set_back


def test_a_rejected_version_is_promoted_by_nobody_until_that_is_lifted(model):
    reject(model.name, 1, why="blobs", who="ann", settings=model.settings)
    decision = model.flow(1, 9.0)
    assert not decision.passed
    assert "rejected by ann" in decision.reason
    assert model.page(1).startswith("**Rejected**")
    with pytest.raises(UsageError, match=r"was rejected by ann \(blobs\)"):
        promote_by_hand(model.name, 1, settings=model.settings)
    reject(model.name, 1, lift=True, settings=model.settings)
    assert model.flow(1, 9.0).passed
    with pytest.raises(UsageError, match="is the champion"):
        reject(model.name, 1, settings=model.settings)


def test_a_pin_holds_against_flows_and_people_until_it_is_lifted(model):
    with pytest.raises(UsageError, match="has no champion to pin"):
        pin(model.name, settings=model.settings)
    model.flow(1, 1.0)
    pin(model.name, why="the catalogue is in print", who="ann", settings=model.settings)
    decision = model.flow(2, 9.0, champion=1.0)
    assert not decision.passed
    assert "pinned to version 1 by ann" in decision.reason
    for refused in (lambda: promote_by_hand(model.name, 2, settings=model.settings),
                    lambda: roll_back(model.name, to=2, settings=model.settings)):  # fmt: skip
        with pytest.raises(UsageError, match="--lift"):
            refused()
    pin(model.name, lift=True, settings=model.settings)
    assert model.flow(2, 9.0, champion=1.0).passed


def test_of_two_promotions_at_once_one_wins_and_the_other_says_so(model):
    promote_by_hand(model.name, 1, settings=model.settings)
    known = standing(model.client, model.name)
    start, ended = threading.Barrier(2), {}

    def try_for(version: int) -> None:
        start.wait()
        try:
            ended[version] = add(model.client, model.name, known, Move(kind="promote", version=version, before=1,
                                                                       who=f"person {version}"))  # fmt: skip
        except TakenError as error:
            ended[version] = error

    threads = [threading.Thread(target=try_for, args=(version,)) for version in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (loser,) = [version for version, end in ended.items() if isinstance(end, TakenError)]
    winner = 5 - loser
    assert model.champion == winner
    assert f"person {winner} was faster (version {winner} became champion)" in str(ended[loser])
    assert model.moves == [("promote", 1), ("promote", winner)]


def test_a_flow_that_measured_against_a_champion_of_before_is_told_to_measure_again(model):
    promote_by_hand(model.name, 1, settings=model.settings)
    rivals = Rivals(champion={"score": 1.0}, champion_version=1)
    promote_by_hand(model.name, 2, settings=model.settings)
    scores = FLOOR_SCORES | {"score": 2.0}
    decision = promote(model.registered(3), scores, BASELINES, rivals, GATE, settings=model.settings)
    assert decision.moved
    assert "version 2 became champion while this was measured" in decision.reason
    assert model.champion == 2


class Killed(BaseException):
    """In place of a SIGKILL: no `except` of the code sees it."""


@pytest.mark.parametrize("last", ["set_registered_model_alias", "set_registered_model_tag"])
def test_a_promotion_killed_between_claim_alias_and_history_is_finished_by_the_next_command(model, monkeypatch, last):
    promote_by_hand(model.name, 1, settings=model.settings)

    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, last, die)
        with pytest.raises(Killed):
            promote_by_hand(model.name, 2, who="ann", settings=model.settings)
    assert len([tag for tag in model.client.get_registered_model(model.name).tags if "move" in tag]) == 1
    assert standing(model.client, model.name).moves[-1].who == "ann"
    assert model.champion == 2
    assert model.moves == [("promote", 1), ("promote", 2)]
    roll_back(model.name, settings=model.settings)
    assert model.champion == 1


def processes(what: str, settings: Settings) -> list[dict]:
    """What `tests.tasks.registry.processes` tells."""
    words = [sys.executable, "-m", "tests.tasks.registry.processes", settings.tracking_uri, str(settings.home), what]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_flow_killed_between_registration_alias_and_history_is_finished_by_the_next_one(settings):
    ends = processes("killed", settings)
    assert [one["code"] for one in ends] == [-signal.SIGKILL] * 7 + [0]
    assert not any(one["aliases"] and not one["verified"] for one in ends)
    client = MlflowClient(settings.tracking_uri)
    (version,) = client.search_model_versions("name = 'pcakd-vgg'")
    model = client.get_registered_model("pcakd-vgg")
    assert {name: int(number) for name, number in model.aliases.items()} == {"challenger": 1, "champion": 1}
    assert [name for name in model.tags if "move" in name] == ["pcakd.move.000001"]
    now = standing(client, "pcakd-vgg")
    assert [(move.kind, move.version, move.who) for move in now.moves] == [("promote", 1, "flow x")]
    assert version.description.startswith("**Champion**")


def test_of_two_flows_at_once_in_processes_of_their_own_one_wins_and_the_other_is_to_measure_again(settings):
    rounds = processes("at-once", settings)
    for one in rounds:
        assert sorted(told["promoted"] for told in one["told"]) == [False, True]
        (loser,) = [told for told in one["told"] if not told["promoted"]]
        assert loser["moved"]
        assert f"version {one['champion']} became champion" in loser["reason"]
    now = standing(MlflowClient(settings.tracking_uri), "pcakd-raced")
    assert [move.version for move in now.moves] == [one["champion"] for one in rounds]


def test_a_version_whose_shadow_run_went_too_far_waits_and_a_person_may_still_promote_it(model):
    model.flow(1, 1.0)
    held = too_different({"summary": {"difference.mean": 7.0}}, 5.0)
    decision = model.flow(2, 1.2, champion=1.0, held=held)
    assert (decision.passed, decision.promoted) == (False, False)
    assert "**Challenger**: differs from the champion by 7.00 (mean CIEDE2000)" in model.page(2)
    assert model.champion == 1
    assert not too_different({"summary": {"difference.mean": 7.0}}, None)
    assert too_different({"summary": {}}, None) == "its shadow run could compare no photo"
    promote_by_hand(model.name, 2, settings=model.settings)
    assert model.champion == 2


def test_an_alias_that_somebody_moved_in_mlflow_is_kept_and_recorded(model):
    promote_by_hand(model.name, 1, settings=model.settings)
    model.client.set_registered_model_alias(model.name, "champion", "3")
    assert standing(model.client, model.name).champion == 3
    assert model.moves[-1] == ("outside", 3)
    assert roll_back(model.name, settings=model.settings).version == 1


def test_a_champion_that_was_deleted_is_no_champion_and_the_one_before_can_be_gone_back_to(model):
    promote_by_hand(model.name, 1, settings=model.settings)
    promote_by_hand(model.name, 2, settings=model.settings)
    model.client.delete_model_version(model.name, "2")
    assert standing(model.client, model.name).champion == 0
    assert model.moves[-1] == ("outside", 0)
    assert roll_back(model.name, settings=model.settings).version == 1
    assert model.champion == 1


def test_a_description_that_a_person_wrote_is_left_alone(model):
    model.client.update_model_version(model.name, "1", "Ours. Do not touch.")
    promote_by_hand(model.name, 1, settings=model.settings)
    assert model.page(1) == "Ours. Do not touch."


def test_the_models_page_tells_of_its_champion_with_scores_and_picture_until_a_person_writes_one(model):
    tags = {"pcakd.metric.own.across.psnr": "25.5", "pcakd.picture": "a1/sheet 1.webp", "pcakd.recipe": "recipe x"}
    for tag, value in tags.items():
        model.client.set_model_version_tag(model.name, "1", tag, value)
    promote_by_hand(model.name, 1, who="ann", settings=model.settings)
    page = model.client.get_registered_model(model.name).description
    assert "**Champion**: version 1, since " in page
    assert "by ann." in page
    assert "| across by the paper's transfer, dB | 25.50 |" in page
    assert "A student, by recipe x." in page
    assert "](get-artifact?run_uuid=a1&path=sheet+1.webp)" in page
    assert page.partition("| across")[2] in model.page(1)
    promote_by_hand(model.name, 2, settings=model.settings)
    assert "**Champion**: version 2" in model.client.get_registered_model(model.name).description
    model.client.update_registered_model(model.name, "Ours.")
    promote_by_hand(model.name, 1, settings=model.settings)
    assert model.client.get_registered_model(model.name).description == "Ours."


def test_a_version_or_model_that_is_not_there_is_named(model):
    with pytest.raises(UsageError, match="version 9: no such version"):
        promote_by_hand(model.name, 9, settings=model.settings)
    with pytest.raises(UsageError, match="pcakd-nothing: no such registered model; there are "):
        promote_by_hand("pcakd-nothing", 1, settings=model.settings)
