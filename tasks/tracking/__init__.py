"""Tracking with MLflow that never stands in the way of the work.

    with open_tracker(settings, "distillation-pipeline") as run:
        run.params({"teacher": "vgg19"})
        with run.child("distill-student", key=key) as stage:
            stage.metrics({"loss": 0.3}, step=100)
            stage.file("loss.png", png)

Everything is written to a journal on the local disk first, at once; a thread sends the journal to
MLflow. With MLflow away the work goes on, one line says so, and the journal is sent when it answers
again: by the same process, or by the next one (`send_leftovers`).
"""

from tasks.tracking.store import prepare_store
from tasks.tracking.tracker import Tracker, open_tracker, send_leftovers

__all__ = ["Tracker", "open_tracker", "prepare_store", "send_leftovers"]
