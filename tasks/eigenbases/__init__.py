"""Eigenbases are fitted: on Ray (`job`), as a Prefect task (`stage`), as a command (`command`)."""
