import pytest

from pcakd.errors import TransientError, UsageError
from tasks.cluster.attach import ray_cluster


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
