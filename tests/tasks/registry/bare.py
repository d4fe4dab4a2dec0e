"""Registered models whose versions have no weights: quick to make, for tests of who is champion."""

from pathlib import Path

from mlflow import MlflowClient

from tasks.registry import Gate, Registered, Rivals, promote
from tasks.registry.gate import Decision, Floors
from tasks.registry.history import standing
from tasks.settings import Settings, embedded_uri
from tasks.tracking.store import prepare_store

GATE = Gate(axes={"score": "higher"}, floors=Floors(above_reinhard=-99, above_unchanged=-99, reconstruction=0))
FLOOR_SCORES = {"own.across.psnr": 25.0, "reconstruction": 36.0}
BASELINES = {"reinhard": {"across.psnr": 24.6}, "unchanged": {"across.psnr": 18.4}}


def new_store(folder: Path) -> Settings:
    """A new SQLite store: seconds, so one for a module."""
    found = Settings(home=folder, workspace=str(folder), tracking_uri=embedded_uri(folder), experiment="champions")
    prepare_store(found.tracking_uri, found.experiment)
    return found


class Model:
    """A registered model with a few versions, and flows that try to promote them."""

    def __init__(self, settings: Settings, name: str, versions: int) -> None:
        self.settings, self.name = settings, name
        self.client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
        self.client.create_registered_model(name)
        experiment = self.client.get_experiment_by_name(settings.experiment).experiment_id
        for number in range(1, versions + 1):
            run = self.client.create_run(experiment)
            self.client.create_model_version(
                name, f"runs:/{run.info.run_id}/m{number}", run_id=run.info.run_id, tags={"pcakd.digest": str(number)}
            )

    def flow(
        self,
        version: int,
        score: float,
        champion: float | None = None,
        set_back: float | None = None,
        held: str = "",
    ) -> Decision:
        """A flow that measured these scores tries to promote a version."""
        now = standing(self.client, self.name)
        rivals = Rivals(
            champion=None if champion is None else {"score": champion},
            champion_version=now.champion or None,
            set_back=None if set_back is None else {"score": set_back},
            set_back_version=now.raised_bar or None,
        )
        scores = FLOOR_SCORES | {"score": score}
        return promote(
            self.registered(version), scores, BASELINES, rivals, GATE, settings=self.settings, who="flow x", held=held
        )

    def registered(self, version: int) -> Registered:
        return Registered(name=self.name, version=version, digest=str(version), created=False)

    @property
    def champion(self) -> int:
        return int(self.client.get_registered_model(self.name).aliases.get("champion", 0))

    @property
    def moves(self) -> list[tuple[str, int]]:
        return [(move.kind, move.version) for move in standing(self.client, self.name).moves]

    def page(self, version: int) -> str:
        return self.client.get_model_version(self.name, str(version)).description
