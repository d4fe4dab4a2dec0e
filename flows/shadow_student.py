"""Flow `shadow-student`: two students on the same photos of production → one page side by side."""

from prefect import flow

from flows.parameters import Shadow
from flows.reports import publish_stage
from tasks.registry.shadow import shadow_stage
from tasks.stages.session import open_session


@flow(name="shadow-student")
def shadow_student(
    challenger: str, parameters: Shadow, champion: str = "", workspace: str | None = None
) -> dict[str, float]:
    """Compare a student and the champion; nobody is promoted.

    Args:
        challenger: models:/NAME@ALIAS, models:/NAME/VERSION, or a checkpoint file.
        parameters: On which photos and styles, and how.
        champion: Beside whom; empty: the champion of the challenger's registered model.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    with open_session("shadow-student", workspace=workspace) as session:
        shadow = shadow_stage(
            session, challenger=challenger, champion=champion, **parameters.model_dump(exclude={"at_most"})
        )
        publish_stage(shadow, shadow.manifest["summary"])
        return shadow.manifest["summary"]
