"""Students are distilled: on Ray Train (`job`), as a Prefect task (`stage`), as a command (`command`)."""
