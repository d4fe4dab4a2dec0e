"""The long-lived local stack as plain processes, for people without containers: `make up`, `make down`."""
