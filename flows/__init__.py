"""Prefect flows: they compose the stages of `tasks` and own parameters and schedules."""

from pcakd.student.address import register_resolver
from tasks.settings import quiet_environment

# Before Prefect and MLflow are imported, by whoever loads a flow.
quiet_environment()
register_resolver("models", "tasks.registry.resolve:resolve_model")
