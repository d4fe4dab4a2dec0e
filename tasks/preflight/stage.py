"""The first task of a pipeline: what later stages need, checked before any of them begins."""

import time

from tasks.preflight.checks import Faults, Wanted, has_cluster
from tasks.preflight.job import check_cluster, check_here, check_own_machine
from tasks.stages.run import stage_task
from tasks.stages.session import Session


@stage_task("preflight")
def preflight_stage(session: Session, wanted: Wanted) -> None:
    """Raise one error with every fault there is: UsageError, FatalError, or TransientError where all may pass."""
    started = time.monotonic()
    faults = Faults()
    teacher = check_here(wanted, session.workspace, session.settings, faults)
    if has_cluster():
        with faults.noted():
            session.attach_ray()
            check_cluster(wanted, session.workspace, teacher, faults)
    else:
        check_own_machine(wanted, faults)
    faults.end()
    session.log.info("preflight: all is there (%.1f s)", time.monotonic() - started)
