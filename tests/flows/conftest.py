"""One Prefect server for all tests of flows, and a worker that runs what they deploy. Both end with the last of these
tests, as such a worker asks for runs every second."""

from collections.abc import Iterator

import pytest

from tests.servers.prefect_runs import Deployments
from tests.servers.processes import prefect_server


@pytest.fixture(scope="package")
def prefect(tmp_path_factory) -> Iterator[str]:
    """A Prefect server's API address."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture(scope="package")
def deployments(prefect, ray_cluster, tmp_path_factory) -> Iterator[Deployments]:
    """A worker, and runs of flows through it on the session's Ray; with an MLflow of their own in a folder."""
    folder = tmp_path_factory.mktemp("worker")
    with Deployments(prefect, folder).worker(ray_cluster) as found:
        yield found
