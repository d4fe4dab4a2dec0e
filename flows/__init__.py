"""Prefect flows: they compose the stages of `tasks` and own parameters and schedules."""

from pcakd.student.address import register_resolver
from pcakd.ui.services import register_services
from tasks.settings import quiet_environment
from tasks.stages.run_log import tell_errors_in_one_line

# Before Prefect and MLflow are imported, by whoever loads a flow.
quiet_environment()
tell_errors_in_one_line()
register_resolver("models", "tasks.registry.resolve:resolve_model")
register_services("tasks.page.services:open_services")
