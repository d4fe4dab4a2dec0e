"""Students are measured: as a Prefect task (`stage`)."""
