"""The pipeline's stages as Prefect tasks: each finds its finished output by its inputs, or makes it.

    with open_session("distillation-pipeline", workspace=None) as session:
        shards = shard_stage(session, source="s3://photos")
        bases = eigenbases_stage(session, shards=shards.place, teacher="vgg19")
        ...

Output lies in `<workspace>/<stage>/<key>/`; a `manifest.json` there means that the stage is finished.
"""

from tasks.stages.distill import distill_stage
from tasks.stages.eigenbases import eigenbases_stage
from tasks.stages.evaluate import evaluate_stage
from tasks.stages.register import champion_stage, register_stage
from tasks.stages.run import StageResult
from tasks.stages.session import Session, open_session
from tasks.stages.shard import shard_stage
from tasks.stages.stylize import stylize_stage

__all__ = [
    "Session",
    "StageResult",
    "champion_stage",
    "distill_stage",
    "eigenbases_stage",
    "evaluate_stage",
    "open_session",
    "register_stage",
    "shard_stage",
    "stylize_stage",
]
