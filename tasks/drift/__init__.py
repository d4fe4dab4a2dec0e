"""Drift is measured: as a Prefect task (`stage`), against what earlier runs left (`before`)."""
