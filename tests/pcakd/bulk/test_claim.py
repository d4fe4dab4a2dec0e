"""A destination's names belong to the first job that writes under them; another job is told so when it starts."""

import socket
import threading

import pytest

from pcakd.bulk import BucketJob, Ledger
from pcakd.bulk.claim import claim_names
from pcakd.bulk.followed import follow
from pcakd.bulk.plan import dry_run
from pcakd.errors import UsageError
from pcakd.storage import LocalStorage, open_storage
from tests.pcakd.bulk.made import fill, resolved, work


@pytest.fixture
def places(request, tmp_path):
    """Source and destination addresses; on S3 where the test says so."""
    if getattr(request, "param", "local") == "local":
        return str(fill(tmp_path / "in", 2)), str(tmp_path / "out")
    ceph = request.param == "ceph"
    bucket = request.getfixturevalue("ceph_bucket") if ceph else request.getfixturevalue("s3_server").new_bucket()
    open_storage(f"s3://{bucket}/in").write("a.jpg", b"x")
    return f"s3://{bucket}/in", f"s3://{bucket}/out"


S3 = [pytest.param(name, marks=pytest.mark.slow) for name in ("s3", "ceph")]
everywhere = pytest.mark.parametrize("places", ["local", *S3], indirect=True)


def start(places, *, finish: bool = True, claims: bool = True, **changes) -> Ledger:
    """Begin a job as a run does, and work."""
    job = resolved(*places, **({"styles": ("x.jpg",)} | changes))
    dest = open_storage(job.job.dest)
    claim = claim_names(dest, job) if claims else None
    ledger = Ledger.open(dest, job)
    snapshot = ledger.begin(open_storage(job.job.source))
    if finish:
        work(snapshot)
        snapshot.finish()
    assert claim is None or claim.dest == dest
    return ledger


@everywhere
@pytest.mark.parametrize("finish", [False, True], ids=["unfinished", "finished"])
def test_a_second_job_on_the_same_names_is_told_who_since_when_and_what_to_do(places, finish):
    first = start(places, finish=finish)
    before = {entry.key for entry in first.dest.list()}
    with pytest.raises(UsageError) as caught:
        start(places, strength=0.5)
    words = str(caught.value)
    assert f"those of job {first.resolved.job_id}, which stylizes {places[0]} and began 20" in words
    assert f"UTC on {socket.gethostname()}: this job would write over its results" in words
    assert words.endswith("choose another destination or template, or allow it with --shared-dest")
    assert "\n" not in words
    with pytest.raises(UsageError, match="--shared-dest"):
        dry_run(resolved(*places, styles=("x.jpg",), strength=0.5))
    assert {entry.key for entry in first.dest.list()} == before, "who is refused leaves nothing"
    start(places)  # the first one goes on


def test_shared_dest_allows_it_and_both_go_on_without_saying_it_again(places):
    start(places)
    start(places, strength=0.5, shared_dest=True)
    start(places, strength=0.5)
    start(places)


def test_names_that_differ_are_nobody_elses(places):
    start(places, styles=("x.jpg", "y.jpg"))
    start(places, styles=("z.jpg", "night=y.jpg"))
    start(places, strength=0.5, template="half/{key}")
    start(places, strength=0.5, styles=("x.jpg",))
    for changes in ({"styles": ("y=other.jpg", "w.jpg")}, {"strength": 0.1, "template": "half/{dir}{stem}{ext}"}):
        with pytest.raises(UsageError, match="--shared-dest"):
            start(places, **changes)


def test_a_policy_that_writes_over_nothing_is_free_to_come(places):
    start(places)
    start(places, strength=0.5, overwrite="fail")


@everywhere
def test_jobs_of_before_there_were_claims_go_on_and_are_seen_by_new_ones(places):
    old = start(places, claims=False)
    start(places, strength=0.5, claims=False)
    with pytest.raises(UsageError, match=rf"those of job \w+, which stylizes {places[0]} and began 20.* UTC: this job"):
        start(places, strength=0.7)
    start(places)
    start(places, strength=0.5)
    assert old.resolved.job_id in {entry.key.split("/")[1] for entry in old.dest.list("_pcakd/")}


def test_a_start_that_lists_nothing_leaves_the_names_free(places):
    job = resolved(*places, styles=("x.jpg",), include=("*.none",))
    dest = open_storage(places[1])
    claim = claim_names(dest, job)
    Ledger.open(dest, job)
    claim.give_back()
    start(places, strength=0.5)


def test_a_new_version_of_an_alias_follows_the_one_of_before_and_no_other_job_does(places, monkeypatch):
    from pcakd.bulk import followed

    version = {"now": "1"}

    def look_up(job: BucketJob):
        number = version["now"] if "@" in job.model else job.model.rpartition("/")[2]
        made = resolved(job.source, job.dest, styles=job.styles, model=job.model, strength=job.strength)
        return type(made)(
            job=job, model=f"models:/m/{number}", model_digest=number * 64, style_digests=made.style_digests
        )

    monkeypatch.setattr(followed, "look_up", look_up)
    dest = open_storage(places[1])

    def run(**changes) -> str:
        values = {"source": places[0], "dest": places[1], "styles": ("x.jpg",), "model": "models:/m@champion"}
        job, begin = follow(BucketJob(**values | changes), dest)
        claim_names(dest, job)
        ledger = Ledger.open(dest, job)
        begin()
        snapshot = ledger.begin(open_storage(places[0]))
        work(snapshot)
        snapshot.finish()
        return job.model

    assert run() == "models:/m/1"
    version["now"] = "2"
    assert run() == "models:/m/1"
    assert run(restyle=True) == "models:/m/2"
    assert run() == "models:/m/2"
    for changes in ({"model": "models:/m/3"}, {"strength": 0.5}, {"strength": 0.5, "restyle": True}):
        with pytest.raises(UsageError, match="--shared-dest"):
            run(**changes)


def test_of_two_that_begin_at_once_one_has_the_names(tmp_path):
    places, both, refused = (str(tmp_path / "in"), str(tmp_path / "out")), threading.Barrier(2), []

    class AtOnce(LocalStorage):
        """Both have looked before either writes."""

        def create(self, key, data, properties=None):
            both.wait(30)
            return super().create(key, data, properties)

    def begin(strength: float) -> None:
        try:
            claim_names(AtOnce(places[1]), resolved(*places, styles=("x.jpg",), strength=strength))
        except UsageError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin, args=(strength,)) for strength in (0.5, 0.7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert "--shared-dest" in refused[0]
