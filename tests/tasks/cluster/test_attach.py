import pytest
from ray import exceptions

from pcakd.errors import FatalError, PhotoError, TransientError, UsageError
from tasks.cluster.attach import project_errors, ray_cluster


@pytest.fixture(autouse=True)
def _not_attached(monkeypatch):
    """As in a process of its own: the session's cluster may be up."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.mark.parametrize("address", ["nonsense", "host:", ":6379", "host:port"])
def test_an_address_that_is_none_is_said(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match="RAY_ADDRESS"), ray_cluster():
        pass


def test_a_cluster_that_is_not_there_is_said_at_once(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1"), ray_cluster():
        pass


@pytest.mark.parametrize("name", ["PCAKD_NUM_CPUS", "PCAKD_OBJECT_STORE_MB"])
def test_a_size_that_is_no_number_is_said(name, monkeypatch):
    monkeypatch.setenv(name, "many")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UsageError, match=name), ray_cluster():
        pass


@pytest.mark.parametrize(
    ("cause", "kind", "says"),
    [
        (PhotoError("a.jpg: is empty", reason="empty"), PhotoError, r"^a\.jpg: is empty$"),
        (ValueError("no sense\nat all"), FatalError, r"^a worker failed \(ValueError: no sense\); .* report it$"),
    ],
)
def test_what_a_worker_raised_is_an_error_of_the_project(cause, kind, says):
    error = exceptions.RayTaskError("work", "Traceback (most recent call last): ...", cause).as_instanceof_cause()
    with pytest.raises(kind, match=says) as caught, project_errors():
        raise error
    assert not isinstance(caught.value, exceptions.RayError)


@pytest.mark.parametrize(
    "error", [exceptions.WorkerCrashedError(), exceptions.ObjectLostError("00", None, ""), exceptions.RayError("x\ny")]
)
def test_all_else_that_ray_raises_may_pass(error):
    with (
        pytest.raises(TransientError, match=r"^Ray gave up \(.*\); the same command goes on$") as caught,
        project_errors(),
    ):
        raise error
    assert "\n" not in str(caught.value)
