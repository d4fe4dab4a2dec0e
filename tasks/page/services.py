"""The services of `pcakd.ui.services`, with Prefect and MLflow."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pcakd.bulk import BucketJob
from pcakd.cli.extra import PACKAGES
from pcakd.errors import TransientError, UsageError
from pcakd.storage import open_storage, sha256_hex
from pcakd.ui.services import Elsewhere, PageServices
from tasks.settings import Settings, quiet_environment, shown_uri

DEPLOYMENT = "stylize-bucket/bulk"
VOTES = "votes.json"
COLUMNS = ("content", "style", "left", "right", "choice", "preferred", "blind")


class PipelineServices:
    """See `PageServices`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def models(self) -> list[str]:
        """Champions and challengers first, then every version, the newest first."""
        from tasks.registry.versions import translated
        from tasks.tracking.store import client_for, sqlite_file

        database = sqlite_file(self.settings.tracking_uri)
        if database is not None and not database.is_file():
            return []
        with translated(self.settings):
            client = client_for(self.settings.tracking_uri)
            aliases, versions = [], []
            for model in client.search_registered_models(max_results=200):
                aliases += [f"models:/{model.name}@{alias}" for alias in sorted(model.aliases)]
                numbers = sorted(int(one.version) for one in client.search_model_versions(f"name = '{model.name}'"))
                versions += [f"models:/{model.name}/{number}" for number in reversed(numbers[-20:])]
        return aliases + versions

    def start_bulk(self, values: Mapping[str, Any], styles: Sequence[tuple[str, bytes]]) -> Elsewhere:
        """The style photos go into the workspace, by their content, where the worker finds them as long as the job
        may be gone on with; then the deployment is run, and not waited for."""
        workspace, places = open_storage(self.settings.workspace).sub("page-styles"), []
        for name, data in styles:
            key = f"{sha256_hex(data)[:16]}/{name}"
            workspace.write(key, data)
            places.append(workspace.uri(key))
        values = {**values, "styles": places}
        BucketJob(**values)
        return _run_deployment(values)

    def save_votes(self, votes: Sequence[Mapping[str, Any]]) -> Elsewhere:
        """A run of its own in MLflow with the table `votes.json`, as `mlflow.load_table` reads it, and the counts."""
        from tasks.tracking import open_tracker

        table = {"columns": list(COLUMNS), "data": [[vote[name] for name in COLUMNS] for vote in votes]}
        models = sorted({vote[side] for vote in votes for side in ("left", "right")})
        with open_tracker(self.settings, "compare-models") as run:
            run.params({"models": ", ".join(models), "votes": len(votes)})
            counts = {name: sum(vote["preferred"] == name for vote in votes) for name in [*models, "same"]}
            run.metrics({f"votes.{_metric(name)}": count for name, count in counts.items()})
            run.tags({"mlflow.loggedArtifacts": json.dumps([{"path": VOTES, "type": "table"}])})
            run.file(VOTES, json.dumps(table).encode())
            found = run.mlflow_run()
            page = run.page() if found else None
        where = shown_uri(self.settings.tracking_uri)
        if found is None:
            return Elsewhere(f"{len(votes)} votes, kept here until MLflow at {where} answers", "")
        return Elsewhere(f"run {found} in {where}", page.url if page else "")


def open_services() -> PageServices | None:
    """The services; None without the pipeline's packages."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in PACKAGES):
        return None
    quiet_environment()
    return PipelineServices(Settings.read())


def _run_deployment(values: Mapping[str, Any]) -> Elsewhere:
    """Raises UsageError where nothing is deployed, TransientError where no server answers."""
    import os

    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError("no Prefect server is set: `make up` starts one; set PREFECT_API_URL as it says")
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    try:
        with get_client(sync_client=True) as client:
            try:
                deployment = client.read_deployment_by_name(DEPLOYMENT)
            except ObjectNotFound:
                raise UsageError(
                    f"{DEPLOYMENT} is not deployed: set PCAKD_PHOTOS and run `make up`, or `prefect deploy --all`"
                ) from None
            run = client.create_flow_run_from_deployment(deployment.id, parameters={"parameters": dict(values)})
            server = str(client.api_url).rstrip("/").removesuffix("/api")
    except (OSError, PrefectHTTPStatusError, RuntimeError) as error:
        raise TransientError(f"Prefect does not take the job ({' '.join(str(error).split())[:200]})") from None
    except Exception as error:  # its HTTP client's own errors share no base with these
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore"):
            raise
        raise TransientError("the Prefect server does not answer; is it up?") from None
    return Elsewhere(run.name, f"{server}/runs/flow-run/{run.id}")


def _metric(name: str) -> str:
    """A model's name with what MLflow allows in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in Path(name).name if c != ":")
