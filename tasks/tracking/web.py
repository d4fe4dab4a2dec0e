"""Where a browser finds a run in MLflow."""

from typing import NamedTuple
from urllib.parse import quote


class RunPage(NamedTuple):
    """A run's page at an MLflow server. address: of the server, as browsers reach it; the ids are MLflow's."""

    address: str
    experiment: str
    run: str

    @property
    def url(self) -> str:
        return f"{self.address}/#/experiments/{self.experiment}/runs/{self.run}"

    def file(self, path: str) -> str:
        """The page that shows an artifact of the run."""
        return f"{self.url}/artifacts/{quote(path)}"
